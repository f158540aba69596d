"""Writes the tables of docs/scaling.md and its figure from the records in results/.

A test checks that docs/scaling.md is what this writes.
"""

import json
import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from bana.course import plotting
from bana.experiment.profiles import get_profile

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT, FIGURE = ROOT / "docs" / "scaling.md", ROOT / "docs" / "scaling.png"
BEGIN, END = "<!-- {}: written by tools/scaling.py -->", "<!-- end of {} -->"

# Assumed, not measured.
TERAFLOP_A_SECOND = 100.0  # sustained, half precision, by a GPU of the H100's class
DOLLARS_A_GPU_HOUR = 3.0
MINUTES_WANTED = {"classifier": 10, "segmentation": 25}
SIZES = {"VOC with SBD": 10_582, "COCO 2017": 118_287, "a hundred million": 100_000_000}
LINES = {"classifier": ("C0", "o"), "labels": ("C1", "s"), "segmenter": ("C2", "^")}
SHARD_IMAGES = 5_000  # what `bana data pack` does without being told
NODES, CORES = 64, 32  # of the plan for a hundred million images
FACTORS = {"side": "side of the crop or image (px)", "batch": "batch", "boxes": "boxes an image"}

Record = dict[str, Any]


def read_records() -> dict[str, Record]:
    """The records, by name."""
    return {
        name: json.loads((ROOT / "results" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("scaling", "labelling", "crf", "training", "tar-shards", "ray-data")
    }


def measured(records: dict[str, Record]) -> str:
    """Tables of a step of each stage, of the CRF and of labelling, in Markdown."""
    scaling, labelling, crf = (records[name] for name in ("scaling", "labelling", "crf"))
    steps = [
        [
            row["stage"],
            row["backbone"],
            *(str(row[key]) for key in ("side", "batch", "boxes")),
            f"{row['seconds_median']:.2f}",
            f"{row['seconds_median'] / row['batch']:.3f}",
            f"{row['peak_memory_mb']:,}",
        ]
        for row in scaling["rows"]
    ]
    header = ["stage", "backbone", "side (px)", "batch", "boxes an image"]
    header += ["s a step", "s an image", "peak memory (MB)"]
    filters = [
        [" x ".join(map(str, row["size"])), str(row["labels"]), *_filter_times(row)]
        for row in crf["scaling"]
    ]
    filter_header = ["pixels", "labels", "dense CRF (s)", "exact filter (s)"]
    crews = [
        [title, f"{row['images_a_second']:.2f}", f"{row['peak_memory_mb']:,.0f}"]
        for title, row in labelling.items()
        if isinstance(row, dict)
    ]
    return "\n\n".join(
        [
            f"One step of each stage, {scaling['threads']} threads:",
            _table(header, steps, 2),
            "The dense CRF with all labels plausible, one thread:",
            _table(filter_header, filters, 0),
            f"Label files of {labelling['images']} photographs, backbone lite0, from reading to "
            f"writing, {labelling['cores']} cores:",
            _table(["crew", "images a second", "peak memory of all (MB)"], crews, 1),
            _loader(records["training"]),
        ]
    )


def _loader(training: Record) -> str:
    """What the loader of crops gives, and what a fast GPU would ask of it."""
    rows = []
    for stage, minutes in MINUTES_WANTED.items():
        row = training[stage]
        iterations = row["minutes_projected"]["iterations"]
        wanted = iterations * row["batch"] / minutes / 60
        workers, rate = list(row["loader_crops_per_second_by_workers"].items())[-1]
        rows.append(
            [
                stage,
                f"{rate:.0f} with {workers} workers",
                f"{row['network_alone']['crops_per_second']:.1f}",
                f"{wanted:.0f}",
                f"{math.ceil(wanted / (rate / int(workers)))}",
            ]
        )
    header = ["stage", "loader alone", "network alone, CPU", "wanted", "workers for that"]
    times = " and ".join(f"{minutes} minutes" for minutes in MINUTES_WANTED.values())
    return (
        f'Crops a second of `{training["profile"]}`, {training["crop"]} pixels. "Wanted" is what a '
        f"GPU would take that trains the stages in {times}:\n\n{_table(header, rows, 2)}"
    )


def _filter_times(row: Record) -> list[str]:
    exact = f"{row['exact']['seconds_median']:.1f}" if "exact" in row else "-"
    return [f"{row['dense']['seconds_median']:.2f}", exact]


def plan(records: dict[str, Record]) -> str:
    """What the three sizes need, in Markdown: the paper's settings, epochs as the paper's."""
    paper = get_profile("paper-vgg")
    cost = {
        row["stage"]: row["gflop"] / row["batch"]
        for row in records["scaling"]["rows"]
        if row["gflop"] is not None
    }
    crops = {
        "classifier": paper.classifier.iterations * paper.classifier.batch,
        "segmenter": paper.segmentation.iterations * paper.segmentation.batch,
    }
    training = sum(crops[stage] * cost[stage] for stage in crops) / 1e3 / TERAFLOP_A_SECOND / 3600
    labelling = records["labelling"]
    crew = labelling["2 processes of 1 thread"]
    rows = []
    padding = _padding(records["tar-shards"])
    for name, images in SIZES.items():
        core_hours = images * 2 / crew["images_a_second"] / 3600
        gpu_hours = training * min(images, SIZES["COCO 2017"]) / SIZES["VOC with SBD"]
        storage = images * (labelling["image_kb"] + crew["label_kb_an_image"]) / 1e6
        rows.append(
            [
                f"{name} ({images:,})",
                f"{gpu_hours:,.1f}",
                f"{gpu_hours * DOLLARS_A_GPU_HOUR:,.0f}",
                f"{core_hours:,.1f}",
                f"{storage:,.1f}",
                f"{images * 4 * padding / 1e9:,.1f}",
                f"{math.ceil(images / SHARD_IMAGES):,}",
            ]
        )
    header = ["images", "GPU hours of training (assumed rate)", "dollars (assumed price)"]
    header += ["core hours of labelling (measured rate)", "photographs and labels (GB)"]
    header += ["more as tar shards (GB)", f"tar shards of {SHARD_IMAGES:,}"]
    return "\n\n".join(
        [
            _table(header, rows, 0),
            f"Training: the paper's {crops['classifier']:,} and {crops['segmenter']:,} crops of "
            f"{paper.crop} pixels for VOC, at {cost['classifier']:,.0f} and "
            f"{cost['segmenter']:,.0f} GFLOP a crop forward and backward (counted on VGG-16 by "
            f"torch), as many for each image of COCO, and no more than COCO's beyond; "
            f"{TERAFLOP_A_SECOND:.0f} TFLOP/s sustained and {DOLLARS_A_GPU_HOUR:.0f} dollars an "
            f"hour are assumptions. Labelling: the light backbone on the CPU, measured; VGG-16 "
            f"belongs on a GPU there.",
            _streamed(records),
            _another_day(records),
        ]
    )


def _padding(shards: Record) -> float:
    """Bytes that a file takes more in a tar file: its header, and the rest of its last block."""
    packed = shards["pack"]
    return (packed["shard_bytes"] - packed["file_bytes"]) / packed["files"]


def _streamed(records: dict[str, Record]) -> str:
    """What a hundred million images are as tar shards, and how long many cores take for them."""
    labelling, large = records["labelling"], records["tar-shards"]["photographs"]
    rate = labelling["2 processes of 1 thread"]["images_a_second"] / 2
    images, cores = SIZES["a hundred million"], NODES * CORES
    reading = large["warm"]["shard"]["megabytes_a_cpu_second"]
    wanted = rate * labelling["image_kb"] / 1e3
    return (
        f"A hundred million: {math.ceil(images / SHARD_IMAGES):,} shards of photographs, "
        f"{SHARD_IMAGES * labelling['image_kb'] / 1e6:.2f} GB each, and as many of labels, in the "
        f"place of {4 * images / 1e6:.0f} million files. A core labels a shard in "
        f"{SHARD_IMAGES / rate / 60:.0f} minutes, which is the most that a kill costs; {NODES} "
        f"nodes of {CORES} cores label all of them in {images / rate / cores / 3600:.1f} hours. "
        f"For that a core reads {wanted:.2f} MB a second, and a node {CORES * wanted:.0f}; in a "
        f"second of its time a core reads {reading:,.0f} MB of shards and hashes them."
    )


def _another_day(records: dict[str, Record]) -> str:
    """How much the rate behind the plan moves, since the same work was measured twice."""
    first = records["labelling"]["2 processes of 1 thread"]["images_a_second"]
    second = records["ray-data"]["bana"]["images_a_second"]
    return (
        f"The rate is one run's: {first:.2f} images a second by two processes. Another day the "
        f"same processes made {second:.2f} with as many photographs (the table of Ray Data below), "
        f"by which all times of labelling here would be {first / second:.1f} times as long."
    )


def shards(records: dict[str, Record]) -> str:
    """Tar shards beside files in a folder, in Markdown."""
    record = records["tar-shards"]
    large, label, packed = record["photographs"], record["label"], record["pack"]
    title = f"{large['images']:,} files of {large['image_bytes'] // 1000} kB, as bytes"
    steps = [
        _step(f"{record['images']:,} small images, decoded, with boxes", record["read"]),
        _step(f"{title}, from memory", large["warm"]),
        _step(f"{title}, from the disk", large["cold"]),
    ]
    header = ["one process", "shards: images a CPU second", "MB a CPU second"]
    header += ["folder: images a CPU second", "MB a CPU second"]
    memory = [["packed", packed["memory"]], ["read", record["read"]["memory_of_the_shards"]]]
    memory += [["labelled, by two processes together", label["shard"]["memory"]]]
    points = [[name, *_points(rows)] for name, rows in memory]
    width, height = record["size"]
    note = f" {record['note']}" if record["note"] else ""
    rates = {kind: label[kind]["images_a_cpu_second"] for kind in ("shard", "folder")}
    cold = {kind: large["cold"][kind]["images_a_second"] for kind in ("shard", "folder")}
    return "\n\n".join(
        [
            f"{record['images']:,} images of {width} x {height} pixels in {packed['shards']} "
            f"shards, on {record['cores']} cores.{note}",
            _table(header, steps, 0),
            f"By the clock, the {large['images']:,} files came from the disk at "
            f"{cold['shard']:,.0f} a second out of shards and at {cold['folder']:,.0f} out of the "
            f"folder (medians of {large['repeats']} readings).",
            "The most memory (MB) up to a part of the images:",
            _table(["", "a tenth", "half", "all", "images"], points, 0),
            f"{packed['files']:,} files of "
            f"{packed['file_bytes'] / 1e6:,.0f} MB became {packed['shard_bytes'] / 1e6:,.0f} MB of "
            f"shards, {_padding(record):.0f} bytes more a file. {label['images']:,} of the images "
            f"were labelled by two processes, {rates['shard']:.1f} in a CPU second out of shards "
            f"and {rates['folder']:.1f} out of the folder; {label['equal_label_files']:,} of "
            f"{label['label_files']:,} label files were the same to the last bit.",
        ]
    )


def ray(records: dict[str, Record]) -> str:
    """Ray Data beside the package's own processes, in Markdown."""
    record = records["ray-data"]
    names = {
        "bana": "two processes of the package",
        "ray, all steps": "two Ray actors, each with all steps",
        "ray, apart": "a Ray actor with the backbone, another with the rest",
    }
    rows = [
        [
            title,
            f"{record[way]['images_a_second']:.2f}",
            f"{record[way]['seconds_with_start']:.0f}",
            f"{record[way]['peak_memory_mb']:,.0f}",
            f"{record[way]['equal_label_files']} of {record[way]['label_files']}",
        ]
        for way, title in names.items()
    ]
    header = ["labels of the same photographs", "images a second", "seconds with the start"]
    header += ["most memory (MB)", "label files equal to the package's"]
    return (
        f"{_table(header, rows, 0)}\n\n{record['images']} photographs, backbone lite0, Ray "
        f"{record['ray']}, {record['cores']} cores, medians of {record['repeats']} runs in turn "
        f"([record](../results/ray-data.json)). Features are {record['feature_mb_an_image']:.1f} "
        f"MB an image; memory leaves out what processes share, and so the store between them."
    )


def _step(title: str, row: Record) -> list[str]:
    cells = [title]
    for kind in ("shard", "folder"):
        of = row[kind]
        cells += [f"{of['images_a_cpu_second']:,.0f}", f"{of['megabytes_a_cpu_second']:,.1f}"]
    return cells


def _points(rows: list[Record]) -> list[str]:
    """Peak memory up to a tenth, half and all of the images, and how many these are."""
    every = rows[-1]["images"]
    peaks = [
        max(
            row["peak_memory_mb"]
            for row in rows
            if row["images"] <= max(part * every, rows[0]["images"])
        )
        for part in (0.1, 0.5, 1)
    ]
    return [*(f"{peak:,.0f}" for peak in peaks), f"{every:,}"]


def _table(header: list[str], rows: list[list[str]], words: int) -> str:
    """Markdown; the first column and the next ``words`` - 1 are text, the others numbers."""
    rule = ["---"] * max(words, 1) + ["---:"] * (len(header) - max(words, 1))
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *rows])


