"""Exercises of notebook 08: results."""

import torch

from bana.course.exercises.banks import Question, asks, short
from bana.course.exercises.judging import compare, exercise, helped, recognise
from bana.evaluation.miou import mean_iou
from bana.evaluation.regime import agreement_shares


@exercise("08-1")
def two_conventions(answer) -> str:
    """mIoU of partial labels, with the unlabelled pixels dropped and counted wrong."""
    cases = {
        "three classes": ([50, 20, 6], [60, 40, 10], [10, 0, 4]),
        "a class that occurs nowhere": ([50, 20, 0], [60, 40, 0], [10, 5, 0]),
        "a class of which every pixel is unlabelled": ([50, 20, 0], [60, 40, 0], [5, 3, 9]),
    }
    for given, rows in cases.items():
        inside, union, missing = (torch.tensor(row, dtype=torch.float64) for row in rows)
        found = answer(inside.clone(), union.clone(), missing.clone())
        dropped, wrong = inside / union, inside / (union + missing)
        expected = 100 * dropped.nanmean(), 100 * wrong.nanmean()
        lost = (inside - missing).clamp_min(0) / union
        mistakes = {
            "Return percent.": (dropped.nanmean(), wrong.nanmean()),
            "A class that occurs nowhere has no IoU. Leave it out of the mean, and do not count "
            "it as 0.": (100 * dropped.nan_to_num().mean(), 100 * wrong.nan_to_num().mean()),
            "Add up classes and the large ones decide. The mean is over the ratios of the "
            "classes.": (
                100 * inside.sum() / union.sum(),
                100 * inside.sum() / (union + missing).sum(),
            ),
            "An unlabelled pixel was never in the intersection. Which part of the ratio does it "
            "change?": (100 * dropped.nanmean(), 100 * lost.nanmean()),
            "If it counts wrong, the class of which every pixel is unlabelled does occur: in the "
            "masks.": (100 * dropped.nanmean(), 100 * wrong[union > 0].mean()),
        }
        recognise(found, expected, mistakes)
        compare(found, expected, given)
    return "classes that occur, one that does not, and one without a labelled pixel"


@exercise("08-2")
def gains_over_chance(answer) -> str:
    """What disagreement is worth as a finder of errors, over a region drawn at random."""
    cases = {
        "errors that gather in ~S": [[100, 700], [80, 120]],
        "errors that avoid ~S": [[300, 500], [10, 190]],
        "errors spread by chance": [[200, 600], [50, 150]],
        "an empty ~S": [[30, 70], [0, 0]],
    }
    for given, rows in cases.items():
        counts = torch.tensor(rows, dtype=torch.float64)
        found = answer(counts.clone())
        shares = {key: value[0] for key, value in agreement_shares(counts[None]).items()}
        expected = shares["precision_gain"], shares["recall_gain"]
        precision, recall = shares["precision"], shares["recall"]
        rate, share = shares["error_rate"], shares["unreliable_share"]
        mistakes = {
            "Return points, from percent.": (expected[0] / 100, expected[1] / 100),
            "Which share would a random region have for its precision, and which for its recall? "
            "Yours are exchanged.": (precision - share, recall - rate),
            "Disagreement is to find errors: a hit is a wrong label, and you count the right "
            "ones.": (-expected[0], 100 * counts[1, 1] / counts[:, 1].sum() - share),
            "Chance is not one half: a random region finds as many errors as there are.": (
                precision - 50,
                recall - 50,
            ),
            "Precision is a share of ~S, recall a share of the errors. Yours are exchanged.": (
                recall - share,
                precision - rate,
            ),
            "Where ~S is empty precision is a share of nothing: leave it nan, as the record "
            "does.": (torch.zeros(()), expected[1]),
        }
        recognise(found, expected, mistakes)
        compare(found, expected, given)
    return "errors that gather in ~S, avoid it and ignore it, and an empty ~S"


