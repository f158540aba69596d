"""Time, memory and accuracy of bana.crf.dense, beside its exact filter and pydensecrf.

Run `python benchmarks/crf.py --photographs VOC_FOLDER --out results/crf.json`; without photographs
drawn images are used, and `--quick` takes small ones. pydensecrf is never a dependency: it counts
where `import pydensecrf` works (`pip install pydensecrf2` builds on Python 3.11 and 3.12). Where
there is a CUDA GPU, both of ours are timed on it too, from and to the memory of the CPU.
"""

import argparse
import importlib.util
import json
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from measure import Worker, environment, seconds_in_turn, serve, write_record
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop

from bana.crf.dense import (
    CLIP,
    DEEPLAB_V1_CRF,
    DEEPLAB_V2_CRF,
    LABEL_CRF,
    CrfParameters,
    dense_crf,
    exact_crf,
)

PARAMETERS = {"label": LABEL_CRF, "deeplab-v1": DEEPLAB_V1_CRF, "deeplab-v2": DEEPLAB_V2_CRF}
EXACT_PIXELS = 50_000  # a minute on a CPU
Method = Callable[[Tensor, Tensor, CrfParameters], Tensor]


class Problem(NamedTuple):
    """How many labels there are, and how many of them are plausible somewhere."""

    labels: int
    plausible: int


# A network's 21 probabilities leave few labels plausible; all of 21 is the worst that can happen.
PROBLEMS = (Problem(2, 2), Problem(4, 4), Problem(21, 4), Problem(21, 21))


class Picture(NamedTuple):
    """An image and where it comes from."""

    name: str
    image: Tensor  # uint8 [3, H, W]


