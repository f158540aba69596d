"""The commands `bana data ...`: quick help, the layout explained, and what they hand on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from packed import contents, write_folder
from PIL import Image

from bana.commands import data
from bana.commands.main import main
from bana.data import coco, pascal
from bana.data.layout import Written
from bana.data.sample import make
from bana.data.voc import VocDataset
from bana.experiment import stages

COMMANDS = ("sample", "voc2012", "voc2007", "coco2017", "import", "verify", "pack", "unpack")


def last_words(capsys) -> str:
    """What stands on the screen when the progress bars have gone."""
    return capsys.readouterr().err.split("\r")[-1]


def test_help_of_every_command_needs_no_torch():
    code = (
        "import sys\nfrom bana.commands.main import main\n"
        f"for words in ([], *([name] for name in {COMMANDS})):\n"
        "    try: main(['data', *words, '--help'])\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "image,xmin,ymin,xmax,ymax,class" in done.stdout


def test_help_names_archives_and_places(capsys):
    with pytest.raises(SystemExit):
        main(["data", "--help"])
    told = capsys.readouterr().out
    for year in ("2012", "2007", "2007-test"):
        assert pascal._voc_archive(year).filename in told
    for word in (*COMMANDS, "classes.txt", "SegmentationClassAug", "BANA_VOC_ROOT", "train_aug"):
        assert word in told
    total = sum(archive.megabytes for archive in coco.ARCHIVES.values())
    assert f"{total / 1000:.1f} GB" in told


def test_sample_as_ever(monkeypatch, tmp_path, capsys):
    made = []
    monkeypatch.setattr(make, "make_sample", lambda out, seed: made.append((out, seed)) or out)
    monkeypatch.setattr(stages, "data_root", lambda profile: Path(f"runs/{profile.seed}"))
    assert main(["data", "sample", "--out", str(tmp_path), "--seed", "3"]) == 0
    assert made == [(tmp_path, 3)]
    assert main(["data", "sample", "--seed", "4"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path), str(Path("runs/4"))]


def test_voc_commands(monkeypatch, tmp_path, capsys):
    calls = []
    monkeypatch.setattr(
        pascal, "prepare_voc2012", lambda out, workers: calls.append((out, workers)) or out / "12"
    )
    monkeypatch.setattr(pascal, "prepare_voc2007", lambda out: calls.append(out) or out / "07")
    assert main(["data", "voc2012", "--out", str(tmp_path), "--workers", "3"]) == 0
    assert main(["data", "voc2007", "--out", str(tmp_path)]) == 0
    assert calls == [(tmp_path, 3), tmp_path]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "12"), str(tmp_path / "07")]


def test_coco_command(monkeypatch, tmp_path, capsys):
    calls = []

    def convert(*arguments) -> Written:
        calls.append(arguments)
        return Written(["a"], 2, 1, 3)

    monkeypatch.setattr(coco, "convert_coco", convert)
    found = {"train": (Path("t.json"), Path("t")), "val": (Path("v.json"), Path("v"))}
    monkeypatch.setattr(coco, "download_coco", lambda folder: calls.append(folder) or found)
    words = ["data", "coco2017", "--out", str(tmp_path)]
    own = ["--annotations", "a.json", "--images", "i", "--split", "mine"]
    assert main([*words, *own, "--keep-empty"]) == 0
    assert calls.pop() == (Path("a.json"), Path("i"), tmp_path, "mine", True, None)
    assert "mine: 1 photograph, 2 boxes, 1 crowd; 3 photographs" in capsys.readouterr().out
    assert main([*words, "--download"]) == 0
    assert calls[0] == tmp_path / "download"
    assert [call[:4] for call in calls[1:]] == [
        (Path("t.json"), Path("t"), tmp_path, "train"),
        (Path("v.json"), Path("v"), tmp_path, "val"),
    ]
    for wrong in ([*words, *own, "--download"], words, [*words, *own[:4]]):
        assert main(wrong) == 2
        assert "or --download alone" in capsys.readouterr().err


def test_own_boxes_from_the_command_line_to_a_data_set(tmp_path, capsys):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.jpg")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,xmin,ymin,xmax,ymax,class\na.jpg,2,2,8,8,cat\n")
    words = ["data", "import", "--format", "csv", "--boxes", str(boxes), "--images", str(tmp_path)]
    out = ["--out", str(tmp_path / "out")]
    assert main([*words, *out, "--convention", "voc"]) == 0
    assert VocDataset(tmp_path / "out", "train")[0]["boxes"].tolist() == [[1, 1, 8, 8]]
    assert main(["data", "verify", "--data", str(tmp_path / "out")]) == 0
    boxes.write_text("image,xmin,ymin,xmax,ymax,class\na.jpg,2,2,80,8,cat\n")
    capsys.readouterr()
    assert main([*words, *out]) == 2
    message = last_words(capsys)
    assert message.startswith(f"bana: {boxes}:2: box (2, 2, 80, 8)") and message.count("\n") == 1


def test_shards_from_the_command_line_and_back(tmp_path, capsys):
    root = write_folder(tmp_path / "voc", ["a", "b", "c"])
    shards, back = tmp_path / "shards", tmp_path / "back"
    words = ["data", "pack", "--data", str(root), "--out", str(shards)]
    assert main([*words, "--shard-images", "2"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("train: 3 images, 2 shards of 0.") and last == str(shards)
    assert main(["data", "unpack", str(shards), "--out", str(back)]) == 0
    assert capsys.readouterr().out.splitlines() == ["train: photographs of 3 images", str(back)]
    assert contents(back) == contents(root)
    assert main(words) == 2
    assert last_words(capsys) == (
        f"bana: --out {shards}: holds finished shards: name another folder, or remove it\n"
    )
    (shards / "train-000001.tar").write_bytes(b"")
    assert main(["data", "unpack", str(shards), "--out", str(back)]) == 2
    message = last_words(capsys)
    assert "train-000001.tar: has 0 bytes" in message and message.count("\n") == 1
    one = tmp_path / "one"
    assert main([*words[:-1], str(one), "--shard-bytes", "1"]) == 0
    assert len(list(one.glob("*.tar"))) == 3


def test_a_seed_below_0_is_refused_by_name(capsys):
    with pytest.raises(SystemExit) as end:
        main(["data", "sample", "--seed", "-1"])
    assert end.value.code == 2
    assert "argument --seed: -1: at least 0, a whole number" in last_words(capsys)


@pytest.mark.parametrize("words", [["--workers", "0"], ["--workers", "x"], ["--split"]])
def test_wrong_words(words):
    with pytest.raises(SystemExit) as end:
        main(["data", "verify", *words])
    assert end.value.code == 2


@pytest.mark.parametrize(
    "name",
    ["JPEGImages/a.jpg", "Annotations/new.json", "SegmentationObject/a.png", "classes.txt", "."],
)
def test_a_report_is_never_written_over_the_data_set(name, tmp_path, monkeypatch, capsys):
    root = write_folder(tmp_path / "voc", ["a"])
    before = contents(root)
    monkeypatch.chdir(tmp_path)
    assert main(["data", "verify", "--data", "voc", "--json", f"voc/{name}"]) == 2
    told = f"bana: --json {Path('voc', name)}: lies in the data set voc itself: name a file"
    assert last_words(capsys).startswith(told) and contents(root) == before
    assert main(["data", "verify", "--data", "voc", "--json", "voc/report.json"]) == 0
    assert json.loads((root / "report.json").read_text())["errors"] == 0


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    Image.new("RGB", (20, 10)).save(tmp_path / "a.jpg")
    file = {"images": [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 10}]}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}
    file |= {"annotations": [box], "categories": [{"id": 1, "name": "cat"}]}
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(file))
    words = ["data", "import", "--format", "coco", "--boxes", str(path), "--images", str(tmp_path)]
    # A file where a folder should be: no folder can be made there, whoever runs the test.
    assert main([*words, "--out", str(tmp_path / "a.jpg" / "out")]) == 2
    message = last_words(capsys)
    assert message.startswith("bana: ") and message.count("\n") == 1


def test_every_command_has_its_own_action():
    names = [name for name in vars(data) if name.startswith("_") and name[1:] in COMMANDS]
    assert len(names) == len(COMMANDS)
