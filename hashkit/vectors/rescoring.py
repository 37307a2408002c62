"""Exact re-ranking: candidates of a search ordered by their vectors."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import check_choice, check_int, check_n_threads, describe
from hashkit.vectors.rows import Float32, Vectors, as_queries, as_vectors, padded

METRICS = ("cosine", "ip", "l2")
PAIRS_AT_A_TIME = 1 << 22
"""Of queries and candidates: bounds the memory of a large batch."""

Metric = Literal["cosine", "ip", "l2"]


def rescore(
    queries: Any,
    vectors: Any,
    ids: NDArray[np.int64],
    k: int,
    *,
    metric: Metric = "cosine",
    scales: Any = None,
    n_threads: int | None = None,
) -> tuple[Float32, NDArray[np.int64]]:
    """Order candidates by their vectors, and return the `k` best of each query.

    Parameters
    ----------
    queries : array or torch tensor of shape (n_queries, n_dims), or (n_dims,) for one query
        Finite float16, bfloat16, float32 or float64 values.
    vectors : array, torch tensor or memory map of shape (n_rows, n_dims)
        float32, float16, bfloat16 (of torch or ml_dtypes) or int8; C-contiguous. Of a memory map only the candidates'
        rows are read.
    ids : int64 array of shape (n_queries, n_candidates), or (n_candidates,) for one query
        The candidates: row numbers in `vectors`. -1 stands for none, as searches return it where there is nothing left.
    k : int
        How many to return; more than there are candidates gives as many as there are.
    metric : {"cosine", "ip", "l2"}, default="cosine"
        Similarity by cosine, 0 where a vector is all zeros; inner product; or Euclidean distance.
    scales : float array of shape (n_rows,), (n_rows, 1) or (1, n_dims), optional
        For int8 vectors, and needed there: what the values of each row, or of each column, are multiplied by.
    n_threads : int, optional
        Threads; by default every CPU that this process may use. The answer does not depend on it.

    Returns
    -------
    scores : float32 array of shape (n_queries, min(k, n_candidates))
        The best first: similarities falling, distances rising. One-dimensional for a single query.
    ids : int64 array of the same shape
        Among equal scores ascending; a candidate that comes twice counts once. Places that no candidate is left for
        have id -1, and the score minus infinity, or infinity for distances.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, an id is none of the rows, or a vector of a candidate is not finite.

    Notes
    -----
    Values are added in one order of float32 additions on every machine, so that scores are the same everywhere, bit
    for bit; a row's score depends on the query and the row alone.

    Examples
    --------
    >>> import numpy as np
    >>> import hashkit
    >>> vectors = np.array([[1, 0], [0, 1], [1, 1]], dtype=np.float32)
    >>> query, candidates = np.array([2, 0], dtype=np.float32), np.array([2, 1, 0])
    >>> hashkit.rescore(query, vectors, candidates, k=2, metric="ip")
    (array([2., 2.], dtype=float32), array([0, 2]))
    """
    check_choice(metric, "metric", METRICS)
    stored = as_vectors(vectors, "vectors", scales)
    asked, single = as_queries(queries, "queries", stored.n_dims)
    candidates = _check_candidates(ids, asked, single, len(stored))
    k = min(check_int(k, "k", 1), candidates.shape[1])
    scores, best = rescore_rows(asked, stored, candidates, k, metric, check_n_threads(n_threads))
    return (scores[0], best[0]) if single else (scores, best)


def rescore_rows(
    queries: Float32,
    vectors: Vectors,
    rows: NDArray[np.int64],
    k: int,
    metric: str,
    n_threads: int,
    ids: NDArray[np.int64] | None = None,
) -> tuple[Float32, NDArray[np.int64]]:
    """:func:`rescore` with checked arguments, `k` at most the number of candidates, and an id for each row."""
    asked, native = padded(queries), vectors.native()
    step = max(1, PAIRS_AT_A_TIME // max(1, rows.shape[1]))
    parts = []
    for first in range(0, max(1, len(queries)), step):
        chosen = slice(first, first + step)
        names = None if ids is None else ids[chosen]
        scores, best, bad = _native.rescore(asked[chosen], *native, rows[chosen], names, k, metric, n_threads)
        if bad >= 0:
            raise ValueError(f"vectors must be finite and give finite scores, row {bad} does not")
        parts.append((scores, best))
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([scores for scores, _ in parts]), np.concatenate([best for _, best in parts])


def _check_candidates(ids: Any, queries: Float32, single: bool, n_rows: int) -> NDArray[np.int64]:
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int64:
        raise TypeError(f"ids must be an int64 array, got {describe(ids)}")
    expected = "(n_candidates,)" if single else f"({len(queries)}, n_candidates)"
    candidates = ids[np.newaxis] if single else ids
    if candidates.ndim != 2 or len(candidates) != len(queries):
        raise ValueError(f"ids must have shape {expected}, got {describe(ids)}")
    wrong = (candidates < -1) | (candidates >= n_rows)
    if wrong.any():
        raise ValueError(f"ids must be rows of the {n_rows} vectors, or -1, got {candidates[wrong][0]}")
    return np.ascontiguousarray(candidates)
