"""The pairs of codes that are near by Jaccard distance or a like measure; see csrc/join/jaccard_join.hpp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import Codes
from hashkit.index.measures import JACCARD, Weights
from hashkit.index.snapshot import Rows

LEAST_REMADE = 4096
"""Up to this many codes are all compared, without skipping those that can no longer be partners."""


@dataclass(frozen=True)
class JaccardLimit:
    """How near a pair must be.

    Attributes
    ----------
    value : float
        From 0 to 1.
    is_similarity : bool
        Whether `value` is the least similarity; else the largest distance, 1 less the similarity.
    weights : Weights
        The measure of similarity.
    is_directed : bool
        Whether it is that of the left code of a pair with the right one; else the larger of that and the reverse.
    """

    value: float
    is_similarity: bool
    weights: Weights = JACCARD
    is_directed: bool = False


class JaccardFinder:
    """Finds the pairs of some rows of `codes` with `others`, or with the later rows of `codes`.

    Codes that can no longer be partners, since all rows from theirs on have been searched, are dropped whenever that
    halves those that are left: a join of codes with themselves then takes two thirds of one with as many others.
    """

    def __init__(self, codes: Codes, others: Codes | None, limit: JaccardLimit, n_threads: int) -> None:
        self._codes, self._n_threads = codes, n_threads
        self._limits = _native.NearLimits(
            codes.shape[1], limit.value, limit.is_similarity, limit.weights, limit.is_directed
        )
        self._offset = None if others is not None else 0
        self._n_sketch_bytes: int | None = None
        self._prepare(codes if others is None else others)

    def _prepare(self, partners: Codes) -> None:
        self._order = _native.popcount_order(partners, self._n_threads)
        self._sketches = _native.jaccard_sketches(*self._order, self._limits, self._n_sketch_bytes, self._n_threads)
        self._n_sketch_bytes = self._sketches.shape[1]

    def __call__(self, first: int, last: int, most: int) -> tuple[Rows, Rows, NDArray[np.float64]] | None:
        """Join rows [first, last): left rows, right rows and distances, by both rows; None if more than `most`."""
        if self._offset is not None:
            n_left, n_kept = len(self._codes) - first, len(self._codes) - self._offset
            if n_kept > LEAST_REMADE and 2 * n_left <= n_kept:
                self._offset = first
                self._prepare(self._codes[first:])
        return _native.jaccard_pairs(
            self._codes,
            first,
            last,
            *self._order,
            self._sketches,
            self._offset,
            self._limits,
            most,
            self._n_threads,
        )
