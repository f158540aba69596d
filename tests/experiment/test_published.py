"""The published numbers agree with one another and name the package's own rows."""

import pytest

from bana.data.voc import VOC_CLASSES
from bana.evaluation.average_precision import MEASURES
from bana.experiment import published
from bana.experiment.labelling import VARIANTS
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
    assert set(published.LABELS) - ours == {"wssl"}  # ours is another, see "boxes-middle"
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


# A second transcription, from the reading notes and not from the module: a block a table, its first
# line the name here and the columns, "-" where a number stands alone. A slip in one of the two
# shows. What stands in brackets is in the notes under another heading than the numbers around it.
TRANSCRIPT = """
LABELS train val
boxes 65.4 62.2
grabcut 65.7 66.1
wssl 69.7 71.1
gap 75.5 76.1
bap-no-u0 77.0 77.8
bap 78.7 79.2
bap-ret 70.8 69.9
agreement 85.3 68.2

LABELS_REPLICATION_VAL -
gap 75.5
bap-no-u0 77.0
bap 78.8
bap-ret 69.9
agreement 72.7

PRECISION ap ap50 ap75 ap_small ap_medium ap_large
VOC to COCO, Y_crf 11.7 28.7 8.0 3.0 15.0 27.1
VOC to COCO, Y_ret 9.0 30.1 2.8 4.4 10.2 16.2
COCO to COCO, Y_crf 17.2 40.5 12.5 5.9 20.4 32.2

LOSSES before after
ignore 61.8 67.5
entropy 61.4 67.3
bootstrap 61.9 67.6
nal 62.4 68.1

LOSSES_REPLICATION before after
ignore 60.9 64.5
entropy 60.8 64.1
bootstrap 60.9 64.6
nal 61.4 64.8

SEGMENTATION_V1 -
crf 67.8
ret 66.1
nal 68.1

SEGMENTATION_V2 -
crf 74.0
ret 72.4
nal 74.6

SEGMENTATION_V1_REPLICATION -
crf 64.7
ret 62.8
nal 64.8

SEGMENTATION_V2_REPLICATION -
crf 67.0
ret 70.2
nal 70.8

TEST_V1 -
nal 69.4
nal with 1,464 masks 71.5

TEST_V2 -
nal 76.1

SEMI_SUPERVISED_V1_VAL -
- 70.5

PEERS_VAL -
BoxSup (V1) 62.0
SDI (V1) 65.7
SDI (V2) 69.4
BCM (V1) 66.8
BCM (V2) 70.2
Box2Seg 76.4
BBAM 73.7
SPML 73.5

PER_CLASS_V1_MIOU -
- 68.07

PER_CLASS_V1 -
background 90.77
aeroplane 77.46
bicycle 29.51
bird 81.94
boat 59.69
bottle 70.07
bus 86.53
car 78.39
cat 82.59
chair 33.40
cow 78.19
diningtable 51.85
dog 76.46
horse 72.88
motorbike 71.35
person 73.73
pottedplant 50.09
sheep 76.26
sofa 42.47
train 79.95
tvmonitor 65.85

[SINGLE_SCALE_V1] -
- 62.07

GRID_SIZE_REPLICATION 1 2 3
1 75.82 75.77 75.65
2 76.11 76.10 75.15
3 75.87 75.78 75.81
4 78.83 78.72 78.82
5 74.16 74.07 74.02

CLASS_AGNOSTIC_REPLICATION_TRAIN -
Y_crf 67.48
Y_ret 68.66

CAM_PRECISION -
gap 73.0
bap 77.9

SECONDS -
classifier 5040
segmenter 15120
CRF, an image .4
"""
# In the module and not among the published numbers of the notes, which have it from the authors'
# log, where they warn of "before" and "after".
FROM_ELSEWHERE = {"SINGLE_SCALE_V1"}

Key = tuple[str, str, str]  # table, row, column


def transcribed() -> dict[Key, float]:
    numbers: dict[Key, float] = {}
    for block in TRANSCRIPT.strip().split("\n\n"):
        heading, *rows = block.splitlines()
        table, *columns = heading.split()
        for row in rows:
            name, *values = row.rsplit(maxsplit=len(columns))
            for column, value in zip(columns, values, strict=True):
                key = (table.strip("[]"), name, column)
                assert key not in numbers, f"{key} is there twice"
                numbers[key] = float(value)
    return numbers


def in_the_module() -> dict[Key, float]:
    """Every number of the module, wherever it is."""
    numbers: dict[Key, float] = {}
    for table, value in vars(published).items():
        if table.isupper() and table not in ("SOURCE", "ORDERINGS"):  # words alone
            for row, cell in (value if isinstance(value, dict) else {"-": value}).items():
                columns = cell._asdict() if isinstance(cell, tuple) else cell
                columns = columns if isinstance(columns, dict) else {"-": columns}
                numbers |= {(table, str(row), str(c)): number for c, number in columns.items()}
    return numbers


def test_every_number_is_that_of_a_second_transcription():
    assert in_the_module() == transcribed()


def test_lists_of_what_only_one_of_the_two_has_are_complete():
    notes = {table for table, _, _ in transcribed()}
    module = {table for table, _, _ in in_the_module()}
    assert notes == module
    assert {line[1 : line.index("]")] for line in TRANSCRIPT.splitlines() if line[:1] == "["} == (
        FROM_ELSEWHERE
    )


def test_orderings_hold_in_the_second_transcription():
    numbers = transcribed()
    tables = {"Table 1": ("LABELS", "val"), "Table 3": ("LOSSES", "after")}
    tables["Table 4"] = ("SEGMENTATION_V1", "-")
    assert set(tables) == set(published.ORDERINGS)
    for name, pairs in published.ORDERINGS.items():
        table, column = tables[name]
        for better, worse in pairs:
            assert numbers[table, better, column] > numbers[table, worse, column], (better, worse)
