"""Methods compared over code lengths and seeds: figures as a table, as CSV, and as LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hashkit import evaluation
from hashkit.checks import check_int
from hashkit.evaluation.comparison import (
    N_NEIGHBORS,
    NEIGHBOR_CUT,
    Split,
    Trial,
    markdown_table,
    run_trials,
)


@dataclass(frozen=True)
class Result:
    """What one method scored at one code length with one seed.

    Attributes
    ----------
    method : str
    n_bits, seed : int
    map, precision : float or None
        By label, over the first k ranks; None without labels. mAP is divided by the relevant in the first k, and equal
        distances count as the mean over all their orders.
    recall : float
        Share of a query's 10 nearest items by cosine of the features among the first 100 by Hamming distance.
    fit_seconds, encode_seconds, search_seconds : float
        To learn, to encode all items, and to search for 100 neighbors of every query.
    """

    method: str
    n_bits: int
    seed: int
    map: float | None
    precision: float | None
    recall: float
    fit_seconds: float
    encode_seconds: float
    search_seconds: float


def compare(
    split: Split,
    methods: Sequence[str],
    bits: Iterable[int],
    *,
    k: int = 1000,
    seeds: Sequence[int] = (0,),
    progress: bool = False,
) -> list[Result]:
    """Run every method at every code length with every seed, and measure what its codes keep.

    Parameters
    ----------
    split : Split
        Training rows, database and queries: from `split_dataset`, or made of arrays of your own.
    methods : sequence of str
        Of hashkit, or of an `OwnHasher`.
    bits : iterable of int
        Lengths beyond the number of dimensions are left out.
    k : int
        Ranks that mAP and precision look at.
    seeds : sequence of int
    progress : bool
        Show a bar.

    Raises
    ------
    TypeError, ValueError
        If a method or a length is unknown, or the split has no length that fits.
    """
    check_int(k, "k", 1)
    lengths = list(bits)
    found = evaluation.float_neighbors(split.queries, split.items, n_neighbors=min(N_NEIGHBORS, len(split.items)))
    results = []
    for seed in seeds:
        trials = run_trials(split, methods, lengths, random_state=seed, progress=progress)
        results += [_measure(split, trial, seed, k, found) for trial in trials]
    return results


def _measure(split: Split, trial: Trial, seed: int, k: int, neighbors: NDArray[np.int64]) -> Result:
    task = trial.query_codes, trial.codes
    by_label: list[float | None] = [None, None]
    if split.query_labels is not None and split.labels is not None:
        known = *task, split.query_labels, split.labels
        by_label = [
            evaluation.mean_average_precision(*known, k=k, ties="expectation").value,
            evaluation.precision_at_k(*known, k=k, ties="expectation").value,
        ]
    recall = evaluation.neighbor_recall(*task, neighbors, k=NEIGHBOR_CUT, ties="expectation").value
    seconds = trial.fit_seconds, trial.encode_seconds, trial.search_seconds
    return Result(trial.method, trial.n_bits, seed, by_label[0], by_label[1], recall, *seconds)


def to_csv(results: Iterable[Result]) -> str:
    """One line for each result, under the names of its attributes; what was not measured is empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [field.name for field in fields(Result)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(result) for result in results)
    return file.getvalue()


def to_markdown(results: Sequence[Result], k: int) -> str:
    """A table of the means over the seeds, with their standard deviations where there are several."""
    header = ["method", "bits", f"mAP@{k}", f"precision@{k}", "recall", "fit s"]
    rows = [[method, f"{n_bits}", *_figures(group, "±")] for (method, n_bits), group in _groups(results).items()]
    return markdown_table(header, rows)


def to_latex(results: Sequence[Result], k: int) -> str:
    """The same as a tabular of the package booktabs, the best mean of each length and measure in bold."""
    groups = _groups(results)
    lines = [
        r"\begin{tabular}{lrrrr}",
        r"\toprule",
        rf"method & bits & mAP@{k} & precision@{k} & recall \\",
        r"\midrule",
    ]
    for (method, n_bits), group in groups.items():
        rivals = [other for (_, length), other in groups.items() if length == n_bits]
        cells = []
        for name, figure in zip(("map", "precision", "recall"), _figures(group, r"$\pm$"), strict=False):
            best = figure and _mean(group, name) >= max(_mean(rival, name) for rival in rivals)
            cells.append(rf"\textbf{{{figure}}}" if best else figure)
        plain = method.replace("_", r"\_")
        lines.append(rf"{plain} & {n_bits} & {' & '.join(cells)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _groups(results: Iterable[Result]) -> dict[tuple[str, int], list[Result]]:
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        groups.setdefault((result.method, result.n_bits), []).append(result)
    return groups


def _mean(group: Sequence[Result], name: str) -> float:
    return float(np.mean([getattr(result, name) for result in group]))


def _figures(group: Sequence[Result], between: str) -> list[str]:
    """Means of mAP, precision, recall and the seconds to fit, as text; empty where nothing was measured."""
    cells = []
    for name, digits in (("map", 3), ("precision", 3), ("recall", 3), ("fit_seconds", 2)):
        values = [getattr(result, name) for result in group]
        if values[0] is None:
            cells.append("")
            continue
        spread = f" {between} {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.{digits}f}{spread}")
    return cells
