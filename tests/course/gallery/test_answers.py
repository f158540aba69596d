"""The figure of questions: looks by verdict, numbers beside them, all of it in words."""

import matplotlib
import matplotlib.pyplot as plt

from bana.course.colours import OKABE_ITO
from bana.course.gallery.answers import draw_answers, tell_answers
from bana.course.gallery.files import SIZES
from bana.course.gallery.making import look


def test_answers_are_drawn_by_verdict_and_told():
    data = {
        "profiles": {"voc-mini": "photographs", "sample": "drawn scenes"},
        "groups": [
            {
                "title": "heads, Y_crf 8 pixels too wide",
                "rows": [
                    {
                        "text": "NAL (gamma 7)",
                        "by": {
                            "voc-mini": {"mean": 1.0, "low": 0.5, "high": 1.5},
                            "sample": {"mean": -1.0, "low": -1.5, "high": -0.5},
                        },
                    },
                    {
                        "text": "true masks",
                        "by": {
                            "voc-mini": {"mean": 0.2, "low": -0.5, "high": 0.5},
                            "sample": None,
                        },
                    },
                ],
            }
        ],
    }
    with matplotlib.rc_context(look(SIZES["paper"])):
        fig = draw_answers(data, SIZES["paper"])
    left, right = fig.axes
    looks = [
        [
            (line.get_marker(), line.get_markerfacecolor())
            for line in ax.lines
            if len(line.get_xdata()) == 1
        ]
        for ax in (left, right)
    ]
    ahead, behind = OKABE_ITO["blue"], OKABE_ITO["vermillion"]
    assert looks == [[("o", ahead), ("o", "white")], [("s", behind)]]
    written = [[text.get_text() for text in ax.texts] for ax in (left, right)]
    assert written == [
        ["+1.0 [+0.5, +1.5]", "+0.2 [-0.5, +0.5]"],
        ["-1.0 [-1.5, -0.5]", "not measured"],
    ]
    assert [ax.get_title() for ax in fig.axes] == ["voc-mini: photographs", "sample: drawn scenes"]
    told = tell_answers(data)
    assert "Heads, Y_crf 8 pixels too wide: NAL (gamma 7) +1.0 [+0.5, +1.5] and -1.0" in told.alt
    assert "true masks +0.2 [-0.5, +0.5], not told apart and not measured." in told.alt
    plt.close(fig)
