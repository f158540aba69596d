"""Write `constraints.txt`: the versions, of those installed here, that the project is tested with.

Walks from the dependencies in pyproject.toml (with the extras `course` and `test`) to everything
they need, on any system: a requirement for another system counts where it happens to be installed.
Left out is what exists for some systems only and what the package for it pins itself (CUDA,
Triton).
"""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPO = Path(__file__).resolve().parents[1]
ONE_SYSTEM_ONLY = re.compile(r"^(nvidia-|cuda-|triton$|pywin|appnope$|colorama$)")
HEADER = """\
# Versions the project is tested with; names and versions only.
# Written by `make constraints` from pyproject.toml and the installed packages; do not edit.
"""


def direct_requirements(pyproject: Path) -> list[Requirement]:
    """Requirements of a pyproject.toml, those of the `course` and `test` extras among them."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    texts = project["dependencies"] + extras["course"] + extras["test"]
    return [made for text in texts if (made := Requirement(text)).name != project["name"]]


def _wanted(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    if marker is None:
        return True
    # Markers of other systems and Pythons are looked at as far as extras go.
    if "extra" in str(marker):
        return any(marker.evaluate({"extra": extra}) for extra in extras)
    return True


def closure(roots: list[Requirement]) -> dict[str, Version]:
    """Names and installed versions of all that the roots need, directly or not."""
    found: dict[str, Version] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(root.name, extra) for root in roots for extra in ({""} | root.extras)]
    while queue:
        name, extra = queue.pop()
        key = (canonicalize_name(name), extra)
        if key in seen or ONE_SYSTEM_ONLY.match(key[0]):
            continue
        seen.add(key)
        try:
            dist = distribution(name)
        except PackageNotFoundError:
            continue
        found[key[0]] = Version(dist.version)
        for text in dist.requires or []:
            requirement = Requirement(text)
            if _wanted(requirement, {extra}):
                queue += [(requirement.name, e) for e in {""} | requirement.extras]
    return found


def main() -> None:
    """Write the file and say how many versions it holds."""
    roots = direct_requirements(REPO / "pyproject.toml")
    versions = closure(roots)
    missing = [r.name for r in roots if canonicalize_name(r.name) not in versions]
    if missing:
        raise SystemExit(f"not installed here: {', '.join(missing)}; run `make install` first")
    lines = [f"{name}=={version.public}" for name, version in sorted(versions.items())]
    (REPO / "constraints.txt").write_text(
        HEADER + "\n".join(lines) + "\n", encoding="utf-8", newline="\n"
    )
    print(f"constraints.txt: {len(lines)} versions")


if __name__ == "__main__":
    main()
