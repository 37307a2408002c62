"""GreedyHash, unsupervised (Su, Zhang, Han, Tian, NeurIPS 2018): signs going forward, the gradient passed through."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hashkit.hashers.gradient import GradientHasher

if TYPE_CHECKING:
    from torch import Tensor

# Weight of the penalty on (output - sign)^2. The paper has 0.1 and the power 3, for convolutional networks; on features
# these retrieve less well.
_PENALTY = 0.3


class GreedyHash(GradientHasher):
    """
    Codes whose cosines match the features', with a penalty on outputs far from their signs.

    Parameters are those of `GradientHasher`.
    """

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        from hashkit.training.losses import quantization_loss, similarity_loss, straight_through_sign

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            codes = straight_through_sign(outputs)
            return similarity_loss(codes, targets) + _PENALTY * quantization_loss(outputs, codes)

        return loss
