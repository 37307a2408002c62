"""Where a training stands, in memory and in a file: enough to go on as if it had never stopped."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hashkit import storage
from hashkit.networks.configuration import TrainingConfig
from hashkit.networks.optimizer import AdamW

_FILE_KIND = "training"
_MOMENTS = ("first", "second")
# The targets of so many held-out rows are stored, to recognize a training on other rows.
N_SAMPLE_TARGETS = 16


@dataclass(frozen=True)
class Checkpoint:
    """
    State of a training between two epochs, apart from the network's and the optimizer's own.

    Attributes
    ----------
    epoch : int
        Epochs done.
    best_epoch : int
        Epochs done when the held-out loss was lowest, or all of them if the last epoch counts.
    best_weights : dict of str to Tensor
        The network's state then.
    history : tuple of (loss, held-out loss, learning rate)
        One an epoch.
    """

    epoch: int
    best_epoch: int
    best_weights: dict[str, Tensor]
    history: tuple[tuple[float, float, float], ...]

    @classmethod
    def start(cls, network: nn.Module) -> Checkpoint:
        return cls(0, 0, _copy_weights(network), ())

    def after_epoch(
        self, network: nn.Module, losses: tuple[float, float, float], *, keep_best: bool = True
    ) -> Checkpoint:
        """The state after one more epoch with these (loss, held-out loss, learning rate)."""
        history = (*self.history, losses)
        later = replace(self, epoch=self.epoch + 1, history=history)
        if keep_best and any(old[1] <= losses[1] for old in self.history):
            return later
        return replace(later, best_epoch=later.epoch, best_weights=_copy_weights(network))


def write_checkpoint(
    path: str | PathLike[str],
    state: Checkpoint,
    network: nn.Module,
    optimizer: AdamW,
    config: TrainingConfig,
    sample: np.ndarray[Any, Any],
) -> None:
    """Write a training's state and a sample of its targets, replacing an older file only by a whole one."""
    tensors = {f"network.{name}": _to_numpy(value) for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": _to_numpy(value) for name, value in state.best_weights.items()}
    tensors |= {name: _to_numpy(getattr(optimizer, name)) for name in _MOMENTS}
    tensors["history"] = np.asarray(state.history, dtype=np.float64).reshape(-1, 3)
    tensors["sample"] = sample
    settings = {
        "n_steps": optimizer.n_steps,
        "epoch": state.epoch,
        "best_epoch": state.best_epoch,
        "config": asdict(config),
    }
    storage.write_tensors(path, _FILE_KIND, tensors, settings)


def read_checkpoint(
    path: str | PathLike[str],
    network: nn.Module,
    optimizer: AdamW,
    config: TrainingConfig,
    sample: np.ndarray[Any, Any],
) -> Checkpoint:
    """
    Put network and optimizer back where the file's training stood.

    Raises
    ------
    ValueError
        If the file's training had other targets, another configuration or network.
    """
    arrays, settings = storage.read_tensors(path, _FILE_KIND)
    if settings["config"] != asdict(config):
        raise ValueError(f"{path} is a checkpoint of another configuration, {settings['config']}, not {asdict(config)}")
    if arrays["sample"].shape != sample.shape or not np.allclose(arrays["sample"], sample, rtol=1e-3, atol=1e-3):
        raise ValueError(f"{path} is a checkpoint of a training with other targets; remove it to start anew")
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    try:
        network.load_state_dict(_below("network.", tensors))
    except RuntimeError as error:
        raise ValueError(f"{path} is a checkpoint of another network: {error}") from error
    if not {"n_steps", *_MOMENTS} <= {*settings, *tensors}:
        raise ValueError(f"{path} is a checkpoint of an earlier version of hashkit; remove it to start anew")
    for name in _MOMENTS:
        getattr(optimizer, name).copy_(tensors[name])
    optimizer.n_steps = settings["n_steps"]
    history = tuple((row[0], row[1], row[2]) for row in arrays["history"].tolist())
    return Checkpoint(settings["epoch"], settings["best_epoch"], _below("best.", tensors), history)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _copy_weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _to_numpy(value: Any) -> np.ndarray[Any, Any]:
    return np.asarray(torch.as_tensor(value).detach().cpu().numpy())
