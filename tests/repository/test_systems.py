"""Windows, macOS and Linux: what differs between them is named, or made not to matter."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import torch
import yaml
from _pytest.mark.expression import Expression
from as_windows import FUNCTIONS, MODULES, SIGNALS, like_windows, refuse_open
from made_data import write_voc
from photos import write_photo
from torch.utils.data import DataLoader

from bana.data.layout import Box, Photograph, write_photographs
from bana.data.transforms import Crops, collate, draw_order, training_transform
from bana.data.voc import VocDataset, read_mask, write_mask
from bana.files.artefacts import load_checkpoint, save_checkpoint
from bana.files.paths import repo_root
from bana.training.engine import begin_worker

REPO = repo_root()
SOURCES = sorted(
    path.relative_to(REPO).as_posix()
    for folder in ("bana", "tools", "benchmarks", "docs/site")
    for path in (REPO / folder).rglob("*.py")
)
WORKFLOW = yaml.safe_load((REPO / ".github/workflows/systems.yml").read_text(encoding="utf-8"))
JOB = WORKFLOW["jobs"]["fast"]
COMMANDS = [step["run"] for step in JOB["steps"] if "run" in step]
(SELECTION,) = re.findall(r'pytest tests .*-m "([^"]+)"', "\n".join(COMMANDS))


# Text


def unnamed(code: str) -> Iterator[str]:
    """Calls that read or write text in whatever encoding, or with whatever line ends, a system has.

    Line ends are to be named by what writes a text at once; who opens a file for writing names
    them unless the mode is only "r".
    """
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        named = {keyword.arg for keyword in node.keywords}
        lacking = []
        if name in ("read_text", "write_text"):
            given = "encoding" in named or len(node.args) > (name == "write_text")
            lacking = [] if given else ["encoding"]
            lacking += ["newline"] if name == "write_text" and "newline" not in named else []
        elif name in ("open", "TemporaryFile", "NamedTemporaryFile", "fdopen"):
            owner = getattr(node.func, "value", None)
            owner = getattr(owner, "id", getattr(owner, "attr", ""))
            if owner in ("os", "Image", "tarfile", "TarFile"):
                continue
            mode = _mode(node, name)
            if "b" not in mode:
                lacking = [] if "encoding" in named else ["encoding"]
                lacking += ["newline"] if mode != "r" and "newline" not in named else []
        elif name in ("run", "Popen", "check_output"):
            text = {"text", "universal_newlines"} & named
            lacking = ["encoding"] if text and "encoding" not in named else []
        if lacking:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _mode(call: ast.Call, name: str) -> str:
    given = [*call.args, *(k.value for k in call.keywords if k.arg == "mode")]
    inside = [node for each in given for node in ast.walk(each) if isinstance(node, ast.Constant)]
    words = [node.value for node in inside if isinstance(node.value, str)]
    default = "r" if name in ("open", "fdopen") else "w+b"
    return next((word for word in words if set(word) <= set("rwaxbt+")), default)


@pytest.mark.parametrize("path", SOURCES)
def test_text_has_an_encoding_and_line_ends(path: str) -> None:
    assert list(unnamed((REPO / path).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("code", "many"),
    [
        ('path.read_text(encoding="utf-8")', 0),
        ('path.read_text("utf-8")', 0),
        ("path.read_text()", 1),
        ('path.write_text(text, encoding="utf-8")', 1),
        ('path.write_text(text, newline="")', 1),
        ('path.write_text(text, "utf-8", newline="")', 0),
        ('path.open("rb")', 0),
        ("open(path)", 1),
        ('open(path, mode="w", encoding="utf-8")', 1),
        ('path.open("a", encoding="utf-8", newline="")', 0),
        ("tempfile.TemporaryFile()", 0),
        ('tempfile.TemporaryFile("w+")', 1),
        ("subprocess.run(words, text=True)", 1),
        ('subprocess.run(words, text=True, encoding="utf-8")', 0),
        ("subprocess.run(words)", 0),
    ],
)
def test_what_text_lacks_is_found(code: str, many: int) -> None:
    assert len(list(unnamed(code))) == many


PRINTING = """
import sys
from pathlib import Path
from bana.commands.main import main

root = Path(sys.argv[1])
for words in ([], ["data"], ["data", "import"], ["masks"], ["train"], ["label"], ["course"]):
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert end.code == 0, words
boxes = ["--format", "csv", "--images", str(root), "--boxes", str(root / "boxes.csv")]
assert main(["data", "import", *boxes, "--out", str(root / "\\u6b96")]) == 0
assert main(["data", "verify", "--data", str(root / "\\u6b96")]) in (0, 1)
assert main(["data", "import", *boxes, "--out", str(root)]) == 2
assert main(["data", "verify", "--data", str(root / "\\u6b97")]) == 2
"""


def test_a_console_of_few_letters_shows_the_others_by_number(tmp_path: Path) -> None:
    """What goes into a pipe or a file on Windows is cp1252, unless Python is told otherwise."""
    write_photo(tmp_path / "zażółć \u6b96.jpg")
    text = "image,xmin,ymin,xmax,ymax,class\nzażółć \u6b96.jpg,5,5,40,40,łoś\n"
    (tmp_path / "boxes.csv").write_text(text, encoding="utf-8")
    variables = {**os.environ, "PYTHONIOENCODING": "cp1252:strict", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PRINTING, str(tmp_path)], capture_output=True, env=variables
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    told = (done.stdout + done.stderr).decode("cp1252")
    assert r"\u6b96" in told and "UnicodeEncodeError" not in told and "Traceback" not in told
    assert (tmp_path / "\u6b96" / "classes.txt").read_bytes() == "background\nłoś\n".encode()


# What is not there


IMPORTING = """
import os, signal, subprocess, sys, pkgutil, importlib
import matplotlib, platformdirs, psutil  # which ask the system what it is
matplotlib.use("agg")
modules, functions, signals = (words.split(",") for words in sys.argv[1:])
for name in modules:
    sys.modules[name] = None
