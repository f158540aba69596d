"""What the commands do not do: run code out of files, and ask the network where nobody said so."""

import ast
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from photos import csv_of, write_photo
from tiny import be_quick, make_profile

from bana.commands.main import main
from bana.experiment import profiles, stages
from bana.files.paths import repo_root

REPO = repo_root()
SOURCES = sorted(
    path for folder in ("bana", "benchmarks", "tools") for path in (REPO / folder).rglob("*.py")
)
# A process reads there what the one that started it has just sent, and no file.
OWN_BYTES = {("bana/experiment/processes.py", "unpacked")}
RUNS_CODE = {
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "joblib.load",
    "dill.load",
    "dill.loads",
    "marshal.loads",
    "shelve.open",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "eval",
    "exec",
}


NAMES = {name.rpartition(".")[2] for name in RUNS_CODE} | {"load", "get_state_dict"}


def notebook_code() -> Iterator[tuple[str, str]]:
    for path in sorted((REPO / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        lines = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield path.relative_to(REPO).as_posix(), "\n".join(lines)


def code() -> Iterator[tuple[str, str]]:
    for path in SOURCES:
        yield path.relative_to(REPO).as_posix(), path.read_text(encoding="utf-8")
    yield from notebook_code()


class _Calls(ast.NodeVisitor):
    """Calls that may run code out of what they read, with the function in which they stand."""

    def __init__(self) -> None:
        self.function = ""
        self.found: list[tuple[str, str]] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before, self.function = self.function, node.name
        self.generic_visit(node)
        self.function = before

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if getattr(node.func, "attr", getattr(node.func, "id", "")) not in NAMES:
            return
        called = ast.unparse(node.func)
        words = {word.arg: ast.unparse(word.value) for word in node.keywords}
        safe = called not in RUNS_CODE
        if called == "torch.load" or called.endswith("get_state_dict"):
            safe = words.get("weights_only") == "True"
        if called in ("np.load", "numpy.load"):
            safe = words.get("allow_pickle", "False") == "False"
        if not safe:
            self.found.append((self.function, f"line {node.lineno}: {called}"))


def at_fault(name: str, source: str) -> list[str]:
    """Calls that may run code out of what they read."""
    calls = _Calls()
    calls.visit(ast.parse(source))
    return [
        f"{name}, {told}" for function, told in calls.found if (name, function) not in OWN_BYTES
    ]


def test_nothing_runs_code_out_of_a_file() -> None:
    assert [fault for name, source in code() for fault in at_fault(name, source)] == []


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "def f():\n    def _start():\n        torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "pickle.loads(data)",
        "yaml.load(text, Loader)",
        "weights.get_state_dict(progress=True)",
    ],
)
def test_code_that_would_is_noticed(source: str) -> None:
    assert len(at_fault("bana/files/artefacts.py", source)) == 1


class Asked(AssertionError):
    """Somebody asked the network."""


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*arguments, **options) -> None:
        raise Asked(f"the network was asked: {arguments}")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, ask)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, ask)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of photographs with boxes, and of runs under the profile "tiny"."""
    root = tmp_path_factory.mktemp("offline")
    write_photo(root / "im/a.jpg")
    csv_of(root / "boxes.csv", [["a.jpg", 20, 10, 60, 50, "cat"]])
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        patch.setenv("BANA_RUNS", str(root / "runs"))
        # What works in this process alone: sockets of others are not watched.
        tiny = make_profile(losses=("nal",), label_workers=1, train_workers=1)
        patch.setitem(profiles.PROFILES, "tiny", tiny)
        stages.data_root(make_profile())
        yield root


COMMANDS = {
    "import": "data import --format csv --boxes {0}/boxes.csv --images {0}/im --out {0}/voc",
    "verify": "data verify --data {0}/voc",
    "boxes": "data export --data {0}/voc --format coco --out {0}/boxes.json",
    "pack": "data pack --data {0}/voc --split train --out {0}/shards",
    "unpack": "data unpack {0}/shards --out {0}/unpacked",
    "check": "check",
    "masks": "masks {0}/im --boxes {0}/boxes.csv --out {0}/masks --longest 64 --workers 1",
    "classifier": "train classifier --profile tiny",
    "label": "label --profile tiny --workers 1",
    "segmentation": "train segmentation --profile tiny",
    "export": "export --profile tiny --out {0}/results.json",
    "predict": "predict --profile tiny --images {0}/im --out {0}/predicted",
    "evaluate": "evaluate --profile tiny --out {0}/record.json",
    "regime": "regime --profile tiny --out {0}/card.json",
    "losses": "bench losses --profile tiny --tasks object --heads linear --losses crf nal"
    " --seeds 0 1 --epochs 1 --out {0}/losses.json",
    "noise": "bench noise --profile tiny --reaches 0 --seeds 0 1 --epochs 1 --out {0}/noise.json",
    "left-out": "bench left-out --profile tiny --experiments cams --out {0}/left-out.json",
    "figure": "figure background --profile tiny --out {0}/figures",
    "table": "table labels --profile tiny --out {0}/tables",
    "playground": "course playground --out {0}/playground.html",
    "course": "course build --out {0}/course",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_asks_the_network(name: str, made: Path, no_network: None) -> None:
    """In the order of the list, since each leaves what the next one needs."""
    assert main(COMMANDS[name].format(made).split()) in (0, 1)


def test_only_what_fetches_does(made: Path, no_network: None) -> None:
    with pytest.raises(Asked):
        main(["data", "voc2007", "--out", str(made / "voc2007")])