def drawn_image(height: int, width: int, seed: int) -> Tensor:
    """Smooth colours with noise, uint8 [3, height, width]."""
    g = torch.Generator().manual_seed(seed)
    coarse = 255 * torch.rand(1, 3, 2 + height // 40, 2 + width // 40, generator=g)
    smooth = F.interpolate(coarse, (height, width), mode="bicubic")[0]
    noisy = smooth + 6 * torch.randn(3, height, width, generator=g)
    return noisy.clamp(0, 255).to(torch.uint8)


def read_pictures(folder: Path | None, count: int, height: int, width: int) -> list[Picture]:
    """Photographs of exactly height x width, spread over the folder, or drawn images."""
    if folder is None:
        return [Picture(f"drawn {s}", drawn_image(height, width, s)) for s in range(count)]
    paths = sorted((folder / "JPEGImages").glob("*.jpg"))
    paths = [path for path in paths if Image.open(path).size == (width, height)]
    if len(paths) < count:
        raise ValueError(f"{folder}/JPEGImages holds {len(paths)} photographs {width} x {height}")
    chosen = [paths[len(paths) * i // count] for i in range(count)]
    pixels = [np.array(Image.open(path).convert("RGB")) for path in chosen]
    images = [torch.from_numpy(p).permute(2, 0, 1).contiguous() for p in pixels]
    return [Picture(path.stem, image) for path, image in zip(chosen, images, strict=True)]


def draw_probabilities(problem: Problem, height: int, width: int, seed: int) -> Tensor:
    """Coarse random probabilities [C, height, width], as a network's."""
    g = torch.Generator().manual_seed(seed)
    coarse = 2 * torch.randn(1, problem.labels, 2 + height // 24, 2 + width // 24, generator=g)
    coarse[:, problem.plausible :] -= 14
    return F.interpolate(coarse, (height, width), mode="bilinear")[0].softmax(0)


def pydensecrf(image: Tensor, probabilities: Tensor, parameters: CrfParameters) -> Tensor:
    """The same CRF by pydensecrf."""
    from pydensecrf.densecrf import DenseCRF2D

    c, height, width = probabilities.shape
    crf = DenseCRF2D(width, height, c)
    energy = -probabilities.clamp_min(CLIP).log().flatten(1).numpy()
    crf.setUnaryEnergy(np.ascontiguousarray(energy))
    crf.addPairwiseGaussian(sxy=parameters.gaussian_xy, compat=parameters.gaussian_weight)
    crf.addPairwiseBilateral(
        sxy=parameters.bilateral_xy,
        srgb=parameters.bilateral_rgb,
        rgbim=np.ascontiguousarray(image.permute(1, 2, 0).numpy()),
        compat=parameters.bilateral_weight,
    )
    q = np.array(crf.inference(parameters.iterations))
    return torch.from_numpy(q).view(c, height, width)


def dense(image: Tensor, probabilities: Tensor, parameters: CrfParameters) -> Tensor:
    """Q by the lattice."""
    return dense_crf(image, probabilities, parameters).q


def exact(image: Tensor, probabilities: Tensor, parameters: CrfParameters) -> Tensor:
    """Q by attention."""
    return exact_crf(image, probabilities, parameters).q


def on_gpu(method: Method) -> Method:
    """The method on a GPU; copying the result back waits for it."""
    return lambda image, q, parameters: method(image.to("cuda"), q.to("cuda"), parameters).cpu()


def compared() -> dict[str, Method]:
    """What is compared on this machine."""
    found: dict[str, Method] = {"dense": dense}
    if importlib.util.find_spec("pydensecrf"):
        found["pydensecrf"] = pydensecrf
    if torch.cuda.is_available():
        found |= {"dense on GPU": on_gpu(dense), "exact on GPU": on_gpu(exact)}
    return found


class Case(NamedTuple):
    """What is computed, as the record has it, and the methods that compute it."""

    row: dict[str, Any]
    methods: dict[str, Callable[[], Tensor]]


class Choice(NamedTuple):
    """What a case is made of."""

    parameters: str
    problem: Problem
    picture: Picture
    seed: int


def make_case(choice: Choice, more: dict[str, Method] | None = None) -> Case:
    """Draw the probabilities and bind every method to its arguments."""
    name, problem, picture, seed = choice
    image, parameters = picture.image, PARAMETERS[name]
    q = draw_probabilities(problem, *image.shape[1:], seed)
    size = list(image.shape[1:])
    row = {"parameters": name, **problem._asdict(), "picture": picture.name, "size": size}
    methods = compared() | (more or {})
    return Case(row, {key: partial(run, image, q, parameters) for key, run in methods.items()})


def choices(pictures: list[Picture]) -> list[Choice]:
    """Every parameter set, problem and picture."""
    return [
        Choice(name, problem, picture, seed)
        for name in PARAMETERS
        for problem in PROBLEMS
        for seed, picture in enumerate(pictures)
    ]


def summary(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Least and median of the seconds, and the median over the rounds of pydensecrf's share."""
    rows: dict[str, Any] = {}
    for name, taken in seconds.items():
        rows[name] = {"seconds_min": min(taken), "seconds_median": median(taken)}
        if "pydensecrf" in seconds:
            pairs = zip(taken, seconds["pydensecrf"], strict=True)
            rows[name]["ratio_to_pydensecrf"] = median(own / theirs for own, theirs in pairs)
    return rows


def serve_cases(wanted: list[Choice]) -> None:
    """The worker's side; a case is made when it is first asked for, and kept."""
    made = cache(lambda number: make_case(wanted[number]))
    serve(
        {
            f"{number} {name}": lambda number=number, name=name: made(number).methods[name]()
            for number in range(len(wanted))
            for name in compared()
        }
    )


def times(cases: Iterable[Case], repeats: int) -> list[dict]:
    """Seconds an image of every case, in this process."""
    return [case.row | summary(seconds_in_turn(case.methods, repeats)) for case in cases]


def times_of_two(cases: Iterable[Case], repeats: int, words: list[str]) -> list[dict]:
    """Seconds until two processes of one thread, at it at once, have each done the same image."""
    rows = []
    with Worker(__file__, words) as first, Worker(__file__, words) as second:

        def together(name: str) -> None:
            first.start(name)
            second.start(name)
            first.seconds()
            second.seconds()

        for number, case in enumerate(cases):
            both = {name: partial(together, f"{number} {name}") for name in case.methods}
            rows.append(case.row | summary(seconds_in_turn(both, repeats)))
    return rows


def peak_memory(wanted: list[Choice], words: list[str]) -> list[dict]:
    """Megabytes that drawing a case and each method add at their peak, each in a fresh process.

    Of the first parameters and the first picture, every problem.
    """
    rows = []
    for number, choice in enumerate(wanted):
        if (choice.parameters, choice.picture) == (wanted[0].parameters, wanted[0].picture):
            row = make_case(choice).row
            for name in compared():
                with Worker(__file__, words) as worker:
                    row[name] = round(worker.peak_memory(f"{number} {name}") / 1e6, 1)
            rows.append(row)
    return rows


def accuracy(pictures: list[Picture], shrink: int) -> list[dict]:
    """How far each method is from the exact filter, on the middle of each picture, 4 labels.

    The share of labels that the exact filter changes gives the measure of both errors.
    """
    rows = []
    for name in PARAMETERS:
        for seed, picture in enumerate(pictures):
            height, width = (length // shrink for length in picture.image.shape[1:])
            middle = Picture(picture.name, center_crop(picture.image, [height, width]))
            case = make_case(Choice(name, Problem(4, 4), middle, seed), {"exact": exact})
            found = {method: run() for method, run in case.methods.items()}
            oracle = found.pop("exact")
            unary = draw_probabilities(Problem(4, 4), *middle.image.shape[1:], seed)
            row = case.row | {"changed_by_exact": different(oracle, unary)}
            for method, q in found.items():
                row[method] = {
                    "equal_labels": 1 - different(q, oracle),
                    "mean_difference": (q - oracle).abs().mean().item(),
                }
            rows.append(row)
    return rows


def left_out(pictures: list[Picture], repeats: int) -> list[dict]:
    """What leaving out labels that matter nowhere changes: labels, and time over filtering all."""

    def every_label(*arguments: Any) -> Tensor:
        with patch("bana.crf.dense.NEGLIGIBLE", 0.0):
            return dense(*arguments)

    rows = []
    for name in PARAMETERS:
        for seed, picture in enumerate(pictures):
            choice = Choice(name, Problem(21, 4), picture, seed)
            case = make_case(choice, {"every label": every_label})
            methods = {key: case.methods[key] for key in ("dense", "every label")}
            seconds = seconds_in_turn(methods, repeats)
            pairs = zip(*seconds.values(), strict=True)
            rows.append(
                case.row
                | {
                    "equal_labels": 1 - different(*(run() for run in methods.values())),
                    "time_ratio": median(some / every for some, every in pairs),
                }
            )
    return rows


def different(q: Tensor, other: Tensor) -> float:
    """Share of the pixels with another label."""
    return (q.argmax(0) != other.argmax(0)).double().mean().item()


def scaling(picture: Picture, scales: list[float], labels: list[int]) -> list[Case]:
    """One picture at several sizes with 4 labels, and with several numbers of labels."""
    cases = []
    for scale in scales:
        image = F.interpolate(picture.image[None].float(), scale_factor=scale, mode="bilinear")
        image = image[0].clamp(0, 255).byte()
        more = {"exact": exact} if image[0].numel() <= EXACT_PIXELS else {}
        shrunk = Picture(picture.name, image)
        cases.append(make_case(Choice("label", Problem(4, 4), shrunk, 0), more))
    return cases + [make_case(Choice("label", Problem(c, c), picture, 0)) for c in labels]


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small images, to try the script")
    parser.add_argument("--photographs", type=Path, help="folder in VOC layout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument(
        "--parts", nargs="+", metavar="PART", help="only these, of the record in --out"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    # One thread for one process: pydensecrf has no more, and labelling runs a process a core.
    torch.set_num_threads(1)
    quick, repeats = options.quick, options.repeats
    pictures = read_pictures(options.photographs, 3, *((60, 80) if quick else (375, 500)))
    wanted = choices(pictures[:1] if quick else pictures)
    if options.serve:
        serve_cases(wanted)
        return
    words = ["--serve", *(["--quick"] if quick else [])]
    words += ["--photographs", str(options.photographs)] if options.photographs else []
    scales, labels = ([0.5], [2]) if quick else ([0.125, 0.25, 0.5, 1, 1.5, 2], [2, 8, 16, 21, 32])
    parts: dict[str, Callable[[], list[dict]]] = {
        "one_thread": lambda: times(map(make_case, wanted), repeats),
        "two_processes": lambda: times_of_two(map(make_case, wanted), repeats, words),
        "peak_memory_mb": lambda: peak_memory(wanted[: 1 if quick else None], words),
        "accuracy": lambda: accuracy(pictures, 2),
        "left_out": lambda: left_out(pictures[: 1 if quick else None], repeats),
        "scaling": lambda: times(scaling(pictures[0], scales, labels), max(1, repeats // 2)),
    }
    record: dict[str, Any] = {
        "benchmark": "dense CRF, 10 iterations, against pydensecrf and the exact filter",
        "photographs": options.photographs is not None,
        **environment(),
        "repeats": repeats,
    }
    if options.parts and options.out and options.out.is_file():
        record |= json.loads(options.out.read_text(encoding="utf-8"))
    record |= {part: parts[part]() for part in options.parts or parts}
    write_record(record, options.out)


if __name__ == "__main__":
    main()
