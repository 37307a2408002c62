"""UDHPL as an estimator: parameters, files and fitted attributes. The method itself is in `method`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.checks import check_bool, check_choice, describe
from hashkit.cosines import Float32
from hashkit.extras import require
from hashkit.hashers.arrays import Arrays, Expected, length_of
from hashkit.hashers.base import check_device, check_fits
from hashkit.hashers.features import Float64
from hashkit.hashers.network import NetworkHasher
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.findings import Task, Training
from hashkit.udhpl.method import learn

# The order of `criterion_` in files; older ones have the first three.
_CANDIDATES = ("linear", "refined", "network", "sign")

# Constants that files of older versions hold and that nothing reads any more.
_FORMER = ("component_shares", "recalled_share", "most_judges")

# Constants of the configuration that are parameters of the estimator, too.
_OVERRIDES = (
    "n_neighbors",
    "n_smoothing",
    "ridge",
    "max_rounds",
    "term_weights",
    "n_hidden",
    "n_epochs",
    "batch_size",
    "learning_rate",
    "max_rows",
)


class UDHPL(NetworkHasher):
    """
    Unsupervised hashing with pseudo labels: clusters of the features at several granularities.

    Parameters
    ----------
    n_bits : int
        Length of the codes, at most the number of features.
    normalize : bool
        Scale every row to length 1 first.
    preserve : {"clusters", "neighbors"}
        What codes keep: the cluster of each row, or its nearest rows by cosine of the features. With ``"neighbors"``
        every row is its own pseudo label, and the map is that of ITQ, of evened components, of `Sign`, a refined one or
        the network, by recall on held-out rows. The same is done if the rows have no clusters.
    network : {"auto", "always", "never", "targets"}
        Whether the network encodes. ``"auto"``: unless it is worse than the linear map on held-out rows by more than
        `trial_handicap` of the configuration. With ``"never"`` and ``"targets"`` nothing is learned by gradient;
        ``"targets"`` computes the network's targets all the same, for another network to learn.
    config : Configuration, optional
        All constants of the method.
    n_neighbors, n_smoothing, ridge, max_rounds, term_weights, max_rows : optional
        Constants that replace those of the configuration: edges of each row in the neighbor graph; steps of averaging
        along it; ridge of the whitening; rounds of labels, projection and rotation; weights of the three terms in the
        objective; number of rows to learn from, except for mean and principal components, which use all.
    n_hidden, n_epochs, batch_size, learning_rate : optional
        The same for the network: hidden units, largest number of epochs, rows per step, largest learning rate.
    device : str
        Where the network is trained: ``"auto"``, or the name of a device of torch.
    random_state : int, Generator, RandomState or None
        Seed of all random numbers.
    progress : bool
        Show a progress bar while the network learns.
    callbacks : sequence of callables
        Each is called with the `hashkit.networks.EpochReport` of every epoch.
    checkpoint : path, optional
        File that stores the network's training after every epoch. If it exists, training continues from it.

    Attributes
    ----------
    pseudo_labels_ : int32 array of shape (n_sample, n_granularities)
        Cluster numbers of the sampled rows, coarsest granularity first.
    sample_rows_ : int64 array of shape (n_sample,)
        Row numbers of the sample in X.
    objective_ : float64 array of shape (n_rounds, 3)
        Likelihood, mutual information and quantization error after each round.
    stability_ : float
        Agreement of two halves of the rows on clusters, by the adjusted Rand index: 1 at best, 0 by chance; NaN for
        `preserve="neighbors"`. The lower it is, the more the codes keep plain cosines, and the linear map is ITQ's.
    excess_modularity_ : float
        Modularity of the clusters beyond that of clusters of one Gaussian with the same variances; NaN as above.
    preserved_ : {"clusters", "neighbors"}
        What the codes keep: ``"neighbors"`` also if the rows have no clusters.
    criterion_ : dict of str to float
        The criterion of the selection for ``"linear"``, ``"network"`` and, if neighbors are preserved, ``"refined"``
        and ``"sign"``. Lower is better. Empty if there was no selection.
    targets_ : float32 array of shape (n_sample, n_targets)
        Targets of the network for the sampled rows: vectors whose cosines are the similarities of rows. For
        `hashkit.udhpl.train_image_network`. Present after a fit that trained a network, or with ``network="targets"``;
        `save` does not store them.
    """

    pseudo_labels_: npt.NDArray[np.int32]
    sample_rows_: npt.NDArray[np.int64]
    objective_: Float64
    stability_: float
    excess_modularity_: float
    preserved_: str
    criterion_: dict[str, float]
    targets_: Float32

    _state: tuple[str, ...] = (*NetworkHasher._state, "pseudo_labels_", "sample_rows_", "objective_")

    def __init__(
        self,
        n_bits: int = 64,
        *,
        normalize: bool = True,
        preserve: str = "clusters",
        network: str = "auto",
        config: Configuration | None = None,
        n_neighbors: int | None = None,
        n_smoothing: int | None = None,
        ridge: float | None = None,
        max_rounds: int | None = None,
        term_weights: tuple[float, float, float] | None = None,
        n_hidden: int | None = None,
        n_epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        device: str = "auto",
        max_rows: int | None = None,
        random_state: Any = None,
        progress: bool = False,
        callbacks: Sequence[Callable[[Any], None]] = (),
        checkpoint: str | None = None,
    ) -> None:
        self.n_bits = n_bits
        self.normalize = normalize
        self.preserve = preserve
        self.network = network
        self.config = config
        self.n_neighbors = n_neighbors
        self.n_smoothing = n_smoothing
        self.ridge = ridge
        self.max_rounds = max_rounds
        self.term_weights = term_weights
        self.n_hidden = n_hidden
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.max_rows = max_rows
        self.random_state = random_state
        self.progress = progress
        self.callbacks = callbacks
        self.checkpoint = checkpoint

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        super()._check_parameters(shape)
        check_fits(self.n_bits, shape)
        check_choice(self.preserve, "preserve", ("clusters", "neighbors"))
        check_choice(self.network, "network", ("auto", "always", "never", "targets"))
        check_device(self.device)
        check_bool(self.progress, "progress")
        if not isinstance(self.callbacks, Sequence) or not all(map(callable, self.callbacks)):
            raise TypeError(f"callbacks must be a sequence of callables, got {describe(self.callbacks)}")
        if self.checkpoint is not None and not isinstance(self.checkpoint, (str, PathLike)):
            raise TypeError(f"checkpoint must be a path or None, got {describe(self.checkpoint)}")
        self._configuration()

    def _configuration(self) -> Configuration:
        """The constants, those that are parameters of their own included."""
        if self.config is not None and not isinstance(self.config, Configuration):
            raise TypeError(f"config must be a hashkit.udhpl.Configuration or None, got {describe(self.config)}")
        own = {name: getattr(self, name) for name in _OVERRIDES}
        return replace(self.config or Configuration(), **{name: own[name] for name in own if own[name] is not None})

    def _fit(self, X: npt.NDArray[Any]) -> None:
        training = Training(self.device, self.callbacks, self.progress, self.checkpoint)
        config = self._configuration()
        if self.network in ("auto", "always"):
            require("torch", "UDHPL", "learn", otherwise="; network='never' and method='itq' learn without it")
        learned = learn(
            X, Task(self.n_bits, self.normalize, self.preserve, self.network, config, training), self._rng()
        )
        rows, clusters, best = learned.rows, learned.clusters, learned.best
        self.sample_rows_, self.pseudo_labels_ = rows.row_numbers, clusters.labels
        self.objective_, self.preserved_ = clusters.objective, clusters.preserved
        self.stability_ = clusters.evidence.stability
        self.excess_modularity_ = clusters.evidence.excess_modularity
        self.criterion_ = learned.criterion
        if learned.targets is not None:
            self.targets_ = learned.targets
        if best.offsets is not None:
            self.weights_, self.offsets_ = np.asarray(best.linear), best.offsets
        else:
            self._set_map(rows.components * best.linear if best.layers else rows.components @ best.linear, rows.mean)
        self._set_layers(best.layers, rows.rows)

    def _get_state(self) -> dict[str, npt.NDArray[Any]]:
        decisions = {
            "stability_": np.array([self.stability_]),
            "excess_modularity_": np.array([self.excess_modularity_]),
            "preserved_clusters": np.array([self.preserved_ == "clusters"], dtype=np.uint8),
            "criterion_": np.array([self.criterion_.get(name, np.nan) for name in _CANDIDATES]),
        }
        return super()._get_state() | decisions

    def _parameters_to_save(self) -> dict[str, Any]:
        parameters = super()._parameters_to_save()
        # The constants as they took effect: the next fit of the hasher that is read goes the same way.
        return parameters | {"config": asdict(self._configuration())} if self.config is not None else parameters

    def _expected_arrays(self, arrays: Arrays) -> dict[str, Expected]:
        n_rows = length_of(arrays, "sample_rows_")
        return super()._expected_arrays(arrays) | {
            "pseudo_labels_": Expected(np.int32, (n_rows, -1), least=0),
            "sample_rows_": Expected(np.int64, (n_rows,), least=0),
            "objective_": Expected(np.float64, (-1, 3)),
            "stability_": Expected(np.float64, (1,), finite=False),
            "excess_modularity_": Expected(np.float64, (1,), finite=False),
            "preserved_clusters": Expected(np.uint8, (1,)),
            "criterion_": Expected(np.float64, (max(3, min(4, length_of(arrays, "criterion_"))),), finite=False),
        }

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], n_features: object) -> None:
        if isinstance(self.config, dict):
            known = {name: value for name, value in self.config.items() if name not in _FORMER}
            self.config = Configuration(**{k: tuple(v) if isinstance(v, list) else v for k, v in known.items()})
        super()._set_state(arrays, n_features)
        self.stability_ = arrays["stability_"].item()
        self.excess_modularity_ = arrays["excess_modularity_"].item()
        self.preserved_ = "clusters" if arrays["preserved_clusters"].item() else "neighbors"
        figures = dict(zip(_CANDIDATES, arrays["criterion_"].tolist(), strict=False))
        self.criterion_ = {name: figure for name, figure in figures.items() if not np.isnan(figure)}
