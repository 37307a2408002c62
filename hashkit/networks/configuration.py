"""How a network is trained: what the loop and its checkpoints agree on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """
    How a network is trained.

    Parameters
    ----------
    n_epochs : int
        At most this many passes over the rows.
    batch_size : int
        Rows a step; pairs are compared within a batch.
    learning_rate : float
        The largest, reached after a tenth of the steps; from there it falls to zero along a cosine.
    weight_decay : float
        Of AdamW.
    held_out : float
        Share of rows that are only looked at to choose the best epoch; with 0, of none, the training loss chooses.
    patience : int
        Epochs without a better held-out loss before training stops.
    keep_best : bool
        Whether the epoch of lowest held-out loss counts; else the last one does, and `patience` is not asked.
    n_threads : int, optional
        Threads of torch while it trains on the CPU; by default as many as torch has.
    device : str
        ``"auto"``: CUDA or MPS if available, otherwise the CPU; or the name of any device of torch.
    seed : int
        Of the held-out rows, the order of rows and dropout.
    """

    n_epochs: int = 12
    batch_size: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    held_out: float = 0.1
    patience: int = 4
    keep_best: bool = True
    n_threads: int | None = None
    device: str = "auto"
    seed: int = 0
