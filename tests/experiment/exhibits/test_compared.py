"""How ~S and the errors of a label lie to one another."""

import pytest
import torch

from bana.experiment.exhibits.compared import error_shares


def flags(text: str) -> torch.Tensor:
    return torch.tensor([[letter == "x" for letter in text]])


def test_shares_of_errors_and_of_unreliable_pixels():
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 255, 255]], dtype=torch.uint8)
    unreliable, wrong = flags("xx.xx...x."), flags("x..x.x..xx")
    shares = error_shares(unreliable, wrong, mask)
    # Eight pixels count; four are unreliable, two of them among the three errors.
    assert shares == pytest.approx({"unreliable": 50, "precision": 50, "recall": 200 / 3})


def test_without_errors_or_doubt_shares_are_nought():
    mask, none = torch.zeros(1, 3, dtype=torch.uint8), flags("...")
    assert set(error_shares(none, none, mask).values()) == {0.0}
    ignored = torch.full((1, 3), 255, dtype=torch.uint8)
    assert set(error_shares(flags("xxx"), flags("xxx"), ignored).values()) == {0.0}
