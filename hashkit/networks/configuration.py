"""How a network is trained: shared by the loop and its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """
    How a network is trained.

    Parameters
    ----------
    n_epochs : int
        Largest number of passes over the rows.
    batch_size : int
        Rows per step; pairs are compared within a batch.
    learning_rate : float
        Largest learning rate, reached after a tenth of the steps; then it falls to zero along a cosine.
    weight_decay : float
        Weight decay of AdamW.
    held_out : float
        Share of rows that are held out to choose the best epoch; with 0 the training loss chooses.
    patience : int
        Epochs without a better held-out loss before training stops.
    keep_best : bool
        Whether to keep the epoch of lowest held-out loss; otherwise the last is kept, and `patience` is ignored.
    n_threads : int, optional
        Threads of torch while it trains on the CPU; by default as many as torch has.
    device : str
        ``"auto"``: CUDA or MPS if available, otherwise the CPU; or the name of any device of torch.
    seed : int
        Seed of the held-out rows, the order of rows and dropout.
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
