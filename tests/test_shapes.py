"""Signatures say the shapes of tensors, and the tests check every call of them (see conftest)."""

import inspect
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import torch
from jaxtyping import AbstractArray, Shaped, TypeCheckError, jaxtyped
from torch import Tensor, nn

from bana.bap import background_attention
from bana.crf.dense import CrfResult, dense_crf
from bana.interpolation import bilinear
from bana.labels import pseudo_labels
from bana.losses import confidence_map, noise_aware_loss, reliable_pixels
from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier

# What may say Tensor and no shape, and why.
ANY_SHAPE = {
    "bap._check_map": "it is there for the tensors that signatures do not allow",
    "bap._check_same_type": "it is there for the tensors that signatures do not allow",
    "baselines._check": "it is there for the tensors that signatures do not allow",
    "crf.dense._check": "it is there for the tensors that signatures do not allow",
    "labels._check": "it is there for the tensors that signatures do not allow",
    "losses._check_labels": "it is there for the tensors that signatures do not allow",
    "crf.dense._attention_kernel.like": "only its dtype and device count",
    "crf.dense._gaussian_kernel.like": "only its dtype and device count",
    "crf.dense._gaussian_matrix.like": "only its dtype and device count",
    "interpolation.bilinear.like": "only its dtype and device count",
}


def members(owner: ModuleType | type) -> Iterator[FunctionType | type]:
    """The functions and classes that are written in a module, and the classes' methods."""
    home = owner.__name__ if inspect.ismodule(owner) else owner.__module__
    for value in vars(owner).values():
        if getattr(value, "__module__", None) != home:
            continue
        if inspect.isclass(value):
            yield value
            yield from members(value)
        elif inspect.isfunction(value) and "<" not in inspect.unwrap(value).__code__.co_filename:
            yield value


def parts(hint: Any) -> Iterator[Any]:
    """A hint and the hints within it: those of a tuple, a union or a callable."""
    yield hint
    for inner in hint if isinstance(hint, list) else get_args(hint):
        yield from parts(inner)


def test_no_tensor_is_without_a_shape(shaped_modules: list[ModuleType]) -> None:
    bare = set()
    for module in shaped_modules:
        shapes = 0
        for member in members(module):
            where = f"{module.__name__}.{member.__qualname__}".removeprefix("bana.")
            hints = inspect.get_annotations(member, eval_str=True)
            if inspect.isfunction(member):
                unsaid = set(inspect.signature(member).parameters) - {"self"} - set(hints)
                assert not unsaid, f"{where} does not say what {unsaid} are"
            for name, hint in hints.items():
                inner = list(parts(hint))
                shapes += sum(inspect.isclass(h) and issubclass(h, AbstractArray) for h in inner)
                if any(h is Tensor or h is np.ndarray for h in inner):
                    bare.add(where if where in ANY_SHAPE else f"{where}.{name}")
        assert shapes > 0, module.__name__
    assert bare == set(ANY_SHAPE)


def test_every_function_of_these_modules_is_checked(shaped_modules: list[ModuleType]) -> None:
    for module in shaped_modules:
        found = [member for member in members(module) if inspect.isfunction(member)]
        assert found and all(hasattr(function, "__wrapped__") for function in found)


def one_label_map_for_two_images() -> Tensor:
    return confidence_map(torch.rand(2, 3, 4, 5), torch.zeros(1, 4, 5, dtype=torch.uint8), 7.0)


def one_label_map_against_two() -> Tensor:
    y_crf, y_ret = torch.zeros(2, 4, 5).byte(), torch.zeros(1, 4, 5).byte()
    return reliable_pixels(y_crf, y_ret)[0]


def queries_that_are_valid_by_a_fraction() -> Tensor:
    return background_attention(torch.rand(2, 3, 4, 5), torch.rand(2, 6, 3), torch.rand(2, 6))


@pytest.mark.parametrize(
    "mistake",
    [
        one_label_map_for_two_images,
        one_label_map_against_two,
        queries_that_are_valid_by_a_fraction,
    ],
)
def test_a_mistake_is_noticed(mistake: Callable[[], Tensor]) -> None:
    with pytest.raises(TypeCheckError, match="parameter '(y_crf|y_ret|valid)'"):
        mistake()


@pytest.mark.usefixtures("unchecked")
def test_nothing_else_would_notice_one_of_them() -> None:
    assert len(queries_that_are_valid_by_a_fraction()) == 2


def wrong_fields(result: NamedTuple, n_classes: int) -> list[str]:
    """Fields that are not what the class says; C is given, as some are 1 + C long."""
    with jaxtyped("context"):
        assert isinstance(torch.empty(n_classes), Shaped[Tensor, " C"])
        fields = inspect.get_annotations(type(result))
        return [
            name for name, hint in fields.items() if not isinstance(getattr(result, name), hint)
        ]


def test_results_with_names_are_what_their_classes_say() -> None:
    g = torch.Generator().manual_seed(0)
    image = torch.randint(256, (3, 17, 21), generator=g, dtype=torch.uint8)
    maps = torch.rand(2, 4, 3, 5, generator=g)
    boxes, classes = torch.tensor([[2.0, 3, 9, 12], [8, 1, 20, 10]]), torch.tensor([2, 1])
    made = pseudo_labels(maps[0], torch.rand(3, 4, generator=g), image, boxes, classes)
    assert not wrong_fields(made, 2)
    assert not wrong_fields(dense_crf(image, made.unary), 3)
    y = made.y_crf.expand(2, -1, -1)
    assert not wrong_fields(noise_aware_loss(maps, torch.rand(3, 4, generator=g), y, y), 3)
    model = BoxClassifier(Backbone(nn.MaxPool2d(1, 4), 3, 4), 2)
    background, rows = torch.ones(1, 1, 17, 21), torch.cat([torch.zeros(2, 1), boxes], 1)
    assert not wrong_fields(model(image[None], background, rows), 3)
    assert not wrong_fields(bilinear((3, 5), (17, 21)), 0)
    assert wrong_fields(CrfResult(made.unary, torch.ones(2, dtype=torch.bool)), 3) == ["filtered"]
