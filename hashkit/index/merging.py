"""Merges results of several indexes over disjoint codes into those of one index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import check_int, check_n_threads, describe
from hashkit.index.results import RadiusResult

Distances = NDArray[Any]
"""Hamming distances (int32), or Jaccard distances (float64)."""
Nearest = tuple[Distances, NDArray[np.int64]]


def merge(results: Sequence[Nearest], k: int, *, n_threads: int | None = None) -> Nearest:
    """Merge the nearest codes of several shards into the `k` nearest of each query.

    Each shard must have searched for at least `k`, or for all that it has; then the answer is the one that a single
    index of all codes gives, bit for bit.

    Parameters
    ----------
    results : sequence of (distances, ids)
        One pair for each shard, as :meth:`Index.query` returns it: distances, int32 for Hamming or float64 for Jaccard
        distance and of one dtype in all pairs, and an int64 array of the same shape (n_queries, any number), both
        one-dimensional for a single query, ordered by (distance, id). Shards are disjoint: an id that comes twice is
        kept twice.
    k : int
        How many; at least 1. More than there are gives as many as there are.
    n_threads : int, optional
        Threads; by default every CPU that this process may use. The answer does not depend on it.

    Returns
    -------
    distances : int32 or float64 array of shape (n_queries, min(k, columns of all results))
        Distances, ascending; as in the results. One-dimensional for a single query.
    ids : int64 array of the same shape
        Ids in the order of the distances; among equal distances ascending.

    Raises
    ------
    TypeError, ValueError
        If a result is not such a pair, has distances of another dtype than the first, is not in order, or answers
        another number of queries than the first, or `k` or `n_threads` is not a positive int.

    Examples
    --------
    >>> import numpy as np
    >>> import hashkit
    >>> a = np.array([1, 3], dtype=np.int32), np.array([10, 11])
    >>> b = np.array([1, 2], dtype=np.int32), np.array([7, 8])
    >>> hashkit.merge([a, b], k=3)
    (array([1, 1, 2], dtype=int32), array([ 7, 10,  8]))
    """
    pairs = [_check_nearest(result, f"results[{i}]") for i, result in enumerate(_check_results(results))]
    k, threads = check_int(k, "k", 1), check_n_threads(n_threads)
    single = pairs[0][0].ndim == 1
    for i, (distances, _) in enumerate(pairs):
        if distances.shape[:-1] != pairs[0][0].shape[:-1]:
            raise ValueError(
                f"results[{i}] must answer the same queries as results[0], {describe(pairs[0][0])}, "
                f"got {describe(distances)}"
            )
    if single:
        pairs = [(distances[np.newaxis], ids[np.newaxis]) for distances, ids in pairs]
    _check_one_dtype([distances for distances, _ in pairs])
    _check_order(pairs)
    distances, ids = merge_nearest(pairs, k, threads)
    return (distances[0], ids[0]) if single else (distances, ids)


def merge_radius(results: Sequence[RadiusResult], *, n_threads: int | None = None) -> RadiusResult:
    """Merge the codes that several shards found within a radius of each query.

    Parameters
    ----------
    results : sequence of RadiusResult
        One for each shard, as :meth:`Index.radius` returns it. Shards are disjoint: an id that comes twice is kept
        twice.
    n_threads : int, optional
        Threads; by default every CPU that this process may use. The answer does not depend on it.

    Returns
    -------
    result : RadiusResult
        Ordered by (distance, id) for each query.

    Raises
    ------
    TypeError, ValueError
        If one is not such a result, has distances of another dtype than the first, is not in order, or answers another
        number of queries than the first, or `n_threads` is not a positive int.
    """
    triples = [_check_radius_result(result, f"results[{i}]") for i, result in enumerate(_check_results(results))]
    threads = check_n_threads(n_threads)
    for i, result in enumerate(results):
        if len(result) != len(results[0]):
            raise ValueError(f"results[{i}] must answer {len(results[0])} queries like results[0], got {len(result)}")
    _check_one_dtype([distances for _, distances, _ in triples])
    _check_order(triples)
    return RadiusResult(*_native.merge_within_radius(triples, threads))


def merge_nearest(answers: Sequence[Nearest], k: int, n_threads: int) -> Nearest:
    """:func:`merge` of two-dimensional results that are known to be in order."""
    return _native.merge_nearest(list(answers), min(k, sum(ids.shape[1] for _, ids in answers)), n_threads)


def _check_results(results: Any) -> Sequence[Any]:
    if not isinstance(results, Sequence) or isinstance(results, (str, bytes)):
        raise TypeError(f"results must be a sequence of one result for each shard, got {describe(results)}")
    if not results:
        raise ValueError("results must not be empty: the number of queries would be unknown")
    return results


def _check_nearest(result: Any, name: str) -> Nearest:
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{name} must be a pair (distances, ids), got {describe(result)}")
    distances, ids = result
    _check_array(distances, (np.int32, np.float64), f"the distances of {name}")
    _check_array(ids, (np.int64,), f"the ids of {name}")
    if distances.ndim not in (1, 2) or distances.shape != ids.shape:
        raise ValueError(
            f"{name} must be two arrays of one shape with one or two dimensions, "
            f"got {describe(distances)} and {describe(ids)}"
        )
    return np.ascontiguousarray(distances), np.ascontiguousarray(ids)


def _check_radius_result(result: Any, name: str) -> tuple[NDArray[np.int64], Distances, NDArray[np.int64]]:
    if not isinstance(result, RadiusResult):
        raise TypeError(f"{name} must be a RadiusResult, got {describe(result)}")
    _check_array(result.offsets, (np.int64,), f"the offsets of {name}")
    _check_array(result.distances, (np.int32, np.float64), f"the distances of {name}")
    _check_array(result.ids, (np.int64,), f"the ids of {name}")
    offsets = np.ascontiguousarray(result.offsets)
    distances, ids = np.ascontiguousarray(result.distances), np.ascontiguousarray(result.ids)
    fits = offsets.ndim == distances.ndim == ids.ndim == 1 and len(offsets) > 0 and len(distances) == len(ids)
    if not fits or offsets[0] != 0 or offsets[-1] != len(ids) or np.any(offsets[1:] < offsets[:-1]):
        raise ValueError(f"the offsets of {name} must ascend from 0 to the number of distances and of ids")
    return offsets, distances, ids


def _check_array(array: Any, dtypes: tuple[type, ...], name: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype not in dtypes:
        expected = " or ".join(str(np.dtype(dtype)) for dtype in dtypes)
        raise TypeError(f"{name} must be an array of {expected}, got {describe(array)}")


def _check_one_dtype(distances: Sequence[NDArray[Any]]) -> None:
    for i, array in enumerate(distances):
        if array.dtype != distances[0].dtype:
            raise TypeError(
                f"the distances of results[{i}] must be of dtype {distances[0].dtype} like those of results[0], "
                f"got {describe(array)}"
            )


def _check_order(parts: Iterable[tuple[NDArray[Any], ...]]) -> None:
    for i, part in enumerate(parts):
        query = _native.unordered_query(part)
        if query is not None:
            raise ValueError(f"results[{i}] must be ordered by (distance, id), that of query {query} is not")
