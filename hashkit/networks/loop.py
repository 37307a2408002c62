"""The one training loop: shuffled batches, a learning rate that rises and falls, early stopping, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hashkit.networks.checkpoint import N_SAMPLE_TARGETS, Checkpoint, read_checkpoint, write_checkpoint
from hashkit.networks.configuration import TrainingConfig
from hashkit.networks.losses import Loss
from hashkit.networks.optimizer import AdamW
from hashkit.networks.pictures import Rows


@dataclass(frozen=True)
class EpochReport:
    """The argument of callbacks after each epoch: its number from 1 on, and the mean losses per row."""

    epoch: int
    loss: float
    held_out_loss: float
    learning_rate: float


class DivergedError(RuntimeError):
    """The loss is no longer finite; the network has the weights of its best epoch again."""


def find_device(name: str) -> torch.device:
    """The device of a name; ``"auto"`` is CUDA or MPS where there is one, else the CPU."""
    if name != "auto":
        try:
            return torch.empty(0, device=name).device
        except (AssertionError, RuntimeError) as error:
            raise ValueError(f"device must be 'auto' or one that torch can use here, got {name!r}") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def train(
    network: nn.Module,
    inputs: Rows,
    targets: Rows,
    loss: Loss,
    config: TrainingConfig,
    *,
    callbacks: Sequence[Callable[[EpochReport], None]] = (),
    progress: bool = False,
    checkpoint: str | PathLike[str] | None = None,
) -> list[EpochReport]:
    """
    Train a network in place; it ends in evaluation mode, on the CPU, with the weights of the epoch that counts.

    Parameters
    ----------
    network : nn.Module
        Maps a batch of inputs to outputs.
    inputs, targets : arrays, memory maps or other `Rows` of one length
        Rows are read batch by batch; floating ones become float32.
    loss : callable
        Takes outputs and targets of a batch.
    callbacks : sequence of callables
        Each is called with every epoch's `EpochReport`. An exception that it raises ends the training.
    progress : bool
        Show a progress bar.
    checkpoint : path, optional
        Written after every epoch, atomically, so that an interrupted training leaves its last whole epoch. If the file
        exists the training goes on from there, to the very weights it would have had without the interruption.

    Returns
    -------
    list of EpochReport
        One an epoch, those before an interruption included.

    Raises
    ------
    DivergedError
        If the loss becomes NaN or infinite.
    ValueError
        If there are not enough rows to hold some out, or the checkpoint is of other targets, another network or
        configuration.
    """
    held_rows, rows = _split_rows(len(inputs), len(targets), config)
    device = find_device(config.device)
    network.to(device)
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = AdamW(weights, weight_decay=config.weight_decay)
    state = Checkpoint.start(network)
    # A set of rows is recognized by its targets, because inputs may be augmented at each reading.
    sample = np.asarray(targets[(held_rows if len(held_rows) else rows)[:N_SAMPLE_TARGETS]], dtype=np.float32)
    if checkpoint is not None and Path(checkpoint).exists():
        state = read_checkpoint(checkpoint, network, optimizer, config, sample)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(config.n_threads or n_threads)
    try:
        for epoch in _epochs(state.epoch, config, progress):
            rate, mean_loss = _train_epoch(network, optimizer, inputs, targets, rows, loss, config, epoch)
            held_loss = mean_loss
            if len(held_rows):
                held_loss = _mean_loss(network, inputs, targets, held_rows, loss, config.batch_size)
            if not math.isfinite(mean_loss + held_loss):
                raise DivergedError(f"the loss became {mean_loss + held_loss} in epoch {epoch + 1}; try a lower rate")
            state = state.after_epoch(network, (mean_loss, held_loss, rate), keep_best=config.keep_best)
            if checkpoint is not None:
                write_checkpoint(checkpoint, state, network, optimizer, config, sample)
            report = EpochReport(epoch + 1, mean_loss, held_loss, rate)
            for callback in callbacks:
                callback(report)
            if config.keep_best and state.epoch - state.best_epoch >= config.patience:
                break
    finally:
        torch.set_num_threads(n_threads)
        network.load_state_dict(state.best_weights)
        optimizer.release()
        network.to("cpu").eval()
    return [EpochReport(i + 1, *losses) for i, losses in enumerate(state.history)]


def held_out_rows(n_rows: int, config: TrainingConfig) -> npt.NDArray[np.int64]:
    """Numbers, in ascending order, of the rows that a training on n_rows only looks at: two at least, or none for 0."""
    n_held = max(2, round(config.held_out * n_rows)) if config.held_out else 0
    return np.sort(np.random.default_rng(config.seed).permutation(n_rows)[:n_held])


def _split_rows(
    n_inputs: int, n_targets: int, config: TrainingConfig
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if n_inputs != n_targets:
        raise ValueError(f"inputs and targets must have one length, got {n_inputs} and {n_targets}")
    held = held_out_rows(n_inputs, config)
    if n_inputs - len(held) < 2:
        raise ValueError(f"inputs must have at least 4 rows to train on some and hold out some, got {n_inputs}")
    return held, np.setdiff1d(np.arange(n_inputs), held)


def _epochs(first: int, config: TrainingConfig, progress: bool) -> Iterable[int]:
    epochs = range(first, config.n_epochs)
    if not progress:
        return epochs
    from tqdm import tqdm

    bar: Iterable[int] = tqdm(epochs, desc="training", unit="epoch", initial=first, total=config.n_epochs)
    return bar


def _batches(rows: npt.NDArray[np.int64], batch_size: int) -> list[npt.NDArray[np.int64]]:
    """Batches of nearly equal size, so that none has too few rows to compare."""
    return np.array_split(rows, max(1, math.ceil(len(rows) / batch_size)))


def _rate(step: float, config: TrainingConfig) -> float:
    """Learning rate at a share of all steps: up in a line, down along a cosine."""
    if step < 0.1:
        return config.learning_rate * (step + 0.01) / 0.11
    return config.learning_rate * (1 + math.cos(math.pi * (step - 0.1) / 0.9)) / 2


def _train_epoch(
    network: nn.Module,
    optimizer: AdamW,
    inputs: Rows,
    targets: Rows,
    rows: npt.NDArray[np.int64],
    loss: Loss,
    config: TrainingConfig,
    epoch: int,
) -> tuple[float, float]:
    """One pass over the rows: last learning rate, mean loss. All that is drawn depends on seed and epoch alone."""
    order = np.random.default_rng([config.seed, epoch]).permutation(rows)
    batches = _batches(order, config.batch_size)
    device = next(network.parameters()).device
    rate, total = 0.0, 0.0
    network.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        _seed(int(np.random.SeedSequence([config.seed, epoch]).generate_state(1)[0]), device)
        for i, batch in enumerate(batches):
            rate = _rate((epoch + i / len(batches)) / config.n_epochs, config)
            value = loss(network(take_rows(inputs, batch, device)), take_rows(targets, batch, device))
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step(rate)
            total += value.item() * len(batch)
            if not math.isfinite(total):
                break
    return rate, total / len(rows)


def _seed(seed: int, device: torch.device) -> None:
    """Seed torch's generators that a training on the device draws from; `torch.manual_seed` takes 3 ms for all."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@torch.no_grad()
def _mean_loss(
    network: nn.Module, inputs: Rows, targets: Rows, rows: npt.NDArray[np.int64], loss: Loss, batch_size: int
) -> float:
    network.eval()
    device = next(network.parameters()).device
    total = 0.0
    for batch in _batches(rows, batch_size):
        total += loss(network(take_rows(inputs, batch, device)), take_rows(targets, batch, device)).item() * len(batch)
    return total / len(rows)


def take_rows(source: Rows, rows: npt.NDArray[np.int64], device: torch.device) -> Tensor:
    """A batch on a device, float32 if it is of floating numbers; rows in ascending order."""
    batch = torch.as_tensor(source[np.sort(rows)])
    return batch.to(device, torch.float32) if batch.is_floating_point() else batch.to(device)
