"""Hashers compared on one data set: the quality of their codes, and their costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hashkit import evaluation
from hashkit.checks import check_int, check_seed, describe
from hashkit.datasets import Dataset
from hashkit.evaluation.relevance import check_labels
from hashkit.hashers import fit
from hashkit.index import Index
from hashkit.progress import progress_bar

# Ranking every item by its float features is the yardstick for mAP; beyond this many pairs it would take too long.
MAX_FLOAT_PAIRS = 100_000_000
N_NEIGHBORS, NEIGHBOR_CUT = 10, 100
# Work shorter than this is repeated: its first round may time the waking of threads and caches.
LONG_SECONDS = 1.0

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Split:
    """A data set split into queries and items. Hashers learn from the items, and searches run over them.

    Attributes
    ----------
    queries, items : float arrays of shape (n_queries, n_dims) and (n_items, n_dims)
    query_rows, item_rows : int64 arrays
        Their row numbers in the data set.
    query_labels, labels : arrays, or None
    train : float array of shape (n_train, n_dims), or None
        What hashers learn from instead of the items.
    """

    queries: NDArray[np.floating]
    items: NDArray[np.floating]
    query_rows: NDArray[np.int64]
    item_rows: NDArray[np.int64]
    query_labels: NDArray[Any] | None
    labels: NDArray[Any] | None
    train: NDArray[np.floating] | None = None


@dataclass(frozen=True, eq=False)
class Trial:
    """A fitted hasher's codes, and the seconds to learn it, to encode all items, and to search for all queries."""

    method: str
    n_bits: int
    query_codes: NDArray[np.uint8]
    codes: NDArray[np.uint8]
    fit_seconds: float
    encode_seconds: float
    search_seconds: float


