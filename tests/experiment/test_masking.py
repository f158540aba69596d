"""A folder of masks: made once, made anew where anything changed, and the rest goes on."""

import csv
import errno
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from photos import csv_of, write_json, write_photo, write_text
from PIL import Image
from processes import PROCESS_LIMIT, ended, killed, watched

from bana.commands.main import main
from bana.crf.dense import CrfParameters
from bana.data.formats.common import Folder
from bana.data.formats.detection import read_boxes
from bana.data.layout import Photograph
from bana.data.voc_files import EXIF_ORIENTATION, DataError, read_image, read_mask
from bana.evaluation import mask_files
from bana.experiment import masking
from bana.experiment.mask_folder import labels_of, open_folder, opened_folder, record_of
from bana.experiment.masking import Made, MaskSettings, classes_of, make_masks, mask_jobs
from bana.experiment.pretrained import Pretrained, load_pretrained, masks
from bana.files.unfinished import NotWritten
from bana.labels import UnaryOptions

NAMES = ("a.jpg", "x/a.jpg", "y z/größe 1.png")
ROWS = [
    ["a.jpg", 20, 10, 60, 50, "cat"],
    ["x/a.jpg", 20, 10, 60, 50, "zebra"],
    ["x/a.jpg", 0, 0, 30, 30.5, "cat"],
    ["y z/größe 1.png", 20, 10, 60, 50, "cat"],
]
SETTINGS = MaskSettings(64, ("voc", "yolo-seg", "instances"))


@pytest.fixture(autouse=True)
def over_in_time() -> Iterator[None]:
    with watched():
        yield


@pytest.fixture(scope="module")
def shipped() -> Pretrained:
    """With labels nearly all of a box, which the classifier would not see in these photographs."""
    eager = UnaryOptions(background="none")
    return replace(load_pretrained(), unary=eager, crf=CrfParameters(iterations=1))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        write_photo(tmp_path / "im" / name, seed=number)
    return tmp_path / "im"


