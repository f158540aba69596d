"""Names of boxes lie in the picture, and none on another."""

import itertools

import matplotlib.pyplot as plt
import pytest
import torch

from bana.course import plotting
from bana.course.box_names import Place, name_places

NAMES = ["background", "wateringcan", "stork", "cat"]
IMAGE = torch.zeros((3, 90, 120), dtype=torch.uint8)


def drawn(boxes: list[list[float]], classes: list[int]) -> plt.Axes:
    fig, ax = plt.subplots(figsize=(2.4, 2.0), layout="constrained", dpi=110)
    plotting.show_image(ax, IMAGE, "title")
    plotting.draw_boxes(ax, torch.tensor(boxes), classes, NAMES)
    fig.canvas.draw()
    return ax


@pytest.mark.parametrize(
    ("boxes", "classes"),
    [
        ([[85.0, 30, 120, 70]], [1]),  # a name wider than its box, at the right edge
        ([[0.0, 30, 40, 60], [25, 28, 80, 80]], [1, 2]),  # the second name would cover the first
        ([[5.0, 0, 60, 90], [5, 0, 60, 90], [5, 0, 60, 90]], [1, 2, 3]),  # three in one place
        ([[0.0, 0, 120, 90], [60, 0, 120, 40]], [3, 1]),
    ],
    ids=["edge", "pair", "same", "corner"],
)
def test_every_name_can_be_read(boxes, classes):
    ax = drawn(boxes, classes)
    panel = ax.get_window_extent()
    places = [text.get_window_extent() for text in ax.texts]
    for place in places:
        assert panel.x0 - 1 <= place.x0 and place.x1 <= panel.x1 + 1, "not cut at the sides"
        assert panel.y0 - 1 <= place.y0 and place.y1 <= panel.y1 + 1, "nor above or below"
    assert not any(one.overlaps(other) for one, other in itertools.combinations(places, 2))


def test_the_first_choice_is_above_the_left_corner():
    fig, ax = plt.subplots(figsize=(2.4, 2.0))
    assert name_places(ax, [(3.0, 4.0, 9.0, 9.0)], ["cat"]) == [Place(3.0, 4.0, "left", "top")]
    plotting.show_image(ax, IMAGE, "title")
    places = name_places(ax, [(30.0, 40.0, 90.0, 80.0)] * 2, ["cat", "cat"])
    assert places == [Place(30.0, 40.0, "left", "bottom"), Place(90.0, 40.0, "right", "bottom")]
