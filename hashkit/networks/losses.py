"""
Losses of hash networks, as functions of a batch's real outputs: sign(outputs) is the code.

Shapes: `outputs` (n_batch, n_bits); `targets` (n_batch, n_targets), rows whose cosines are similarities.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

# Logarithm of what has no chance: finite, so that times zero it is zero.
_NEVER = -1e6

# Outputs (n_batch, n_bits), or codes of that shape, and targets (n_batch, ...) in, a scalar out.
Loss = Callable[[Tensor, Tensor], Tensor]


def code_loss(signs: Callable[[Tensor], Tensor], similarity: Loss, pull: float) -> Loss:
    """
    Loss of outputs whose codes shall have the similarities of the targets.

    Parameters
    ----------
    signs : callable
        Codes of outputs, with a gradient: `straight_through_sign` or `half_signs`.
    similarity : callable
        Loss of codes and targets.
    pull : float
        Weight of the pull of outputs towards their codes, the quantization error.
    """

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        codes = signs(outputs)
        return similarity(codes, targets) + pull * quantization_loss(outputs, codes)

    return loss


def neighbor_likelihood(target_temperature: float, code_temperature: float) -> Loss:
    """`neighbor_likelihood_loss` of codes and targets, its gradient of one size at all code temperatures."""

    def loss(codes: Tensor, targets: Tensor) -> Tensor:
        return code_temperature * neighbor_likelihood_loss(
            codes, targets, target_temperature=target_temperature, code_temperature=code_temperature
        )

    return loss


def rank_matching(quantiles: npt.NDArray[np.float64]) -> Loss:
    """`rank_matching_loss` of codes and targets, for ascending quantiles of the wanted cosines."""
    wanted = torch.as_tensor(quantiles, dtype=torch.float32)

    def loss(codes: Tensor, targets: Tensor) -> Tensor:
        return rank_matching_loss(codes, targets, quantiles=wanted)

    return loss


def straight_through_sign(outputs: Tensor) -> Tensor:
    """Signs going forward, the identity going back (GreedyHash, Su et al., NeurIPS 2018)."""
    signs = torch.where(outputs > 0, 1.0, -1.0).to(outputs.dtype)
    return outputs + (signs - outputs).detach()


def cosines(rows: Tensor) -> Tensor:
    """Cosines of all pairs of rows: (n_batch, n_batch)."""
    unit = functional.normalize(rows, dim=1)
    return unit @ unit.T


def neighbor_likelihood_loss(
    codes: Tensor, targets: Tensor, *, target_temperature: float, code_temperature: float
) -> Tensor:
    """
    Cross-entropy of each row's neighbors by targets and by codes.

    Each row spreads a probability over the rest of the batch, softmax of the cosines over a temperature (stochastic
    neighbor embedding, Hinton and Roweis, NIPS 2002): once by the targets, once by the codes. Of all losses
    that keep similarities this one spends the bits on the order of near rows, and lets far ones be far in any way.
    """
    with torch.no_grad():
        wanted = (cosines(targets) / target_temperature).fill_diagonal_(_NEVER).softmax(dim=1)
    got = (codes @ codes.T * (1 / codes.shape[1] / code_temperature)).fill_diagonal_(_NEVER).log_softmax(dim=1)
    return -(wanted * got).sum(dim=1).mean()


def quantization_loss(outputs: Tensor, codes: Tensor) -> Tensor:
    """Mean squared distance of outputs from their codes of -1 and 1; it pulls on the outputs alone."""
    return (outputs - codes.detach()).square().mean()


def similarity_loss(codes: Tensor, targets: Tensor) -> Tensor:
    """Mean squared difference between the codes' cosines and the targets' (GreedyHash, unsupervised form)."""
    return (cosines(codes) - cosines(targets)).square().mean()


def rank_matching_loss(codes: Tensor, targets: Tensor, *, quantiles: Tensor) -> Tensor:
    """
    Mean squared difference between the code cosines of all pairs and what their targets' ranks call for.

    Pairs are sorted by their targets' cosines; the codes' cosines in that order shall follow a given distribution, so
    that they keep the ranks and yet spread over the whole range (similarity distribution calibration, Ng et al., 2023).

    Parameters
    ----------
    quantiles : Tensor
        Ascending quantiles of the wanted cosines, evenly spaced in probability.
    """
    rows, others = torch.triu_indices(len(codes), len(codes), offset=1, device=codes.device)
    order = cosines(targets)[rows, others].argsort()
    places = torch.linspace(0, len(quantiles) - 1, len(order), device=codes.device).round().long()
    got = cosines(codes)[rows, others][order]
    return (got - quantiles.to(codes)[places]).square().mean()


def half_signs(outputs: Tensor) -> Tensor:
    """
    +1 for the larger half of each column, -1 for the rest, and for all that equal its largest; the identity goes back.

    Of all balanced codes this is the nearest to the outputs, their optimal transport (Li and van Gemert, AAAI 2021).
    """
    middle = _kth_smallest(outputs.detach().T.contiguous(), max(1, len(outputs) // 2))
    signs = torch.where(outputs.detach() > middle, 1.0, -1.0).to(outputs.dtype)
    return outputs + (signs - outputs).detach()


def _kth_smallest(rows: Tensor, k: int) -> Tensor:
    """The k-th smallest value of each row, from 1 on: (n_rows,)."""
    if rows.device.type != "cpu":
        return rows.kthvalue(k, dim=1).values
    # A fifth of the time of torch's, which is a tenth of a step's.
    return torch.from_numpy(np.partition(rows.numpy(), k - 1, axis=1)[:, k - 1])