def run(
    images: Path, model: Pretrained, rows: list = ROWS, settings: MaskSettings = SETTINGS
) -> Made:
    """Masks of the photographs from a CSV file, into the folder beside them."""
    out, folder = images.parent / "out", Folder(images)
    read = read_boxes("csv", csv_of(images.parent / "boxes.csv", rows), folder)
    classes = classes_of(read)
    open_folder(out, {"images": str(images), "boxes": "boxes"}, images)
    jobs = mask_jobs(read, folder, classes)
    return make_masks(jobs, read.failed, classes, out, settings, model)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def times_of(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_masks_are_those_of_the_function(images: Path, shipped: Pretrained) -> None:
    made = run(images, shipped)
    out = images.parent / "out"
    assert made == Made(["a", "x/a", "y z/größe 1"], 3, {}, made.empty)
    image = read_image(images / "x/a.jpg")
    boxes = torch.tensor([[20.0, 10, 60, 50], [0, 0, 30, 30.5]])
    # The function numbers VOC's classes, then those it does not know; the run its own.
    expected = masks(image, boxes, ["zebra", "cat"], shipped, side=64)
    for label, other in zip(labels_of(out, "x/a"), (expected.y_crf, expected.y_ret), strict=True):
        renumbered = torch.zeros_like(other)
        renumbered[other == 8], renumbered[other == 21] = 1, 2
        assert torch.equal(label, renumbered)
        assert label.any()
    assert torch.equal(read_mask(out / "voc/SegmentationClass/x/a.png"), labels_of(out, "x/a")[0])
    assert (out / "voc/classes.txt").read_text() == "background\ncat\nzebra\n"
    assert (out / "yolo-seg/labels/y z/größe 1.txt").is_file()
    assert not (out / "coco").exists()
    assert (out / "failures.csv").read_text() == "image,reason\n"


def test_the_record_counts_what_is_seen(images: Path, shipped: Pretrained) -> None:
    run(images, shipped)
    out = images.parent / "out"
    held = record_of(out, "x/a")
    assert held["file_name"] == "x/a.jpg"
    assert held["boxes"] == [[2, 20, 10, 60, 50], [1, 0, 0, 30, 30.5]]
    y_crf, y_ret = labels_of(out, "x/a")
    first, second = (label[10:50, 20:60] == 2 for label in (y_crf, y_ret))
    assert held["areas"][0] == int(first.sum()) > 0
    assert held["areas"][1] == int((y_crf[:30, :30] == 1).sum())
    union = int((first | second).sum())
    assert held["differ"][0] == pytest.approx(1 - int((first & second).sum()) / union, abs=1e-4)
    assert held["written"] == sorted(SETTINGS.writes)


def test_nothing_is_made_twice(images: Path, shipped: Pretrained) -> None:
    run(images, shipped)
    before = times_of(images.parent / "out/kept")
    again = run(images, shipped)
    assert again.new == 0 and again.names == ["a", "x/a", "y z/größe 1"]
    assert times_of(images.parent / "out/kept") == before


def test_another_format_is_written_from_what_is_there(images: Path, shipped: Pretrained) -> None:
    run(images, shipped)
    labels = times_of(images.parent / "out/kept/Y_crf")
    made = run(images, shipped, settings=replace(SETTINGS, writes=("labelme", "voc")))
    assert made.new == 3 and (images.parent / "out/labelme/x/a.json").is_file()
    assert times_of(images.parent / "out/kept/Y_crf") == labels


@pytest.mark.parametrize("form", ["voc", "yolo-seg", "instances"])
def test_a_file_that_was_removed_comes_back(form: str, images: Path, shipped: Pretrained) -> None:
    run(images, shipped)
    out = images.parent / "out"
    before = files_of(out / form)
    path = masking.WRITERS[form].path(out, "x/a")
    path.rename(images.parent / "away")
    assert run(images, shipped).new == 1
    assert files_of(out / form) == before


@pytest.mark.parametrize(
    "change", ["photograph", "box", "class", "fewer"], ids=lambda change: change
)
def test_what_has_changed_is_made_anew(change: str, images: Path, shipped: Pretrained) -> None:
    run(images, shipped)
    before = times_of(images.parent / "out/kept/Y_crf")
    rows = [list(row) for row in ROWS]
    if change == "photograph":
        write_photo(images / "x/a.jpg", seed=9)
    elif change == "box":
        rows[1][1] = 21
    elif change == "class":
        rows[1][5] = "cat"
        rows[0][5] = "zebra"  # both classes are still there, and so are their numbers
    else:
        rows = rows[:1] + rows[2:]
        rows.append(["a.jpg", 0, 0, 20, 20, "zebra"])
    made = run(images, shipped, rows)
    changed = {
        name
        for name, when in times_of(images.parent / "out/kept/Y_crf").items()
        if when != before[name]
    }
    expected = {"photograph": {"x/a"}, "box": {"x/a"}}.get(change, {"a", "x/a"})
    assert changed == expected and made.new == len(expected)


@pytest.mark.parametrize("change", ["side", "crf", "classes"])
def test_other_settings_make_all_anew(change: str, images: Path, shipped: Pretrained) -> None:
    run(images, shipped)
    settings, model, rows = SETTINGS, shipped, ROWS
    if change == "side":
        settings = replace(settings, side=80)
    elif change == "crf":
        model = replace(shipped, crf=CrfParameters(iterations=2))
    else:
        rows = [*ROWS, ["a.jpg", 0, 0, 20, 20, "ant"]]  # which moves the others' numbers
    assert run(images, model, rows, settings).new == 3


def test_photographs_that_have_no_boxes_any_more(images: Path, shipped: Pretrained) -> None:
    run(images, shipped)
    assert run(images, shipped, ROWS[:1]).names == ["a"]
    left = {name for name in files_of(images.parent / "out") if "x/a" in name or "größe" in name}
    assert not left


def test_a_folder_that_closes_while_they_are_removed(
    images: Path, shipped: Pretrained, monkeypatch
) -> None:
    """Whichever file of theirs is the first that cannot be removed, the next run removes it."""
    run(images, shipped)
    out, kept = images.parent / "out", images.parent / "kept"
    shutil.copytree(out, kept)
    unlink, room = Path.unlink, [0]

    def closing(path: Path, **options: bool) -> None:
        if path.is_relative_to(out) and path.suffix in (".json", ".png", ".txt") and path.exists():
            if not room[0]:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            room[0] -= 1
        unlink(path, **options)

    failed = 0
    for removals in range(20):
        shutil.rmtree(out)
        shutil.copytree(kept, out)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", closing)
            room[0] = removals
            try:
                run(images, shipped, ROWS[:1])
            except NotWritten as error:
                assert "cannot be written (Permission denied)" in str(error)
                failed += 1
        assert run(images, shipped, ROWS[:1]).names == ["a"]
        assert not [name for name in files_of(out) if "x/a" in name or "größe" in name]
    assert failed > 6, "each photograph has more than three files"


def test_what_fails_is_listed_and_the_rest_goes_on(images: Path, shipped: Pretrained) -> None:
    run(images, shipped)
    (images / "x/a.jpg").write_bytes(b"no photograph")
    turned = Image.Exif()
    turned[EXIF_ORIENTATION] = 6
    write_photo(images / "turned.jpg", exif=turned)
    write_photo(images / "other.jpg")
    write_photo(images / "small.jpg")
    write_photo(images / "deep.png").write_bytes((images / "other.jpg").read_bytes()[:200])
    rows = [
        *ROWS,
        ["missing.jpg", 20, 10, 60, 50, "cat"],
        ["turned.jpg", 20, 10, 60, 50, "cat"],
        ["other.jpg", 20, 10, 160, 50, "cat"],
        ["small.jpg", 0.1, 0.2, 0.6, 0.9, "cat"],
        ["deep.png", 20, 10, 60, 50, "cat"],
    ]
    made = run(images, shipped, rows)
    assert made.names == ["a", "y z/größe 1"] and made.new == 0
    with (images.parent / "out/failures.csv").open(newline="", encoding="utf-8") as file:
        told = {row["image"]: row["reason"] for row in csv.DictReader(file)}
    assert told == made.failed
    for name, reason in {
        "x/a": "a.jpg: not an image",
        "missing": "missing.jpg: no such file",
        "turned": "(orientation 6), and nothing says whether its boxes are turned too: turn the",
        "other": "sticks out by 80 pixels in an image of 80 x 60",
        "small": "boxes.csv:9: box (0.1, 0.2, 0.6, 0.9), 0-based half-open, lies in the first",
        "deep": "cannot be read as an image",
    }.items():
        assert reason in told[name] and "\n" not in told[name], told[name]
    # Masks of what the photograph was before are not left for masks of what it is.
    assert not [name for name in files_of(images.parent / "out") if "x/a" in name]


@pytest.mark.parametrize("value", [0, 1, 9])
def test_an_orientation_that_turns_nothing_is_no_failure(value: int, images: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = value
    write_photo(images / "a.jpg", exif=exif)
    photograph = Photograph("a", images / "a.jpg", "boxes.csv:2", [], [])
    assert masking.checked_photograph(photograph)[0].shape == (3, 60, 80)


@pytest.mark.parametrize(("size", "told"), [((80, 60), None), ((60, 80), "as stored, and EXIF")])
def test_a_size_tells_whether_boxes_are_of_a_turned_photograph(
    size: tuple[int, int], told: str | None, images: Path
) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    write_photo(images / "a.jpg", exif=exif)
    photograph = Photograph("a", images / "a.jpg", "b.json", [], [], size)
    if told is None:
        assert masking.checked_photograph(photograph)[0].shape == (3, 60, 80)
    else:
        with pytest.raises(DataError, match=told):
            masking.checked_photograph(photograph)


def test_the_limit_of_pixels_is_told_and_can_be_raised(
    images: Path, shipped: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANA_MAX_PIXELS", "4799")
    assert "set BANA_MAX_PIXELS higher" in run(images, shipped).failed["a"]
    monkeypatch.setenv("BANA_MAX_PIXELS", "4800")
    assert not run(images, shipped).failed


def test_formats_of_earlier_runs_stay_in_step(images: Path, shipped: Pretrained) -> None:
    every = ("voc", "coco", "yolo-seg")
    run(images, shipped, settings=replace(SETTINGS, writes=every))
    rows = [[*row[:5], "bird"] for row in ROWS if row[0] == "a.jpg"]
    assert rows
    run(images, shipped, rows, replace(SETTINGS, writes=("voc",)))
    for kind in ("rle", "polygons"):
        file = images.parent / f"out/coco/instances-{kind}.json"
        held = json.loads(file.read_text(encoding="utf-8"))
        assert [each["name"] for each in held["categories"]] == ["bird"]
        assert [each["file_name"] for each in held["images"]] == ["a.jpg"]
    assert "bird" in (images.parent / "out/yolo-seg/data.yaml").read_text(encoding="utf-8")


def test_boxes_smaller_than_a_cell_are_told(images: Path) -> None:
    folder, rows = (
        Folder(images),
        [["a.jpg", 20, 10, 60, 50, "cat"], ["a.jpg", 0, 0, 19, 30, "cat"]],
    )
    read = read_boxes("csv", csv_of(images.parent / "boxes.csv", rows), folder)
    jobs = mask_jobs(read, folder, classes_of(read))
    (note,) = (n for n in masking.notes_on_jobs(jobs, 64, 16) if "--longest" in n)
    assert note.startswith("boxes that are less than 16 pixels wide or high at --longest 64")
    assert "(1): " in note and "boxes.csv:3" in note
    assert not [n for n in masking.notes_on_jobs(jobs, 128, 16) if "--longest" in n]


def test_every_wrong_box_of_a_photograph_is_told(images: Path, shipped: Pretrained) -> None:
    wrong = [["a.jpg", 20 + n, 10, 160, 50, "cat"] for n in range(7)]
    reason = run(images, shipped, [*ROWS, *wrong]).failed["a"]
    assert "boxes.csv:6: box" in reason and "boxes.csv:10: box" in reason
    assert "boxes.csv:11" not in reason and reason.endswith("and 2 more such boxes")


def test_a_size_that_disagrees_is_a_failure(images: Path, shipped: Pretrained) -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": 60, "height": 80}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}
    held = {"images": [image], "categories": [{"id": 1, "name": "cat"}], "annotations": [entry]}
    folder = Folder(images)
    read = read_boxes("coco", write_json(images.parent / "c.json", held), folder)
    jobs = mask_jobs(read, folder, classes_of(read))
    made = make_masks(jobs, {}, classes_of(read), images.parent / "out", SETTINGS, shipped)
    assert "says 60 x 80, but" in made.failed["a"] and "has 80 x 60" in made.failed["a"]


def test_crowds_are_not_known(images: Path, shipped: Pretrained) -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": 80, "height": 60}
    entries = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 10, 20, 20], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [30, 20, 40, 30], "iscrowd": 1},
    ]
    held = {"images": [image], "categories": [{"id": 1, "name": "cat"}], "annotations": entries}
    folder = Folder(images)
    read = read_boxes("coco", write_json(images.parent / "c.json", held), folder)
    jobs = mask_jobs(read, folder, classes_of(read))
    make_masks(jobs, {}, classes_of(read), images.parent / "out", SETTINGS, shipped)
    y_crf, _ = labels_of(images.parent / "out", "a")
    crowd = torch.zeros(60, 80, dtype=torch.bool)
    crowd[20:50, 30:70] = True
    crowd[10:30, 20:40] = False
    assert torch.equal(y_crf == 255, crowd)


