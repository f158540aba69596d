"""Which code counts: what a module imports, wherever, and nothing that only readers see."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bana.files import sources
from bana.files.sources import code_hash, source_hash

MODULES = {
    "bana/__init__.py": 'HOMES = {"area": "shapes.plane"}\n',
    "bana/first.py": "from bana.shapes import plane\n",
    "bana/late.py": "def f():\n    from bana.shapes.plane import area\n    return area\n",
    "bana/typed.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bana import first\n"
    ),
    "bana/apart.py": "import math\n",
    "bana/shapes/__init__.py": "",
    "bana/shapes/plane.py": 'def area(a):\n    """Of a square."""\n    return a * a  # m²\n',
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """A small package in place of the real one; what is read of it is forgotten in the end."""
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "bana")
    monkeypatch.setattr(sources, "HOMES", {"area": "shapes.plane"})
    forget()
    yield tmp_path / "bana"
    forget()


def forget() -> None:
    sources._code.cache_clear()
    sources._imports_of_module.cache_clear()


def hashes() -> dict[str, str]:
    forget()
    return {name: source_hash(f"bana.{name}") for name in ("first", "late", "typed", "apart")}


def test_a_module_counts_wherever_it_is_imported(package: Path) -> None:
    before = hashes()
    plane = package / "shapes" / "plane.py"
    plane.write_text(plane.read_text().replace("a * a", "a ** 2"))
    after = hashes()
    assert {name for name in before if before[name] != after[name]} == {"first", "late"}


@pytest.mark.parametrize(("old", "new"), [("square", "plane square"), ("  # m²", ""), (" * ", "*")])
def test_words_and_layout_do_not_count(old: str, new: str, package: Path) -> None:
    before = hashes()
    plane = package / "shapes" / "plane.py"
    text = plane.read_text(encoding="utf-8")
    plane.write_text(text.replace(old, new), encoding="utf-8")
    assert plane.read_text(encoding="utf-8") != text
    assert hashes() == before


@pytest.mark.parametrize(
    "source",
    [
        "from bana import area",
        "import bana\nbana.area(2)",
        "import bana.shapes.plane",
        "if True:\n    from bana.first import plane",
    ],
)
def test_code_depends_on_what_it_imports(source: str, package: Path) -> None:
    forget()
    before = code_hash(source)
    plane = package / "shapes" / "plane.py"
    plane.write_text(plane.read_text().replace("a * a", "a ** 2"))
    forget()
    assert code_hash(source) != before
    assert code_hash("import math") == code_hash("import bananas")


def test_the_face_is_no_code(package: Path) -> None:
    before = code_hash("from bana import area")
    (package / "__init__.py").write_text("HOMES = {}\nNEW = 1\n")
    forget()
    assert code_hash("from bana import area") == before


def test_a_new_loss_is_no_reason_to_train_classifiers_anew() -> None:
    modules = sources._with_imports({"bana.experiment.classifying"})
    assert {"bana.bap", "bana.training.classification", "bana.data.voc"} <= set(modules)
    assert not {"bana.losses", "bana.training.segmentation", "bana.labels"} & set(modules)


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        source_hash("bana.nowhere")
