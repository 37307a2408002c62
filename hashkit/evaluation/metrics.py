"""Metrics of codes: every query ranks all codes by Hamming distance.

Shared by all functions:

queries, codes : uint8 arrays of shape (n_queries, n_bytes) and (n_codes, n_bytes)
    Packed bits.
query_labels, labels : arrays of shape (n_queries,) and (n_codes,), or of bool and shape (..., n_labels)
    A code is relevant to a query if they have the same label, or one label in common.
k : int
    Only the first k ranks count; more than ``n_codes`` means all of them.
ties : {"id", "expectation"}
    How codes at the same distance are ranked: by id, the row number, as `hashkit.Index` does; or in every possible
    order, of which the mean is returned, in closed form.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_choice, check_cut, check_int
from hashkit.evaluation import _ranking
from hashkit.evaluation.relevance import JudgedBlock, judged_blocks
from hashkit.evaluation.scores import Curve, Score, divide, mean_score

Codes: TypeAlias = NDArray[np.uint8]
Labels: TypeAlias = NDArray[np.generic]
Ties: TypeAlias = Literal["id", "expectation"]
Denominator: TypeAlias = Literal["relevant_in_first_k", "relevant_in_database"]

TIES = ("id", "expectation")
DENOMINATORS = ("relevant_in_first_k", "relevant_in_database")


def mean_average_precision(
    queries: Codes,
    codes: Codes,
    query_labels: Labels,
    labels: Labels,
    *,
    k: int | None = None,
    denominator: Denominator = "relevant_in_first_k",
    ties: Ties = "id",
) -> Score:
    """Compute mAP@k, or mAP over the whole ranking.

    The average precision of a query is the sum of precision@rank over the ranks up to k that hold a relevant code,
    divided by ``denominator``.

    Parameters
    ----------
    queries, codes, query_labels, labels, ties
        As for the whole module.
    k : int or None
        Number of ranks; None for all of them.
    denominator : {"relevant_in_first_k", "relevant_in_database"}
        Relevant codes among the first k ranks (average precision is 0 where there are none), or in the whole database.
        The two are the same when k is None.

    Returns
    -------
    Score
    """
    check_choice(denominator, "denominator", DENOMINATORS)
    check_choice(ties, "ties", TIES)
    blocks = judged_blocks(queries, codes, query_labels, labels)
    cut, by_found = check_cut(k, len(codes)), denominator == "relevant_in_first_k"
    measure = _average_precision_by_id if ties == "id" else _expected_average_precision
    return mean_score(_collect([measure(block, cut, by_found) for block in blocks]))


def precision_at_k(
    queries: Codes, codes: Codes, query_labels: Labels, labels: Labels, *, k: int, ties: Ties = "id"
) -> Score:
    """Compute the share of relevant codes among the first k; see the module for the parameters."""
    check_choice(ties, "ties", TIES)
    blocks = judged_blocks(queries, codes, query_labels, labels)
    cut = check_cut(k, len(codes))
    shares = [np.where(block.n_relevant > 0, hits_in_first(block, cut, ties) / max(cut, 1), np.nan) for block in blocks]
    return mean_score(_collect(shares))


def recall_at_k(
    queries: Codes, codes: Codes, query_labels: Labels, labels: Labels, *, k: int, ties: Ties = "id"
) -> Score:
    """Compute the share of all relevant codes that is among the first k; see the module for the parameters."""
    check_choice(ties, "ties", TIES)
    blocks = judged_blocks(queries, codes, query_labels, labels)
    cut = check_cut(k, len(codes))
    return mean_score(_collect([divide(hits_in_first(block, cut, ties), block.n_relevant) for block in blocks]))


def precision_within_radius(
    queries: Codes, codes: Codes, query_labels: Labels, labels: Labels, *, radius: int = 2
) -> Score:
    """Compute the share of relevant codes among those at a distance of at most ``radius``.

    A query with no code within the radius counts as 0, and is counted in ``n_empty``. There are no ties to break.
    """
    radius = check_int(radius, "radius", 0)
    shares, n_empty = [], 0
    for block in judged_blocks(queries, codes, query_labels, labels):
        within = block.distances <= radius
        found, known = within.sum(axis=1), block.n_relevant > 0
        precision = (within & (block.relevant > 0)).sum(axis=1) / np.maximum(found, 1)
        shares.append(np.where(known, precision, np.nan))
        n_empty += int(np.count_nonzero(known & (found == 0)))
    return mean_score(_collect(shares), n_empty=n_empty)


def precision_recall_curve(queries: Codes, codes: Codes, query_labels: Labels, labels: Labels) -> Curve:
    """Compute precision and recall within every radius from 0 to the number of bits.

    Pairs of a query and a code are pooled: precision is the share of relevant pairs among the pairs within the radius,
    recall the share of the relevant pairs that lie within it. There are no ties to break.
    """
    blocks = judged_blocks(queries, codes, query_labels, labels)
    found, hits = np.zeros((2, 8 * codes.shape[1] + 1), np.int64)
    n_without_relevant = 0
    for block in blocks:
        n_items, n_relevant = _ranking.count_by_distance(block.distances, block.relevant, block.n_bits)
        known = n_relevant.any(axis=1)
        found += n_items[known].sum(axis=0)
        hits += n_relevant[known].sum(axis=0)
        n_without_relevant += int(np.count_nonzero(~known))
    precision, recall = divide(hits.cumsum(), found.cumsum()), divide(hits.cumsum(), hits.sum())
    return Curve(precision, recall, n_queries=len(queries), n_without_relevant=n_without_relevant)


def hits_in_first(block: JudgedBlock, k: int, ties: Ties) -> NDArray[np.float64]:
    """Count the relevant codes among the first k, or expect them over all orders of ties."""
    if ties == "id":
        flags = _ranking.flags_in_order(block.distances, block.relevant, block.n_bits, k)
        return np.asarray(flags.sum(axis=1, dtype=np.float64))
    n_items, n_relevant = _ranking.count_by_distance(block.distances, block.relevant, block.n_bits)
    n_seen = np.clip(k - (n_items.cumsum(axis=1) - n_items), 0, n_items)
    return np.asarray((n_relevant * n_seen / np.maximum(n_items, 1)).sum(axis=1))


def _average_precision_by_id(block: JudgedBlock, k: int, by_found: bool) -> NDArray[np.float64]:
    flags = _ranking.flags_in_order(block.distances, block.relevant, block.n_bits, k)
    return average_precision(flags, block.n_relevant, by_found)


def average_precision(flags: NDArray[np.uint8], n_relevant: NDArray[np.int64], by_found: bool) -> NDArray[np.float64]:
    """Divide the sums of precision; nan where nothing is relevant, 0 where nothing relevant was found."""
    divisors = flags.sum(axis=1, dtype=np.int64) if by_found else n_relevant
    return np.where(n_relevant > 0, _ranking.sum_precisions(flags) / np.maximum(divisors, 1), np.nan)


def _expected_average_precision(block: JudgedBlock, k: int, by_found: bool) -> NDArray[np.float64]:
    n_items, n_relevant = _ranking.count_by_distance(block.distances, block.relevant, block.n_bits)
    scores = np.full(len(n_relevant), np.nan)
    known = n_relevant.any(axis=1)
    scores[known] = _ranking.expected_average_precision(n_items[known], n_relevant[known], k, by_found)
    return scores


def _collect(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts) if parts else np.zeros(0)
