"""Bi-half (Li and van Gemert, AAAI 2021): every bit is one for exactly half of each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hashkit.hashers.gradient import GradientHasher

if TYPE_CHECKING:
    from hashkit.networks.losses import Loss

_PULL = 1.0


class BiHalf(GradientHasher):
    """
    Codes whose cosines match the features', under bits that are forced to be balanced.

    Parameters are those of `GradientHasher`.
    """

    def _loss(self) -> Loss:
        from hashkit.networks.losses import code_loss, half_signs, similarity_loss

        # The pull of the outputs towards their signs, which the paper adds to the gradient of its layer.
        return code_loss(half_signs, similarity_loss, _PULL)