def test_one_name_of_two_photographs_is_refused(images: Path) -> None:
    write_photo(images / "a.png")
    rows = [*ROWS, ["a.png", 20, 10, 60, 50, "cat"]]
    folder = Folder(images)
    read = read_boxes("csv", csv_of(images.parent / "boxes.csv", rows), folder)
    with pytest.raises(DataError, match=r"csv:6: a.jpg and a.png a second time, after .*csv:2"):
        mask_jobs(read, folder, classes_of(read))


def test_a_photograph_with_boxes_and_without_is_refused(images: Path) -> None:
    folder, empty = Folder(images), ["/im/a.jpg", "", "", "", "", ""]
    path = csv_of(images.parent / "boxes.csv", [*ROWS, empty])
    read = read_boxes("csv", path, folder)
    told = r"csv:6: says that a.jpg has no box, and .*csv:2 has one: remove one of them"
    with pytest.raises(DataError, match=told):
        mask_jobs(read, folder, classes_of(read))
    csv_of(path, [*ROWS[1:], empty, ["a.jpg", "", "", "", "", ""]])
    read = read_boxes("csv", path, folder)
    assert len(mask_jobs(read, folder, classes_of(read))) == 2


def test_an_unknown_class_is_refused(images: Path) -> None:
    read = read_boxes(
        "csv",
        csv_of(images.parent / "boxes.csv", ROWS),
        Folder(images),
        write_text(images.parent / "names.txt", "cat\ndog\n"),
    )
    with pytest.raises(DataError, match=r"csv:3: unknown class 'zebra'; there is cat, dog"):
        classes_of(read)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="no masks of format 'png': there are voc, coco"):
        MaskSettings(writes=("png",))
    with pytest.raises(ValueError, match="31 pixels is too small"):
        MaskSettings(side=31)


