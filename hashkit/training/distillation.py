"""The network of UDHPL: taught the similarities of a teacher, and compared with the linear map on rows it never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from hashkit.training.loop import EpochReport, TrainingConfig, train
from hashkit.training.losses import half_signs, neighbor_likelihood_loss
from hashkit.training.networks import perceptron

Float32 = npt.NDArray[np.float32]

# Of the cosines of targets, by what codes shall preserve: neighbors are told apart at a finer scale than clusters.
TARGET_TEMPERATURES = {"clusters": 0.1, "neighbors": 0.05}
_CODE_TEMPERATURE = 0.14
_PULL = 0.3


def distillation_loss(target_temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
    """
    Loss of outputs (n_batch, n_bits) and targets (n_batch, n_targets) that teaches codes the targets' neighbors.

    The codes are signs, forced to be balanced: the information of a bit is largest when it is one half of the time.
    Outputs are pulled towards their signs: the quantization error.
    """

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        codes = half_signs(outputs)
        likelihood = neighbor_likelihood_loss(
            codes, targets, target_temperature=target_temperature, code_temperature=_CODE_TEMPERATURE
        )
        return _CODE_TEMPERATURE * likelihood + _PULL * (outputs - codes.detach()).square().mean()

    return loss


def teach(
    inputs: Float32,
    targets: Float32,
    n_bits: int,
    config: TrainingConfig,
    *,
    n_hidden: int,
    target_temperature: float,
    callbacks: Sequence[Callable[[EpochReport], None]] = (),
    progress: bool = False,
    checkpoint: str | PathLike[str] | None = None,
) -> nn.Sequential:
    """
    Train a perceptron whose codes have the similarities of the targets.

    Parameters
    ----------
    inputs : float32 array of shape (n_rows, n_inputs)
        Of mean square near 1.
    targets : float32 array of shape (n_rows, n_targets)
        Rows whose cosines say what is similar.
    """
    network = perceptron(inputs.shape[1], n_hidden, n_bits, dropout=0.3, seed=config.seed)
    more: dict[str, Any] = {"callbacks": callbacks, "progress": progress, "checkpoint": checkpoint}
    train(network, inputs, targets, distillation_loss(target_temperature), config, **more)
    return network
