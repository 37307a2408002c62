"""What the hashers that learn by gradient share: principal components, a perceptron on them, one loss."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hashkit.checks import check_bool, check_int, check_number
from hashkit.extras import require
from hashkit.hashers.base import check_device, check_fits
from hashkit.hashers.features import Float32
from hashkit.hashers.network import NetworkHasher
from hashkit.hashers.pca import principal_rows

if TYPE_CHECKING:
    from hashkit.networks.losses import Loss

# Principal components that are the networks' input.
_N_COMPONENTS = 256
# Passes over many rows, and steps at least: fewer passes over few rows would be too few steps.
_MANY_EPOCHS, _LEAST_STEPS = 30, 1000


class GradientHasher(NetworkHasher):
    """
    A perceptron on the principal components, trained to keep the similarities of the features by one loss.

    Parameters
    ----------
    n_bits : int
        Length of the codes, at most the number of features.
    normalize : bool
        Scale every row to length 1 first.
    n_hidden : int
        Units of the hidden layer.
    n_epochs : int
        At most this many passes over the rows; the best by held-out loss counts. By default 30, more where that would
        be fewer than 1,000 steps.
    batch_size : int
        Rows a step; all pairs of a batch are compared.
    learning_rate : float
        The largest of the schedule.
    max_rows : int
        The network learns from at most this many rows, drawn uniformly; mean and principal components from all.
    device : str
        Where to train: ``"auto"``, or the name of a device of torch.
    random_state : int, Generator, RandomState or None
        Seed of everything drawn.
    progress : bool
        Show a progress bar.
    """

    def __init__(
        self,
        n_bits: int = 64,
        *,
        normalize: bool = True,
        n_hidden: int = 1024,
        n_epochs: int | None = None,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        max_rows: int = 50_000,
        device: str = "auto",
        random_state: Any = None,
        progress: bool = False,
    ) -> None:
        self.n_bits = n_bits
        self.normalize = normalize
        self.n_hidden = n_hidden
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_rows = max_rows
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        super()._check_parameters(shape)
        check_fits(self.n_bits, shape)
        check_int(self.n_hidden, "n_hidden", 1)
        if self.n_epochs is not None:
            check_int(self.n_epochs, "n_epochs", 1)
        check_int(self.batch_size, "batch_size", 2)
        check_number(self.learning_rate, "learning_rate", 0)
        check_int(self.max_rows, "max_rows", 4)
        check_device(self.device)
        check_bool(self.progress, "progress")

    def _fit(self, X: npt.NDArray[Any]) -> None:
        require("torch", type(self).__name__, "learn", otherwise="; method='itq' learns without it")
        from hashkit.networks.configuration import TrainingConfig
        from hashkit.networks.loop import train
        from hashkit.networks.modules import layer_arrays, perceptron

        rng = self._rng()
        seed = int(rng.integers(2**31))
        n_components = max(_N_COMPONENTS, self.n_bits)
        found = principal_rows(X, n_components, normalize=self.normalize, max_rows=self.max_rows, rng=rng)
        # So that the values are of mean square 1.
        scale = 1 / np.sqrt(max(found.variances.mean(), 1e-12))
        self._set_map(found.components * scale, found.mean)
        inputs: Float32 = found.values * np.float32(scale)
        network = perceptron(inputs.shape[1], self.n_hidden, self.n_bits, dropout=0.3, seed=seed)
        n_epochs = self._count_epochs(len(inputs))
        # One thread: the layers are so small that threads would mostly wait for each other.
        config = TrainingConfig(
            n_epochs=n_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            device=self.device,
            seed=seed,
            n_threads=1,
            patience=n_epochs,
        )
        train(network, inputs, inputs, self._loss(), config, progress=self.progress)
        self._set_layers(layer_arrays(network), found.rows)

    def _count_epochs(self, n_rows: int) -> int:
        n_batches = -(-n_rows // self.batch_size)
        return self.n_epochs or max(_MANY_EPOCHS, -(-_LEAST_STEPS // n_batches))

    @abstractmethod
    def _loss(self) -> Loss:
        """Loss of outputs (n_batch, n_bits) and the rows' principal components (n_batch, n_components)."""
