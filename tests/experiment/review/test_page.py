"""The review page: one file that asks nobody, and what a browser makes of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import Tab, tab_or_skip
from photos import write_photo
from torch import Tensor

from bana.data.voc_files import read_image
from bana.experiment.mask_folder import keep_labels, keep_record
from bana.experiment.review.order import Entry
from bana.experiment.review.page import SIDE, write_page

CLASSES = ("background", *(f"class {number}" for number in range(1, 15)), "</script><b>")
NAMES = ("a", 'sub dir/größe, "1"', "<b>c</b>")
KEY = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '%s'}))"
# A page that is opened at once may be given the storage as it was before the last page's change.
TRIES = 5
# What is drawn at a place of the photograph, as red, green and blue.
PIXEL = "[...ink.getImageData(%d, %d, 1, 1).data].slice(0, 3)"


def labels(number: int) -> tuple[Tensor, Tensor]:
    """Two squares that overlap, uint8 [60, 80]."""
    y_crf, y_ret = torch.zeros(2, 60, 80, dtype=torch.uint8)
    y_crf[10:50, 10:50] = number
    y_ret[10:50, 20:60] = number
    return y_crf, y_ret


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of three names that need care, with boxes of solid, dashed and dotted classes."""
    folder = tmp_path_factory.mktemp("review")
    for place, name in enumerate(NAMES):
        number = (1, 8, 15)[place]
        write_photo(folder / "im" / f"{name}.png", seed=place)
        box = [number, 10.0, 10.0, 60.0, 50.0]
        record = {"key": f"key {place}", "file_name": f"{name}.png", "boxes": [box]}
        keep_record(folder / "out", name, record)
        keep_labels(folder / "out", name, *labels(number))
    return folder


def written(folder: Path, most: int = 10) -> Path:
    entries = [
        Entry(name, f"{name}.png", 0.5 - place / 10, 1, 0) for place, name in enumerate(NAMES)
    ]
    path = folder / f"review-{most}.html"
    write_page(path, folder / "out", folder / "im", entries, CLASSES, most)
    return path


def values_of(path: Path) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json"[^>]*>(.*?)</script>', path.read_text("utf-8"), re.S
    )
    return json.loads(found[1])


def test_the_page_asks_nobody(folder: Path) -> None:
    text = written(folder).read_text(encoding="utf-8")
    assert not re.findall(r"https?://|//[a-z]|src=(?!\")|url\(|@import|fetch\(|XMLHttp", text)
    assert "default-src 'none'" in text
    # Two elements of scripts, however the classes and the files are called.
    assert text.count("</script>") == 2 and "$" not in re.sub(r"\$\{|`[^`]*`", "", text)


def test_the_page_is_bounded_and_says_so(folder: Path) -> None:
    path = written(folder, most=2)
    assert len(values_of(path)["pictures"]) == 2
    assert "The first 2 of 3 photographs are here" in path.read_text("utf-8")
    assert "All 3 photographs with boxes are here" in written(folder).read_text("utf-8")