@asks(
    "08-2",
    agree=(700, 800, 850),
    wrong=(60, 80, 120, 150),
    differ=(150, 200, 300),
    wrong_there=(50, 70, 110, 140),
)
def recall_gain(
    agree: int = 900, wrong: int = 90, differ: int = 100, wrong_there: int = 40
) -> Question:
    """What disagreement gains in recall, in points, from four counts."""
    recall, share = wrong_there / (wrong + wrong_there), differ / (agree + differ)
    error_rate = (wrong + wrong_there) / (agree + differ)
    answer = 100 * (recall - share)
    rows = [[wrong, agree - wrong], [wrong_there, differ - wrong_there]]
    words = (
        f"has {agree} pixels, {wrong} of them wrong",
        f"has {differ}, {wrong_there} of them wrong",
        str([[float(n) for n in row] for row in rows]),
        f"by {short(answer)} points",
    )
    mistakes = {
        "That is the gain in precision.": 100 * (wrong_there / differ - error_rate),
        "That is the recall. What would a region drawn blindly have?": 100 * recall,
    }
    sensible = wrong_there < 0.75 * differ and answer > 5
    return Question(answer, words, mistakes, sensible)


@exercise("08-3")
def paired_interval(answer) -> str:
    """Interval of a difference in mIoU, from images drawn again for both sides alike."""
    generator = torch.Generator().manual_seed(3)
    union = 20 + 80 * torch.rand(8, 3, generator=generator, dtype=torch.float64)
    shares = torch.rand(2, 8, 3, generator=generator, dtype=torch.float64)
    sides = torch.stack([union * shares[0], union], -1), torch.stack([union * shares[1], union], -1)
    rare = sides[0].clone(), sides[1].clone()
    for side in rare:
        side[1:, 2] = 0  # the last class occurs in the first image alone
    drawn = torch.randint(8, (200, 8), generator=generator)
    times = torch.zeros(200, 8, dtype=torch.float64).scatter_add_(
        1, drawn, torch.ones(200, 8, dtype=torch.float64)
    )
    cases = {
        "a method and itself": (sides[0], sides[0], times),
        "two methods on eight images": (*sides, times),
        "a class that occurs in one image": (*rare, times),
        "a single image": (sides[0][:1], sides[1][:1], torch.ones(5, 1, dtype=torch.float64)),
    }
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    for given, (first, second, often) in cases.items():
        found = answer(first.clone(), second.clone(), often.clone())
        one, other = (mean_iou(torch.einsum("rn,ncm->rcm", often, s)) for s in (first, second))
        expected = tuple((one - other).quantile(ends))
        ratios = 100 * torch.stack([side[..., 0] / side[..., 1] for side in (first, second)])
        by_image = ratios.nanmean(2)  # [2, N]
        means = (often * (by_image[0] - by_image[1])).sum(1) / often.sum(1)
        low, high = ((one.quantile(e), other.quantile(e)) for e in ends)
        parts = torch.stack([s[..., 0] for s in (first, second)]), often
        pooled = torch.einsum("snc,rn->sr", *parts)
        pooled = 100 * pooled / torch.einsum("nc,rn->r", first[..., 1], often)
        mistakes = {
            "You average the mIoU of the images. The score adds up areas over the drawn images and "
            "divides then, class by class.": tuple(means.quantile(ends)),
            "You subtract the ends of two intervals. Take the difference in every draw first: "
            "image luck, which both sides share, drops out.": (low[0] - high[1], high[0] - low[1]),
            "You subtract the ends of two intervals, end by end. Take the difference in every draw "
            "first.": (low[0] - low[1], high[0] - high[1]),
            "The middle 95 % leaves 2.5 % on either side; yours leaves 5 %.": (
                tuple((one - other).quantile(torch.tensor([0.05, 0.95], dtype=torch.float64)))
            ),
            "You add up the classes before you divide. The score is the mean of their ratios.": (
                tuple((pooled[0] - pooled[1]).quantile(ends))
            ),
        }
        recognise(found, expected, mistakes)
        itself = "A method less itself is 0 in every draw: do both sides see the same images?"
        with helped(itself if first is second else ""):
            compare(found, expected, given)
    return "a method and itself, two methods, a class of one image, and a single image"
