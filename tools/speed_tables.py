"""The section on speed of docs/results.md as Markdown, from benchmarks; see tools/readme.py."""

from typing import Any

from markdown_tables import table_of


def speed(records: dict[str, dict[str, Any]]) -> str:
    """The section on speed, in Markdown, of the benchmarks' records by name."""
    labels, crf = records["labels"], records["crf"]
    unlike = min(labels["equal_y_crf"], labels["equal_y_ret"])
    text = (
        f"**Labels** of one image of 375 x 500 pixels from 1,024 channels, without backbone and "
        f"CRF, against the same from enlarged features: {labels['speed_up_median']:.0f} times "
        f"faster, {labels['memory_ratio']:.0%} of the peak memory, {unlike:.2%} of the labels "
        f"equal, unaries within {labels['largest_difference_of_unaries']:.0e} "
        f"([record](../results/labels.json))."
    )
    problems = sorted({(row["labels"], row["plausible"]) for row in crf["one_thread"]})
    columns = {"one thread": "one_thread", "two processes at once": "two_processes"}
    rows = []
    for labels_, plausible in problems:
        name = f"{labels_} labels" + (f", {plausible} of them plausible" if labels_ > 4 else "")
        rows.append([name, *(_ratios(crf[key], labels_, plausible) for key in columns.values())])
    header = ["dense CRF, time over pydensecrf's, least to most", *columns]
    pictures = {row["picture"] for row in crf["one_thread"]}
    accuracy = {
        method: [row[method]["equal_labels"] for row in crf["accuracy"]]
        for method in ("dense", "pydensecrf")
    }
    size = " x ".join(map(str, crf["accuracy"][0]["size"]))
    means = {method: sum(shares) / len(shares) for method, shares in accuracy.items()}
    closer = sum(a > b for a, b in zip(*accuracy.values(), strict=True))
    return "\n\n".join(
        [
            text,
            table_of(header, rows),
            f"Each range is over {len(pictures)} photographs of 375 x 500 pixels and the three "
            f"published parameter sets, medians of {crf['repeats']} rounds "
            f"([record](../results/crf.json)). Beside the exact filter, on pieces of {size} pixels "
            f"with 4 vague labels, {means['dense']:.2%} of the lattice's labels are the exact "
            f"ones and {means['pydensecrf']:.2%} of pydensecrf's; the lattice is closer in "
            f"{closer} of {len(crf['accuracy'])} cases. Both filter through a permutohedral "
            f"lattice. Where labels are left out, one more is filtered since the times beside "
            f"pydensecrf were taken.",
        ]
    )


def _ratios(rows: list[dict[str, Any]], labels: int, plausible: int) -> str:
    """Least and largest ratio to pydensecrf's time of one problem."""
    ratios = [
        row["dense"]["ratio_to_pydensecrf"]
        for row in rows
        if (row["labels"], row["plausible"]) == (labels, plausible)
    ]
    return f"{min(ratios):.2f} to {max(ratios):.2f}"
