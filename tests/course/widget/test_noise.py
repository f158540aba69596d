"""The page of label noise: its gradients are the package's, and hands and keys move its sliders."""

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
from torch import Tensor

from bana.course.widget import noise, show_noise, write_noise_page
from bana.losses import (
    agreement,
    confidence_map,
    cosine_scores,
    cross_entropy_loss,
    noise_aware_loss,
    reliable_pixels,
)

SETTINGS = {
    "at first": noise.START,
    "all spilled, sigma held": noise.START | {"spill": 1, "held": True},
    "reeds look like the duck": noise.START | {"likeness": 0.9, "gamma": 1},
    "decided": noise.START | {"decided": 0.6, "lambda": 1, "gamma": 30},
    "nothing spilled": noise.START | {"spill": 0, "lambda": 0.01},
}


@pytest.fixture(scope="module")
def run() -> Callable[[str], Any]:
    """Runs JavaScript that sees the functions of the page and returns what can be JSON."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    functions = re.sub(r"^export (?=function)", "", noise.script(), flags=re.MULTILINE)
    functions = functions.replace("export default { render };", "")

    def run(code: str) -> Any:
        text = f"{functions}\n process.stdout.write(JSON.stringify({code}))"
        done = subprocess.run([node, "-"], input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


class Reference:
    """What the package makes of the scene under some settings."""

    def __init__(self, settings: dict[str, Any]) -> None:
        made = noise.scene()
        turned = settings["likeness"] * 120 * made["reeds"]
        angles = torch.from_numpy(np.deg2rad(made["angles"].astype(float) + turned))
        classes = torch.deg2rad(torch.tensor([90.0, 210, 330], dtype=torch.float64))
        plane = settings["decided"] * torch.stack([angles.cos(), angles.sin()])
        rest = torch.full_like(plane[:1], (1 - settings["decided"] ** 2) ** 0.5)
        self.features = torch.cat([plane, rest])[None]  # [1, 3, H, W], of length 1
        none = torch.zeros(3, dtype=torch.float64)
        self.weight = torch.stack([classes.cos(), classes.sin(), none], 1)
        taken = made["reeds"] & (made["draws"] < settings["spill"])
        slipped = np.where(made["slips"] == 255, made["truth"], made["slips"])
        self.truth = torch.from_numpy(made["truth"])
        self.y_crf = torch.from_numpy(np.where(taken, 1, slipped).astype(np.uint8))[None]
        self.y_ret = torch.from_numpy(made["missed"])[None]
        self.settings = settings

    def losses(self, cosines: Tensor) -> dict[str, Tensor]:
        """Each loss as a function of the cosines."""
        negative = -(20 * cosines).log_softmax(1).gather(1, self.y_crf.long()[:, None])[:, 0]
        reliable, unreliable = reliable_pixels(self.y_crf, self.y_ret)
        sigma = confidence_map(cosines, self.y_crf, self.settings["gamma"]) * unreliable
        sigma = sigma.detach() if self.settings["held"] else sigma
        ignore = negative[reliable].mean()
        nal = ignore + self.settings["lambda"] * (sigma * negative).sum() / sigma.sum()
        return {"crf": negative.mean(), "ignore": ignore, "nal": nal}

    def pulls(self) -> dict[str, Tensor]:
        """- dL / dcos of each pixel's label, times pixels over tau, [H, W]."""
        result = {}
        for name in ("crf", "ignore", "nal"):
            cosines = cosine_scores(self.features, self.weight, (32, 48)).requires_grad_()
            self.losses(cosines)[name].backward()
            felt = cosines.grad.gather(1, self.y_crf.long()[:, None])[0, 0]
            result[name] = -felt * 32 * 48 / 20
        return result


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=list(SETTINGS))
def test_every_pull_is_the_gradient_of_the_packages_loss(run, settings) -> None:
    reference = Reference(settings)
    # The losses whose gradients are compared are the package's own.
    given = reference.features, reference.weight
    cosines = cosine_scores(*given, (32, 48))
    losses, both = reference.losses(cosines), (reference.y_crf, reference.y_ret)
    whole = [settings[name] for name in ("gamma", "lambda", "held")]
    torch.testing.assert_close(losses["nal"], noise_aware_loss(*given, *both, 20, *whole).total)
    torch.testing.assert_close(losses["crf"], cross_entropy_loss(*given, both[0]))
    torch.testing.assert_close(losses["ignore"], cross_entropy_loss(*given, agreement(*both)))

    made = run(f"""(() => {{
      const scene = unpacked({json.dumps(noise.values()["scene"])});
      const made = computed(scene, {json.dumps(settings)});
      const lists = ["yCrf", "yRet", "wrong", "unreliable", "sigma", "crf", "ignore", "nal"];
      return {{ ...made, ...Object.fromEntries(lists.map((name) => [name, [...made[name]]])) }};
    }})()""")
    assert made["yCrf"] == both[0].flatten().tolist()
    assert made["yRet"] == both[1].flatten().tolist()
    sigma = confidence_map(cosines, both[0], settings["gamma"])[0]
    np.testing.assert_allclose(made["sigma"], sigma.flatten(), atol=1e-5)
    wrong, unreliable = reference.truth != both[0][0], (both[0] != both[1])[0]
    right = unreliable & ~wrong
    assert made["right"] == pytest.approx(float(right.sum() / unreliable.sum()))
    assert made["sigmaRight"] == pytest.approx(float(sigma[right].mean()), abs=1e-5)
    assert made["sigmaWrong"] == pytest.approx(float(sigma[unreliable & wrong].mean()), abs=1e-5)
    for name, pull in reference.pulls().items():
        np.testing.assert_allclose(made[name], pull.flatten(), atol=2e-4, rtol=1e-4)
        towards = pull.clamp_min(0)
        shares = made["shares"][name]
        assert shares["wrong"] == pytest.approx(
            float(towards[wrong].sum() / towards.sum()), abs=1e-4
        )
        assert shares["saved"] == pytest.approx(
            float(towards[right].sum() / towards.sum()), abs=1e-4
        )


