"""Writes the results section of README.md from the records in results/.

`bana evaluate` makes a record; this turns records into sentences and tables, so that no number of
the README is typed by hand. A test checks that README.md is what this writes.
"""

import json
from pathlib import Path
from typing import Any

from bana.published import ORDERINGS

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- results: written by tools/readme.py -->", "<!-- end of results -->"
PROFILES = {
    "voc-mini": "photographs: a stratified part of VOC 2012's segmentation *val* set, cut into",
    "sample": "drawn scenes, cut into",
}
LABELS = {
    "boxes": "boxes filled",
    "grabcut": "GrabCut",
    "gap": "GAP, Y_crf",
    "bap-no-u0": "BAP, Y_crf without u_0",
    "bap": "BAP, Y_crf",
    "bap-ret": "BAP, Y_ret",
    "agreement-dropped": "where both agree, other pixels left out",
    "agreement-wrong": "where both agree, other pixels counted wrong",
}
LOSSES = {
    "crf": "cross-entropy on Y_crf",
    "ret": "cross-entropy on Y_ret",
    "ignore": "cross-entropy where both agree, the rest ignored",
    "nal": "noise-aware loss",
}


def section(records: dict[str, dict[str, Any]]) -> str:
    """The results section, in Markdown, of the records by profile."""
    names = [name for name in PROFILES if name in records]
    parts = [_intro(name, records[name]) for name in names]
    parts.append(_labels({name: records[name] for name in names}))
    parts.append(_networks({name: records[name] for name in names}))
    parts += [_orderings(name, records[name]) for name in names]
    return "\n\n".join(parts)


def _intro(name: str, record: dict[str, Any]) -> str:
    images, profile = record["data"]["images"], record["profile"]
    minutes = sum(record["seconds"].values()) / 60
    return (
        f"**`{name}`**: {PROFILES[name]} {images['train']} training and {images['val']} validation "
        f"images, {len(record['data']['classes']) - 1} classes; backbone {profile['backbone']}, "
        f"{profile['classifier']['iterations']} and {profile['segmentation']['iterations']} "
        f"iterations, seed {profile['seed']}; {minutes:.0f} minutes of training and labelling on "
        f"{record['environment']['cores']} cores "
        f"([record](results/{name}.json), commit {record['commit']})."
    )


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _labels(records: dict[str, dict[str, Any]]) -> str:
    rows = []
    for key, label in LABELS.items():
        scores = [record["labels_val"][key] for record in records.values()]
        rows.append([label, *(f"{s['miou']:.1f} ({s['coverage']:.0f})" for s in scores)])
    header = ["labels made from boxes, mIoU % (pixels labelled %)", *(f"`{n}`" for n in records)]
    return _table(header, rows)


def _networks(records: dict[str, dict[str, Any]]) -> str:
    rows = []
    for key, label in LOSSES.items():
        scores = [record["segmentation_val"][key] for record in records.values()]
        cells = [f"{s['single']['miou']:.1f} / {s['single-crf']['miou']:.1f}" for s in scores]
        rows.append([label, *cells])
    header = ["network trained with, mIoU % single scale / with CRF", *(f"`{n}`" for n in records)]
    return _table(header, rows)


def _orderings(name: str, record: dict[str, Any]) -> str:
    """Which of the paper's orderings came out, with their margins in points."""
    scores = {row: s["miou"] for row, s in record["labels_val"].items()}
    scores |= {loss: s["single"]["miou"] for loss, s in record["segmentation_val"].items()}
    names = LABELS | LOSSES
    verdicts: dict[bool, list[str]] = {True: [], False: []}
    for better, worse in (pair for pairs in ORDERINGS.values() for pair in pairs):
        if better in scores and worse in scores:
            margin = scores[better] - scores[worse]
            claim = f"{names[better]} over {names[worse]} ({margin:+.1f})"
            verdicts[margin > 0].append(claim)
    came_out, did_not = ("; ".join(verdicts[kind]) for kind in (True, False))
    text = f"The paper's orderings on `{name}`, single scale. Came out: {came_out}."
    if did_not:
        text += f" Did not: {did_not}."
    return text


def read_records() -> dict[str, dict[str, Any]]:
    """The records that are in results/, by profile."""
    paths = {name: ROOT / "results" / f"{name}.json" for name in PROFILES}
    return {n: json.loads(p.read_text(encoding="utf-8")) for n, p in paths.items() if p.is_file()}


def with_section(readme: str, text: str) -> str:
    """The README with its results section replaced."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


if __name__ == "__main__":
    made = with_section(README.read_text(encoding="utf-8"), section(read_records()))
    README.write_text(made, encoding="utf-8", newline="\n")
