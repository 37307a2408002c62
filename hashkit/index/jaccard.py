"""Searches a snapshot by Jaccard distance: each part separately, in the order of popcounts; then merges the results.

Jaccard distances are float64, each the nearest to its fraction. Different fractions of up to 4,096 bits give different
float64, so that sorting those by (distance, id) sorts the fractions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import Codes
from hashkit.index.blocks import search_in_blocks
from hashkit.index.ids import Ids
from hashkit.index.results import RadiusResult
from hashkit.index.search import to_scan
from hashkit.index.snapshot import PopcountOrder, Selection

Distances = NDArray[np.float64]


def k_nearest(selections: list[Selection], queries: Codes, k: int, n_threads: int) -> tuple[Distances, Ids]:
    """Return distances and ids of the `k` nearest selected codes, or of all if there are fewer, one row per query."""
    distances, ids = np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
    for selection in selections:
        order, allowed, numbers = _in_order(selection, len(queries), n_threads)
        k_here = min(k, selection.n_rows)
        sketches = selection.part.jaccard_sketches(n_threads) if numbers is None else None
        found, rows, _ = _native.jaccard_k_nearest(*order, queries, k_here, n_threads, allowed, sketches)
        distances = np.concatenate([distances, found], axis=1)
        ids = np.concatenate([ids, selection.part.ids_of(rows if numbers is None else numbers[rows])], axis=1)
    if len(selections) > 1:
        nearest = np.lexsort((ids, distances), axis=1)[:, :k]
        return np.take_along_axis(distances, nearest, axis=1), np.take_along_axis(ids, nearest, axis=1)
    return distances, ids


def within_radius(selections: list[Selection], queries: Codes, r: float, n_threads: int) -> RadiusResult:
    """Return the selected codes whose distance to each query, as float64, is at most `r`."""
    return search_in_blocks(
        lambda some: _within_radius(selections, some, r, n_threads),
        _all_distances,
        np.dtype(np.float64),
        selections,
        queries,
        r,
    )


def _all_distances(queries: Codes, codes: Codes) -> Distances:
    common = np.bitwise_count(queries[:, np.newaxis] & codes).sum(axis=2, dtype=np.int64)
    either = np.bitwise_count(queries[:, np.newaxis] | codes).sum(axis=2, dtype=np.int64)
    return np.where(either > 0, (either - common) / np.maximum(either, 1), 0.0)


def _within_radius(selections: list[Selection], queries: Codes, r: float, n_threads: int) -> RadiusResult:
    answers = [(np.zeros(len(queries) + 1, np.int64), np.empty(0), np.empty(0, np.int64))]
    for selection in selections:
        order, allowed, numbers = _in_order(selection, len(queries), n_threads)
        offsets, found, rows, _ = _native.jaccard_within_radius(*order, queries, r, n_threads, allowed)
        answers.append((offsets, found, selection.part.ids_of(rows if numbers is None else numbers[rows])))
    if len(answers) <= 2:
        return RadiusResult(*answers[-1])
    owners = np.concatenate([np.repeat(np.arange(len(queries)), np.diff(offsets)) for offsets, _, _ in answers])
    distances, ids = (np.concatenate(column) for column in list(zip(*answers, strict=True))[1:])
    merged = np.lexsort((ids, distances, owners))
    return RadiusResult(np.sum([offsets for offsets, _, _ in answers], axis=0), distances[merged], ids[merged])


def _in_order(
    selection: Selection, n_queries: int, n_threads: int
) -> tuple[PopcountOrder, NDArray[np.uint8] | None, NDArray[np.int64] | None]:
    """Return the codes to search in the order of popcounts, the allowed rows, and their numbers in the part."""
    codes, allowed, numbers = to_scan(selection, n_queries, n_threads)
    if numbers is None:
        return selection.part.popcount_order(n_threads), allowed, None
    return _native.popcount_order(codes, n_threads), None, numbers
