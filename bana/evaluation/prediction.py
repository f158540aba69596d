"""A segmenter's prediction: of one image, and of many with the CRF beside the network."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bana.crf.dense import CrfParameters, dense_crf
from bana.files.parallel import HELPERS, end_with_parent
from bana.networks.segmenter import Segmenter

# A process takes seconds to start, in which it could refine about so many images.
IMAGES_A_PROCESS = 8


class View(NamedTuple):
    """How the network sees an image: the sizes, and whether each is mirrored too."""

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False


SINGLE = View()
AUTHORS_MULTI = View((0.5, 0.75, 1.0, 1.5), flip=True)


def multi_view(scales: tuple[float, ...]) -> View:
    """Several sizes, each mirrored too: a profile's, or the authors' where it has only one."""
    return View(scales, flip=True) if scales != SINGLE.scales else AUTHORS_MULTI


@torch.no_grad()
def predict(
    model: Segmenter,
    image: Tensor,
    image_scale: float = 1.0,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
) -> Tensor:
    """Class probabilities of one image: softmax(tau times the mean cosine).

    Args:
        model: in evaluation mode.
        image: RGB uint8 [3, H, W].
        image_scale: the constant enlargement that the model was trained with.
        scales: the image is seen at each of these sizes, above 0 (the authors: .5, .75, 1, 1.5).
        flip: see every size mirrored too.

    Returns:
        float [L + 1, H, W], sums to 1.

    Raises:
        ValueError: if the image is not uint8, there are no scales, or one is not above 0.
    """
    if image.dtype != torch.uint8:
        raise ValueError(f"image must be uint8, got {image.dtype}")
    if not scales or not all(scale * image_scale > 0 for scale in scales):
        raise ValueError(f"scales must be above 0, got {scales} times {image_scale}")
    size = image.shape[1:]
    cosines = []
    for scale in scales:
        scaled = _resize(image, image_scale * scale)  # [1, 3, H', W']
        cosines.append(_at_size(model.scores(scaled), size))
        if flip:
            cosines.append(_at_size(model.scores(scaled.flip(3)).flip(3), size))
    mean = torch.stack(cosines).mean(0)[0]
    return (model.temperature * mean).softmax(0)


def _resize(image: Tensor, factor: float) -> Tensor:
    """uint8 [3, H, W] to float [1, 3, H', W'] in [0, 1]."""
    images = image[None].float() / 255
    if factor == 1:
        return images
    size = [max(1, round(length * factor)) for length in image.shape[1:]]
    return F.interpolate(images, size=size, mode="bilinear", antialias=True).clamp(0, 1)


def _at_size(maps: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def label_maps(
    model: Segmenter,
    images: Iterable[tuple[str, Tensor]],
    views: Mapping[str, View],
    crf: CrfParameters | None = None,
    image_scale: float = 1.0,
    workers: int = 0,
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Predict images one after another; a few are in memory at a time, however many there are.

    The CRF runs on the model's device where that is CUDA. Elsewhere it runs on the CPU, in
    processes of one thread each, since it takes longer than a light network.

    Args:
        model: in evaluation mode; the images are brought to its device.
        images: names and images, RGB uint8 [3, H, W].
        views: the ways of seeing an image, by name; each is a prediction of its own.
        crf: parameters of the CRF on the prediction; None leaves it out.
        image_scale: the constant enlargement that the model was trained with.
        workers: processes for the CRF; 0 refines in this one.

    Yields:
        The name and {view: labels}, uint8 [H, W] on the CPU, in the order of ``images``; with a
        CRF {"<view>-crf": labels} besides.
    """
    device = next(model.parameters()).device
    refine_on = device if device.type == "cuda" else torch.device("cpu")
    if crf is None or refine_on.type == "cuda":
        workers = 0
    with _pool(workers) as pool:
        waiting: deque[tuple[str, dict[str, Callable[[], Tensor]]]] = deque()
        for name, image in images:
            made: dict[str, Callable[[], Tensor]] = {}
            for view, (scales, flip) in views.items():
                probabilities = predict(model, image.to(device), image_scale, scales, flip)
                made[view] = _now(_labels(probabilities))
                if crf is not None:
                    where = image.to(refine_on), probabilities.to(refine_on)
                    made[f"{view}-crf"] = _refined(pool, *where, crf)
            waiting.append((name, made))
            if len(waiting) > 2 * workers:
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())


def fastest_device() -> torch.device:
    """CUDA where there is one, else the CPU; CUDA_VISIBLE_DEVICES hides what is not to be used."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def crf_workers(workers: int, n_images: int) -> int:
    """Processes worth starting for so many images, at most ``workers``."""
    return min(workers, n_images // IMAGES_A_PROCESS)


def _pool(workers: int) -> AbstractContextManager[Executor | None]:
    if workers == 0:
        return nullcontext()
    return ProcessPoolExecutor(workers, HELPERS, _start_process)


def _start_process() -> None:
    end_with_parent()
    torch.set_num_threads(1)


def _finished(name: str, made: dict[str, Callable[[], Tensor]]) -> tuple[str, dict[str, Tensor]]:
    return name, {mode: result() for mode, result in made.items()}


def _refined(
    pool: Executor | None, image: Tensor, probabilities: Tensor, crf: CrfParameters
) -> Callable[[], Tensor]:
    if pool is None:
        return _now(_refine(image, probabilities, crf))
    # As arrays: a tensor would travel as a file descriptor, of which a process has few.
    future = pool.submit(_refine_arrays, image.numpy(), probabilities.numpy(), crf)
    return lambda: torch.from_numpy(future.result())


def _refine_arrays(image: np.ndarray, probabilities: np.ndarray, crf: CrfParameters) -> np.ndarray:
    return _refine(torch.from_numpy(image), torch.from_numpy(probabilities), crf).numpy()


def _refine(image: Tensor, probabilities: Tensor, crf: CrfParameters) -> Tensor:
    return _labels(dense_crf(image, probabilities, crf).q)


def _labels(probabilities: Tensor) -> Tensor:
    return probabilities.max(0).indices.byte().cpu()  # as argmax, several times faster on a CPU


def _now(labels: Tensor) -> Callable[[], Tensor]:
    return lambda: labels
