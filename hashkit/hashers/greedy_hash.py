"""GreedyHash, unsupervised (Su, Zhang, Han, Tian, NeurIPS 2018): signs going forward, the gradient passed through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hashkit.hashers.gradient import GradientHasher

if TYPE_CHECKING:
    from hashkit.networks.losses import Loss

# Weight of the penalty on (output - sign)^2. The paper has 0.1 and the power 3, for convolutional networks; on features
# these retrieve less well.
_PENALTY = 0.3


class GreedyHash(GradientHasher):
    """
    Codes whose cosines match the features', with a penalty on outputs far from their signs.

    Parameters are those of `GradientHasher`.
    """

    def _loss(self) -> Loss:
        from hashkit.networks.losses import code_loss, similarity_loss, straight_through_sign

        return code_loss(straight_through_sign, similarity_loss, _PENALTY)
