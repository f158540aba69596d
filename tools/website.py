"""Makes the site: course, documents, figures and API as pages that load nothing from elsewhere.

Copies what the pages are made of to `build/site-source`, keeping paths, so that a link that works
in the repository works in the site; adds the pages that follow from the repository (list of
exercises, gallery, API); and lets Sphinx make `build/site` of it, by `docs/site/conf.py`. No
notebook is executed. A warning, such as a link that leads nowhere, is an error.
"""

import argparse
import hashlib
import io
import json
import re
import shutil
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import yaml
from PIL import Image

REPO = Path(__file__).resolve().parents[1]
SETTINGS = REPO / "docs" / "site"
# What is copied: pages, and what pages show or link to.
COPIED = (
    "*.md",
    "LICENSE",
    "CITATION.cff",
    "docs/*.md",
    "docs/*.png",
    "notebooks/*.ipynb",
    *(f"figures/*.{ending}" for ending in ("png", "svg", "pdf", "json", "csv", "tex")),
    "results/*.json",
    "bana/pretrained/*.md",
    "bana/pretrained/*.json",
)
FACE = "bana"
# The paper's modules, with the four rooms' modules that its equations need.
PAPER = (
    "bap",
    "cam",
    "labels",
    "losses",
    "interpolation",
    "baselines",
    "crf.dense",
    "data.boxes",
    "networks.classifier",
    "networks.segmenter",
)
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
MINUTES = re.compile(r"\*\*Minutes:?\*\*:?\s+read (\d+), exercises (\d+)")
EXERCISE = re.compile(
    r"^### (Exercise \d\d-\d\. .+)\n\n\*Minutes: (\d+)\. Difficulty: (\d) of 3\.\*", re.MULTILINE
)
SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes):$")


def repository(citation: Path = REPO / "CITATION.cff") -> str:
    """Address of the public repository, `repository-code` of CITATION.cff; empty while unset."""
    about = yaml.safe_load(citation.read_text(encoding="utf-8"))
    return about.get("repository-code", "").rstrip("/")


def links(address: str) -> str:
    """The start page's links to the repository, its checks, Binder and Colab; empty without one."""
    if not address:
        return ""
    owner, folder = address.split("/")[-2:]
    template = Template((SETTINGS / "links.md").read_text(encoding="utf-8"))
    return template.substitute(address=address, name=f"{owner}/{folder}", folder=folder)


def theme_options(address: str) -> dict[str, Any]:
    """Options of the theme: buttons that lead to the repository exist where it has an address."""
    options: dict[str, Any] = {
        "show_navbar_depth": 1,
        "use_fullscreen_button": False,
        "logo": {"text": "From boxes to segmentation"},
        "pygments_light_style": "a11y-high-contrast-light",
        "pygments_dark_style": "a11y-high-contrast-dark",
    }
    if address:
        options |= {
            "repository_url": address,
            "repository_branch": "main",
            "use_repository_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
                "notebook_interface": "jupyterlab",
            },
        }
    return options


class Picture(NamedTuple):
    """An output picture: what tells it to readers who cannot see it, and its pixels."""

    alt: str
    width: int


def pictures(source: Path) -> dict[str, Picture]:
    """The output pictures of a folder's notebooks, by the SHA-256 of their files."""
    found = {}
    for path in sorted(source.glob("notebooks/*.ipynb")):
        for cell in _cells(path):
            for output in cell.get("outputs", []):
                for kind in output.get("data", {}):
                    if kind.startswith("image/"):
                        data = b64decode("".join(output["data"][kind]))
                        alt = output.get("metadata", {}).get(kind, {}).get("alt", "")
                        with Image.open(io.BytesIO(data)) as picture:
                            about = Picture(alt, picture.width)
                        found[hashlib.sha256(data).hexdigest()] = about
    return found


def restructured(lines: list[str]) -> list[str]:
    """A docstring of ours, plain text with names in backticks, as napoleon and Sphinx take it.

    Bars stand for lengths, and a line may consist of a letter and a point: neither is markup. What
    is returned is text, with no type before a colon.
    """
    made: list[str] = []
    section = ""
    for line in lines:
        found = SECTION.match(line)
        section = found[1] if found else section if line.startswith(" ") or not line else ""
        parts = line.split("`")
        parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
        line = "`".join(parts)
        line = re.sub(r"^(\s+[\w, ]+: )(\w)\.", r"\1\2\\.", line)
        if section == "Returns":
            line = ":returns:" if found else line
        made.append(line)
    return made


