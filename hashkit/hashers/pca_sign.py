"""The signs of the principal components: the plainest learned code."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from hashkit.hashers.base import check_fits
from hashkit.hashers.features import moments
from hashkit.hashers.linear import LinearHasher
from hashkit.hashers.pca import descending_eigenvectors


class PCASign(LinearHasher):
    """
    Signs of the first `n_bits` principal components.

    Parameters
    ----------
    n_bits : int
        Length of the codes, at most the number of features.
    normalize : bool
        Scale every row to length 1 first.
    """

    def __init__(self, n_bits: int = 64, *, normalize: bool = True) -> None:
        self.n_bits = n_bits
        self.normalize = normalize

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        super()._check_parameters(shape)
        check_fits(self.n_bits, shape)

    def _fit(self, X: npt.NDArray[Any]) -> None:
        mean, covariance = moments(X, normalize=self.normalize)
        _, directions = descending_eigenvectors(covariance, self.n_bits)
        self._set_map(directions, mean)
