"""Rank matching, the similarity distribution of SDC (Ng, Zhu, Song, Xiang, 2023) without augmented images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hashkit.hashers.gradient import GradientHasher

if TYPE_CHECKING:
    from hashkit.networks.losses import Loss

_N_QUANTILES = 1000
# Of the Beta distribution: 8 and 8 give cosines a standard deviation of 0.24, about that of 16 independent bits.
_SHAPE = 8.0
# Weight of the pull of outputs towards their signs.
_PULL = 0.4


class RankMatching(GradientHasher):
    """
    Codes whose cosines have the ranks of the features' cosines and a wide distribution of their own.

    Features' cosines crowd together; codes that copied them would use few of the distances they have. Instead the
    pairs' cosines are spread like a Beta distribution over [-1, 1].

    Parameters are those of `GradientHasher`.
    """

    def _loss(self) -> Loss:
        from scipy.stats import beta

        from hashkit.networks.losses import code_loss, rank_matching, straight_through_sign

        chances = (np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES
        quantiles = 2 * beta.ppf(chances, _SHAPE, _SHAPE) - 1
        return code_loss(straight_through_sign, rank_matching(quantiles), _PULL)
