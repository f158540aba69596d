"""The photographs of the first page: there without a download, and boxes that lie in them."""

import socket

import pytest
import torch

from bana.course.photographs import photographs


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments) -> None:
        raise OSError("a test wanted the network")

    monkeypatch.setattr(socket.socket, "connect", refused)


def test_all_are_read_without_a_network(no_network) -> None:
    shots = photographs()
    assert [shot.name for shot in shots] == ["motorbike", "astronaut", "admiral", "cup", "cat"]
    for shot in shots:
        assert shot.image.dtype == torch.uint8 and shot.image.shape[0] == 3
        assert shot.image.is_contiguous()
        height, width = shot.image.shape[1:]
        left, top, right, bottom = shot.boxes.T
        assert (left < right).all() and (top < bottom).all() and (shot.boxes >= 0).all()
        assert (right <= width).all() and (bottom <= height).all()
        assert len(shot.boxes) == len(shot.classes)
        assert shot.licence in ("CC0", "public domain") and shot.source


def test_colours_are_in_the_order_of_rgb() -> None:
    motorbike = photographs()[0].image.float()
    tank = motorbike[:, 200:240, 400:480].mean((1, 2))
    assert tank[0] > 1.5 * tank[2]  # a red one


def test_who_changes_one_changes_no_other() -> None:
    photographs()[0].image.zero_()
    assert photographs()[0].image.any()
