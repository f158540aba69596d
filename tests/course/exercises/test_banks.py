"""Banks of numbers: others for each seed, with one answer each, and hints for wrong ones."""

import pytest
from answers import BANKS

from bana.course.exercises import judging
from bana.course.exercises.banks import (
    _QUESTIONS,
    close,
    question,
    rewritten,
    short,
)
from bana.course.exercises.judging import Hint, judge_number

for notebook in judging.MODULES:
    judging.exercises(notebook)
each_question = pytest.mark.parametrize("name", sorted(_QUESTIONS))


@each_question
def test_ten_groups_in_a_row_have_other_answers(name: str) -> None:
    answers = [question(name, bank).answer for bank in range(11)]
    for i, one in enumerate(answers):
        assert not any(close(one, other) for other in answers[:i])


@each_question
def test_a_seed_always_asks_the_same(name: str) -> None:
    assert question(name, 2027) == question(name, 2027) != question(name, 2028)
    assert question(name) == question(name, 0)


@each_question
def test_what_is_asked_is_sensible(name: str) -> None:
    assert all(question(name, bank).sensible for bank in range(11))


@pytest.mark.parametrize("bank", BANKS)
@each_question
def test_a_number_is_taken_rounded_and_a_mistake_gets_its_hint(name: str, bank: int) -> None:
    asked, committed = question(name, bank), question(name)
    for digits in (3, 6):
        judge_number(float(short(asked.answer, digits)), asked, committed)
    assert asked.mistakes
    for wrong in asked.mistakes.values():
        with pytest.raises(Hint) as said:
            judge_number(wrong, asked, committed)
        hints = [hint for hint, other in asked.mistakes.items() if close(wrong, other)]
        assert any(h in str(said.value) for h in hints) or close(wrong, committed.answer)


@each_question
def test_a_number_that_is_off_by_a_hundredth_of_it_is_refused(name: str) -> None:
    for bank in range(11):
        asked = question(name, bank)
        for wrong in (0.99 * asked.answer, 1.01 * asked.answer):
            with pytest.raises(Hint):
                judge_number(wrong, asked, asked)


@each_question
def test_another_groups_number_is_refused(name: str) -> None:
    for bank in BANKS[1:]:
        with pytest.raises(Hint, match="the question of another group"):
            judge_number(question(name).answer, question(name, bank), question(name))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, "Now work out the number"),
        (..., "Now work out the number"),
        ("many", "a number is wanted, not 'many'"),
        (float("nan"), "a number is wanted, not nan"),
        (99.0, "Your number 99 is too large"),
        (-99.0, "Your number -99 is too small"),
        (70, "Percent or a share"),
        (0.007, "Percent or a share"),
    ],
    ids=["none", "open", "text", "nan", "large", "small", "percent", "share"],
)
def test_what_is_no_answer_is_said(number, said: str) -> None:
    asked = question("02-1")
    with pytest.raises(Hint, match=said):
        judge_number(number, asked, asked)


def test_words_are_found_across_lines_and_left_alone_in_other_words() -> None:
    text = "the object fills a third\nof a box and $A_o = .4$; With $A_o = .4$ that is $A_b = .75$"
    made = rewritten(text, "02-1", 1)
    assert question("02-1", 1).words[0] in made
    assert made.endswith("$A_b = .75$"), "a longer number is another one"
    assert rewritten(text, "02-1", 0) == rewritten(text, "02-2", 1) == text


def test_a_bank_below_0_is_refused() -> None:
    with pytest.raises(ValueError, match="bank -1: a bank is 0 or a seed above"):
        question("02-1", -1)
    for bank in ("2027", 1.5, None):
        with pytest.raises(ValueError, match=f"bank {bank!r}: .*, a whole number"):
            question("02-1", bank)


@pytest.mark.parametrize(
    ("number", "digits", "said"),
    [(0.5, 3, ".5"), (2.0, 3, "2"), (1.3101, 3, "1.31"), (0.0953, 2, ".095"), (10, 3, "10")],
    ids=["half", "two", "three digits", "two digits", "ten"],
)
def test_numbers_are_written_as_in_the_text(number: float, digits: int, said: str) -> None:
    assert short(number, digits) == said
