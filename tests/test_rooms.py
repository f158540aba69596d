"""The package is six modules of the paper and rooms around them; imports point downwards."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bana.files.paths import repo_root

REPO = repo_root()
PACKAGE, TESTS = REPO / "bana", REPO / "tests"
PAPER = {"bap", "cam", "labels", "losses", "interpolation", "baselines"}
ROOMS = {"commands", "course", "crf", "data", "evaluation", "experiment", "files", "networks"}
ROOMS |= {"training"}
# Tests of no single module: about the package as a whole, and folders that mirror no room.
OF_THE_PACKAGE = {"test_face.py", "test_rooms.py", "test_shapes.py"}
NO_ROOMS = {"helpers", "repository"}
ACROSS_MODULES = {
    "data/test_hostile_inputs.py": "inputs that nobody would write, through every reader",
    "experiment/test_edited_data.py": "which stages an edit of the data makes anew",
    "experiment/test_semi_supervised.py": "true masks on their way from the data to the loss",
    "experiment/test_wiring.py": "every setting of a profile reaches what it is for",
}
# Modules without a test file of their own: where they are tested, and why there.
TESTED_ELSEWHERE = {
    "__main__": ("test_face.py", "it is started as a user starts it"),
    "commands/bench": ("commands/test_main.py", "commands are tested by their words"),
    "commands/course": ("commands/test_main.py", "commands are tested by their words"),
    "commands/evaluate": ("commands/test_main.py", "commands are tested by their words"),
    "commands/gallery": ("commands/test_main.py", "commands are tested by their words"),
    "commands/label": ("commands/test_main.py", "commands are tested by their words"),
    "commands/running": ("commands/test_main.py", "every command runs by it"),
    "commands/train": ("commands/test_main.py", "commands are tested by their words"),
    "course/environment": ("commands/test_main.py", "what `bana check` prints"),
    "course/colours": ("course/test_plotting.py", "colours are seen in figures"),
    "course/gallery/background": ("course/gallery/test_making.py", "every figure is drawn there"),
    "course/gallery/charts": ("course/gallery/test_making.py", "every figure is drawn there"),
    "course/gallery/diagram": ("course/gallery/test_making.py", "every figure is drawn there"),
    "course/gallery/items": ("course/gallery/test_making.py", "the list is gone through there"),
    "course/gallery/layout": ("course/gallery/test_making.py", "every figure is laid out by it"),
    "course/gallery/networks": ("course/gallery/test_making.py", "every figure is drawn there"),
    "course/gallery/scenes": ("course/gallery/test_making.py", "every figure is drawn there"),
    "course/gallery/shots": ("course/gallery/test_making.py", "every figure is drawn there"),
    "course/gallery/table_files": ("course/gallery/test_page.py", "publishing writes tables"),
    "course/notebook_io": ("course/test_runner.py", "a run reads and writes notebooks"),
    "crf/permutohedral": ("crf/test_dense.py", "the lattice beside the exact filter"),
    "data/layout": ("data/test_importing.py", "every import ends there"),
    "data/sample/objects": ("data/sample/test_make.py", "the scenes are what is promised"),
    "data/sample/paint": ("data/sample/test_make.py", "the scenes are what is promised"),
    "data/sample/scene": ("data/sample/test_make.py", "the scenes are what is promised"),
    "data/voc_files": ("data/test_voc.py", "a data set reads them"),
    "course/widget/pages": (
        "course/widget/test_playground.py",
        "a page and its frame, as both widgets have them",
    ),
    "experiment/benching": ("experiment/test_bench.py", "the bench from its data to its record"),
    "experiment/classifying": ("experiment/test_stages.py", "a stage from its data to its file"),
    "experiment/exhibits/cells": (
        "experiment/exhibits/test_table_items.py",
        "the tables are made of them",
    ),
    "experiment/exhibits/kept": ("course/gallery/test_making.py", "what is computed once"),
    "experiment/exhibits/label_tables": (
        "experiment/exhibits/test_table_items.py",
        "all tables are made there",
    ),
    "experiment/exhibits/measured": (
        "experiment/exhibits/test_table_items.py",
        "the tables are made of it",
    ),
    "experiment/exhibits/method": ("course/gallery/test_making.py", "on a run of its own"),
    "experiment/exhibits/network_tables": (
        "experiment/exhibits/test_table_items.py",
        "all tables are made there",
    ),
    "experiment/exhibits/sources": ("course/gallery/test_making.py", "on a run of its own"),
    "experiment/mask_folder": ("experiment/test_masking.py", "a run keeps and finds what is there"),
    "experiment/recording": ("experiment/test_stages.py", "a record of all stages"),
    "experiment/segmenting": ("experiment/test_stages.py", "a stage from its data to its file"),
    "experiment/tables": ("commands/test_main.py", "what `bana evaluate` prints"),
    "experiment/trained": ("experiment/test_stages.py", "what the two trained stages share"),
    "training/machine": ("training/test_engine.py", "the engine under each of its settings"),
    "training/runs": ("training/test_engine.py", "the engine writes the folder of a run"),
}


def names_of(folder: Path, pattern: str) -> Iterator[str]:
    """Paths below a folder, without ending, such as ``crf/dense``."""
    for path in sorted(folder.rglob(pattern)):
        yield path.relative_to(folder).with_suffix("").as_posix()


MODULES = {name for name in names_of(PACKAGE, "*.py") if not name.endswith("__init__")}


def test_six_modules_of_the_paper_and_the_rooms() -> None:
    found = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    files = {f"{name}.py" for name in PAPER | {"__init__", "__main__"}}
    assert found == ROOMS | files | {"pretrained"}
    # The weights that come along: no code lies beside them.
    endings = {path.suffix for path in (PACKAGE / "pretrained").iterdir()}
    assert endings == {".safetensors", ".json", ".md"}
    for room in ROOMS:
        docstring = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_bytes()))
        assert docstring, f"bana/{room}/__init__.py says what the room is for"


def test_every_test_file_has_its_module() -> None:
    for name in names_of(TESTS, "test_*.py"):
        folder, _, file = name.rpartition("/")
        if f"{name}.py" in OF_THE_PACKAGE | ACROSS_MODULES.keys() or folder in NO_ROOMS:
            continue
        module = f"{folder}/{file.removeprefix('test_')}".lstrip("/")
        assert module in MODULES, f"tests/{name}.py tests no module bana/{module}.py"
    assert all((TESTS / name).is_file() for name in OF_THE_PACKAGE | ACROSS_MODULES.keys())


def test_every_module_has_its_test_file() -> None:
    without = {
        module
        for module in MODULES
        if not (TESTS / module).with_name(f"test_{Path(module).name}.py").is_file()
    }
    assert without == TESTED_ELSEWHERE.keys()
    for tests, _ in TESTED_ELSEWHERE.values():
        assert (TESTS / tests).is_file(), tests


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """The contracts of pyproject.toml, on the package in a folder."""
    code = "from importlinter.cli import lint_imports_command as main; main(['--no-cache'])"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(REPO / "pyproject.toml", folder)
    shutil.copytree(PACKAGE, folder / "bana", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_imports_point_downwards(copied: Path) -> None:
    done = lint(copied)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "told"),
    [
        ("bap.py", "from bana.experiment import profiles", "bana.bap -> bana.experiment.profiles"),
        ("training/runs.py", "import bana.evaluation.miou", "bana.training.runs -> bana.evalua"),
        ("data/boxes.py", "def f(): import bana.losses", "bana.data.boxes -> bana.losses"),
        ("course/claims.py", "import bana.commands.main", "bana.course.claims -> bana.commands"),
        ("labels.py", "from bana import train_classifier", "bana.labels -> bana"),
        ("attic.py", "", "bana.attic"),
    ],
)
def test_an_import_that_points_elsewhere_is_noticed(
    module: str, line: str, told: str, copied: Path
) -> None:
    path = copied / "bana" / module
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    try:
        done = lint(copied)
    finally:
        path.unlink() if before is None else path.write_text(before, encoding="utf-8")
    assert done.returncode == 1
    assert told in " ".join(done.stdout.split())


BELOW = sorted(
    name for name in MODULES if name.split("/")[0] not in {"experiment", "course", "commands"}
)


@pytest.mark.parametrize("module", BELOW)
def test_no_module_below_the_experiments_takes_a_profile(module: str) -> None:
    """A function takes the settings that it uses, and can be called without the other forty."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_bytes())
    notes = [
        node.annotation for node in ast.walk(tree) if isinstance(node, ast.arg | ast.AnnAssign)
    ]
    notes += [node.returns for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for note in filter(None, notes):
        assert "Profile" not in ast.unparse(note), f"line {note.lineno}"
    for argument in (node for node in ast.walk(tree) if isinstance(node, ast.arg)):
        if argument.arg in ("profile", "profiles", "profile_name"):
            note = argument.annotation
            assert note and ast.unparse(note) == "str", f"line {argument.lineno}"
