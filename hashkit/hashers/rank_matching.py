"""Rank matching, the similarity distribution of SDC (Ng, Zhu, Song, Xiang, 2023) without augmented images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hashkit.hashers.gradient import GradientHasher

if TYPE_CHECKING:
    from torch import Tensor

_N_QUANTILES = 1000


class RankMatching(GradientHasher):
    """
    Codes whose cosines have the ranks of the features' cosines and a wide distribution of their own.

    Features' cosines crowd together; codes that copied them would use few of the distances they have. Instead the
    pairs' cosines are spread like a Beta distribution over [-1, 1].

    Parameters are those of `GradientHasher`.
    """

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        import torch
        from scipy.stats import beta

        from hashkit.training.losses import quantization_loss, rank_matching_loss

        shape = min(self.n_bits, 16) / 4
        chances = (np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES
        quantiles = torch.as_tensor(2 * beta.ppf(chances, shape, shape) - 1, dtype=torch.float32)

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            return rank_matching_loss(outputs, targets, quantiles=quantiles) + 0.1 * quantization_loss(outputs)

        return loss
