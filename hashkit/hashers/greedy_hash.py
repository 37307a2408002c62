"""GreedyHash, unsupervised (Su, Zhang, Han, Tian, NeurIPS 2018): signs going forward, the gradient passed through."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hashkit.hashers.gradient import GradientHasher

if TYPE_CHECKING:
    from torch import Tensor

# The paper's weight of the penalty on |output - sign|^3.
_PENALTY = 0.1


class GreedyHash(GradientHasher):
    """
    Codes whose cosines match the features', with a penalty on outputs far from their signs.

    Parameters are those of `GradientHasher`.
    """

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        from hashkit.training.losses import similarity_loss, straight_through_sign

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            penalty = (outputs - outputs.sign()).abs().pow(3).mean()
            return similarity_loss(straight_through_sign(outputs), targets) + _PENALTY * penalty

        return loss
