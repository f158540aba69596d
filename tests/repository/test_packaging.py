"""One source of dependencies: environment.yml and constraints.txt follow pyproject.toml."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from constraints import direct_requirements
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import bana
from bana.commands import running
from bana.files import paths

REPO = paths.repo_root()
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = direct_requirements(REPO / "pyproject.toml")
ENVIRONMENT = yaml.safe_load((REPO / "environment.yml").read_text(encoding="utf-8"))


def constraints() -> dict[str, Version]:
    lines = (REPO / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_constraints_hold_names_and_versions_only():
    for line in (REPO / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line), line


def test_constraints_name_nothing_of_one_system():
    assert [name for name in constraints() if re.match("nvidia|cuda|triton|pywin", name)] == []


@pytest.mark.parametrize("requirement", DIRECT, ids=[r.name for r in DIRECT])
def test_constraints_satisfy_every_direct_dependency(requirement):
    pinned = constraints()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pinned, prereleases=True)
    assert len(requirement.specifier) > 0, "a lower bound is wanted"


def test_environment_follows_pyproject():
    assert ENVIRONMENT["name"] == PROJECT["name"]
    assert ENVIRONMENT["channels"] == ["conda-forge"]
    *conda, pip = ENVIRONMENT["dependencies"]
    specs = dict(spec.partition(" ")[::2] for spec in conda)
    assert set(specs) == {"python", "pip"}, "dependencies belong into pyproject.toml"
    assert SpecifierSet(specs["python"]) == SpecifierSet(PROJECT["requires-python"])
    assert pip == {"pip": ["-c constraints.txt", "-e .[test]"]}


def test_tests_have_the_course() -> None:
    assert f"{PROJECT['name']}[course]" in EXTRAS["test"]
    assert {Requirement(text).name for text in EXTRAS["course"]} == set(running.OF_THE_COURSE)


WITHOUT_THE_COURSE = """
import importlib, pkgutil, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None  # as if it were not installed
import bana
from bana.commands.main import main
for module in pkgutil.walk_packages(bana.__path__, "bana."):
    if not module.name.startswith(("bana.course", "bana.__main__")):
        importlib.import_module(module.name)
assert main(["label", "--profile", "smoke", "--variant", "boxes"]) == 0
assert main(["table", "labels"]) == 2 and main(["run"]) == 2
"""


def test_the_package_does_without_the_course(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_COURSE, ",".join(running.OF_THE_COURSE)],
        env=os.environ | {"BANA_RUNS": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("bana: ")]
    assert len(told) == 2 and all("pip install -e '.[course]'" in line for line in told)


def test_no_file_names_a_package_index():
    for name in ("pyproject.toml", "environment.yml", "constraints.txt", "Makefile", ".ci/run"):
        text = (REPO / name).read_text(encoding="utf-8")
        assert not re.search(r"index-url|find-links|https?://", text), name


def test_package_says_what_it_is():
    assert bana.__doc__
    assert PROJECT["scripts"] == {"bana": "bana.commands.main:main"}
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "MIT"
    changelog = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {PROJECT['version']}" in changelog
