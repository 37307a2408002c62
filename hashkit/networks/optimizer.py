"""AdamW (Loshchilov and Hutter, ICLR 2019) over all weights of a network at once."""

from __future__ import annotations

from collections.abc import Iterable

import torch

# Decay of the moments, and what keeps the step finite where there is no gradient: those of the paper and of torch.
_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-8


class AdamW:
    """
    Weights, gradients and moments as four vectors: a step is a dozen operations however many layers there are.

    torch's own optimizers import its compiler, which takes longer than learning from a thousand rows does.

    Parameters
    ----------
    parameters : iterable of Parameter
        Become views of one vector, until `release`.
    weight_decay : float

    Attributes
    ----------
    n_steps : int
    first, second : Tensor
        Running means of the gradients and of their squares.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], *, weight_decay: float) -> None:
        self._parameters = list(parameters)
        if not self._parameters:
            raise ValueError("network must have weights that require gradients")
        self._weight_decay = weight_decay
        self._weights = torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters])
        self._gradients = torch.zeros_like(self._weights)
        self.first, self.second = torch.zeros_like(self._weights), torch.zeros_like(self._weights)
        self.n_steps = 0
        start = 0
        for parameter in self._parameters:
            stop = start + parameter.numel()
            parameter.data = self._weights[start:stop].view(parameter.shape)
            parameter.grad = self._gradients[start:stop].view(parameter.shape)
            start = stop

    def zero_grad(self) -> None:
        self._gradients.zero_()

    def step(self, rate: float) -> None:
        """One step along the gradients that were added up since `zero_grad`."""
        self.n_steps += 1
        self.first.lerp_(self._gradients, 1 - _FIRST)
        self.second.mul_(_SECOND).addcmul_(self._gradients, self._gradients, value=1 - _SECOND)
        sizes = self.second.sqrt().div_((1 - _SECOND**self.n_steps) ** 0.5).add_(_EPSILON)
        self._weights.mul_(1 - rate * self._weight_decay)
        self._weights.addcdiv_(self.first, sizes, value=-rate / (1 - _FIRST**self.n_steps))

    def release(self) -> None:
        """Give the parameters memory of their own again, and drop their gradients."""
        for parameter in self._parameters:
            parameter.data = parameter.data.clone()
            parameter.grad = None
