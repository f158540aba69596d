"""The site: whole, in step with the repository, and loading nothing from elsewhere."""

import hashlib
import json
import re
import runpy
import subprocess
import sys
import tomllib
from base64 import b64decode
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from browser import browser_tab, find_browser
from load_tool import load_tool

import bana
from bana.course.claims import MEASURED
from bana.course.gallery.items import FIGURES
from bana.course.notebook_io import find_notebooks, has_tag, read_notebook
from bana.files.paths import repo_root

REPO = repo_root()
WEBSITE = load_tool("website")
ADDRESS = "https://github.com/someone/boxes"
NOTEBOOKS = find_notebooks()
WORKFLOWS = REPO / ".github" / "workflows"
# Attributes by which a page loads something, and those of links that a reader follows.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "embed": "src"}


def toctrees(text: str) -> list[str]:
    """The pages that the tables of contents of a page name, in order."""
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line and line[0] != ":"]
    return [found[1] if (found := re.search(r"<(.+)>$", line)) else line for line in lines]


def test_every_page_is_in_the_contents_once() -> None:
    named = toctrees(WEBSITE.start_page(""))
    assert len(named) == len(set(named))
    copied = {
        path.relative_to(REPO).as_posix()
        for pattern in WEBSITE.COPIED
        for path in REPO.glob(pattern)
        if path.suffix in {".md", ".ipynb"}
    }
    assert set(named) == copied | {"touch.md", "all-exercises.md", "gallery.md", "api/index.md"}
    course = [name for name in named if name.startswith("notebooks/")]
    assert course == [f"notebooks/{path.name}" for path in NOTEBOOKS]


def test_the_reference_holds_the_paper_and_the_face() -> None:
    pages = WEBSITE.api_pages()
    modules = set(toctrees(pages["api/index.md"]))
    assert modules == {name[len("api/") : -len(".md")] for name in pages} - {"index"}
    assert modules == set(WEBSITE.PAPER) | set(bana.HOMES.values())
    assert len(WEBSITE.PAPER) == 10
    for name in bana.HOMES:
        assert f"{{py:obj}}`{name} <" in pages["api/index.md"]


def test_the_list_of_exercises_is_whole() -> None:
    page = WEBSITE.exercises_page()
    for path in NOTEBOOKS:
        text = "\n".join(cell.source for cell in read_notebook(path).cells)
        names = re.findall(r"^### Exercise (\d\d-\d)\.", text, re.MULTILINE)
        assert re.findall(rf"^\| \[({path.name[:2]}-\d)\.", page, re.MULTILINE) == names
        assert names


def test_the_gallery_shows_and_describes_every_figure() -> None:
    page = WEBSITE.gallery_page()
    notes = [path for path in (REPO / "figures").glob("*.json") if path.stem[:6] != "table-"]
    assert {path.stem for path in notes} == FIGURES.keys()
    for path in notes:
        alt = json.loads(path.read_text(encoding="utf-8"))["alt"]
        assert f"![{alt}](figures/{path.stem}.png)" in page and f"figures/{path.stem}.svg" in page


def test_notebooks_lose_nothing_that_is_seen() -> None:
    for path in NOTEBOOKS:
        before = read_notebook(path)
        after = json.loads(WEBSITE.as_read(path.read_text(encoding="utf-8")))
        assert len(after["cells"]) == len(before.cells)
        for cell, theirs in zip(before.cells, after["cells"], strict=True):
            assert "".join(theirs["source"]) == cell.source
            tags = theirs["metadata"].get("tags", [])
            assert ("hide-input" in tags) == has_tag(cell, "remove-input")
            assert not any(tag.startswith(("remove", "hide-output")) for tag in tags)
            shown = [o for o in cell.get("outputs", []) if MEASURED not in o.get("data", {})]
            assert len(theirs.get("outputs", [])) == len(shown)
            for output in cell.get("outputs", []):
                if MEASURED in output.get("data", {}):
                    assert output.data["text/html"] == "", "it shows something after all"


def test_every_output_picture_has_its_text() -> None:
    shown = WEBSITE.pictures(REPO)
    for path in NOTEBOOKS:
        for kind, data in pictures(path):
            about = shown[hashlib.sha256(b64decode(data)).hexdigest()]
            assert about.alt and about.width > 200, f"{path.name}: {kind}"


def pictures(path: Path) -> list[tuple[str, str]]:
    """Kind and data of a notebook's output pictures."""
    outputs = [o for cell in read_notebook(path).cells for o in cell.get("outputs", [])]
    return [
        (kind, data)
        for output in outputs
        for kind, data in output.get("data", {}).items()
        if kind.startswith("image/")
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("The length |f| of `a|b`.", r"The length \|f\| of `a|b`."),
        ("Args:", "Args:"),
        ("    features: f.", r"    features: f\."),
        ("    features, attention: f, and A.", "    features, attention: f, and A."),
    ],
    ids=["bars", "section", "letter", "letters"],
)
def test_docstrings_are_no_markup(written: str, read: str) -> None:
    assert WEBSITE.restructured([written]) == [read]


