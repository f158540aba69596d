"""`import bana`: its names, what it costs, and what `help(bana)` and `python -m bana` say."""

import pydoc
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import bana

PACKAGE = Path(bana.__file__).parent
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def in_a_new_process(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


@pytest.mark.parametrize("name", bana.__all__)
def test_a_name_is_the_object_of_its_home(name: str) -> None:
    value = getattr(import_module(f"bana.{bana.HOMES[name]}"), name)
    assert getattr(bana, name) is value
    # The home is where it is defined, not a module that merely imports it.
    assert value.__module__ == f"bana.{bana.HOMES[name]}"


def test_the_names_are_a_handful_and_dir_knows_them() -> None:
    assert len(bana.__all__) <= 26
    assert set(bana.__all__) == set(bana.HOMES) <= set(dir(bana))
    # A submodule of the same name would hide the function, or the function the submodule.
    assert not {path.stem for path in PACKAGE.iterdir()} & set(bana.HOMES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'bana' has no attribute 'pool_box'"):
        _ = bana.pool_box
    with pytest.raises(ImportError, match="pool_box"):
        exec("from bana import pool_box")


def test_names_and_modules_are_imported_side_by_side() -> None:
    code = "from bana import labels, pool_boxes, crf; import bana.losses; "
    code += "assert bana.labels is labels and bana.crf is crf; "
    code += "assert pool_boxes is bana.bap.pool_boxes and bana.losses.agreement"
    done = in_a_new_process("-c", code)
    assert done.returncode == 0, done.stderr


def test_star_brings_the_names() -> None:
    names: dict[str, object] = {}
    exec("from bana import *", names)
    assert set(bana.__all__) == names.keys() - {"__builtins__"}


def test_import_brings_no_torch() -> None:
    code = (
        "import sys, bana; dir(bana); sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    )
    done = in_a_new_process("-c", code)
    assert done.returncode == 0, done.stderr


def test_the_package_is_the_command() -> None:
    done = in_a_new_process("-m", "bana", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: bana ")
    done = in_a_new_process("-m", "bana", "run", "--profile", "smal")
    assert done.returncode == 2
    assert done.stderr.startswith("bana: unknown profile 'smal'")


def test_help_is_a_table_of_contents() -> None:
    contents = pydoc.plain(pydoc.render_doc(bana)).split("PACKAGE CONTENTS")[0]
    named = [line.split()[0] for line in contents.splitlines() if line.startswith(" " * 8)]
    assert [name for name in named if name in ROOMS] == [name for name in named if name != "Eq."]
    assert set(ROOMS) <= set(named)
    for name in ("background_queries", "background_attention", "pool_boxes", "class_activation"):
        assert f" {name} " in contents
    for name in ("pseudo_labels", "noise_aware_loss"):
        assert f" {name} " in contents
    for module in PACKAGE.glob("[!_]*.py"):
        assert module.stem in contents
