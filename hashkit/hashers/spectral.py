"""Spectral hashing (Weiss, Torralba, Fergus, NIPS 2008): signs of the smoothest waves along principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.hashers.arrays import Arrays, Expected
from hashkit.hashers.base import check_fits
from hashkit.hashers.features import Float32, Float64, moments
from hashkit.hashers.linear import LinearHasher
from hashkit.hashers.pca import descending_eigenvectors

# The half of a component's range, in standard deviations.
_REACH = 2.6


class SpectralHashing(LinearHasher):
    """
    Signs of cosine waves along each principal component, the `n_bits` of longest wavelength.

    They are the eigenfunctions of the Laplacian if features are spread evenly over a box, the method's assumption.
    The box reaches 2.6 standard deviations to both sides of the mean, which holds 99 of 100 normal values; the largest
    and smallest values, which the paper takes, are those of outliers, and give bits that few rows share.

    Parameters
    ----------
    n_bits : int
        Length of the codes, at most the number of features.
    normalize : bool
        Scale every row to length 1 first.

    Attributes
    ----------
    frequencies_ : float32 array of shape (n_bits,)
        ``project(x) = cos(frequencies_ * (u @ weights_ - offsets_))``;
        the offset is the low end of the component's box.
    """

    frequencies_: Float32

    _state = ("weights_", "offsets_", "frequencies_")

    def __init__(self, n_bits: int = 64, *, normalize: bool = True) -> None:
        self.n_bits = n_bits
        self.normalize = normalize

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        super()._check_parameters(shape)
        check_fits(self.n_bits, shape)

    def _fit(self, X: npt.NDArray[Any]) -> None:
        mean, covariance = moments(X, normalize=self.normalize)
        variances, components = descending_eigenvectors(covariance, self.n_bits)
        half_range = _REACH * np.sqrt(np.maximum(variances, 1e-24))
        low = mean @ components - half_range
        # Wave number k of component j has eigenvalue (k / range_j)^2: the smallest are the smoothest.
        waves = np.arange(1, self.n_bits + 1) / (2 * half_range)[:, None]
        chosen = np.argsort(waves, axis=None, kind="stable")[: self.n_bits]
        component = chosen // self.n_bits
        self.weights_ = np.ascontiguousarray(components[:, component], dtype=np.float32)
        self.offsets_ = low[component].astype(np.float32)
        self.frequencies_ = (np.pi * waves.ravel()[chosen]).astype(np.float32)

    def _expected_arrays(self, arrays: Arrays) -> dict[str, Expected]:
        return super()._expected_arrays(arrays) | {"frequencies_": Expected(np.float32, (self.n_bits_,), least=0)}

    def _scores(self, block: Float32, norms: Float32) -> Float32:
        values = super()._scores(block, norms)
        values /= norms[:, None]
        values *= self.frequencies_
        np.cos(values, out=values)
        values *= norms[:, None]
        return values

    def _exact_scores(self, rows: Float32, norms: Float32, bits: npt.NDArray[np.int64]) -> Float64:
        values = super()._exact_scores(rows, norms, bits)
        values *= self.frequencies_[bits]
        values /= norms
        return np.cos(values) * norms.astype(np.float64)

    def _score_error(self, block: Float32, norms: Float32) -> Float32:
        # A wave is as steep as its frequency, and its own argument is rounded like the bound that it came from.
        error: Float32 = 2 * self.frequencies_ * super()._score_error(block, norms)
        return error + norms[:, None] * np.float32(2.0**-20)
