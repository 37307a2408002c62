"""Metrics of rankings that any search returned, by any measure.

Shared by all functions:

ids : int64 array of shape (n_queries, n_ranked)
    Row numbers of the items in ranked order, as a search returned them.
query_labels, labels : arrays of shape (n_queries,) and (n_items,), or of bool and shape (..., n_labels)
    An item is relevant to a query if they have the same label, or one label in common.
k : int or None
    Only the first k ranks count; None for all ``n_ranked``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_choice, check_cut, describe, refuse_mask
from hashkit.evaluation.metrics import DENOMINATORS, Denominator, Labels, average_precision
from hashkit.evaluation.relevance import check_labels, check_length, row_blocks, same_label
from hashkit.evaluation.scores import Score, divide, mean_score


def mean_average_precision_of_rankings(
    ids: NDArray[np.int64],
    query_labels: Labels,
    labels: Labels,
    *,
    k: int | None = None,
    denominator: Denominator = "relevant_in_first_k",
) -> Score:
    """Compute mAP@k as `mean_average_precision` does, of given rankings."""
    check_choice(denominator, "denominator", DENOMINATORS)
    flags, n_relevant = _judge(ids, query_labels, labels, k)
    return mean_score(average_precision(flags, n_relevant, denominator == "relevant_in_first_k"))


def precision_of_rankings(
    ids: NDArray[np.int64], query_labels: Labels, labels: Labels, *, k: int | None = None
) -> Score:
    """Compute the share of relevant items among the first k."""
    flags, n_relevant = _judge(ids, query_labels, labels, k)
    precision = flags.sum(axis=1) / max(flags.shape[1], 1)
    return mean_score(np.where(n_relevant > 0, precision, np.nan))


def recall_of_rankings(ids: NDArray[np.int64], query_labels: Labels, labels: Labels, *, k: int | None = None) -> Score:
    """Compute the share of all relevant items that is among the first k."""
    flags, n_relevant = _judge(ids, query_labels, labels, k)
    return mean_score(divide(flags.sum(axis=1), n_relevant))


def _judge(
    ids: NDArray[np.int64], query_labels: Labels, labels: Labels, k: int | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Check everything; return relevance flags of the first k ranks, and the number of relevant items, per query."""
    check_labels(query_labels, labels)
    check_rankings(ids, len(labels))
    check_length(query_labels, "query_labels", ids, "ids")
    cut = check_cut(k, len(labels))
    if k is not None and cut > ids.shape[1]:
        raise ValueError(f"k must be at most the {ids.shape[1]} ranks in ids, got {k}")
    flags = np.zeros((len(ids), ids.shape[1] if k is None else cut), np.uint8)
    n_relevant = np.zeros(len(ids), np.int64)
    for rows in row_blocks(len(ids), len(labels)):
        relevant = same_label(query_labels[rows], labels)
        flags[rows] = np.take_along_axis(relevant, ids[rows, : flags.shape[1]], axis=1)
        n_relevant[rows] = relevant.sum(axis=1)
    return flags, n_relevant


def check_rankings(ids: NDArray[np.int64], n_items: int) -> None:
    refuse_mask(ids, "ids")
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int64 or ids.ndim != 2:
        raise TypeError(f"ids must be an int64 array of shape (n_queries, n_ranked), got {describe(ids)}")
    if ids.size and (ids.min() < 0 or ids.max() >= n_items):
        raise ValueError(f"ids must be row numbers from 0 to {n_items - 1}, got {ids.min()} to {ids.max()}")
