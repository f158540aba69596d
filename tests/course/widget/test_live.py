"""The widget joined to a kernel: what the page holds are traits."""

import importlib
import sys
from importlib.util import find_spec

import pytest
import traitlets


@pytest.mark.skipif(find_spec("anywidget") is None, reason="the extra `widget` is not installed")
def test_settings_are_traits_that_are_checked(values) -> None:
    from bana.course.widget.live import Playground

    play = Playground(["teapot"])
    assert play.pictures == values["pictures"][3:]
    assert (play.box, play.grid) == (values["pictures"][3]["box"], values["grid"])
    assert "export default { render }" in play._esm and "import " not in play._esm
    for name, wrong in {"grid": 0, "threshold": 2.0, "box": [1, 2, 3]}.items():
        with pytest.raises(traitlets.TraitError):
            setattr(play, name, wrong)


def test_without_anywidget_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "bana.course.widget.live", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '.\[widget\]'"):
        importlib.import_module("bana.course.widget.live")


@pytest.mark.skipif(find_spec("anywidget") is None, reason="the extra `widget` is not installed")
def test_the_noise_is_a_widget_too() -> None:
    from bana.course.widget import noise
    from bana.course.widget.live import Noise

    made = Noise()
    assert {name: getattr(made, name) for name in noise.START} == noise.START
    assert "export default { render }" in made._esm and "import " not in made._esm
    for name, wrong in {"gamma": 0, "lambda": 2.0, "spill": -1}.items():
        with pytest.raises(traitlets.TraitError):
            setattr(made, name, wrong)
