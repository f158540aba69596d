"""The runner on two small notebooks: what makes them stale, and what a failure looks like."""

import os
import sys
import time
from pathlib import Path

import nbformat
import pytest

from bana.course import notebook_io, runner
from bana.course.notebook_io import NotebookError
from bana.files import sources
from bana.files.paths import figures_dir

PARAMETERS = 'profile = "sample"'


def write(path: Path, *sources: str) -> None:
    cells = [nbformat.v4.new_markdown_cell("# A notebook"), nbformat.v4.new_code_cell(PARAMETERS)]
    cells[1].metadata.tags = ["parameters"]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> runner.Course:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    source = tmp_path / "notebooks"
    source.mkdir()
    write(source / "00_first.ipynb", "print(profile)")
    write(source / "01_second.ipynb", "import sys\nprint('bar', file=sys.stderr)\nprint('two')")
    return runner.Course("smoke", None, source)


def fake_execution(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace papermill: the notebooks that would have been executed are listed, in order."""
    ran: list[str] = []

    def execute(source: str, target: str, **_: object) -> None:
        ran.append(Path(source).stem[:2])
        Path(target).write_bytes(Path(source).read_bytes())

    monkeypatch.setattr(runner.papermill, "execute_notebook", execute)
    return ran


def test_a_second_run_executes_nothing(course, monkeypatch):
    ran = fake_execution(monkeypatch)
    assert runner.run_course(course) == 0
    assert ran == ["00", "01"]
    assert runner.run_course(course) == 0
    assert ran == ["00", "01"]


def edit(path: Path, cell: int, source: str) -> None:
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[cell].source = source
    nbformat.write(notebook, path)


@pytest.mark.parametrize(
    ("cell", "source", "expected"),
    [(0, "# Other words", []), (2, "print(profile, 2)", ["00"]), (1, 'profile = "smoke"', ["00"])],
    ids=["text", "code", "parameters"],
)
def test_code_makes_a_notebook_stale_and_text_does_not(course, monkeypatch, cell, source, expected):
    ran = fake_execution(monkeypatch)
    runner.run_course(course)
    ran.clear()
    edit(course.source / "00_first.ipynb", cell, source)
    runner.run_course(course)
    assert ran == expected


def test_a_module_makes_those_stale_that_import_it(course, monkeypatch, tmp_path, capsys):
    package = tmp_path / "bana"
    package.mkdir()
    for name, text in {"__init__": "", "method": "answer = 42\n", "front": "print(1)\n"}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.setattr(sources, "PACKAGE", package)
    write(course.source / "00_first.ipynb", "from bana.method import answer")
    ran = fake_execution(monkeypatch)
    runner.run_course(course)
    for module, expected in (("front", []), ("method", ["00"])):
        ran.clear()
        (package / f"{module}.py").write_text("answer = 43\n")
        sources._imports_of_module.cache_clear()
        runner.run_course(course)
        assert ran == expected
    assert "package source changed" in capsys.readouterr().out
    sources._imports_of_module.cache_clear()


def test_a_record_makes_those_stale_that_name_it(course, monkeypatch, tmp_path, capsys):
    records = tmp_path / "results"
    records.mkdir()
    for name in ("noise", "other"):
        (records / f"{name}.json").write_text("{}")
    monkeypatch.setattr(runner, "results_dir", lambda: records)
    write(course.source / "00_first.ipynb", 'print("noise.json")')
    ran = fake_execution(monkeypatch)
    runner.run_course(course)
    for name, expected in (("other", []), ("noise", ["00"])):
        ran.clear()
        (records / f"{name}.json").write_text("[1]")
        runner.run_course(course)
        assert ran == expected
    assert "records changed" in capsys.readouterr().out


def test_data_makes_stale(course, monkeypatch, tmp_path):
    ran = fake_execution(monkeypatch)
    runner.run_course(course)
    (root,) = (tmp_path / "runs").glob("sample-*")
    paths = [
        root / "Annotations" / "val_0000.xml",
        root / "SegmentationClass" / "train_0001.png",
        root / "SegmentationObject" / "val_0000.png",
        root / "JPEGImages" / "train_0000.jpg",
        root / "ImageSets" / "Segmentation" / "val.txt",
    ]
    for path in paths:
        ran.clear()
        end = b"" if path.suffix == ".txt" else b"val_0000\n"  # no id twice in a list
        path.write_bytes(path.read_bytes()[:-9] + end)
        runner.run_course(course)
        runner.run_course(course)
        assert ran == ["00", "01"], path


def test_lost_outputs_and_figures_are_made_again(course, monkeypatch, tmp_path):
    ran: list[str] = []
    figure = figures_dir("smoke") / "teaser.png"

    def execute(source: str, target: str, **_: object) -> None:
        ran.append(Path(source).stem[:2])
        Path(target).write_bytes(Path(source).read_bytes())
        if "00_" in source:
            figure.parent.mkdir(parents=True, exist_ok=True)
            figure.write_bytes(b"a figure")

    monkeypatch.setattr(runner.papermill, "execute_notebook", execute)
    runner.run_course(course)
    ran.clear()
    figure.unlink()
    runner.run_course(course)
    assert ran == ["00"]
    ran.clear()
    (course.executed / "01_second.ipynb").unlink()
    runner.run_course(course)
    assert ran == ["01"]


def test_only_and_force(course, monkeypatch):
    ran = fake_execution(monkeypatch)
    runner.run_course(course, only="01")
    assert ran == ["01"]
    runner.run_course(course, only="01", force=True)
    assert ran == ["01", "01"]
    with pytest.raises(NotebookError, match="no notebook that starts with '07'"):
        runner.run_course(course, only="07")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere doit cannot fork what is patched")
def test_of_notebooks_beside_each_other_none_starts_before_what_it_needs(
    course, monkeypatch, tmp_path
):
    for number in ("03", "04", "05", "07"):
        write(course.source / f"{number}_more.ipynb", "1")
    log = tmp_path / "log"

    def execute(source: str, target: str, **_: object) -> None:
        number = Path(source).stem[:2]
        with log.open("a") as opened:
            opened.write(f"{number} begins\n")
        time.sleep(0.3)
        with log.open("a") as opened:
            opened.write(f"{number} ends\n")
        Path(target).write_bytes(Path(source).read_bytes())

    monkeypatch.setattr(runner.papermill, "execute_notebook", execute)
    assert runner.run_course(course, beside=2) == 0
    lines = log.read_text().splitlines()
    assert sorted(line for line in lines if "begins" in line) == [
        f"{number} begins" for number in ("00", "01", "03", "04", "05", "07")
    ]
    for number, needs in runner.AFTER.items():
        for other in needs:
            if f"{number} begins" in lines and f"{other} ends" in lines:
                assert lines.index(f"{other} ends") < lines.index(f"{number} begins")
    assert lines.index("01 begins") < lines.index("00 ends")
    assert lines.index("05 begins") < lines.index("04 ends")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        runner.run_course(course, beside=0)


def test_executes_reports_and_publishes(course, capfd):
    """The one test that starts kernels: a good run, its publication, then a failing cell."""
    second = course.source / "01_second.ipynb"
    assert runner.run_course(course, beside=2) == 0
    assert runner.publish_course(course) == ["00_first.ipynb", "01_second.ipynb"]
    cells = notebook_io.code_cells(notebook_io.read_notebook(second))
    assert [cell.execution_count for cell in cells] == [1, 2]
    assert [(o.name, o.text) for o in cells[1].outputs] == [("stdout", "two\n")]
    first = notebook_io.code_cells(notebook_io.read_notebook(course.source / "00_first.ipynb"))
    assert first[1].outputs[0].text == "smoke\n"
    assert runner.publish_course(course) == []

    edit(second, 2, "half = 1 / 2\nhalf / 0")
    assert runner.run_course(course, beside=2) == 1
    printed = capfd.readouterr()
    assert "FAILED 01_second.ipynb" in printed.out
    assert "half = 1 / 2" in printed.out
    assert "ZeroDivisionError: float division by zero" in printed.out
    assert "without encryption" not in printed.out + printed.err
    with pytest.raises(NotebookError, match="changed since the run"):
        runner.publish_course(course)


def test_errors_name_the_notebook(course):
    write(course.source / "02_third.ipynb", "1")
    edit(course.source / "02_third.ipynb", 1, "profile = open('x')")
    with pytest.raises(NotebookError, match="02_third.ipynb: parameters cell, line 1"):
        runner.run_course(course)


def test_data_is_checked_before_anything_runs(monkeypatch):
    monkeypatch.delenv("BANA_VOC_ROOT", raising=False)
    with pytest.raises(ValueError, match="unknown profile"):
        runner.make_course("smal")
    with pytest.raises(ValueError, match="draws its own data"):
        runner.make_course("sample", Path("anything"))
    with pytest.raises(ValueError, match="BANA_VOC_ROOT"):
        runner.make_course("voc-mini")


def test_kernels_beside_each_other_share_the_cores(monkeypatch):
    """Two kernels with a thread a core each take several times as long for the same maps."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(runner.os, "cpu_count", lambda: 8)
    for beside, threads in ((1, None), (2, "4"), (16, "1")):
        with runner._kernel_environment(beside):
            assert os.environ.get("OMP_NUM_THREADS") == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with runner._kernel_environment(2):
        assert os.environ["OMP_NUM_THREADS"] == "3"
