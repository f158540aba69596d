"""Where the names of boxes stand in a picture, so that each can be read."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.textpath import TextPath

SIZE = 8  # points
LINE = 0.2  # height of a name with its margins, in inches
MARGINS = 0.05  # of its width, in inches
POINTS_AN_INCH = 72
Corners = tuple[float, float, float, float]  # x1, y1, x2, y2


class Place(NamedTuple):
    """A corner of a box at which a name begins or ends, above or below that corner."""

    x: float
    y: float
    ha: str
    va: str


def name_places(ax: Axes, boxes: Sequence[Corners], names: Sequence[str]) -> list[Place]:
    """A place for the name of each box, in the picture and off the names before it.

    A name stands above its box, off the object, where there is room for it; where no place is
    free, where least of it is lost.

    Args:
        ax: axes that show an image; without one names stand in the upper left corner of the box.
        boxes: in the pixels of the image.
        names: of the boxes.
    """
    if not ax.images:
        return [Place(x1, y1, "left", "top") for x1, y1, _, _ in boxes]
    rows, columns = ax.images[0].get_array().shape[:2]
    size = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted()).size
    inches = min(size[0] / columns, size[1] / rows)  # of a pixel
    picture = -0.5, -0.5, columns - 0.5, rows - 0.5
    taken: list[Corners] = []
    places = []
    for box, name in zip(boxes, names, strict=True):
        width = TextPath((0, 0), name, size=SIZE).get_extents().width / POINTS_AN_INCH + MARGINS
        area = width / inches, LINE / inches
        place = min(_options(box), key=lambda p, a=area: _lost(_covered(p, *a), picture, taken))
        taken.append(_covered(place, *area))
        places.append(place)
    return places


def _options(box: Corners) -> list[Place]:
    """The places at a box, best first: above it, in its upper corners, below it, in its lower."""
    x1, y1, x2, y2 = box
    heights = ((y1, "bottom"), (y1, "top"), (y2, "top"), (y2, "bottom"))
    return [Place(x, y, ha, va) for y, va in heights for x, ha in ((x1, "left"), (x2, "right"))]


def _covered(place: Place, width: float, height: float) -> Corners:
    left = place.x if place.ha == "left" else place.x - width
    top = place.y if place.va == "top" else place.y - height  # y grows downwards
    return left, top, left + width, top + height


def _lost(name: Corners, picture: Corners, taken: Sequence[Corners]) -> float:
    """Pixels of a name that lie outside the picture or on other names."""
    whole = (name[2] - name[0]) * (name[3] - name[1])
    return whole - _shared(name, picture) + sum(_shared(name, other) for other in taken)


def _shared(one: Corners, other: Corners) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
