"""The course's questions and what was measured of each: differences, from the records."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bana.experiment.exhibits.sources import Materials, Needs

PROFILES = {"voc-mini": "photographs", "sample": "drawn scenes"}
KINDS = {
    "record": "{}",
    "crossing": "crossing-{}",
    "bias": "bias-{}",
    "bench": "bench-{}",
    "noise": "noise-{}",
}
"""Records that answer, by what they are of."""

ANSWERS = Needs(
    images=False,
    records=tuple(name.format(profile) for profile in PROFILES for name in KINDS.values()),
)
CEILING = "true masks"
POOLING_ALONE = "BAP over GAP"
HALVES = {
    "gap+bap - gap+gap": "A of BAP over A of GAP, CAM of GAP",
    "bap+bap - gap+bap": "CAM of BAP over CAM of GAP, A of BAP",
}
"""The two halves of the unary, one exchanged at a time."""
CELL = 4  # pixels of the image that a cell of labels is wide, in the maps of noise

Plain = Mapping[str, float] | None
Records = Mapping[str, Mapping[str, Any]]


class Group(NamedTuple):
    """Questions that are asked of the same thing.

    Attributes:
        title: what they are asked of.
        rows: (what is compared, its key in the record).
        find: the difference of a key in the records of one profile, by kind; None where it was
            not measured.
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    find: Callable[[Records, str], Plain]


def answers(materials: Materials) -> dict[str, Any]:
    """Every question with its answer on each data set.

    Returns:
        As of `answers_of`.
    """
    return answers_of(
        {
            profile: {kind: materials.records[name.format(profile)] for kind, name in KINDS.items()}
            for profile in PROFILES
        }
    )


def answers_of(records: Mapping[str, Records]) -> dict[str, Any]:
    """Every question with its answer on each data set.

    Args:
        records: by profile and kind, keys of `KINDS`; what is missing answers nothing.

    Returns:
        "profiles": what each is of, by name. "groups": a list of {"title", "rows"}, with rows
        {"text", "by": {profile: {"mean", "low", "high"} or None}} in points of mIoU.
    """
    reach = max(map(_furthest, records.values()), default=0)
    groups = [
        {
            "title": group.title.format(CELL * reach),
            "rows": [
                {"text": text, "by": {name: group.find(r, key) for name, r in records.items()}}
                for text, key in group.rows
            ],
        }
        for group in GROUPS
    ]
    return {"profiles": {name: PROFILES[name] for name in records}, "groups": groups}


def _furthest(records: Records) -> int:
    """By how many cells labels spill at most in the map of noise."""
    return max((entry["reach"] for entry in records.get("noise", {}).get("map", [])), default=0)


def _of_record(part: str) -> Callable[[Records, str], Plain]:
    return lambda records, pair: (
        records.get("record", {}).get("differences", {}).get(part, {}).get(pair)
    )


def _crossed(records: Records, pair: str) -> Plain:
    """Of labels whose u_c and u_0 are of either classifier, each as "gap+none"."""
    for made in records.get("crossing", {}).get("crossing", {}).get("differences", []):
        if " - ".join("+".join(made[end]) for end in ("first", "second")) == pair:
            return made["points"]
    return None


def _at_bias(records: Records, pair: str) -> Plain:
    """Of networks, each with the background bias that training images chose."""
    made = records["bias"]["bias"]["differences"].get(pair) if "bias" in records else None
    return made["at chosen"] if made else None


def _of_heads(records: Records, pair: str) -> Plain:
    """Of linear heads that tell objects from background."""
    benches = records.get("bench", {}).get("benches", {})
    return benches.get("object, linear", {}).get("differences", {}).get(pair)


def _where_labels_are_worst(noise: str) -> Callable[[Records, str], Plain]:
    """Over cross-entropy, of the same heads, where labels spill furthest."""

    def find(records: Records, key: str) -> Plain:
        entries = [e for e in records.get("noise", {}).get("map", []) if e["noise"] == noise]
        return max(entries, key=lambda e: e["reach"])["over crf"].get(key) if entries else None

    return find


OVER_CRF = (("NAL", "nal - crf"), (CEILING, "truth - crf"))
SPOILED = (
    ("NAL (gamma 7)", "lambda .1"),
    ("NAL (gamma 30)", "gamma 30"),
    ("doubtful pixels ignored", "ignore"),
    (CEILING, "truth"),
)
GROUPS: tuple[Group, ...] = (
    Group(
        "labels",
        (
            ("BAP over the filled box with a CRF", "bap - boxes-crf"),
            ("BAP with u_0 over GAP without", "bap - gap"),
            ("BAP with u_0 over BAP without", "bap - bap-no-u0"),
            (f"{POOLING_ALONE}, both without u_0", "bap-no-u0 - gap"),
            ("BAP, Y_crf over Y_ret", "bap - bap-ret"),
        ),
        _of_record("labels_val"),
    ),
    Group(
        "labels, one training, u_0 for GAP too",
        (
            ("GAP with u_0 over GAP without", "gap+gap - gap+none"),
            (f"{POOLING_ALONE}, both with u_0", "bap+bap - gap+gap"),
            *((text, pair) for pair, text in HALVES.items()),
        ),
        _crossed,
    ),
    Group("networks, by the argmax", OVER_CRF, _of_record("segmentation_val")),
    Group("networks, each with its own bias", OVER_CRF, _at_bias),
    Group("heads", OVER_CRF, _of_heads),
    Group(
        "heads, Y_crf {} pixels too wide",
        SPOILED,
        _where_labels_are_worst("Y_crf"),
    ),
    Group(
        "heads, both labels {} pixels too wide",
        SPOILED,
        _where_labels_are_worst("both"),
    ),
)
"""Cross-entropy is that on Y_crf."""