def stage(source: Path, address: str) -> None:
    """Copy and write the pages.

    Args:
        source: the folder to fill; what is in it is removed.
        address: of the repository, or empty.
    """
    from bana.course.slides import MATHJAX, copy_assets
    from bana.course.widget import write_noise_page, write_playground

    shutil.rmtree(source, ignore_errors=True)
    for pattern in COPIED:
        for path in sorted(REPO.glob(pattern)):
            target = source / path.relative_to(REPO)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for path in source.glob("notebooks/*.ipynb"):
        path.write_text(as_read(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    pages = {
        "index.md": start_page(address),
        "touch.md": (SETTINGS / "touch.md").read_text(encoding="utf-8"),
        "all-exercises.md": exercises_page(),
        "gallery.md": gallery_page(),
        **api_pages(),
    }
    for name, text in pages.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text, encoding="utf-8", newline="\n")
    copy_assets(source / "assets", (MATHJAX,))
    write_playground(source / "playground.html")
    write_noise_page(source / "noise.html")


def as_read(text: str) -> str:
    """A notebook as its page shows it: code that only draws is folded, notes of numbers are gone.

    The slides leave that code out; a reader may open it. `note(...)` leaves outputs that no
    front end shows, and that the tests of claims alone read.
    """
    from bana.course.claims import MEASURED

    notebook = json.loads(text)
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        cell["metadata"]["tags"] = ["hide-input" if tag == "remove-input" else tag for tag in tags]
        if "outputs" in cell:
            cell["outputs"] = [o for o in cell["outputs"] if MEASURED not in o.get("data", {})]
    return json.dumps(notebook, ensure_ascii=False)


def start_page(address: str) -> str:
    """The first page: what the README begins with, the notebooks, and where everything is."""
    rows = ["| notebook | minutes: read, exercises |", "| --- | --- |"]
    course = []
    for path in _notebooks():
        text = _text(path)
        read, exercises = _found(MINUTES, text, path).groups()
        place = f"notebooks/{path.name}"
        rows.append(f"| [{_found(TITLE, text, path)[1]}]({place}) | {read}, {exercises} |")
        course.append(place)
    template = Template((SETTINGS / "index.md").read_text(encoding="utf-8"))
    return template.substitute(
        links=links(address), notebooks="\n".join(rows), course="\n".join(course)
    )


def exercises_page() -> str:
    """A list of all exercises, each with a link to its place in its notebook."""
    made = [
        "# Exercises",
        "Each asks for a function. Its notebook has the stub, a `check` that tries your answer and "
        "gives a hint, and the solution in a fold. What is often got wrong, and the points, are "
        "among the [notes for teachers](docs/exercises.md).",
    ]
    for path in _notebooks():
        text = _text(path)
        rows = ["| exercise | minutes | difficulty, of 3 |", "| --- | ---: | ---: |"]
        for title, minutes, difficulty in EXERCISE.findall(text):
            link = f"notebooks/{path.name}#{anchor(title)}"
            rows.append(
                f"| [{title.removeprefix('Exercise ')}]({link}) | {minutes} | {difficulty} |"
            )
        made += [f"## {_found(TITLE, text, path)[1]}", "\n".join(rows)]
    return "\n\n".join(made) + "\n"


def anchor(heading: str) -> str:
    """The name that MyST gives to a heading; formulas are left out."""
    heading = re.sub(r"\$[^$]*\$", "", heading)
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def gallery_page() -> str:
    """The published gallery, at the top of the site."""
    from bana.course.gallery import page

    return page.gallery_page(REPO / "figures", "figures/")


def api_pages() -> dict[str, str]:
    """Pages of the reference: the face of the package, and a page for each module behind it."""
    import bana

    others = sorted(set(bana.HOMES.values()) - set(PAPER))
    face = ["| name | what it is |", "| --- | --- |"]
    for name, home in bana.HOMES.items():
        about = (getattr(bana, name).__doc__ or "").strip().splitlines()[0]
        entry = f"{FACE}.{home}.{name}"
        face.append(f"| {{py:obj}}`{name} <{entry}>` | {about} |")
    template = Template((SETTINGS / "reference.md").read_text(encoding="utf-8"))
    texts = {"paper": PAPER, "others": others, "face": face}
    pages = {"api/index.md": template.substitute({k: "\n".join(v) for k, v in texts.items()})}
    for module in (*PAPER, *others):
        pages[f"api/{module}.md"] = (
            f"# {FACE}.{module}\n\n```{{eval-rst}}\n.. automodule:: {FACE}.{module}\n"
            "   :members:\n```\n"
        )
    return pages


def _notebooks() -> list[Path]:
    return sorted((REPO / "notebooks").glob("*.ipynb"))


def _cells(path: Path) -> Iterator[dict[str, Any]]:
    yield from json.loads(path.read_text(encoding="utf-8"))["cells"]


def _text(path: Path) -> str:
    cells = (cell for cell in _cells(path) if cell["cell_type"] == "markdown")
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def _found(pattern: re.Pattern[str], text: str, path: Path) -> re.Match[str]:
    found = pattern.search(text)
    if found is None:
        raise SystemExit(f"{path.name}: nothing fits {pattern.pattern!r}, which the site needs")
    return found


def build(site: Path) -> int:
    """Make the site in a folder; returns 0, or another number where Sphinx warned of something."""
    from sphinx.cmd.build import main as sphinx

    source = site.with_name(f"{site.name}-source")
    stage(source, repository())
    shutil.rmtree(site, ignore_errors=True)
    places = ["-c", str(SETTINGS), "-d", str(site.with_name(f"{site.name}-doctrees"))]
    return sphinx(["-q", "-W", "--keep-going", *places, "-b", "html", str(source), str(site)])


def main() -> int:
    """Make the site and say where it is."""
    parser = argparse.ArgumentParser(description="Make the site; nothing is executed or fetched.")
    default = REPO / "build" / "site"
    parser.add_argument("--out", type=Path, default=default, help="(default: build/site)")
    site = parser.parse_args().out.resolve()
    status = build(site)
    if status == 0:
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
        print(
            f"{site / 'index.html'}: {len(list(site.rglob('*.html')))} pages, {size / 1e6:.0f} MB"
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