def test_pictures_are_bounded_too(folder: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "im/large.png", (2000, 1500))
    box = [1, 100.0, 200.0, 1900.0, 1400.0]
    record = {"key": "k", "file_name": "large.png", "boxes": [box]}
    keep_record(tmp_path / "out", "large", record)
    keep_labels(tmp_path / "out", "large", *torch.ones(2, 1500, 2000, dtype=torch.uint8))
    entries = [Entry("large", "large.png", 0.1, 1, 0)]
    write_page(tmp_path / "r.html", tmp_path / "out", tmp_path / "im", entries, CLASSES, 5)
    (picture,) = values_of(tmp_path / "r.html")["pictures"]
    assert (picture["width"], picture["height"]) == (SIDE, SIDE * 3 // 4)
    assert picture["boxes"] == [[1, 25.6, 51.2, 486.4, 358.4]]
    assert (tmp_path / "r.html").stat().st_size < 200_000


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    yield from tab_or_skip(tmp_path_factory.mktemp("browser"))


@pytest.fixture
def tab(started: Tab, folder: Path) -> Iterator[Tab]:
    """The page as it is opened for the first time; no error and no request in the whole test."""
    reopen(started, folder)

    def forgotten() -> bool:
        started.value("localStorage.clear()")
        reopen(started, folder)
        return not started.value("Object.keys(state.verdicts).length")

    assert any(forgotten() for _ in range(TRIES))
    started.resize(1200, 800)
    yield started
    kinds = [event["method"] for event in started.events]
    assert "Runtime.exceptionThrown" not in kinds and "Log.entryAdded" not in kinds
    asked = [
        event["params"]["request"]["url"]
        for event in started.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)


def reopen(tab: Tab, folder: Path) -> None:
    """Open the page again, and wait until its first photograph is drawn."""
    tab.open(written(folder))
    tab.wait_for("shown !== null")


def press(tab: Tab, key: str) -> None:
    tab.value(KEY % key)


def place(tab: Tab, text: str) -> None:
    tab.wait_for(f"document.querySelector('#place').textContent.startsWith({json.dumps(text)})")


def test_keys_go_through_the_photographs(tab: Tab) -> None:
    place(tab, "1 of 3: no verdict. The two masks of a box differ by 50 %")
    for key, expected in (
        ("ArrowRight", 2),
        ("ArrowRight", 3),
        ("ArrowRight", 3),
        ("ArrowLeft", 2),
    ):
        press(tab, key)
        place(tab, f"{expected} of 3")
    assert tab.value("document.querySelector('#name').textContent") == f"{NAMES[1]}.png"
    assert tab.value("document.querySelector('#legend').textContent") == "class 8"
    press(tab, "ArrowRight")
    place(tab, "3 of 3")
    # Names are text, whatever they look like.
    assert tab.value("document.querySelector('#name').textContent") == "<b>c</b>.png"
    assert tab.value("document.querySelector('#legend').textContent") == "</script><b>"
    assert tab.value("document.querySelectorAll('b').length") == 0


def test_the_four_views_show_what_they_say(tab: Tab, folder: Path) -> None:
    press(tab, "b")  # boxes off
    image = read_image(folder / "im/a.png")

    def seen(x: int, y: int) -> list[int]:
        return tab.value(PIXEL % (2 * x, 2 * y))

    def stored(x: int, y: int) -> list[int]:
        return image[:, y, x].tolist()

    crf_only, both, ret_only, neither = (14, 30), (35, 30), (55, 30), (70, 30)
    press(tab, "1")
    disc = (40, 30)
    assert seen(*disc) == pytest.approx(stored(*disc), abs=12)  # JPEG
    plain = {at: seen(*at) for at in (crf_only, both, ret_only, neither)}
    press(tab, "2")
    changed = {at for at, before in plain.items() if seen(*at) != before}
    assert changed == {crf_only, both}
    press(tab, "3")
    changed = {at for at, before in plain.items() if seen(*at) != before}
    assert changed == {both, ret_only}
    press(tab, "4")
    for at in (crf_only, ret_only):  # striped white and vermillion
        red, _, blue = seen(*at)
        assert red > 180 and (blue > 180 or blue < 60)
    for at in (both, neither):
        red, green, blue = seen(*at)
        assert red == green == blue < 120
    edge = tab.value(PIXEL % (2 * 10 + 1, 2 * 30))
    assert edge == [230, 159, 0]  # the outline of class 1, solid
    pressed = (
        "[...document.querySelectorAll('[data-view][aria-pressed=true]')].map(b => b.dataset.view)"
    )
    assert tab.value(pressed) == ["3"]


def test_lines_are_solid_dashed_or_dotted(tab: Tab) -> None:
    """Classes of one colour are told apart by their lines."""
    line = "[1, 8, 15].map(n => [...Array(64).keys()].map(at => +isInked(n, at)).join(''))"
    solid, dashed, dotted = tab.value(line)
    assert solid == "1" * 64 and dashed == ("1" * 8 + "0" * 8) * 4
    assert dotted == ("1" * 4 + "0" * 4) * 8
    colours = "[1, 8, 15].map(n => colourOf(n).join())"
    assert tab.value(colours) == ["230,159,0"] * 3


def test_verdicts_go_on_and_are_downloaded(tab: Tab) -> None:
    press(tab, "w")
    place(tab, "2 of 3: no verdict")
    press(tab, "g")
    place(tab, "3 of 3: no verdict")
    press(tab, "w")
    place(tab, "3 of 3: wrong")  # the last one stays
    press(tab, "u")
    place(tab, "3 of 3: no verdict")
    assert tab.value("document.querySelector('#tally').textContent") == (
        "2 looked at: 1 wrong, 1 good."
    )
    tab.value(
        "window.kept = null; window.clicked = null;"
        "URL.createObjectURL = (blob) => {"
        "  blob.text().then((text) => { window.kept = text }); return 'blob:x' };"
        "HTMLAnchorElement.prototype.click = function () { window.clicked = this.download }"
    )
    press(tab, "d")
    tab.wait_for("window.kept !== null")
    assert tab.value("window.clicked") == "verdicts.csv"
    assert tab.value("window.kept") == (
        'image,verdict,differ\r\na.png,wrong,0.5\r\n"sub dir/größe, ""1"".png",good,0.4\r\n'
    )


def test_verdicts_outlast_the_page(tab: Tab, folder: Path) -> None:
    def outlasts() -> bool:
        press(tab, "w")
        place(tab, "2 of 3")
        reopen(tab, folder)
        return tab.value("Object.values(state.verdicts).join()") == "wrong"

    assert any(outlasts() for _ in range(TRIES))
    place(tab, "1 of 3: wrong")
    press(tab, "o")
    place(tab, "2 of 3: no verdict")


def test_buttons_do_what_keys_do(tab: Tab) -> None:
    tab.value("document.querySelector('[data-step=\"1\"]').click()")
    place(tab, "2 of 3")
    tab.value("document.querySelector('[data-verdict=wrong]').click()")
    place(tab, "3 of 3")
    tab.value("document.querySelector('[data-view=\"2\"]').click()")
    assert tab.value("state.view") == 2
    # Every button can be reached and names its key; a key with Ctrl is the browser's.
    assert tab.value("[...document.querySelectorAll('button')].every(b => b.querySelector('kbd'))")
    tab.value("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'g', ctrlKey: true}))")
    place(tab, "3 of 3: no verdict")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_by_day_and_night_and_on_a_phone(tab: Tab, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    tab.send("Emulation.setEmulatedMedia", features=[feature])
    contrast = """(() => {
      const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      const light = (c) => { const [r, g, b] = c.match(/\\d+/g).map(Number);
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b) };
      const back = (e) => { for (; e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor; if (!c.endsWith(' 0)')) return c } };
      const texts = document.querySelectorAll('p, button, kbd, legend, h1, h2, li');
      return Math.min(...[...texts].map((e) => {
        const [a, b] = [light(getComputedStyle(e).color), light(back(e))].sort((x, y) => x - y);
        return (b + 0.05) / (a + 0.05) }))
    })()"""
    assert tab.value(contrast) >= 4.5
    tab.resize(360, 800, phone=True)
    assert tab.value("document.documentElement.scrollWidth") <= 360
    tab.resize(1200, 800)
