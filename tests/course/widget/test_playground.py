"""The page: its numbers are the package's, it asks for nothing, and hands and keys move the box."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Tab, numbers

from bana.bap import background_attention, background_queries
from bana.course.widget import pages, playground, show

Javascript = Callable[[str], Any]


@pytest.fixture(scope="module", params=["node", "browser"])
def javascript(request: pytest.FixtureRequest) -> Javascript:
    """Runs JavaScript that sees the functions of the page and returns what can be JSON."""
    functions = re.sub(r"^export (?=function)", "", playground.script(), flags=re.MULTILINE)
    functions = functions.replace("export default { render };", "")
    if request.param == "browser":
        tab = request.getfixturevalue("tab")
        return lambda code: json.loads(tab.value(f"{{ {functions}\n JSON.stringify({code}) }}"))
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")

    def run(code: str) -> Any:
        text = f"{functions}\n process.stdout.write(JSON.stringify({code}))"
        done = subprocess.run([node, "-"], input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_numbers_are_the_packages(javascript: Javascript, cases, values) -> None:
    some = cases[::3]  # of every picture, and both grids
    wanted = [[case.number, case.box, case.grid] for case in some]
    found = javascript(f"""(() => {{
      const pictures = {json.dumps(values["pictures"])}.map((packed) => {{
        const object = packed.object && new Uint8Array(bytes(packed.object));
        return {{ ...packed, jpeg: null, features: unpack(packed.features), object }};
      }});
      return {json.dumps(wanted)}.map(([number, box, grid]) => {{
        const made = computed(pictures[number], {{ box, grid, threshold: 0.4 }});
        const pixels = made.pixels.filter((_, p) => p % 97 === 0);
        return {{ ...made, queries: null, mask: null, known: [...made.known],
          attention: [...made.attention], pixels: [...pixels] }};
      }});
    }})()""")
    for case, made in zip(some, found, strict=True):
        assert made["known"] == case.known.flatten().tolist()
        assert made["valid"] == case.queries
        np.testing.assert_allclose(made["attention"], case.attention.flatten(), atol=1e-2)
        np.testing.assert_allclose(made["pixels"], case.pixels.flatten()[::97], atol=1e-2)
        kept = (case.pixels < 0.4).sum() / (
            (case.box[2] - case.box[0]) * (case.box[3] - case.box[1])
        )
        assert made["kept"] == pytest.approx(float(kept), abs=0.02)
        assert made["weight"] == pytest.approx(case.weight, abs=1e-2)
        if case.number == 3:
            assert made["plainShare"] == pytest.approx(case.plain, abs=1e-5)
            assert made["pooledShare"] == pytest.approx(case.pooled, abs=1e-2)
            if 0 < case.plain < 1:
                plain, pooled = (p / (1 - p) for p in (made["plainShare"], made["pooledShare"]))
                factor = (1 - made["onObject"]) / (1 - made["onGround"])
                assert pooled == pytest.approx(factor * plain, rel=1e-4), "the formula of 02"
            else:
                assert made["onObject"] is None or made["onGround"] is None  # NaN in JSON
        else:
            assert made["plainShare"] is made["pooledShare"] is made["onObject"] is None


@pytest.mark.parametrize("size", [(5, 7), (8, 8), (1, 3)])
def test_whole_features_give_the_packages_attention(javascript: Javascript, size) -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(1, 6, *size, generator=random)  # negative cosines, too
    features[..., 0, 0] = 0
    known = (torch.rand(1, 1, *size, generator=random) < 0.4).float()
    lengths = features[0].flatten(1).norm(dim=0)
    given = {
        "height": size[0],
        "width": size[1],
        "channels": 6,
        "directions": (features[0].flatten(1) / lengths.clamp_min(1e-9)).T.flatten().tolist(),
        "lengths": lengths.tolist(),
    }
    grids = [1, 2, 3, 8]
    found = javascript(f"""(() => {{
      const given = {json.dumps(given)}, known = {known.flatten().tolist()};
      given.lengths = Float32Array.from(given.lengths);
      return {grids}.map((n) => [
        ...backgroundAttention(given, backgroundQueries(given, known, n))]);
    }})()""")
    for grid, made in zip(grids, found, strict=True):
        attention = background_attention(features, *background_queries(features, known, grid))
        np.testing.assert_allclose(made, attention.flatten(), atol=1e-5)


def test_where_the_weights_vanish_the_average_is_plain(javascript: Javascript) -> None:
    assert javascript("pooled([1, 3], Float32Array.of(1, 1), Float32Array.of(0.5, 0.5))") == 2
    assert javascript("pooled([1, 3], Float32Array.of(1, 0.5), Float32Array.of(0.5, 0.5))") == 3


@pytest.mark.parametrize(
    ("code", "box"),
    [
        ("tidy([90, 80, 10.4, 20], image)", [10, 20, 90, 80]),
        ("tidy([-5, -5, 300, 300], image)", [0, 0, 200, 100]),
        ("tidy([199, 99, 199, 99], image)", [184, 84, 200, 100]),
        ("moved([10, 20, 90, 80], 500, -500, image)", [120, 0, 200, 60]),
    ],
)
def test_boxes_stay_in_the_picture(javascript: Javascript, code: str, box: list[int]) -> None:
    assert (
        javascript(f"(() => {{ const image = {{height: 100, width: 200}}; return {code} }})()")
        == box
    )


class References(HTMLParser):
    """What a page refers to, and what it shows without scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.still: dict[str, str] = {}
        self.alone = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.alone |= tag == "noscript"
        named = dict(attrs)
        self.addresses += [named[name] for name in ("src", "href", "srcset") if name in named]
        if self.alone and tag == "img":
            self.still = named

    def handle_endtag(self, tag: str) -> None:
        self.alone &= tag != "noscript"


