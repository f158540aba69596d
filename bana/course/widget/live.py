"""The widget joined to a kernel: Python reads and sets its box. Needs the extra `widget`.

Kept apart, and out of what is installed by default, because the page does all without a kernel,
and because anywidget brings ipywidgets, with which `tqdm.auto` draws widgets that a saved notebook
does not show.
"""

from collections.abc import Sequence

import traitlets

from bana.course.widget.playground import chosen, script, style, values
from bana.experiment.pretrained import load_pretrained

try:
    import anywidget
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("this needs anywidget: pip install -e '.[widget]'") from error


class Playground(anywidget.AnyWidget):
    """The widget of the page, whose settings are traits.

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
