"""Iterative quantization (Gong and Lazebnik, CVPR 2011): principal components rotated towards a cube's corners."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.checks import check_int
from hashkit.hashers.base import check_fits
from hashkit.hashers.features import Float32
from hashkit.hashers.linear import LinearHasher
from hashkit.hashers.pca import principal_rows


def itq_rotation(values: Float32, *, n_iterations: int, rng: np.random.Generator) -> Float32:
    """
    Rotation that brings values close to their signs, by alternating minimization from a random start.

    Parameters
    ----------
    values : float32 array of shape (n_rows, n_bits)
        Centered projections.

    Returns
    -------
    float32 array of shape (n_bits, n_bits)
        Orthogonal R of small ||sign(values R) - values R||^2.
    """
    rotation = np.linalg.qr(rng.normal(size=(values.shape[1], values.shape[1])))[0].astype(np.float32)
    for _ in range(n_iterations):
        signs = np.where(values @ rotation > 0, np.float32(1), np.float32(-1))
        # For fixed signs the best rotation is the polar factor of values^T signs (orthogonal Procrustes).
        left, _, right = np.linalg.svd((values.T @ signs).astype(np.float64))
        rotation = (left @ right).astype(np.float32)
    return rotation


class ITQ(LinearHasher):
    """
    Principal components rotated to lose little by the sign.

    Parameters
    ----------
    n_bits : int
        Length of the codes, at most the number of features.
    normalize : bool
        Scale every row to length 1 first.
    n_iterations : int
        Rounds of the rotation's alternating minimization.
    max_rows : int
        The rotation is learned on at most this many rows, drawn uniformly; mean and principal components on all.
    random_state : int, Generator, RandomState or None
        Seed of the first rotation and of the draw.
    """

    def __init__(
        self,
        n_bits: int = 64,
        *,
        normalize: bool = True,
        n_iterations: int = 50,
        max_rows: int = 50_000,
        random_state: Any = None,
    ) -> None:
        self.n_bits = n_bits
        self.normalize = normalize
        self.n_iterations = n_iterations
        self.max_rows = max_rows
        self.random_state = random_state

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        super()._check_parameters(shape)
        check_fits(self.n_bits, shape)
        check_int(self.n_iterations, "n_iterations", 0)
        check_int(self.max_rows, "max_rows", 1)

    def _fit(self, X: npt.NDArray[Any]) -> None:
        rng = self._rng()
        found = principal_rows(X, self.n_bits, normalize=self.normalize, max_rows=self.max_rows, rng=rng)
        rotation = itq_rotation(found.values, n_iterations=self.n_iterations, rng=rng)
        self._set_map(found.components @ rotation, found.mean)
