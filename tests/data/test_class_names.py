"""One class in two spellings is one, and two classes are not taken for one."""

import pytest

from bana.data.class_names import common_name, matched


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("diningtable", "dining table"),
        ("TV", "tvmonitor"),
        ("Traffic-Light", "traffic_light"),
        ("motorbike", "Motorcycle"),
        ("gro\u0308\u00dfe", "gr\u00f6sse"),
    ],
)
def test_one_class_in_two_spellings(one, other):
    assert common_name(one) == common_name(other)


@pytest.mark.parametrize(
    "names",
    [("C++", "C#", "C"), ("1-1", "11", "1.1"), ("+", "-1", "#"), ("\U0001f431", "\U0001f436")],
    ids=range(4),
)
def test_classes_that_differ_in_signs_are_several(names):
    assert len({common_name(name) for name in names}) == len(names)


def test_classes_are_found_in_another_data_set():
    known = ("background", "diningtable", "C", "Ant")
    assert matched(["background", "dining table", "C", "ant"], known) == [0, 1, 2, 3]
    assert matched(["C++", "C#"], known) == [None, None]
    # Who has both tells them apart: the one that is not called so is another class.
    assert matched(["ant", "Ant"], known) == [None, 3]
    assert matched(["ant", "ANT"], known) == [None, None]
    assert matched(["ANT"], ("ant", "Ant")) == [None]
    assert matched(["Ant"], ("ant", "Ant")) == [1]
