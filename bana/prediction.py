"""A segmenter's label maps of many images, with the CRF in processes beside the network."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bana.crf import CrfParameters, dense_crf
from bana.evaluation import predict
from bana.networks import Segmenter

# A process takes seconds to start, in which it could refine about so many images.
IMAGES_A_PROCESS = 8


class View(NamedTuple):
    """How the network sees an image: the sizes, and whether each is mirrored too."""

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False


SINGLE = View()
AUTHORS_MULTI = View((0.5, 0.75, 1.0, 1.5), flip=True)


def label_maps(
    model: Segmenter,
    images: Iterable[tuple[str, Tensor]],
    views: Mapping[str, View],
    crf: CrfParameters | None = None,
    image_scale: float = 1.0,
    workers: int = 0,
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Predict images one after another; a few are in memory at a time, however many there are.

    On a CPU the CRF, which takes longer than a light network, runs in processes of one thread
    each. With a model on another device it runs there.

    Args:
        model: in evaluation mode.
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
    if crf is None or device.type != "cpu":
        workers = 0
    with _pool(workers) as pool:
        waiting: deque[tuple[str, dict[str, Callable[[], Tensor]]]] = deque()
        for name, image in images:
            image, made = image.to(device), {}
            for view, (scales, flip) in views.items():
                probabilities = predict(model, image, image_scale, scales, flip)
                made[view] = _now(_labels(probabilities))
                if crf is not None:
                    made[f"{view}-crf"] = _refined(pool, image, probabilities, crf)
            waiting.append((name, made))
            if len(waiting) > 2 * workers:
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())


def crf_workers(workers: int, n_images: int) -> int:
    """Processes worth starting for so many images, at most ``workers``."""
    return min(workers, n_images // IMAGES_A_PROCESS)


def _pool(workers: int):
    if workers == 0:
        return nullcontext()
    # Spawned, since a forked process inherits torch's thread pool in a state it cannot use.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,))


def _finished(name: str, made: dict[str, Callable[[], Tensor]]) -> tuple[str, dict[str, Tensor]]:
    return name, {mode: result() for mode, result in made.items()}


def _refined(
    pool: Executor | None, image: Tensor, probabilities: Tensor, crf: CrfParameters
) -> Callable[[], Tensor]:
    if pool is None:
        return _now(_labels(dense_crf(image, probabilities, crf)))
    # As arrays: a tensor would travel as a file descriptor, of which a process has few.
    future = pool.submit(_refine, image.numpy(), probabilities.numpy(), crf)
    return lambda: torch.from_numpy(future.result())


def _refine(image: np.ndarray, probabilities: np.ndarray, crf: CrfParameters) -> np.ndarray:
    refined = dense_crf(torch.from_numpy(image), torch.from_numpy(probabilities), crf)
    return _labels(refined).numpy()


def _labels(probabilities: Tensor) -> Tensor:
    return probabilities.argmax(0).byte().cpu()


def _now(labels: Tensor) -> Callable[[], Tensor]:
    return lambda: labels