def draw(records: dict[str, Record]) -> None:
    """Seconds against each factor; of the CRF; and images a second of labelling."""
    plotting.use_style()
    rows = [row for row in records["scaling"]["rows"] if row["backbone"] == "lite0"]
    fig, axes = plt.subplots(2, 3, figsize=(11, 5.5))
    for ax, (factor, title) in zip(axes[0], FACTORS.items(), strict=False):
        for stage, (colour, marker) in LINES.items():
            middle = next(row for row in rows if row["stage"] == stage)
            others = ["stage", *(key for key in FACTORS if key != factor)]
            line = [r for r in rows if all(r[key] == middle[key] for key in others)]
            line.sort(key=lambda r: r[factor])
            if len(line) > 1:
                across, values = zip(*((r[factor], r["seconds_median"]) for r in line), strict=True)
                ax.plot(across, values, color=colour, marker=marker, label=stage)
        ax.set(xlabel=title, ylabel="time of a step (s)", ylim=0)
        ax.legend()
    _draw_crf(axes[1, 0], axes[1, 1], records["crf"]["scaling"])
    crews = {name: row for name, row in records["labelling"].items() if isinstance(row, dict)}
    rates = [row["images_a_second"] for row in crews.values()]
    bars = axes[1, 2].barh([name.replace(", ", ",\n") for name in crews], rates)
    axes[1, 2].bar_label(bars, fmt="%.1f", padding=3)
    axes[1, 2].set(xlabel="label files (images a second)", xlim=(0, 1.2 * max(rates)))
    axes[1, 2].invert_yaxis()
    fig.savefig(FIGURE, dpi=72, metadata={"Software": None})
    plt.close(fig)