def test_folders_that_are_not_for_masks(images: Path, tmp_path: Path) -> None:
    about = {"images": "i", "boxes": "b"}
    for out in (images, images / "masks"):
        with pytest.raises(DataError, match="lies in the folder of the photographs"):
            open_folder(out, about, images)
    write_text(tmp_path / "full/a.txt", "")
    with pytest.raises(DataError, match="holds something else than masks"):
        open_folder(tmp_path / "full", about, images)
    open_folder(tmp_path / "out", about, images)
    open_folder(tmp_path / "out", about, images)
    with pytest.raises(DataError, match="holds masks of other boxes, b: name another folder"):
        open_folder(tmp_path / "out", about | {"boxes": "c"}, images)


def test_a_box_too_small_for_the_classifier_has_an_empty_mask(
    images: Path, shipped: Pretrained
) -> None:
    write_photo(images / "wide.jpg", (640, 480))
    made = run(images, shipped, [["wide.jpg", 101, 101, 103, 103, "cat"]])
    assert made.names == ["wide"] and made.empty == 1
    held = record_of(images.parent / "out", "wide")
    assert held["areas"] == [0] and held["differ"] == [1]


def test_a_full_disk_is_no_fault_of_the_photographs(
    images: Path, shipped: Pretrained, monkeypatch
) -> None:
    """Formats are added and the disk is full at every write in turn: what was there stays."""
    run(images, shipped, settings=MaskSettings(64, ("voc",)))
    out = images.parent / "out"
    before = files_of(out)
    settings = MaskSettings(64, ("voc", "coco", "labelme", "instances"))
    replace_, room = os.replace, [0]

    def full(*words) -> None:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        replace_(*words)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        for writes in range(30):
            room[0] = writes
            try:
                run(images, shipped, settings=settings)
                break
            except NotWritten as error:
                assert "No space left on device" in str(error)
            now = files_of(out)
            assert not [name for name in now if name.endswith(".tmp")]
            for name in before.keys() - {"masks.json", "failures.csv"}:
                assert name in now, "masks that were there are there"
                assert name.startswith("kept/records") or now[name] == before[name]
    assert writes > 4, "what one run had room for the next one finds"
    broken = files_of(out)
    out.rename(images.parent / "first")
    run(images, shipped, settings=settings)
    assert broken == files_of(out)


