"""`Index`, the face of search."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.codes import Codes, check_codes, check_n_bits, check_n_threads, describe
from hashkit.index.results import RadiusResult


class Index:
    """Exact search by Hamming distance over packed codes.

    Parameters
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
        Packed codes (see :func:`hashkit.pack`), kept by reference where they are in the order of their ids. May be
        empty, of shape (0, n_bytes).
    ids : int64 array of shape (n_codes,), optional
        A number for each code, all different; by default the row numbers.
    n_bits : int, optional
        Length of the codes, by default ``8 * n_bytes``; padding bits must be zero.

    Raises
    ------
    TypeError, ValueError
        If the codes are not packed codes of `n_bits`, or the ids not different integers, one for each code.

    Notes
    -----
    Results are ordered by ``(distance, id)``, and which of several codes at the same distance takes the k-th place is
    decided by that order too: the same codes and ids give the same answer whatever their order, the instruction set
    and the number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> import hashkit
    >>> index = hashkit.Index(np.array([[0b0000_0000], [0b0000_0001], [0b0000_0111]], dtype=np.uint8))
    >>> distances, ids = index.query(np.array([0b0000_0011], dtype=np.uint8), k=2)
    >>> distances, ids
    (array([1, 1], dtype=int32), array([1, 2]))
    """

    def __init__(self, codes: Codes, *, ids: NDArray[np.int64] | None = None, n_bits: int | None = None) -> None:
        check_codes(codes, "codes")
        self._n_bits = 8 * codes.shape[1] if n_bits is None else check_n_bits(n_bits)
        check_codes(codes, "codes", self._n_bits)
        # Codes stand in the order of their ids, so that an order by row is an order by id.
        self._ids = None if ids is None else check_ids(ids, len(codes))
        self._codes = codes
        if self._ids is not None and np.any(self._ids[1:] <= self._ids[:-1]):
            order = np.argsort(self._ids, kind="stable")
            self._ids, self._codes = self._ids[order], codes[order]
            repeated = np.flatnonzero(self._ids[1:] == self._ids[:-1])
            if len(repeated):
                raise ValueError(f"ids must be different, got {self._ids[repeated[0]]} more than once")

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self._n_bits

    def __len__(self) -> int:
        """The number of codes."""
        return len(self._codes)

    def __repr__(self) -> str:
        return f"<hashkit.Index of {len(self)} codes of {self.n_bits} bits>"

    def query(
        self, q: Codes, k: int = 100, *, n_threads: int | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The `k` nearest codes of each query.

        Parameters
        ----------
        q : uint8 array of shape (n_queries, n_bytes), or (n_bytes,) for one query
            Packed codes of the index's length.
        k : int, default=100
            How many; at least 1. More than there are codes gives as many as there are.
        n_threads : int, optional
            Threads; by default every CPU that this process may use. The answer does not depend on it.

        Returns
        -------
        distances : int32 array of shape (n_queries, min(k, len(index)))
            Hamming distances, ascending. One-dimensional for a single query.
        ids : int64 array of the same shape
            Ids in the order of the distances; among equal distances ascending.

        Raises
        ------
        TypeError, ValueError
            If `q` is not packed codes of the index's length, `k` is not a positive int, or `n_threads` is not one.
        """
        queries = self._check_queries(q)
        k = min(_check_int(k, "k", 1), len(self))
        distances, rows = _native.scan_k_nearest(self._codes, queries, k, check_n_threads(n_threads))
        ids = self._ids_of(rows)
        return (distances[0], ids[0]) if q.ndim == 1 else (distances, ids)

    def radius(self, q: Codes, r: int, *, n_threads: int | None = None) -> RadiusResult:
        """Every code within distance `r` of each query, `r` included.

        Parameters
        ----------
        q : uint8 array of shape (n_queries, n_bytes), or (n_bytes,) for one query
            Packed codes of the index's length.
        r : int
            The radius; at least 0. From `n_bits` on it takes in every code.
        n_threads : int, optional
            Threads; by default every CPU that this process may use. The answer does not depend on it.

        Returns
        -------
        result : RadiusResult
            Distances and ids by query; ``result[i]`` is one query's pair of arrays.

        Raises
        ------
        TypeError, ValueError
            If `q` is not packed codes of the index's length, `r` is not an int of at least 0, or `n_threads` is not a
            positive one.
        """
        queries = self._check_queries(q)
        r = min(_check_int(r, "r", 0), self.n_bits)
        offsets, distances, rows = _native.scan_within_radius(self._codes, queries, r, check_n_threads(n_threads))
        return RadiusResult(offsets, distances, self._ids_of(rows))

    def _check_queries(self, q: Codes) -> Codes:
        queries = q[np.newaxis] if isinstance(q, np.ndarray) and q.ndim == 1 else q
        return check_codes(queries, "q", self.n_bits)

    def _ids_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows if self._ids is None else self._ids[rows]


def check_ids(ids: Any, n_codes: int) -> NDArray[np.int64]:
    """`ids` as int64, one for each of `n_codes` codes; whether they are different is not looked at."""
    if not isinstance(ids, np.ndarray) or ids.dtype not in (np.int64, np.uint64, np.int32, np.uint32):
        raise TypeError(f"ids must be an int64 array, got {describe(ids)}")
    if ids.shape != (n_codes,):
        raise ValueError(f"ids must have shape ({n_codes},), one for each code, got {describe(ids)}")
    if ids.dtype == np.uint64 and len(ids) and ids.max() > np.iinfo(np.int64).max:
        raise ValueError(f"ids must fit int64, got {ids.max()}")
    return ids.astype(np.int64, copy=False)


def _check_int(value: Any, name: str, least: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, got {describe(value)}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)
