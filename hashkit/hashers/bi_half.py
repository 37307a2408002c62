"""Bi-half (Li and van Gemert, AAAI 2021): every bit is one for exactly half of each batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hashkit.hashers.gradient import GradientHasher

if TYPE_CHECKING:
    from torch import Tensor

_PULL = 1.0


class BiHalf(GradientHasher):
    """
    Codes whose cosines match the features', under bits that are forced to be balanced.

    Parameters are those of `GradientHasher`.
    """

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        from hashkit.training.losses import half_signs, quantization_loss, similarity_loss

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            codes = half_signs(outputs)
            # The pull of the outputs towards their signs, which the paper adds to the gradient of its layer.
            return similarity_loss(codes, targets) + _PULL * quantization_loss(outputs, codes)

        return loss
