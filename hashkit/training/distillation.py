"""The network of UDHPL: taught the similarities of a teacher, and compared with the linear map on rows it never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from hashkit.training.loop import EpochReport, TrainingConfig, train
from hashkit.training.losses import half_signs, neighbor_likelihood_loss, quantization_loss, straight_through_sign
from hashkit.training.networks import linear_map, perceptron

Float32 = npt.NDArray[np.float32]

# Of the features' cosines, where neighbors shall be preserved: they are told apart at a finer scale than clusters.
NEIGHBOR_TEMPERATURE = 0.05
_CODE_TEMPERATURE = 0.14
_PULL = 0.3
# What tells the nearest rows from the next nearest: sharper temperatures, larger batches, which hold more near rows.
_FINE_TEMPERATURES = (0.02, 0.05)
_FINE_BATCHES = 2
_FINE_PULL = 0.1


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
        return _CODE_TEMPERATURE * likelihood + _PULL * quantization_loss(outputs, codes)

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


def refine(values: Float32, projection: Float32, config: TrainingConfig) -> Float32:
    """
    A linear map that starts from a given one and learns to put the nearest rows by cosine first.

    Bits need not be balanced here: a map that keeps distances is better free to use them as they come.

    Parameters
    ----------
    values : float32 array of shape (n_rows, n_inputs)
        Centered rows.
    projection : float32 array of shape (n_inputs, n_bits)

    Returns
    -------
    float32 array of shape (n_inputs, n_bits)
    """
    target_temperature, code_temperature = _FINE_TEMPERATURES

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        codes = straight_through_sign(outputs)
        likelihood = neighbor_likelihood_loss(
            codes, targets, target_temperature=target_temperature, code_temperature=code_temperature
        )
        return code_temperature * likelihood + _FINE_PULL * quantization_loss(outputs, codes)

    size = float(np.sqrt(np.mean(np.square(values @ projection)))) or 1.0
    network = linear_map(projection)
    # The few rows held out are far from each other: how near rows are ranked shows only among all of them, afterwards.
    config = replace(config, batch_size=_FINE_BATCHES * config.batch_size, keep_best=False)
    train(network, values / np.float32(size), values, loss, config)
    refined: Float32 = network.weight.detach().numpy().T.copy()
    return refined