def split_dataset(dataset: Dataset, n_queries: int | None = None, *, random_state: int | None = None) -> Split:
    """Split a data set into queries and items.

    Parameters
    ----------
    dataset : Dataset
    n_queries : int, optional
        By default a sixth of the rows, 1,000 at most.
    random_state : int, optional
        Seed of the draw of queries; without it the first rows are the queries.
    """
    n_rows = len(dataset.features)
    n_queries = max(1, min(1000, n_rows // 6)) if n_queries is None else check_int(n_queries, "n_queries", 1)
    if not 1 <= n_queries < n_rows:
        raise ValueError(f"n_queries must be between 1 and {n_rows - 1}, one less than there are rows, got {n_queries}")
    order = np.arange(n_rows)
    if random_state is not None:
        order = np.random.default_rng(check_seed(random_state)).permutation(n_rows)
    query_rows, item_rows = np.sort(order[:n_queries]), np.sort(order[n_queries:])
    features, labels = dataset.features, dataset.labels
    if random_state is None:  # cut without a copy, so that a large memory map stays on disk
        queries, items = features[:n_queries], features[n_queries:]
    else:
        queries, items = features[query_rows], features[item_rows]
    if labels is None:
        return Split(queries, items, query_rows, item_rows, None, None)
    check_labels(labels[query_rows], labels[item_rows])  # before hours of work rather than after
    return Split(queries, items, query_rows, item_rows, labels[query_rows], labels[item_rows])


def make_split(
    queries: NDArray[np.floating],
    items: NDArray[np.floating],
    query_labels: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    *,
    train: NDArray[np.floating] | None = None,
) -> Split:
    """A split of your own: queries, the database, and training rows if these differ from the database.

    Parameters
    ----------
    queries, items : float arrays of shape (n_queries, n_dims) and (n_items, n_dims)
    query_labels, labels : arrays, optional
        One label, or one row of bool, for each; both or none.
    train : float array of shape (n_train, n_dims), optional
        What hashers learn from; by default the items.

    Raises
    ------
    ValueError
        If the arrays differ in their number of dimensions, labels are missing or of another number, or rows are.
    """
    parts = {"queries": queries, "items": items} | ({} if train is None else {"train": train})
    for name, rows in parts.items():
        if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] != items.shape[1]:
            raise ValueError(f"{name} must be rows of {items.shape[1:]} values like the items, got {describe(rows)}")
    if (query_labels is None) != (labels is None):
        raise ValueError("labels and query_labels must be given both, or none of them")
    if query_labels is not None and labels is not None:
        check_labels(query_labels, labels)
        if (len(query_labels), len(labels)) != (len(queries), len(items)):
            raise ValueError(
                f"labels must be one for each of {len(queries)} queries and {len(items)} items, got "
                f"{len(query_labels)} and {len(labels)}"
            )
    return Split(queries, items, np.arange(len(queries)), np.arange(len(items)), query_labels, labels, train)


def run_trial(split: Split, method: str, n_bits: int, *, random_state: int = 0, **options: Any) -> Trial:
    """Fit one hasher on the items, encode items and queries, and search for 100 neighbors of every query.

    Options are the method's own.
    """
    rows = split.items if split.train is None else split.train
    hasher, fit_seconds = _timed(lambda: fit(rows, n_bits=n_bits, method=method, random_state=random_state, **options))
    codes, encode_seconds = _timed(lambda: hasher.encode(split.items), n_rounds=3)
    query_codes = hasher.encode(split.queries)
    index = Index(codes, n_bits=n_bits)
    _, search_seconds = _timed(lambda: index.query(query_codes, k=NEIGHBOR_CUT), n_rounds=3)
    return Trial(method, n_bits, query_codes, codes, fit_seconds, encode_seconds, search_seconds)


def run_trials(
    split: Split,
    methods: Sequence[str],
    bits: Iterable[int],
    *,
    random_state: int = 0,
    progress: bool = False,
) -> list[Trial]:
    """Run every method at every code length; lengths beyond the number of dimensions are left out."""
    n_dims = split.items.shape[1]
    lengths = [n_bits for n_bits in bits if n_bits <= n_dims]
    if not lengths:
        raise ValueError(f"features must have as many dimensions as the shortest code has bits, got {n_dims}")
    pairs = [(method, n_bits) for n_bits in lengths for method in methods]
    trials = []
    with progress_bar(progress, total=len(pairs), disable=None, leave=False) as bar:
        for method, n_bits in pairs:
            bar.set_description(f"{method}, {n_bits} bits")
            trials.append(run_trial(split, method, n_bits, random_state=random_state))
            bar.update()
    return trials


def report(split: Split, trials: Sequence[Trial]) -> str:
    """A table of the quality and cost of the trials and of the float features, with definitions below it."""
    found, float_seconds = _timed(
        lambda: evaluation.float_neighbors(split.queries, split.items, n_neighbors=NEIGHBOR_CUT)
    )
    neighbors = found[:, :N_NEIGHBORS]
    float_bytes = split.items.shape[1] * split.items.itemsize
    by_query = 1e6 / len(split.queries)
    header = ["method", "bits", "mAP", "recall", "fit s", "encode µs/item", "search µs/query", "bytes/item"]
    float_score = score_float_features(split)
    rows = [
        [
            "float features",
            "",
            _shown(float_score),
            "1.000",
            "",
            "",
            f"{float_seconds * by_query:.1f}",
            f"{float_bytes}",
        ]
    ]
    for trial in trials:
        n_bytes = trial.codes.shape[1]
        recall = evaluation.neighbor_recall(
            trial.query_codes, trial.codes, neighbors, k=NEIGHBOR_CUT, ties="expectation"
        )
        rows.append(
            [
                trial.method,
                f"{trial.n_bits}",
                _shown(score_labels(split, trial)),
                _shown(recall),
                f"{trial.fit_seconds:.2f}",
                f"{trial.encode_seconds * 1e6 / len(split.items):.2f}",
                f"{trial.search_seconds * by_query:.1f}",
                f"{n_bytes} (1/{float_bytes / n_bytes:.0f})",
            ]
        )
    return "\n".join([markdown_table(header, rows), "", *_definitions(split)])


def score_labels(
    split: Split, trial: Trial, *, k: int | None = None, ties: evaluation.Ties = "expectation"
) -> evaluation.Score | None:
    """Mean average precision of a trial by label, over the first k ranks; None without labels."""
    if split.query_labels is None or split.labels is None:
        return None
    return evaluation.mean_average_precision(
        trial.query_codes, trial.codes, split.query_labels, split.labels, k=k, ties=ties
    )


def score_float_features(split: Split, *, k: int | None = None) -> evaluation.Score | None:
    """Mean average precision of the ranking by cosine of the features; None without labels, or for too many pairs."""
    n_items = len(split.items)
    if split.query_labels is None or split.labels is None or len(split.queries) * n_items > MAX_FLOAT_PAIRS:
        return None
    ranking = evaluation.float_neighbors(split.queries, split.items, n_neighbors=n_items if k is None else k)
    return evaluation.mean_average_precision_of_rankings(ranking, split.query_labels, split.labels)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table that reads well as text and as Markdown: the first column to the left, others to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        aligned = [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]
        return f"| {' | '.join(aligned)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def _definitions(split: Split) -> list[str]:
    lines = [
        f"{len(split.queries):,} queries, {len(split.items):,} items of {split.items.shape[1]:,} dimensions; "
        "hashers learn from the items, without labels.",
        f"recall: share of a query's {N_NEIGHBORS} nearest items by cosine among the first {NEIGHBOR_CUT} by Hamming "
        "distance.",
        "Ties in Hamming distance count as the mean over all their orders.",
    ]
    if split.labels is not None and split.query_labels is not None:
        lines.insert(1, "mAP: mean average precision over the whole ranking; relevant is what has the query's label.")
        n_lonely = int(np.count_nonzero(~np.isin(split.query_labels, split.labels))) if split.labels.ndim == 1 else 0
        if n_lonely:
            lines.insert(2, f"{n_lonely:,} queries have a label that no item has: mAP leaves them out.")
    return lines


def _shown(score: evaluation.Score | None) -> str:
    return "" if score is None else f"{score.value:.3f}"


def _timed(work: Callable[[], T], *, n_rounds: int = 1) -> tuple[T, float]:
    """Do work and give its result and its seconds: the best of several rounds, unless one takes long enough."""
    seconds = []
    for _ in range(n_rounds):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
        if seconds[-1] > LONG_SECONDS:
            break
    return result, min(seconds)