def test_a_name_too_long_to_write_is_a_failure_of_its_photograph(
    images: Path, shipped: Pretrained
) -> None:
    name = "n" * 245
    write_photo(images / f"{name}.jpg")
    made = run(images, shipped, [*ROWS, [f"{name}.jpg", 20, 10, 60, 50, "cat"]])
    assert made.new == 3 and "File name too long" in made.failed[name]


def test_masks_of_a_photograph_named_as_a_folder_leave_those_below_it_alone(
    images: Path, shipped: Pretrained
) -> None:
    write_photo(images / "x.jpg", seed=5)
    rows = [*ROWS, ["x.jpg", 20, 10, 60, 50, "cat"]]
    run(images, shipped, rows)
    out = images.parent / "out"
    before = files_of(out)
    assert {"instances/x/001-cat.png", "instances/x/a/001-zebra.png"} <= before.keys()
    write_photo(images / "x.jpg", seed=6)
    assert run(images, shipped, rows).new == 1
    assert files_of(out).keys() == before.keys()


def test_an_instances_folder_of_a_killed_run_is_made_anew(
    images: Path, shipped: Pretrained, monkeypatch
) -> None:
    """The folder had been removed by hand, and the run that makes it again is killed within."""
    run(images, shipped)
    out = images.parent / "out"
    before = files_of(out)
    shutil.rmtree(out / "instances" / "x" / "a")

    def killed(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mask_files, "move", killed)
        run(images, shipped)
    assert not (out / "instances" / "x" / "a").exists()
    run(images, shipped)
    assert files_of(out) == before


