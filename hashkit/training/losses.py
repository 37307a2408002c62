"""
Losses of hash networks, as functions of a batch's real outputs: sign(outputs) is the code.

Shapes: `outputs` (n_batch, n_bits); `targets` (n_batch, n_targets), rows whose cosines say what is similar.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


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
    own = torch.eye(len(codes), dtype=torch.bool, device=codes.device)
    wanted = (cosines(targets) / target_temperature).masked_fill(own, -torch.inf).softmax(dim=1)
    got = (codes @ codes.T / codes.shape[1] / code_temperature).masked_fill(own, -torch.inf).log_softmax(dim=1)
    return -(wanted * got.masked_fill(own, 0)).sum(dim=1).mean()


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
    +1 for the larger half of each column, -1 for the rest; the identity goes back.

    Of all balanced codes this is the nearest to the outputs, their optimal transport (Li and van Gemert, AAAI 2021).
    """
    ranks = outputs.detach().argsort(dim=0).argsort(dim=0)
    signs = torch.where(ranks >= len(outputs) // 2, 1.0, -1.0).to(outputs.dtype)
    return outputs + (signs - outputs).detach()