for holder, names in ((os, functions), (signal, signals)):
    for name in names:
        if hasattr(holder, name):
            delattr(holder, name)
import bana
for found in pkgutil.walk_packages(bana.__path__, "bana."):
    if not found.name.endswith(("__main__", "widget.live")):
        importlib.import_module(found.name)
from bana.files import alone
assert alone.fcntl is None
"""


def test_every_module_is_imported_without_what_windows_lacks() -> None:
    functions = (*FUNCTIONS, "getuid", "geteuid")  # pytest itself would miss these two
    lists = [",".join(names) for names in (MODULES, functions, SIGNALS)]
    done = subprocess.run([sys.executable, "-c", IMPORTING, *lists], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_data_and_checkpoints_without_links_and_with_files_that_are_in_use(tmp_path: Path) -> None:
    original = write_photo(tmp_path / "photos" / "a.jpg")
    photograph = Photograph("a", original, "a", [Box("cat", (5, 5, 40, 40), "a")], [])
    with like_windows() as patch:
        for _ in range(2):  # the second time over what is there
            write_photographs(tmp_path / "voc", "train", [photograph], workers=1)
            write_mask(tmp_path / "mask.png", torch.zeros(4, 4, dtype=torch.uint8))
            assert int(read_mask(tmp_path / "mask.png").sum()) == 0
            save_checkpoint(tmp_path / "a.pt", "key", {"weight": torch.ones(1000)})
            held = load_checkpoint(tmp_path / "a.pt", "key")
            assert held is not None and VocDataset(tmp_path / "voc", "train")[0]["id"] == "a"
        patch.undo()
    copied = tmp_path / "voc" / "JPEGImages" / "a.jpg"
    assert copied.read_bytes() == original.read_bytes() and not copied.samefile(original)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks /proc what is open")
def test_the_guard_sees_open_and_mapped_files(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"a": torch.ones(100)}, path)
    refuse_open(path)
    with path.open("rb"), pytest.raises(PermissionError, match="a.pt"):
        refuse_open(path)
    mapped = torch.load(path, mmap=True)
    with pytest.raises(PermissionError, match=re.escape(str(tmp_path))):
        refuse_open(tmp_path)  # which holds it
    del mapped


def test_crops_reach_a_worker_that_is_spawned(tmp_path: Path) -> None:
    """Windows and macOS spawn the workers of a loader."""
    masks = [torch.ones(60, 80, dtype=torch.uint8)] * 2
    root = write_voc(tmp_path, masks, [[(5, 5, 40, 40, "cat")]] * 2, ["background", "cat"])
    crops = Crops(VocDataset(root, "train"), training_transform(48), 0)
    order = draw_order(2, 2, seed=0)
    ForkingPickler.dumps((crops, collate, begin_worker))
    loaders = [
        DataLoader(
            crops,
            batch_size=2,
            sampler=order,
            collate_fn=collate,
            num_workers=workers,
            worker_init_fn=begin_worker,
            multiprocessing_context="spawn" if workers else None,
        )
        for workers in (0, 1)
    ]
    (here,), (there,) = (list(loader) for loader in loaders)
    assert here["ids"] == there["ids"] and torch.equal(here["image"], there["image"])


# The workflow and the page


def test_the_workflow_runs_three_systems_and_every_python() -> None:
    matrix = JOB["strategy"]["matrix"]
    assert matrix["system"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    project = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    promised = re.findall(r'Python :: (3\.\d+)"', project)
    assert matrix["python"] == promised and JOB["timeout-minutes"] <= 20
    assert WORKFLOW[True].keys() == {"push", "pull_request", "workflow_dispatch"}  # "on"
    for command in COMMANDS:
        assert command.startswith("python -m "), "Windows has neither make nor bash"
        assert "\n" not in command


def test_the_selection_is_not_empty(request: pytest.FixtureRequest) -> None:
    declared = {line.partition(":")[0] for line in request.config.getini("markers")}
    assert set(re.findall(r"\w+", SELECTION)) - {"not", "and", "or"} <= declared
    wanted = Expression.compile(SELECTION)
    fast = [item for item in request.session.items if wanted.evaluate(marks_of(item))]
    assert request.node in fast
    left = [item for item in request.session.items if item not in set(fast)]
    assert all(set(marks(item)) & {"slow", "notebooks", "photographs"} for item in left)


def marks(item: pytest.Item) -> list[str]:
    return [mark.name for mark in item.iter_markers()]


def marks_of(item: pytest.Item):
    return lambda name, **options: name in marks(item)


def test_the_page_has_every_command_that_make_runs() -> None:
    recipe = (REPO / "Makefile").read_text(encoding="utf-8").split("\ntest: ")[1].split("\n\n")[0]
    page = (REPO / "docs" / "setup.md").read_text(encoding="utf-8")
    (shell,) = re.findall(r"```powershell\n(.+?)```", page, re.DOTALL)
    commands = [line.strip().removeprefix("$(BIN)/") for line in recipe.splitlines()[1:]]
    assert len(commands) == 6
    for command in commands:
        windows = re.sub(r"(?<=\w)/(?=\w)", r"\\", command)
        assert f".venv\\Scripts\\{windows}\n" in shell


def test_every_text_has_the_same_line_ends_on_every_system() -> None:
    """Git may give Windows other ones; then hashes of bytes, and tests of them, would differ."""
    rules = (REPO / ".gitattributes").read_text(encoding="utf-8").splitlines()
    assert "* text=auto eol=lf" in rules
