"""Answers are tried: right, wrong, empty, and those that stop."""

import sys

import numpy as np
import pytest
import torch

from bana.course import check
from bana.course.exercises import judging
from bana.course.exercises.judging import FormHint, Hint, compare, exercises, helped, tried_on


def several_lines() -> None:
    raise ValueError("one\ntwo")


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exercise of notebook 02 whose answer doubles a tensor."""
    exercises("02")
    monkeypatch.setattr(judging, "_JUDGES", dict(judging._JUDGES))

    @judging.exercise("02-9")
    def _(answer) -> str:
        compare(answer(torch.tensor([1.0, 2.0])), torch.tensor([2.0, 4.0]), "two numbers")
        return "two numbers"


def test_a_right_answer_is_told_what_it_was_tried_on(doubled, capsys) -> None:
    assert check("02-9", lambda x: 2 * x)
    assert capsys.readouterr().out == "02-9: right. Tried on two numbers.\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: None, "open. Write it"),
        (lambda x: x, "not yet. For two numbers, 2 of 2 values differ, by up to 2."),
        (lambda x: 2 * x.sum(), "should have shape [2]; yours has []"),
        (lambda x: 2 * x + float("nan"), "holds nan: is something divided by 0?"),
        (lambda x: "4", "a tensor [2] is wanted, not '4'"),
        (lambda x: [x, x[:1]], "a tensor [2] is wanted, not [tensor([1., 2.]), tensor([1.])]."),
        (lambda x: [x, x], "should have shape [2]; yours has [2, 2]"),
        (lambda x: several_lines(), "it stopped with ValueError: one two, in line 1 of <lambda>."),
        (lambda x: interrupted(), "it was stopped with KeyboardInterrupt, in line 1 of <lambda>."),
        (lambda x: sys.exit(1), "it was stopped with SystemExit, in line 1 of <lambda>."),
        (3, "it stopped with TypeError: 'int' object is not callable."),
    ],
)
def test_a_wrong_answer_gets_a_hint(answer, said: str, doubled, capsys) -> None:
    assert not check("02-9", answer)
    out = capsys.readouterr().out
    assert said in out and out.count("\n") == 1


def test_an_error_is_found_in_the_readers_lines(doubled, capsys) -> None:
    def answer(x):
        y = 2 * x
        return y / [1]

    assert not check("02-9", answer)
    assert "TypeError" in (said := capsys.readouterr().out)
    assert "in line 3 of answer." in said


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no exercise '02-7': use one of 02-1"):
        check("02-7", None)
    with pytest.raises(ValueError, match="no notebook '12'"):
        check("12-1", None)
    with pytest.raises(ValueError, match="the name 31: give that of an exercise, such as '02-3'"):
        check(31, None)
    with pytest.raises(ValueError, match="the name <function .* first$"):
        check(test_what_is_not_there_is_named, "02-3")


def test_several_values_are_compared_one_by_one() -> None:
    compare((1.0, torch.ones(2)), (1, torch.ones(2)), "this")
    with pytest.raises(Hint, match="return 2 values"):
        compare((1.0,), (1, 2), "this")
    with pytest.raises(Hint, match=r"this \(value 2 of 2\), your result 3 is too large"):
        compare((1, 3), (1, 2), "this")
    for found in (np.array([1.0, 3.0]), torch.tensor([1.0, 3.0])):
        with pytest.raises(Hint, match=r"this \(value 2 of 2\), your result 3 is too large"):
            compare(found, (1, 2), "this")
    with pytest.raises(Hint, match="return 2 values"):
        compare(torch.ones(()), (1, 2), "this")


def test_tensors_of_one_shape_in_a_list_are_one() -> None:
    compare([torch.ones(2), torch.zeros(2)], torch.tensor([[1, 1], [0, 0]]), "this")
    compare([torch.ones(1), torch.ones(1)], torch.ones(2), "this")


def test_advice_on_values_is_not_given_on_shapes() -> None:
    with pytest.raises(Hint, match="too large. Think.$"), helped("Think."):
        compare(3, 2, "this")
    for found in (torch.ones(2), "2"):
        with pytest.raises(FormHint) as said, helped("Think."):
            compare(found, 2, "this")
        assert "Think" not in str(said.value)


def test_an_error_says_on_what_the_answer_was_tried() -> None:
    with pytest.raises(ZeroDivisionError) as raised, tried_on("two empty masks"):
        1 / 0  # noqa: B018
    assert judging._place(raised.value, None) == ", for two empty masks"