def test_the_scene_is_what_it_is_said_to_be() -> None:
    made = noise.scene()
    assert {name: each.shape for name, each in made.items()} == dict.fromkeys(made, (32, 48))
    assert not (made["truth"][made["reeds"]]).any() and made["reeds"].sum() > 50
    differs = made["slips"] != 255
    assert (made["slips"][differs] != made["truth"][differs]).all()
    assert 0 < differs.mean() < 0.04
    pieces = (made["missed"] == 0) & (made["truth"] > 0)
    assert 0.2 < pieces.sum() / (made["truth"] > 0).sum() < 0.6
    blocks = made["draws"].reshape(8, 4, 12, 4)
    assert (blocks == blocks[:, :1, :, :1]).all()
    other = noise.scene(1)
    assert (other["truth"] == made["truth"]).all() and (other["draws"] != made["draws"]).any()


def test_what_notebook_06_says_of_the_dials() -> None:
    def seen(**changes: Any) -> tuple[float, float, float, float]:
        """Sigma on wrong labels of ~S and on right ones; their shares of all pull."""
        reference = Reference(noise.START | changes)
        cosines = cosine_scores(reference.features, reference.weight, (32, 48))
        sigma = confidence_map(cosines, reference.y_crf, reference.settings["gamma"])[0]
        wrong = reference.truth != reference.y_crf[0]
        doubted = (reference.y_crf != reference.y_ret)[0]
        towards = reference.pulls()["nal"].clamp_min(0)
        shares = (float(towards[each].sum() / towards.sum()) for each in (wrong, doubted & ~wrong))
        return *(float(sigma[doubted & each].mean()) for each in (wrong, ~wrong)), *shares

    first, same, early, late = seen(), seen(likeness=0.9), seen(decided=0.05), seen(decided=0.5)
    assert same[0] > first[0] + 0.3
    assert late[0] < first[0] < early[0] and early[0] > 0.6
    assert [round(each[0], 2) for each in (early, first)] == [0.71, 0.41]
    assert seen(likeness=1)[2] < first[2] / 1.3
    mild = seen(gamma=1)
    assert mild[2] > 3 * first[2] and abs(mild[3] - first[3]) < 0.02 and first[1] > 0.95