def test_the_page_is_small_and_refers_to_nothing(written: Path) -> None:
    assert written.stat().st_size < 1_000_000
    text = written.read_text(encoding="utf-8")
    page = References()
    page.feed(text)
    assert page.addresses and all(each.startswith("data:") for each in page.addresses)
    assert "default-src 'none'" in text and "connect-src" not in text
    for word in ("http:", "https:", "fetch(", "import ", "@import", "url("):
        assert word not in text, word


def test_without_scripts_there_is_a_picture_with_words(tab: Tab, written: Path) -> None:
    page = References()
    page.feed(written.read_text(encoding="utf-8"))
    assert page.still["src"].startswith("data:image/jpeg;base64,")
    assert page.still["alt"].startswith("A red motorbike") and "four maps" in page.still["alt"]
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(written)
    tab.send("Emulation.setScriptExecutionDisabled", value=False)
    assert tab.value("document.querySelector('noscript img').naturalWidth") > 500


@pytest.fixture
def page(tab: Tab, written: Path) -> Tab:
    tab.resize(1200, 900)
    tab.open(written)
    tab.wait_for("document.querySelector('canvas.mask').width === 500")
    return tab


def box(tab: Tab) -> list[int]:
    label = tab.value("document.querySelector('.box').getAttribute('aria-label')")
    return [int(number) for number in re.findall(r"\d+", label)]


def at(tab: Tab, x: float, y: float) -> tuple[float, float]:
    """Where on the screen a pixel of the picture is."""
    edges = "(({left, top, width}) => [left, top, width])"
    code = f"{edges}(document.querySelector('.stage').getBoundingClientRect())"
    left, top, width = tab.value(code)
    return left + x * width / 500, top + y * width / 500


