"""The deep hashing network: a map that brings features to size, and a small perceptron on top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import Module as Module
from torch.nn import Sequential as Sequential

Float32 = npt.NDArray[np.float32]


class HashNetwork(nn.Module):
    """
    Features (n, n_features) to outputs (n, n_bits) whose signs are the code.

    Parameters
    ----------
    layers : sequence of (weights, offsets)
        float32 arrays of shapes (n_in, n_out) and (n_out,): x @ weights + offsets. The first stands for centering and
        principal components; from the second on a ReLU goes before each but the second itself.
    normalize : bool
        Scale rows of features to length 1 first.
    dropout : float
        Chance of a hidden unit to be left out in training.
    """

    def __init__(
        self, layers: Sequence[tuple[Float32, Float32]], *, normalize: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.normalize = normalize
        modules: list[nn.Module] = []
        for i, (weights, offsets) in enumerate(layers):
            if i >= 2:
                modules += [nn.ReLU(), nn.Dropout(dropout)]
            modules.append(_linear(weights, offsets))
        self.layers = nn.Sequential(*modules)

    def forward(self, features: Tensor) -> Tensor:
        if self.normalize:
            features = nn.functional.normalize(features, dim=1)
        outputs: Tensor = self.layers(features)
        return outputs


class Dropout(nn.Module):
    """
    Leaves out a share of the values in training, to the nearest 1/256, and scales up the others.

    Masks come from bytes of a fast generator, seeded by torch's: those of torch take half the time of a step.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.n_left_out = round(256 * share)

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.n_left_out == 0:
            return values
        words = np.random.SFC64(int(torch.randint(2**62, ()))).random_raw(-(-values.numel() // 8))
        drawn = torch.from_numpy(words).view(torch.uint8)[: values.numel()]
        mask = torch.empty(values.shape).copy_(drawn.view(values.shape))
        torch.ge(mask, self.n_left_out, out=mask)
        return values * mask.mul_(256 / (256 - self.n_left_out)).to(values.device)


def perceptron(n_inputs: int, n_hidden: int, n_bits: int, *, dropout: float, seed: int) -> nn.Sequential:
    """One hidden layer of ReLU units, its weights drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(n_inputs, n_hidden), nn.ReLU(), Dropout(dropout), nn.Linear(n_hidden, n_bits))


def linear_map(weights: Float32) -> nn.Linear:
    """x @ weights without offsets, for weights of shape (n_inputs, n_bits)."""
    network = nn.Linear(len(weights), weights.shape[1], bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.from_numpy(np.array(weights.T)))
    return network


def linear_weights(network: nn.Linear) -> Float32:
    """Weights of `linear_map`, of shape (n_inputs, n_bits), copied."""
    weights: Float32 = network.weight.detach().numpy().T.copy()
    return weights


def layer_arrays(network: nn.Sequential) -> list[tuple[Float32, Float32]]:
    """Weights (n_in, n_out) and offsets (n_out,) of a network's linear layers, copied."""
    return [
        (module.weight.detach().numpy().T.copy(), module.bias.detach().numpy().copy())
        for module in network
        if isinstance(module, nn.Linear)
    ]


def _linear(weights: Float32, offsets: Float32) -> nn.Linear:
    layer = nn.Linear(*weights.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.array(weights.T)))
        layer.bias.copy_(torch.from_numpy(np.array(offsets)))
    return layer
