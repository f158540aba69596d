"""Writes the table of docs/architecture.md, and its picture, from the imports of the package.

Floors are those of the contract in pyproject.toml; who imports whom is read from the source. A test
checks that docs/architecture.md is what this writes, and that the picture shows these imports.
"""

import ast
import tomllib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import grimp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Curve
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bana.course import plotting

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT, FIGURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "architecture.png"
BEGIN, END = "<!-- {}: written by tools/architecture.py -->", "<!-- end of {} -->"
SHOWN = "Imports"  # the entry of the picture's file that says which imports it shows

# Left and right edge of each box, and a line about it; floors follow from the contract.
BOXES = {
    "commands": (3.6, 7.8, "bana run, train, label, ..."),
    "course": (3.6, 7.8, "notebooks, figures"),
    "experiment": (2.2, 9.2, "settings, stages made once and kept, records"),
    "training": (0.6, 3.6, "the two loops, the engine"),
    "evaluation": (4.8, 7.5, "scores, predictions"),
    "networks": (0.6, 3.2, "backbones, two heads"),
    "labels": (4.2, 6.0, "Eq. 5-9"),
    "baselines": (7.2, 9.0, "boxes, GrabCut"),
    "losses": (0.6, 2.3, "Eq. 10-14"),
    "data": (7.3, 10.5, "boxes, VOC layout"),
    "bap": (0.6, 2.3, "Eq. 1-4"),
    "cam": (2.8, 4.1, "Eq. 6"),
    "interpolation": (4.4, 6.5, "of small maps"),
    "crf": (6.9, 8.5, "dense CRF"),
    "files": (9.0, 11.8, "paths, kept results"),
}
HEIGHT, STOREY, GAP = 0.78, 1.5, 0.11
PAPER, ROOM, STRONG, PALE = "#F7D08A", "#CFE3F1", "#30363D", "#A9B4BF"
Imports = dict[str, set[str]]


