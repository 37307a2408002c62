"""Hashers whose projection is linear in the (scaled) row: one matrix, one offset."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import sger

from hashkit.cosines import row_squares
from hashkit.hashers.arrays import Arrays, Expected
from hashkit.hashers.base import Hasher
from hashkit.hashers.encoding import linear_scores
from hashkit.hashers.features import Float32, Float64

_UNIT_ROUNDOFF = 2.0**-24


class LinearHasher(Hasher):
    """
    A hasher with project(x) = u @ weights_ - offsets_, where u is the row x, of length 1 if `normalize`.

    Attributes
    ----------
    weights_ : float32 array of shape (n_features, n_bits)
    offsets_ : float32 array of shape (n_bits,)
    """

    weights_: Float32
    offsets_: Float32

    _state: tuple[str, ...] = ("weights_", "offsets_")

    def _set_map(self, weights: npt.NDArray[Any], center: npt.NDArray[Any]) -> None:
        """Store a map that projects `center` to zero."""
        self.weights_ = np.ascontiguousarray(weights, dtype=np.float32)
        self.offsets_ = (center @ self.weights_.astype(np.float64)).astype(np.float32)

    def _expected_arrays(self, arrays: Arrays) -> dict[str, Expected]:
        return {
            "weights_": Expected(np.float32, (self.n_features_in_, self.n_bits_)),
            "offsets_": Expected(np.float32, (self.n_bits_,)),
        }

    def _scores(self, block: Float32, norms: Float32) -> Float32:
        # Multiplied by the norm, the projection needs no scaled copy of the row.
        values: Float32 = block @ self.weights_
        # Subtracts norms times offsets in one pass over the values.
        return np.asarray(sger(-1, self.offsets_, norms, a=values.T, overwrite_a=True)).T

    def _exact_scores(self, rows: Float32, norms: Float32, bits: npt.NDArray[np.int64]) -> Float64:
        return linear_scores(self.weights_, self.offsets_, rows, norms, bits)

    def _score_error(self, block: Float32, norms: Float32) -> Float32:
        # A sum of d products is off by at most d u sum|x_i w_i| <= d u |x||w| (Higham 2002, section 3.1), in any order;
        # four more roundings stand for the offset and its norm. One bound a row, that of the longest w, is compared
        # faster than one a value.
        relative = (block.shape[1] + 4) * _UNIT_ROUNDOFF
        lengths = np.sqrt(np.square(self.weights_).sum(axis=0)) * np.float32(1 + relative) + np.abs(self.offsets_)
        factor = np.float32(relative * 1.01) * lengths.max()
        if not self.normalize_:
            norms = np.sqrt(row_squares(block))
        bound: Float32 = norms[:, None] * factor
        return bound
