"""The widgets joined to a kernel: Python reads and sets what hands do. Needs the extra `widget`.

Kept apart, and out of what is installed by default, because the page does all without a kernel,
and because anywidget brings ipywidgets, with which `tqdm.auto` draws widgets that a saved notebook
does not show.
"""

from collections.abc import Sequence

import traitlets

from bana.course.widget import noise
from bana.course.widget.pages import style
from bana.course.widget.playground import chosen, script, values
from bana.experiment.pretrained import load_pretrained

try:
    import anywidget
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("this needs anywidget: pip install -e '.[widget]'") from error


class Playground(anywidget.AnyWidget):
    """The widget of notebook 02, whose settings are traits.

    Attributes:
        picture: number of the picture that is shown.
        box: x1, y1, x2, y2 in whole pixels of that picture, half-open.
        grid: N.
        threshold: of the mask.
    """

    _esm = script()
    _css = style()
    pictures = traitlets.List().tag(sync=True)
    colours = traitlets.Unicode().tag(sync=True)
    picture = traitlets.Int().tag(sync=True)
    box = traitlets.List(traitlets.Int(), minlen=4, maxlen=4).tag(sync=True)
    grid = traitlets.Int(min=1, max=8).tag(sync=True)
    threshold = traitlets.Float(min=0, max=1).tag(sync=True)

    def __init__(self, names: Sequence[str] = ()) -> None:
        super().__init__(**values(load_pretrained(), chosen(names)))


class Noise(anywidget.AnyWidget):
    """The widget of notebook 06, whose settings are traits.

    Attributes:
        spill: part of the reeds that Y_crf takes for the duck.
        likeness: how far the network takes reeds for the duck, 0 to 1.
        decided: the largest cosine that a feature can have.
        gamma: of Eq. 12.
        lambda: of Eq. 14; its name is a word of Python's, so that it is set by `setattr`.
        held: whether sigma is a constant to the gradient.
    """

    _esm = noise.script()
    _css = style()
    scene = traitlets.Dict().tag(sync=True)
    colours = traitlets.Unicode().tag(sync=True)
    spill = traitlets.Float(min=0, max=1).tag(sync=True)
    likeness = traitlets.Float(min=0, max=1).tag(sync=True)
    decided = traitlets.Float(min=0.05, max=1).tag(sync=True)
    gamma = traitlets.Float(min=1, max=30).tag(sync=True)
    held = traitlets.Bool().tag(sync=True)
    locals()["lambda"] = traitlets.Float(min=0.01, max=1).tag(sync=True)

    def __init__(self) -> None:
        super().__init__(**noise.values())