def _draw_crf(by_size: Axes, by_labels: Axes, rows: list[Record]) -> None:
    four = sorted((r for r in rows if r["labels"] == 4), key=lambda r: r["size"])
    for method, (colour, marker) in {
        "dense": LINES["classifier"],
        "exact": LINES["labels"],
    }.items():
        line = [r for r in four if method in r]
        pixels = [r["size"][0] * r["size"][1] for r in line]
        values = [r[method]["seconds_median"] for r in line]
        by_size.plot(pixels, values, color=colour, marker=marker, label=f"{method} CRF")
    by_size.set(xscale="log", yscale="log", xlabel="pixels (4 labels)", ylabel="time (s)")
    by_size.legend()
    line = sorted((r for r in rows if r["size"] == [375, 500]), key=lambda r: r["labels"])
    values = [r["dense"]["seconds_median"] for r in line]
    by_labels.plot([r["labels"] for r in line], values, marker="o", label="dense CRF")
    by_labels.set(xlabel="labels (375 x 500 pixels)", ylabel="time (s)", ylim=0)
    by_labels.legend()


def written(document: str, records: dict[str, Record]) -> str:
    """The document with its tables written anew."""
    parts = {"measured": measured, "plan": plan, "shards": shards, "ray": ray}
    for name, text in {name: write(records) for name, write in parts.items()}.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = document.split(begin)
        document = f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}"
    return document


if __name__ == "__main__":
    found = read_records()
    text = written(DOCUMENT.read_text(encoding="utf-8"), found)
    DOCUMENT.write_text(text, encoding="utf-8", newline="\n")
    draw(found)