def test_a_share_says_of_what(run) -> None:
    rows = run(f"""told(computed(
      unpacked({json.dumps(noise.values()["scene"])}), {json.dumps(noise.START)}
    ))""")
    assert all(", share of all pull: wrong labels / right" in name for name, _ in rows[2:])
    assert [value for _, value in rows] == said(noise.START)


class References(HTMLParser):
    """What a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [named[name] for name in ("src", "href", "srcset") if name in named]


@pytest.fixture(scope="module")
def noise_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise_page(tmp_path_factory.mktemp("noise") / "new" / "noise.html")


def test_the_page_is_small_and_refers_to_nothing(noise_page: Path) -> None:
    text = noise_page.read_text(encoding="utf-8")
    assert len(text) < 250_000 and "Four maps of a scene" in text
    page = References()
    page.feed(text)
    assert page.addresses and all(each.startswith("data:") for each in page.addresses)
    for word in ("http:", "https:", "fetch(", "import ", "@import", "url("):
        assert word not in text, word


def said(settings: dict[str, Any]) -> list[str]:
    """What the page ought to say, by the package."""
    reference = Reference(settings)
    wrong, unreliable = (
        reference.truth != reference.y_crf[0],
        (reference.y_crf != reference.y_ret)[0],
    )
    sigma = cosine_scores(reference.features, reference.weight, (32, 48))
    sigma = confidence_map(sigma, reference.y_crf, settings["gamma"])[0]
    right = unreliable & ~wrong
    rows = [f"{100 * float(right.sum() / unreliable.sum()):.0f} %"]
    rows += [f"{float(sigma[right].mean()):.2f} / {float(sigma[unreliable & wrong].mean()):.2f}"]
    for pull in reference.pulls().values():
        towards = pull.clamp_min(0)
        shares = (float(towards[where].sum() / towards.sum()) for where in (wrong, right))
        rows.append(" / ".join(f"{100 * share:.0f} %" for share in shares))
    return rows


def test_sliders_and_keys_change_what_is_said(tab: Tab, noise_page: Path) -> None:
    tab.resize(1200, 900)
    tab.open(noise_page)
    assert numbers(tab) == said(noise.START)
    for name, value in (("spill", 1), ("gamma", 1), ("lambda", 0)):
        slider = f"document.querySelector('input.{name}')"
        tab.value(f"{slider}.value = {value}; {slider}.dispatchEvent(new Event('input'))")
    tab.value("document.querySelector('input.held').focus()")
    for kind in ("keyDown", "keyUp"):
        key = {"key": " ", "code": "Space", "windowsVirtualKeyCode": 32, "text": " "}
        tab.send("Input.dispatchKeyEvent", type=kind, **key)
    changed = noise.START | {"spill": 1, "gamma": 1, "lambda": 1, "held": True}
    assert numbers(tab) == said(changed) != said(noise.START)
    label = tab.value("document.querySelector('canvas.sigma').getAttribute('aria-label')")
    right, wrong = said(changed)[1].split(" / ")
    assert label.endswith(f" {right} on right labels, {wrong} on wrong ones.")
    tab.wait_for("document.querySelector('[role=status]').textContent.includes('Noise-aware')")
    tab.resize(390, 800, phone=True)
    assert tab.value("document.documentElement.scrollWidth") == 390
    asked = [e["params"]["request"]["url"] for e in tab.events if "requestWillBe" in e["method"]]
    assert asked and all(url.startswith(("file:", "data:")) for url in asked)
    assert not [
        e for e in tab.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")
    ]


def test_a_notebook_shows_it_in_a_frame(monkeypatch) -> None:
    displayed = []
    monkeypatch.setattr("bana.course.widget.pages.display", displayed.append)
    show_noise()
    assert displayed[0].data.startswith("<div><iframe srcdoc=") and noise.TITLE in displayed[0].data
    assert len(displayed[0].data) < 300_000
