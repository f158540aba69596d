"""One rule of verdict: a difference whose interval holds zero is not told apart from zero."""

import math
from collections.abc import Mapping

from bana.evaluation.intervals import Difference, Estimate

NOT_TOLD_APART = "not told apart"
NOT_SCORED = "not scored"


def verdict(difference: Difference) -> str:
    """In words: "higher", "lower", or "not told apart" where the interval holds zero or is NaN."""
    if difference.low > 0:
        return "higher"
    return "lower" if difference.high < 0 else NOT_TOLD_APART


def stated(difference: Difference) -> str:
    """A difference as README, tables and notebooks print it: points, interval, verdict.

    "not scored" where it is NaN.
    """
    if math.isnan(difference.mean):
        return NOT_SCORED
    text = interval(difference)
    return f"{text}, {NOT_TOLD_APART}" if verdict(difference) == NOT_TOLD_APART else text


def interval(difference: Difference) -> str:
    """A difference and its interval in points: "+1.2 [+0.3, +2.1]".

    An end that leaves zero out is not printed as zero: "+1.0 [+0.04, +1.9]".
    """
    mean, *ends = difference
    apart = verdict(difference) != NOT_TOLD_APART
    low, high = (f"{e:+.1g}" if apart and abs(e) < 0.05 else f"{e:+.1f}" for e in ends)
    return f"{mean:+.1f} [{low}, {high}]"


def plain_difference(difference: Difference) -> dict[str, float] | None:
    """A difference as JSON holds it: {"mean", "low", "high"}; None where one of them is NaN."""
    return None if any(map(math.isnan, difference)) else difference._asdict()


def difference_of(plain: Mapping[str, float] | None) -> Difference:
    """The difference that `plain_difference` gave; NaN of None."""
    return Difference(math.nan, math.nan, math.nan) if plain is None else Difference(**plain)


def plain_score(value: float) -> float | None:
    """A score as JSON holds it: NaN, which JSON does not know, becomes None."""
    return None if math.isnan(value) else value


def plain_estimate(made: Estimate | None) -> dict[str, float] | None:
    """An estimate as JSON holds it: {"value", "low", "high"}; None where there is none."""
    return made._asdict() if made else None


def estimated(plain: Mapping[str, float] | None) -> str:
    """An estimate as JSON holds it, in words: "61.2 [58.0, 64.1]"; "-" where there is none."""
    return "{value:.1f} [{low:.1f}, {high:.1f}]".format(**plain) if plain else "-"
