"""Geometry instead of labels: how many of the true neighbors by float features do the codes keep?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_choice, check_cut, describe, from_tensor, refuse_mask
from hashkit.codes import hamming_distances
from hashkit.cosines import largest_columns, unit_rows
from hashkit.evaluation.metrics import TIES, Codes, Ties, hits_in_first
from hashkit.evaluation.rankings import check_rankings
from hashkit.evaluation.relevance import (
    JudgedBlock,
    check_code_pair,
    check_length,
    row_blocks,
)
from hashkit.evaluation.scores import Score, mean_score

QUERIES_PER_BLOCK = 512
FEATURES_PER_BLOCK = 16_384


def float_neighbors(
    queries: NDArray[np.floating], features: NDArray[np.floating], *, n_neighbors: int = 10
) -> NDArray[np.int64]:
    """Find the nearest rows by cosine similarity, exactly, in float32 and in blocks.

    Parameters
    ----------
    queries, features : float16, float32 or float64 arrays of shape (n_queries, n_dims) and (n_items, n_dims)
        Or torch tensors, also of bfloat16. Memory maps are read block by block.
        Features are not centered; an all-zero row has similarity 0 to every row.
    n_neighbors : int
        More than ``n_items`` means all of them.

    Returns
    -------
    ids : int64 array of shape (n_queries, n_neighbors)
        Row numbers of ``features``, the most similar first; equal similarities by id.
    """
    queries, features = _check_features(queries, "queries"), _check_features(features, "features")
    if queries.shape[1] != features.shape[1]:
        raise ValueError(f"queries must have features' {features.shape[1]} dimensions, got {describe(queries)}")
    kept = check_cut(n_neighbors, len(features))
    parts = [np.zeros((0, kept), np.int64)]
    for _, block in _unit_blocks(queries, "queries", QUERIES_PER_BLOCK):
        parts.append(_nearest(block, features, kept))
    return np.concatenate(parts)


def neighbor_recall(
    queries: Codes, codes: Codes, neighbors: NDArray[np.int64], *, k: int = 100, ties: Ties = "id"
) -> Score:
    """Compute the share of the true neighbors that are among the first k codes by Hamming distance.

    Parameters
    ----------
    queries, codes : uint8 arrays of shape (n_queries, n_bytes) and (n_codes, n_bytes)
    neighbors : int64 array of shape (n_queries, n_neighbors)
        Row numbers, all different within a row, as from `float_neighbors`.
    k : int
        Number of ranks; more than ``n_codes`` means all of them.
    ties : {"id", "expectation"}
        How codes at the same distance are ranked: by id, or in every possible order, of which the mean is returned.
    """
    check_choice(ties, "ties", TIES)
    check_code_pair(queries, codes)
    check_rankings(neighbors, len(codes))
    check_length(neighbors, "neighbors", queries, "queries")
    cut = check_cut(k, len(codes))
    recall = np.full(len(queries), np.nan)
    for rows in row_blocks(len(queries), len(codes)) if neighbors.shape[1] else ():
        relevant = np.zeros((rows.stop - rows.start, len(codes)), np.uint8)
        np.put_along_axis(relevant, neighbors[rows], 1, axis=1)
        block = JudgedBlock(hamming_distances(queries[rows], codes), relevant, 8 * codes.shape[1])
        recall[rows] = hits_in_first(block, cut, ties) / block.n_relevant
    return mean_score(recall)


def _nearest(queries: NDArray[np.float32], features: NDArray[np.floating], kept: int) -> NDArray[np.int64]:
    """Merge the best of every block of features into the best so far, which have smaller ids and stand before it."""
    similarities = np.zeros((len(queries), 0), np.float32)
    ids = np.zeros((len(queries), 0), np.int64)
    for start, block in _unit_blocks(features, "features", FEATURES_PER_BLOCK):
        similarities = np.concatenate([similarities, queries @ block.T], axis=1)
        numbers = np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))
        ids = np.concatenate([ids, numbers], axis=1)
        best = largest_columns(similarities, kept)
        similarities = np.take_along_axis(similarities, best, axis=1)
        ids = np.take_along_axis(ids, best, axis=1)
    return ids


def _unit_blocks(features: NDArray[np.floating], name: str, n_rows: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Read rows as float32 scaled to length 1, with the number of the first row; all-zero rows stay zero."""
    for start in range(0, len(features), n_rows):
        with np.errstate(over="ignore"):  # a float64 too large for float32 is refused below
            block = np.asarray(features[start : start + n_rows]).astype(np.float32)
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise ValueError(f"{name} must be finite, got a value that is not in row {start + int(finite.argmin())}")
        yield start, unit_rows(block)


def _check_features(features: Any, name: str) -> NDArray[np.floating]:
    refuse_mask(features, name)
    features = from_tensor(features, name)
    if not isinstance(features, np.ndarray) or features.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(f"{name} must be a float16, float32 or float64 array, got {describe(features)}")
    if features.ndim != 2:
        raise ValueError(f"{name} must have shape (n, n_dims), got {describe(features)}")
    return features
