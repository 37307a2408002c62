"""Random hyperplanes (Charikar, STOC 2002): the chance that two bits agree is one minus the angle over pi."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.checks import check_bool
from hashkit.hashers.features import feature_blocks
from hashkit.hashers.linear import LinearHasher


class RandomHyperplanes(LinearHasher):
    """
    Signs of Gaussian random projections. `n_bits` may exceed the number of features.

    Parameters
    ----------
    n_bits : int
        Length of the codes.
    normalize : bool
        Scale every row to length 1 first; without `center` the codes are the same either way.
    center : bool
        Subtract the mean of the rows first. Charikar's scheme does not, but features that are never negative all lie
        on one side of most hyperplanes through the origin.
    random_state : int, Generator, RandomState or None
        Seed of the projections.
    """

    def __init__(
        self,
        n_bits: int = 64,
        *,
        normalize: bool = True,
        center: bool = True,
        random_state: Any = None,
    ) -> None:
        self.n_bits = n_bits
        self.normalize = normalize
        self.center = center
        self.random_state = random_state

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        super()._check_parameters(shape)
        check_bool(self.center, "center")

    def _fit(self, X: npt.NDArray[Any]) -> None:
        mean = np.zeros(X.shape[1])
        for _, block in feature_blocks(X, normalize=self.normalize):
            mean += block.sum(axis=0, dtype=np.float64) / len(X)
        weights = self._rng().normal(size=(X.shape[1], self.n_bits))
        self._set_map(weights, mean if self.center else np.zeros(X.shape[1]))