def test_what_is_returned_has_no_type_before_a_colon() -> None:
    lines = ["Mean.", "", "Returns:", "    queries, and valid:", "    cells.", "", "Raises:"]
    assert WEBSITE.restructured(lines) == [
        *("Mean.", "", ":returns:", "    queries, and valid:", "    cells.", "", "Raises:")
    ]


def test_links_to_the_repository_wait_for_its_address(tmp_path: Path) -> None:
    citation = tmp_path / "CITATION.cff"
    citation.write_text("title: x\n", encoding="utf-8")
    assert WEBSITE.repository(citation) == "" == WEBSITE.links("")
    assert "$" not in WEBSITE.start_page("").split("## The course")[0]
    assert not [value for value in WEBSITE.theme_options("").values() if "://" in str(value)]
    citation.write_text(f"title: x\nrepository-code: {ADDRESS}/\n", encoding="utf-8")
    assert WEBSITE.repository(citation) == ADDRESS
    page = WEBSITE.start_page(ADDRESS)
    assert f"[Repository]({ADDRESS})" in page and f"{ADDRESS}/actions" in page
    assert "mybinder.org/v2/gh/someone/boxes/main" in page
    assert "colab.research.google.com/github/someone/boxes/blob/main/notebooks/00_" in page
    assert f"git clone {ADDRESS} && pip install -e" in page
    assert WEBSITE.theme_options(ADDRESS)["repository_url"] == ADDRESS


def test_the_place_of_the_address_is_shown() -> None:
    text = (REPO / "CITATION.cff").read_text(encoding="utf-8")
    assert len(re.findall(r"^#? ?repository-code: ", text, re.MULTILINE)) == 1


def test_settings_execute_and_fetch_nothing() -> None:
    settings = runpy.run_path(str(WEBSITE.SETTINGS / "conf.py"))
    assert settings["nb_execution_mode"] == "off" and settings["nb_ipywidgets_js"] == {}
    if not WEBSITE.repository():
        plain = {
            k: v for k, v in settings.items() if isinstance(v, str | list | dict) and k[0] != "_"
        }
        assert [k for k, v in plain.items() if "://" in str(v)] == []
    for path in WEBSITE.SETTINGS.rglob("*.css"):
        assert "://" not in path.read_text(encoding="utf-8")


def test_the_extra_is_tested() -> None:
    extras = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = extras["optional-dependencies"]
    assert set(extras["site"]) <= set(extras["test"])


def test_workflows_run_what_is_run_here() -> None:
    steps = {}
    for name in ("ci", "site"):
        flow = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text(encoding="utf-8"))
        (job,) = flow["jobs"].values()
        steps[name] = [step.get("run") or step.get("with", {}).get("path") for step in job["steps"]]
        assert flow["permissions"]["contents"] == "read"
    assert ".ci/run" in steps["ci"]
    assert steps["site"][-3:] == ["make site", "build/site", None]
    assert "tools/website.py" in (REPO / "Makefile").read_text(encoding="utf-8")


# What follows looks at the pages themselves.