def test_what_a_power_cut_emptied_is_made_anew(images: Path, shipped: Pretrained) -> None:
    run(images, shipped)
    out = images.parent / "out"
    before = files_of(out)
    (out / "kept/records/a.json").write_bytes(b"")
    (out / "kept/Y_crf/x/a.png").write_bytes(b"")
    assert run(images, shipped).new == 2
    assert files_of(out) == before


@pytest.mark.parametrize("day", [-1, 1], ids=["past", "future"])
def test_a_clock_that_was_turned_hides_no_change(
    day: int, images: Path, shipped: Pretrained
) -> None:
    run(images, shipped)
    path = write_photo(images / "a.jpg", seed=50)
    when = time.time() + day * 86400
    os.utime(path, (when, when))
    assert run(images, shipped).new == 1


def test_a_photograph_that_changes_while_it_is_read_is_made_anew(
    images: Path, shipped: Pretrained, monkeypatch
) -> None:
    read = masking.read_image

    def slow(path: Path) -> torch.Tensor:
        image = read(path)
        if path.name == "a.jpg" and path.parent == images:
            write_photo(path, seed=77)
        return image

    monkeypatch.setattr(masking, "read_image", slow)
    run(images, shipped)
    monkeypatch.setattr(masking, "read_image", read)
    assert run(images, shipped).new == 1


def test_a_folder_whose_first_file_was_never_finished(images: Path, tmp_path: Path) -> None:
    about = {"images": "i", "boxes": "b"}
    (tmp_path / "out").mkdir()
    for number in (2**22 + 1, os.getppid()):  # whose number another process may have by now
        (tmp_path / "out" / f".masks.json.{number}.tmp").write_text("{")
    with opened_folder(tmp_path / "out", about, images):
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["masks.json"]


def test_a_refused_folder_is_not_made(images: Path, tmp_path: Path) -> None:
    about = {"images": "i", "boxes": "b"}
    inside = images / "masks"
    with pytest.raises(DataError, match="lies in"), opened_folder(inside, about, images):
        pass
    assert not (images / "masks").exists()
    write_text(tmp_path / "file", "")
    with (
        pytest.raises(DataError, match="is no folder"),
        opened_folder(tmp_path / "file", about, images),
    ):
        pass


def words(folder: Path, workers: int) -> list[str]:
    return [
        *("masks", str(folder / "im"), "--boxes", str(folder / "boxes.csv")),
        *("--out", str(folder / "out"), "--longest", "64", "--workers", str(workers)),
        *("--write", "voc", "coco", "--review", "0"),
    ]


def _command(folder: Path, workers: int) -> None:
    raise SystemExit(main(words(folder, workers)))


@pytest.mark.slow  # five processes import torch
@pytest.mark.skipif(os.name != "posix", reason="processes are killed by signals")
def test_killed_and_resumed(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(40)]
    for number, name in enumerate(names):
        write_photo(tmp_path / "im" / name, (160, 120), seed=number)
    csv_of(tmp_path / "boxes.csv", [[name, 20, 10, 60, 50, "cat"] for name in names])
    records, labels = (tmp_path / "out/kept" / part for part in ("records", "Y_crf"))
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_command, args=(tmp_path, 2))
    process.start()
    late = time.monotonic() + PROCESS_LIMIT
    while len(list(records.glob("*.json"))) < 3:
        assert process.is_alive() and time.monotonic() < late
        time.sleep(0.001)
    killed(process)
    finished = {path.stem for path in records.glob("*.json")}
    assert 3 <= len(finished) < len(names), "killed in the middle"
    before = {name: when for name, when in times_of(labels).items() if name in finished}
    process = context.Process(target=_command, args=(tmp_path, 2))
    process.start()
    assert ended(process) == 0
    after = times_of(labels)
    assert len(after) == len(names) and before.items() <= after.items(), "what was there is kept"
    broken = files_of(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "first")
    assert main(words(tmp_path, 1)) == 0
    unbroken = files_of(tmp_path / "out")
    assert broken == unbroken, "and nothing is left half-written"
    coco = json.loads(unbroken["coco/instances-rle.json"])
    assert len(coco["images"]) == len(names)
