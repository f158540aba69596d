"""Time and accuracy of bana.crf against its exact filter and, where it is installed, pydensecrf.

Run `python benchmarks/crf.py --out results/crf.json --photographs VOC_FOLDER`; without photographs
drawn images are used, and `--quick` takes small ones. pydensecrf is never a dependency; it counts
where `import pydensecrf` works.
"""

import argparse
import importlib.util
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bana.crf import (
    CLIP,
    DEEPLAB_V1_CRF,
    DEEPLAB_V2_CRF,
    LABEL_CRF,
    CrfParameters,
    dense_crf,
    exact_crf,
)

PARAMETERS = {"label": LABEL_CRF, "deeplab-v1": DEEPLAB_V1_CRF, "deeplab-v2": DEEPLAB_V2_CRF}
LABELS = (2, 4, 21)
PLAUSIBLE = 4


def drawn_image(height: int, width: int, seed: int) -> Tensor:
    """Smooth colours with noise, uint8 [3, height, width]."""
    g = torch.Generator().manual_seed(seed)
    coarse = 255 * torch.rand(1, 3, 2 + height // 40, 2 + width // 40, generator=g)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]
    noisy = smooth + 6 * torch.randn(3, height, width, generator=g)
    return noisy.clamp(0, 255).to(torch.uint8)


def read_images(folder: Path | None, count: int, height: int, width: int) -> list[Tensor]:
    """Photographs cut to at most height x width, spread over the folder, or drawn images."""
    if folder is None:
        return [drawn_image(height, width, seed) for seed in range(count)]
    paths = sorted((folder / "JPEGImages").glob("*.jpg"))
    if not paths:
        raise ValueError(f"{folder}/JPEGImages holds no photograph")
    chosen = [paths[len(paths) * i // count] for i in range(count)]
    images = [np.array(Image.open(path).convert("RGB")) for path in chosen]
    return [torch.from_numpy(i[:height, :width]).permute(2, 0, 1).contiguous() for i in images]


def draw_probabilities(c: int, height: int, width: int, seed: int) -> Tensor:
    """Coarse random probabilities [c, height, width], as a network's, few labels plausible."""
    g = torch.Generator().manual_seed(seed)
    coarse = 2 * torch.randn(1, c, 2 + height // 24, 2 + width // 24, generator=g)
    coarse[:, PLAUSIBLE:] -= 14
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0].softmax(0)


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


def methods() -> dict[str, Callable[[Tensor, Tensor, CrfParameters], Tensor]]:
    """What can be timed on this machine."""
    found = {"dense": dense_crf}
    if importlib.util.find_spec("pydensecrf"):
        found["pydensecrf"] = pydensecrf
    return found


def times(images: list[Tensor], repeats: int) -> list[dict]:
    """Seconds per image, interleaved over the methods; the first run is not counted.

    Wall-clock and processor time: the second does not count what other programs took.
    """
    rows = []
    for name, parameters in PARAMETERS.items():
        for c in LABELS:
            wall = {method: [] for method in methods()}
            processor = {method: [] for method in methods()}
            for repeat in range(repeats + 1):
                for i, image in enumerate(images):
                    probabilities = draw_probabilities(c, *image.shape[1:], seed=i)
                    for method, run in methods().items():
                        start = time.perf_counter(), time.process_time()
                        run(image, probabilities, parameters)
                        if repeat:
                            wall[method].append(time.perf_counter() - start[0])
                            processor[method].append(time.process_time() - start[1])
            row = {"parameters": name, "labels": c}
            for method in wall:
                row[method] = {
                    "wall_min": min(wall[method]),
                    "wall_median": statistics.median(wall[method]),
                    "processor_median": statistics.median(processor[method]),
                }
            if "pydensecrf" in wall:
                ratios = zip(wall["dense"], wall["pydensecrf"], strict=True)
                row["ratio_to_pydensecrf"] = statistics.median(a / b for a, b in ratios)
            rows.append(row)
    return rows


def accuracy(images: list[Tensor], side: int) -> list[dict]:
    """Share of labels equal to the exact filter's, and mean |difference| of Q, on crops."""
    rows = []
    for name, parameters in PARAMETERS.items():
        row = {"parameters": name, "labels": PLAUSIBLE, "side": side}
        equal = {method: [] for method in methods()}
        difference = {method: [] for method in methods()}
        for i, image in enumerate(images):
            crop = image[:, :side, :side]
            probabilities = draw_probabilities(PLAUSIBLE, *crop.shape[1:], seed=i)
            exact = exact_crf(crop, probabilities, parameters)
            for method, run in methods().items():
                q = run(crop, probabilities, parameters)
                equal[method].append((q.argmax(0) == exact.argmax(0)).float().mean().item())
                difference[method].append((q - exact).abs().mean().item())
        for method in equal:
            row[method] = {
                "equal_labels": statistics.mean(equal[method]),
                "mean_difference": statistics.mean(difference[method]),
            }
        rows.append(row)
    return rows


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small images, to try the script")
    parser.add_argument("--photographs", type=Path, help="folder in VOC layout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    height, width, side = (60, 80, 32) if options.quick else (375, 500, 96)
    images = read_images(options.photographs, 3, height, width)
    record = {
        "benchmark": "dense CRF, 10 iterations",
        "images": [list(image.shape[1:]) for image in images],
        "photographs": options.photographs is not None,
        "threads": options.threads,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "repeats": options.repeats,
        "times": times(images, options.repeats),
        "accuracy": accuracy(images, side),
    }
    text = json.dumps(record, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
