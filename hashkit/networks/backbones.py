"""A backbone with a head: how it is put together, what it gives for arrays, and its weights as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hashkit.checks import describe
from hashkit.networks.modules import perceptron

Float32 = npt.NDArray[np.float32]


def check_backbone(backbone: object) -> nn.Module:
    """Refuse what is no module, or one whose weights are not float32."""
    if not isinstance(backbone, nn.Module):
        raise TypeError(f"backbone must be a torch.nn.Module, got {describe(backbone)}")
    for name, weights in backbone.named_parameters():
        if weights.dtype != torch.float32:
            raise TypeError(f"backbone must have weights of float32, got {name} of {weights.dtype}; see Module.float")
    return backbone


def add_head(
    backbone: nn.Module, n_features: int, n_hidden: int, n_bits: int, *, dropout: float = 0.0, seed: int = 0
) -> nn.Sequential:
    """A backbone that gives n_features values, a scaling, and a perceptron of one hidden layer with n_bits outputs."""
    # The scaling brings features of any size to the size that the perceptron's first weights are made for.
    head = perceptron(n_features, n_hidden, n_bits, dropout=dropout, seed=seed)
    return nn.Sequential(backbone, nn.BatchNorm1d(n_features), head)


@torch.no_grad()
def outputs(network: nn.Module, images: Float32) -> Float32:
    """What a network in evaluation mode gives for a batch of images, computed where its weights are."""
    network.eval()
    device = next(network.parameters()).device
    found: Float32 = network(torch.from_numpy(np.ascontiguousarray(images)).to(device)).float().cpu().numpy()
    return found


def outputs_alone(network: nn.Module, images: Float32) -> Float32:
    """The same, an image at a time on one thread: what an image gives depends on that image alone."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return np.concatenate([outputs(network, images[i : i + 1]) for i in range(len(images))])
    finally:
        torch.set_num_threads(n_threads)


def weight_arrays(module: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """
    Weights and buffers by their names in `state_dict`, copied.

    Raises
    ------
    TypeError
        If the state holds something that is no tensor, or a tensor of a type that numpy lacks.
    """
    arrays = {}
    for name, value in module.state_dict().items():
        if not isinstance(value, torch.Tensor) or value.dtype in (torch.bfloat16, torch.bool) or value.is_complex():
            what = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
            raise TypeError(f"the state of a backbone must be tensors of integers or floats, got {name}: {what}")
        arrays[name] = value.detach().cpu().numpy().copy()
    return arrays


def load_weights(network: nn.Sequential, arrays: Mapping[str, npt.NDArray[Any]]) -> nn.Sequential:
    """Give a network the weights that `weight_arrays` took from one like it; it ends in evaluation mode."""
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return network.eval()