def drag(tab: Tab, start: tuple[int, int], end: tuple[int, int]) -> None:
    for kind, place in (("Pressed", start), ("Moved", end), ("Released", end)):
        x, y = at(tab, *place)
        button = {"button": "left", "buttons": 1, "clickCount": 1}
        tab.send("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **button)
    numbers(tab)


def press(tab: Tab, key: str, shift: bool = False) -> None:
    code = {"Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}[key]
    for kind in ("rawKeyDown", "keyUp"):
        values = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
        tab.send("Input.dispatchKeyEvent", type=kind, **values)
    numbers(tab)


def test_the_page_asks_for_nothing_and_complains_of_nothing(page: Tab) -> None:
    drag(page, (20, 20), (300, 200))
    asked = [e["params"]["request"]["url"] for e in page.events if "requestWillBe" in e["method"]]
    assert asked and all(url.startswith(("file:", "data:")) for url in asked)
    assert sum(url.startswith("file:") for url in asked) == 1
    assert not [
        e for e in page.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
    ]


def test_the_numbers_follow_picture_grid_and_threshold(page: Tab, cases) -> None:
    page.value("document.querySelectorAll('.pictures input')[3].click()")
    first = next(case for case in cases if case.number == 3 and case.grid == 4)
    queries, plain, pooled, means, factor, kept = numbers(page)
    assert box(page) == first.box and queries == f"{first.queries} of 16"
    assert [int(share.split()[0]) for share in (plain, pooled)] == pytest.approx(
        [100 * first.plain, 100 * first.pooled], abs=1.5
    )
    odds = first.pooled / (1 - first.pooled) * (1 - first.plain) / first.plain
    assert float(factor) == pytest.approx(odds, rel=0.1)
    on_object, on_rest = map(float, means.split(", "))
    assert float(factor) == pytest.approx((1 - on_object) / (1 - on_rest), rel=0.05)
    for name, value in (("grid", 1), ("threshold", 1)):
        slider = f"document.querySelector('input.{name}')"
        page.value(f"{slider}.value = {value}; {slider}.dispatchEvent(new Event('input'))")
    assert numbers(page)[0] == "1 of 1" and numbers(page)[-1] == "100 %" != kept


def test_a_mouse_moves_the_box_its_corners_and_draws_another(page: Tab) -> None:
    x1, y1, x2, y2 = box(page)
    drag(page, (x1 + 50, y1 + 50), (x1 + 70, y1 + 40))
    np.testing.assert_allclose(box(page), [x1 + 20, y1 - 10, x2 + 20, y2 - 10], atol=1)
    before = numbers(page)
    drag(page, (x1 + 20, y1 - 10), (100, 90))
    np.testing.assert_allclose(box(page), [100, 90, x2 + 20, y2 - 10], atol=1)
    assert numbers(page) != before
    drag(page, (60, 60), (20, 10))
    np.testing.assert_allclose(box(page), [20, 10, 60, 60], atol=1)
    drag(page, (200, 200), (203, 203))  # a tap
    np.testing.assert_allclose(box(page), [20, 10, 60, 60], atol=1)
    drag(page, (20, 10), (-9, -9))
    drag(page, (60, 60), (510, 400))
    assert box(page) == [0, 0, 500, 337] and numbers(page)[0] == "none, so A = 0"
    page.value("document.querySelector('.reset').click()")
    numbers(page)
    assert box(page) == [x1, y1, x2, y2]


def test_a_finger_draws_a_box(page: Tab) -> None:
    page.resize(390, 800, phone=True)
    assert page.value("document.documentElement.scrollWidth") == 390
    for kind, place in (("Start", (10, 10)), ("Move", (60, 50)), ("Move", (200, 300)), ("End", ())):
        points = [dict(zip("xy", at(page, *place), strict=True))] if place else []
        page.send("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=points)
    numbers(page)
    np.testing.assert_allclose(box(page), [10, 10, 200, 300], atol=2)


def test_keys_reach_everything_and_the_numbers_are_told(page: Tab) -> None:
    x1, y1, x2, y2 = box(page)
    reached = []
    for _ in range(5):
        press(page, "Tab")
        reached.append(page.value("document.activeElement.className || 'picture'"))
        if reached[-1] == "box":
            press(page, "ArrowRight")
            press(page, "ArrowUp", shift=True)
    assert reached == ["picture", "grid", "threshold", "box", "reset"]
    assert box(page) == [x1 + 8, y1, x2 + 8, y2 - 8]
    told = "document.querySelector('[role=status]').textContent"
    page.wait_for(f"{told}.includes('Mean weight 1 − A in the box: {numbers(page)[1]}')")


def test_a_notebook_shows_one_picture_in_a_frame(tab: Tab, tmp_path: Path, monkeypatch) -> None:
    displayed = []
    monkeypatch.setattr(pages, "display", displayed.append)
    show("cat")
    notebook = tmp_path / "notebook.html"
    notebook.write_text(displayed[0].data, encoding="utf-8")
    assert notebook.stat().st_size < 350_000
    tab.open(notebook)
    inside = "document.querySelector('iframe').contentDocument"
    tab.wait_for(f"{inside}.querySelector('canvas.mask')?.width === 500")
    assert tab.value(f"{inside}.querySelector('.stage img').alt") == "The face of a cat, close up"
    assert not tab.value(f"{inside}.querySelectorAll('.pictures').length")
    tab.wait_for(
        f"document.querySelector('iframe').offsetHeight === {inside}.documentElement.offsetHeight"
    )


def test_an_unknown_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="no picture 'dog': there are motorbike, astronaut, cat"):
        show("dog")
