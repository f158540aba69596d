"""The published numbers agree with one another and name the package's own rows."""

import pytest

from bana.data.voc import VOC_CLASSES
from bana.evaluation.average_precision import MEASURES
from bana.experiment import published
from bana.experiment.stages import VARIANTS
from bana.training.segmentation import LOSSES


def test_per_class_values_average_to_the_published_mean():
    mean = sum(published.PER_CLASS_V1.values()) / len(published.PER_CLASS_V1)
    assert mean == pytest.approx(published.PER_CLASS_V1_MIOU, abs=0.005 + 0.005)


def test_per_class_values_are_named_and_ordered_like_voc():
    assert tuple(published.PER_CLASS_V1) == VOC_CLASSES


def test_the_same_network_has_the_same_score_in_every_table():
    after = published.LOSSES["nal"].after
    assert published.SEGMENTATION_V1["nal"] == after
    assert round(published.PER_CLASS_V1_MIOU, 1) == after
    assert published.LOSSES["nal"].before == pytest.approx(published.SINGLE_SCALE_V1, abs=0.5)
    assert published.SEGMENTATION_V1_REPLICATION["nal"] == published.LOSSES_REPLICATION["nal"].after


def test_rows_carry_the_names_of_our_own():
    ours = {*VARIANTS, "bap-ret", "agreement"}
    assert set(published.LABELS) - ours == {"wssl"}
    assert set(published.LABELS_REPLICATION_VAL) <= ours
    tables = (published.LOSSES, published.SEGMENTATION_V1, published.SEGMENTATION_V2)
    for table in tables:
        assert set(table) <= set(LOSSES)


def test_the_papers_orderings_are_in_the_numbers():
    val = {name: row.val for name, row in published.LABELS.items()}
    order = ("boxes", "grabcut", "wssl", "gap", "bap-no-u0", "bap")
    assert [val[name] for name in order] == sorted(val[name] for name in order)
    for column in ("before", "after"):
        scores = {name: getattr(row, column) for name, row in published.LOSSES.items()}
        assert max(scores, key=scores.get) == "nal"


def test_precision_is_named_as_it_is_measured():
    assert published.PrecisionScore._fields == MEASURES
    assert all(row.ap75 < row.ap < row.ap50 for row in published.PRECISION.values())


def test_every_number_is_a_percentage():
    numbers = [
        *(n for row in published.LABELS.values() for n in row),
        *(n for row in published.LOSSES.values() for n in row),
        *(n for row in published.PRECISION.values() for n in row),
        *published.LABELS_REPLICATION_VAL.values(),
        *published.PER_CLASS_V1.values(),
        *published.PEERS_VAL.values(),
    ]
    assert all(0 < number < 100 for number in numbers)