class Page(HTMLParser):
    """What a page loads, where it leads, what it can be led to, and its pictures' texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.ids: set[str] = set()
        self.texts: list[tuple[str, str | None]] = []
        self.folds = 0
        self._in_article = False
        self.language = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        self.ids |= {about[key] for key in ("id", "name") if about.get(key)}
        if tag in LOADED and about.get(LOADED[tag]):
            self.loads.append(about[LOADED[tag]])
        if tag == "link" and about.get("rel") not in ("author", "next", "prev", "index", "search"):
            self.loads.append(about["href"])
        if tag == "a" and about.get("href"):
            self.leads.append(about["href"])
        if tag == "img":
            self.texts.append((about["src"], about.get("alt")))
        if tag == "html":
            self.language = about.get("lang")
        self._in_article |= tag == "article"
        self.folds += self._in_article and tag == "summary"

    def handle_endtag(self, tag: str) -> None:
        self._in_article &= tag != "article"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made with warnings as errors."""
    folder = tmp_path_factory.mktemp("made") / "site"
    command = [sys.executable, str(REPO / "tools" / "website.py"), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages_of(site: Path) -> list[Path]:
    """All pages; the theme leaves a template among its static files."""
    return [path for path in site.rglob("*.html") if "_static" not in path.parts]


@cache
def page_of(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.mark.slow  # Sphinx takes about half a minute, and all tests below share its pages
class TestPages:
    def test_nothing_is_loaded_from_elsewhere(self, site: Path) -> None:
        for path in pages_of(site):
            away = [url for url in page_of(path).loads if re.match(r"(https?:)?//", url)]
            assert away == [], path
        for path in site.rglob("*.css"):
            text = path.read_text(encoding="utf-8")
            assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", text) == [], path

    def test_all_links_lead_somewhere(self, site: Path) -> None:
        checked = 0
        for path in pages_of(site):
            for url in (*page_of(path).loads, *page_of(path).leads):
                parts = urlsplit(url)
                if parts.scheme or parts.netloc:
                    continue
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                assert target.is_file(), f"{path.relative_to(site)}: {url}"
                if parts.fragment and target.suffix == ".html":
                    ids = page_of(target).ids
                    assert unquote(parts.fragment) in ids, f"{path.relative_to(site)}: {url}"
                checked += 1
        assert checked > 1000

    def test_it_can_be_searched(self, site: Path) -> None:
        index = (site / "searchindex.js").read_text(encoding="utf-8")
        names = json.loads(re.search(r'"docnames":\s*(\[.+?\])', index)[1])
        assert {f"notebooks/{path.stem}" for path in NOTEBOOKS} <= set(names)
        assert (site / "search.html").is_file() and '"permutohedr' in index

    @pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.name[:2] for path in NOTEBOOKS])
    def test_a_notebook_keeps_texts_and_folds(self, path: Path, site: Path) -> None:
        page = page_of(site / "notebooks" / f"{path.stem}.html")
        shown = [alt for source, alt in page.texts if "/_images/" in source]
        assert len(shown) == len(pictures(path))
        told = {about.alt for about in WEBSITE.pictures(REPO).values()}
        assert all(alt in told for alt in shown)
        cells = read_notebook(path).cells
        folds = sum(c.source.count("<summary>") for c in cells if c.cell_type == "markdown")
        folded = sum(has_tag(cell, "remove-input") for cell in cells)
        assert page.folds == folds + folded

    def test_every_picture_of_the_documents_has_its_text(self, site: Path) -> None:
        for path in pages_of(site):
            texts = [alt for source, alt in page_of(path).texts if "_images/" in source]
            assert all(texts), path

    def test_formulas_are_set_by_what_comes_along(self, site: Path) -> None:
        page = site / "notebooks" / f"{NOTEBOOKS[5].stem}.html"
        (script,) = [url for url in page_of(page).loads if "mathjax" in url]
        assert (page.parent / script.split("?")[0]).resolve().is_file()
        assert r"\underset{c}{\text{softmax}}" in page.read_text(encoding="utf-8")

    def test_signatures_tell_shapes(self, site: Path) -> None:
        page = (site / "api" / "bap.html").read_text(encoding="utf-8")
        text = re.sub(r"<[^>]+>", "", page).replace("&#39;", "'")
        assert "features: Float[Tensor, 'N D h w']" in text
        for name, home in bana.HOMES.items():
            ids = page_of(site / "api" / f"{home}.html").ids
            assert f"bana.{home}.{name}" in ids, name

    def test_languages_are_told(self, site: Path) -> None:
        languages = {
            name: page_of(site / "docs" / f"{name}.html").language
            for name in ("reading", "reading.zh")
        }
        assert languages == {"reading": "en", "reading.zh": "zh-CN"}

    def test_the_pages_to_touch_are_there(self, site: Path) -> None:
        for name in ("playground.html", "noise.html"):
            assert name in page_of(site / "touch.html").loads
            assert (site / name).stat().st_size > 100_000

    @pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome is installed")
    @pytest.mark.parametrize("width", [390, 1280])
    def test_a_browser_asks_for_nothing_and_pages_fit(
        self, width: int, site: Path, tmp_path: Path
    ) -> None:
        pages = ("index", "notebooks/05_pseudo_labels", "docs/results", "gallery")
        pages += ("docs/reading.zh", "api/labels", "api/experiment.pretrained", "genindex")
        with browser_tab(find_browser(), tmp_path) as tab:
            tab.resize(width, 900, phone=width < 500)
            for name in pages:
                tab.open(site / f"{name}.html")
                tab.wait_for("document.readyState === 'complete'")
                if name.startswith("notebooks"):
                    tab.wait_for("document.querySelectorAll('mjx-container').length > 100")
                asked = [
                    event["params"]["request"]["url"]
                    for event in tab.events
                    if event["method"] == "Network.requestWillBeSent"
                ]
                assert asked and all(url.startswith(("file:", "data:")) for url in asked), asked
                failed = [e for e in tab.events if e["method"] == "Network.loadingFailed"]
                assert failed == [], name
                assert tab.value("document.documentElement.scrollWidth") <= width, name