def floors() -> list[list[str]]:
    """Rooms and modules from the ground floor up, as the contract has them."""
    with (ROOT / "pyproject.toml").open("rb") as opened:
        contracts = tomllib.load(opened)["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["id"] == "floors")
    named = [[name.strip() for name in layer.split("|")] for layer in reversed(layers)]
    return [names for names in named if names != ["__main__"]]


def imports() -> Imports:
    """Which rooms and modules each of them imports from."""
    graph = grimp.build_graph("bana", exclude_type_checking_imports=True, cache_dir=None)
    found: Imports = {name: set() for names in floors() for name in names}
    for module in graph.modules - {"bana", "bana.__main__"}:
        room = module.split(".")[1]
        for imported in graph.find_modules_directly_imported_by(module) - {"bana"}:
            found[room].add(imported.split(".")[1])
    return {room: names - {room} for room, names in found.items()}


def needless(found: Imports) -> set[tuple[str, str]]:
    """Imports of what is reached through another import too."""

    def reached(room: str) -> set[str]:
        return found[room] | {name for other in found[room] for name in reached(other)}

    return {
        (room, name)
        for room, names in found.items()
        for name in names
        if any(name in reached(other) for other in names)
    }


def table(found: Imports) -> str:
    """Rooms, what they are for and what they import, in Markdown, from the top floor down."""
    rows = ["| floor | room or module | what is in it | imports |", "| --- | --- | --- | --- |"]
    storeys = floors()
    for number in reversed(range(len(storeys))):
        for name in storeys[number]:
            path = f"bana/{name}/" if _is_room(name) else f"bana/{name}.py"
            below = [
                other for names in reversed(storeys) for other in names if other in found[name]
            ]
            listed = ", ".join(below) if below else "-"
            rows.append(f"| {number} | `{path}` | {_purpose(name)} | {listed} |")
    return "\n".join(rows)


def _is_room(name: str) -> bool:
    return (ROOT / "bana" / name).is_dir()


def _purpose(name: str) -> str:
    """The first line of a docstring, without its full stop."""
    path = ROOT / "bana" / (f"{name}/__init__.py" if _is_room(name) else f"{name}.py")
    text = ast.get_docstring(ast.parse(path.read_bytes())) or ""
    return text.splitlines()[0].removesuffix(".")


@dataclass
class Arrow:
    """An import on its way down; `xs` has a place on every floor from its own to its target's."""

    source: str
    target: str
    top: int
    bottom: int
    xs: list[float] = field(default_factory=list)


def arrows(found: Imports) -> list[Arrow]:
    """Arrows that leave and enter boxes side by side and pass between the boxes of a floor."""
    storeys = floors()
    floor = {name: number for number, names in enumerate(storeys) for name in names}
    made = [
        Arrow(a, b, floor[a], floor[b]) for a, names in sorted(found.items()) for b in sorted(names)
    ]
    middle = {name: (left + right) / 2 for name, (left, right, _) in BOXES.items()}
    for arrow in made:
        steps = np.linspace(
            middle[arrow.source], middle[arrow.target], arrow.top - arrow.bottom + 1
        )
        arrow.xs = [float(x) for x in steps]
    for number, names in enumerate(storeys):
        _pass_between(number, [BOXES[name][:2] for name in names], made)
    for name, (left, right, _) in BOXES.items():
        leaving = sorted((a for a in made if a.source == name), key=lambda a: a.xs[1])
        for arrow, x in zip(leaving, _spread(left, right, len(leaving)), strict=True):
            arrow.xs[0] = x
        entering = sorted((a for a in made if a.target == name), key=lambda a: a.xs[-2])
        for arrow, x in zip(entering, _spread(left, right, len(entering)), strict=True):
            arrow.xs[-1] = x
    return made


def _spread(left: float, right: float, count: int) -> np.ndarray:
    return np.linspace(left, right, count + 2)[1:-1]


def _pass_between(number: int, boxes: list[tuple[float, float]], made: list[Arrow]) -> None:
    """Move the arrows that pass a floor into the gaps between its boxes."""
    edges = [x for box in sorted(boxes) for x in box]
    gaps = list(zip([-2.0, *edges[1::2]], [*edges[::2], 14.0], strict=True))
    chosen: dict[tuple[float, float], list[Arrow]] = {}
    for arrow in made:
        if arrow.bottom < number < arrow.top:
            x = arrow.xs[arrow.top - number]
            gap = min(gaps, key=lambda gap: max(gap[0] + GAP - x, x - gap[1] + GAP, 0))
            chosen.setdefault(gap, []).append(arrow)
    for (left, right), arrows in chosen.items():
        arrows.sort(key=lambda arrow: (arrow.xs[arrow.top - number], arrow.target))
        wanted = np.array([arrow.xs[arrow.top - number] for arrow in arrows])
        apart = GAP * np.arange(len(arrows))
        # As near to where they would be as they can stay side by side: first from the left border,
        # then back from the right one.
        xs = np.maximum.accumulate(np.maximum(wanted, left + GAP) - apart) + apart
        back = GAP * np.arange(len(arrows))[::-1]
        xs = np.minimum.accumulate((np.minimum(xs, right - GAP) + back)[::-1])[::-1] - back
        for arrow, x in zip(arrows, xs, strict=True):
            arrow.xs[arrow.top - number] = float(x)


def draw(found: Imports) -> None:
    """The rooms on their floors, and an arrow for each import."""
    plotting.use_style()
    fig, ax = plt.subplots(figsize=(9, 7.2))
    weak = needless(found)
    for arrow in sorted(arrows(found), key=lambda a: (a.source, a.target) not in weak):
        _draw_arrow(ax, arrow, (arrow.source, arrow.target) in weak)
    for number, names in enumerate(floors()):
        for name in names:
            _draw_box(ax, name, number)
    _draw_legend(ax)
    ax.set(xlim=(0, 12.2), ylim=(-0.2, 6 * STOREY + HEIGHT + 0.2))
    ax.axis("off")
    drawn = BytesIO()
    fig.savefig(drawn, dpi=150)
    plt.close(fig)
    note = PngInfo()
    note.add_text(SHOWN, table(found))
    few = Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(FIGURE, optimize=True, pnginfo=note)


def _draw_box(ax: Axes, name: str, number: int) -> None:
    left, right, note = BOXES[name]
    y = number * STOREY
    box = FancyBboxPatch(
        (left, y),
        right - left,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.12",
        facecolor=ROOM if _is_room(name) else PAPER,
        edgecolor=STRONG,
        linewidth=1.1,
        zorder=3,
    )
    ax.add_patch(box)
    words = {"x": (left + right) / 2, "ha": "center", "va": "center", "zorder": 4}
    ax.text(y=y + 0.62 * HEIGHT, s=name, fontsize=12, fontweight="bold", **words)
    ax.text(y=y + 0.25 * HEIGHT, s=note, fontsize=9, **words)


def _draw_legend(ax: Axes) -> None:
    lines = {"color": STRONG, "linewidth": 1.3}, {"color": PALE, "linewidth": 0.9}
    keys = [Patch(facecolor=colour, edgecolor=STRONG) for colour in (PAPER, ROOM)]
    keys += [Line2D([], [], **line) for line in lines]
    names = ["module of the paper", "room", "imports", "imports what another brings too"]
    ax.legend(keys, names, loc="upper left", fontsize=9, borderpad=0)


def _draw_arrow(ax: Axes, arrow: Arrow, weak: bool) -> None:
    """From the bottom of one box to the top of another, straight down through each floor."""
    points = [(arrow.xs[0], arrow.top * STOREY)]
    for step, x in enumerate(arrow.xs[1:-1], start=1):
        y = (arrow.top - step) * STOREY
        points += [(x, y + HEIGHT), (x, y)]
    points.append((arrow.xs[-1], arrow.bottom * STOREY + HEIGHT))
    vertices, codes = [points[0]], [Curve.MOVETO]
    for (x, y), (to_x, to_y) in zip(points[::2], points[1::2], strict=True):
        bend = (y - to_y) / 2
        vertices += [(x, y - bend), (to_x, to_y + bend), (to_x, to_y)]
        codes += [Curve.CURVE4] * 3
        if (to_x, to_y) != points[-1]:
            vertices.append((to_x, to_y - HEIGHT))
            codes.append(Curve.LINETO)
    ax.add_patch(
        FancyArrowPatch(
            path=Curve(vertices, codes),
            arrowstyle="-|>,head_length=5,head_width=2.6",
            color=PALE if weak else STRONG,
            linewidth=0.9 if weak else 1.3,
            zorder=1 if weak else 2,
            shrinkA=0,
            shrinkB=0,
        )
    )


def written(document: str, found: Imports) -> str:
    """The document with its table written anew."""
    begin, end = BEGIN.format("rooms"), END.format("rooms")
    before, rest = document.split(begin)
    return f"{before}{begin}\n\n{table(found)}\n\n{end}{rest.split(end)[1]}"


if __name__ == "__main__":
    read = imports()
    text = written(DOCUMENT.read_text(encoding="utf-8"), read)
    DOCUMENT.write_text(text, encoding="utf-8", newline="\n")
    draw(read)
