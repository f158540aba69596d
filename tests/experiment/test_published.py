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


# A second transcription, row by row as the reading notes have them: table, row, numbers. A slip in
# one of the two shows.
TRANSCRIPT = """
LABELS boxes 65.4 62.2
LABELS grabcut 65.7 66.1
LABELS wssl 69.7 71.1
LABELS gap 75.5 76.1
LABELS bap-no-u0 77.0 77.8
LABELS bap 78.7 79.2
LABELS bap-ret 70.8 69.9
LABELS agreement 85.3 68.2
LABELS_REPLICATION_VAL gap 75.5
LABELS_REPLICATION_VAL bap-no-u0 77.0
LABELS_REPLICATION_VAL bap 78.8
LABELS_REPLICATION_VAL bap-ret 69.9
LABELS_REPLICATION_VAL agreement 72.7
PRECISION VOC_to_COCO,_Y_crf 11.7 28.7 8.0 3.0 15.0 27.1
PRECISION VOC_to_COCO,_Y_ret 9.0 30.1 2.8 4.4 10.2 16.2
PRECISION COCO_to_COCO,_Y_crf 17.2 40.5 12.5 5.9 20.4 32.2
LOSSES ignore 61.8 67.5
LOSSES entropy 61.4 67.3
LOSSES bootstrap 61.9 67.6
LOSSES nal 62.4 68.1
LOSSES_REPLICATION ignore 60.9 64.5
LOSSES_REPLICATION entropy 60.8 64.1
LOSSES_REPLICATION bootstrap 60.9 64.6
LOSSES_REPLICATION nal 61.4 64.8
SEGMENTATION_V1 crf 67.8
SEGMENTATION_V1 ret 66.1
SEGMENTATION_V1 nal 68.1
SEGMENTATION_V2 crf 74.0
SEGMENTATION_V2 ret 72.4
SEGMENTATION_V2 nal 74.6
SEGMENTATION_V1_REPLICATION crf 64.7
SEGMENTATION_V1_REPLICATION ret 62.8
SEGMENTATION_V1_REPLICATION nal 64.8
SEGMENTATION_V2_REPLICATION crf 67.0
SEGMENTATION_V2_REPLICATION ret 70.2
SEGMENTATION_V2_REPLICATION nal 70.8
TEST_V1 nal 69.4
TEST_V1 nal_with_1,464_masks 71.5
TEST_V2 nal 76.1
SEMI_SUPERVISED_V1_VAL - 70.5
PEERS_VAL BoxSup_(V1) 62.0
PEERS_VAL SDI_(V1) 65.7
PEERS_VAL SDI_(V2) 69.4
PEERS_VAL BCM_(V1) 66.8
PEERS_VAL BCM_(V2) 70.2
PEERS_VAL Box2Seg 76.4
PEERS_VAL BBAM 73.7
PEERS_VAL SPML 73.5
PER_CLASS_V1_MIOU - 68.07
SINGLE_SCALE_V1 - 62.07
PER_CLASS_V1 background 90.77
PER_CLASS_V1 aeroplane 77.46
PER_CLASS_V1 bicycle 29.51
PER_CLASS_V1 bird 81.94
PER_CLASS_V1 boat 59.69
PER_CLASS_V1 bottle 70.07
PER_CLASS_V1 bus 86.53
PER_CLASS_V1 car 78.39
PER_CLASS_V1 cat 82.59
PER_CLASS_V1 chair 33.40
PER_CLASS_V1 cow 78.19
PER_CLASS_V1 diningtable 51.85
PER_CLASS_V1 dog 76.46
PER_CLASS_V1 horse 72.88
PER_CLASS_V1 motorbike 71.35
PER_CLASS_V1 person 73.73
PER_CLASS_V1 pottedplant 50.09
PER_CLASS_V1 sheep 76.26
PER_CLASS_V1 sofa 42.47
PER_CLASS_V1 train 79.95
PER_CLASS_V1 tvmonitor 65.85
"""


def in_the_module() -> dict[tuple[str, str], tuple[float, ...]]:
    """Every number of the module, by table and row."""
    found = {}
    for table, value in vars(published).items():
        if isinstance(value, float):
            found[table, "-"] = (value,)
        elif isinstance(value, dict) and table.isupper() and table != "ORDERINGS":
            for row, numbers in value.items():
                numbers = numbers if isinstance(numbers, tuple) else (numbers,)
                found[table, row.replace(" ", "_")] = tuple(numbers)
    return found


def test_every_number_is_that_of_a_second_transcription():
    lines = [line.split() for line in TRANSCRIPT.strip().splitlines()]
    assert in_the_module() == {
        (table, row): tuple(map(float, numbers)) for table, row, *numbers in lines
    }
