"""Exact search by the floats: the truth that recall is measured against."""

from __future__ import annotations

import numpy as np

from hashkit.vectors.encoding import units_of
from hashkit.vectors.rescoring import rescore_rows
from hashkit.vectors.rows import Float32, Vectors, blocks_of
from hashkit.vectors.store import Slots

NEAR = 16
"""So many more than k are compared again in the order of `rescore`: a matrix product rounds differently."""


class ExactNeighbors:
    """The nearest rows of each query, among all rows that pass by, block by block.

    Parameters
    ----------
    queries : float32 array of shape (n_queries, n_dims)
    k : int
    metric : {"cosine", "ip", "l2"}
    own : int64 array of shape (n_queries,), optional
        A row for each query that is not to be found: itself.
    """

    def __init__(self, queries: Float32, k: int, metric: str, own: Slots | None = None) -> None:
        self._queries, self._k, self._metric, self._own = queries, k, metric, own
        self._wanted = k + NEAR + (own is not None)
        self._best = np.full((len(queries), self._wanted), -np.inf, np.float32)
        self._rows = np.full((len(queries), self._wanted), -1, np.int64)

    def add(self, first: int, units: Float32) -> None:
        """Take in the rows from `first` on, of length 1 under cosine."""
        scores = self._queries @ units.T
        if self._metric == "l2":
            scores -= np.einsum("ij,ij->i", units, units) / 2
        # Few rows of a block are better than the worst kept so far; each query's come to the left.
        hits = np.flatnonzero(scores > self._best.min(axis=1, keepdims=True))
        if not len(hits):
            return
        queries, columns = np.divmod(hits, len(units))
        most = int(np.bincount(queries).max())
        places = np.arange(len(queries)) - np.searchsorted(queries, queries)
        found = np.full((len(scores), most), -np.inf, np.float32)
        rows = np.full((len(scores), most), -1, np.int64)
        found[queries, places], rows[queries, places] = scores[queries, columns], columns + first
        found = np.concatenate([self._best, found], axis=1)
        chosen = np.argpartition(-found, self._wanted - 1, axis=1)[:, : self._wanted]
        self._best = np.take_along_axis(found, chosen, axis=1)
        self._rows = np.take_along_axis(np.concatenate([self._rows, rows], axis=1), chosen, axis=1)

    def rows(self, vectors: Vectors, n_threads: int) -> Slots:
        """Row numbers of the `k` nearest, by (score, row), once all `vectors` have passed by."""
        rows = self._rows if self._own is None else np.where(self._rows == self._own[:, None], -1, self._rows)
        vectors.check_rows(rows)
        n_found = min(self._k, len(vectors))
        return rescore_rows(self._queries, vectors, rows, n_found, self._metric, n_threads)[1]


def exact_neighbors(
    vectors: Vectors, queries: Float32, k: int, metric: str, n_threads: int, own: Slots | None = None
) -> Slots:
    """Row numbers of the k true nearest of each query, by (score, row); its `own` row left out."""
    nearest = ExactNeighbors(queries, k, metric, own)
    for first, block in blocks_of(vectors, "vectors"):
        nearest.add(first, units_of(block, metric))
    return nearest.rows(vectors, n_threads)
