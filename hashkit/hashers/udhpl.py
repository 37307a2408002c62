"""
Unsupervised deep hashing with pseudo labels (Zhang, Liu, Long, Shao, IEEE TIP 2018), in hashkit's own formulation.

Three terms are maximized in turn: the likelihood of pseudo labels (clusters of the features), the mutual information
between labels and projection (canonical correlation), and minus the quantization error (a rotation). A network then
learns to reproduce the similarities that labels and neighbor graph show, and encodes where it does so better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from hashkit.checks import check_choice, check_int, check_number
from hashkit.hashers.alternation import alternate, lean_on_variance
from hashkit.hashers.base import check_fits
from hashkit.hashers.features import Float32, Float64
from hashkit.hashers.itq import itq_rotation
from hashkit.hashers.network import N_COMPONENTS, NetworkHasher
from hashkit.hashers.pca import PrincipalRows, principal_rows, without_copies
from hashkit.training import criteria, pseudo_labels, teacher

if TYPE_CHECKING:
    from hashkit.training.loop import TrainingConfig

_N_ITERATIONS = 50

# A network needs rows to learn from and rows to be judged on; below this the linear map stays.
_MIN_NETWORK_ROWS = 512
_MAX_HELD_OUT = 2000

# Clusters that fit the neighbor graph no better than those of one Gaussian are none: noise and clouds of any shape had
# at most .01, features of pictures and texts .1 and more.
_MIN_EXCESS_MODULARITY = 0.05

# A second graph for the network's teacher, of fewer neighbors: the share of `n_neighbors`. A third, where no feature is
# negative, has the neighbors of square roots, by Hellinger's distance: it hears all features, not the loudest alone.
_FEWER_NEIGHBORS = 0.5

# With no more distinct rows than these copies are learnt from, too: there would be too little to cluster.
_MIN_DISTINCT_ROWS = 32

_CANDIDATES = ("linear", "refined", "network")


class UDHPL(NetworkHasher):
    """
    Codes that follow pseudo labels: clusters found in the features at granularities that the features show.

    Parameters
    ----------
    n_bits : int
        Length of the codes, at most the number of features.
    normalize : bool
        Scale every row to length 1 first.
    preserve : {"clusters", "neighbors"}
        What codes shall keep: which rows are of one kind, or each row's nearest rows by cosine of the features. With
        ``"neighbors"`` every row is its own pseudo label, and the linear map is that of ITQ, or one refined from there.
        So it is, too, where the rows show no clusters: there is nothing else to keep.
    network : {"auto", "always", "never"}
        Whether the network encodes: where it is better than the linear map on held-out rows, or without asking.
        Without it nothing is learnt by gradient.
    n_neighbors : int
        Edges of each row in the neighbor graph; fewer, at least 5, where they would be more than an eightieth of the
        rows.
    n_smoothing : int
        Steps of averaging along the graph before rows are clustered.
    ridge : float
        Added to the variances when features are whitened, as a multiple of their mean.
    max_rounds : int
        Labels, projection and rotation are found in turn at most so many times.
    term_weights : tuple of three floats
        Weights of likelihood, mutual information and quantization error in the objective that decides which round is
        best and when to stop.
    n_hidden, n_epochs, batch_size, learning_rate, device
        Of the network: units, passes over the rows at most (by default 24, more where that would be fewer than 1,000
        steps), rows a step, largest rate, where to train.
    max_rows : int
        Graph, clusters, rotation and network are learnt on at most this many rows, drawn uniformly; mean and principal
        components on all.
    random_state : int, RandomState or None
        Seed of everything drawn.
    progress : bool
        Show a progress bar while the network learns.
    callbacks : sequence of callables
        Each is told the `hashkit.training.EpochReport` of every epoch.
    checkpoint : path, optional
        File that keeps the network's training after every epoch; if it exists, training goes on from there.

    Attributes
    ----------
    pseudo_labels_ : int32 array of shape (n_sample, n_granularities)
        Cluster numbers of the rows that were learnt on, coarsest granularity first.
    sample_rows_ : int64 array of shape (n_sample,)
        Which rows of X those are.
    objective_ : float64 array of shape (n_rounds, 3)
        Likelihood, mutual information and quantization error after each round.
    stability_ : float
        How far two halves of the rows agree on clusters, the adjusted Rand index: 1 at best, 0 by chance; NaN for
        `preserve="neighbors"`. The less they do, the more codes keep plain cosines, and the linear map becomes ITQ's.
    excess_modularity_ : float
        How much better clusters fit the neighbor graph than they would one Gaussian's of the same variances; NaN as
        above.
    preserved_ : {"clusters", "neighbors"}
        What codes keep after all: ``"neighbors"`` where clusters were no more than one cloud's.
    criterion_ : dict of str to float
        What decided between ``"linear"``, ``"network"`` and, if neighbors are preserved, ``"refined"``: lower is
        better; empty if nothing was to decide.
    targets_ : float32 array of shape (n_sample, n_targets)
        What a network is to learn about the rows that were learnt on: vectors whose cosines say how similar rows are.
        For `hashkit.training.train_image_network`; only there after a fit that trained a network, not kept by `save`.
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
        n_neighbors: int = 20,
        n_smoothing: int = 8,
        ridge: float = 0.5,
        max_rounds: int = 5,
        term_weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
        n_hidden: int = 1024,
        n_epochs: int | None = None,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        device: str = "auto",
        max_rows: int = 20_000,
        random_state: Any = None,
        progress: bool = False,
        callbacks: Sequence[Callable[[Any], None]] = (),
        checkpoint: str | None = None,
    ) -> None:
        self.n_bits = n_bits
        self.normalize = normalize
        self.preserve = preserve
        self.network = network
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
        check_choice(self.network, "network", ("auto", "always", "never"))
        for name in ("n_neighbors", "max_rounds"):
            check_int(getattr(self, name), name, 1)
        check_int(self.n_smoothing, "n_smoothing", 0)
        self._check_training()
        check_int(self.max_rows, "max_rows", 16)
        check_number(self.ridge, "ridge", 0)
        if not isinstance(self.term_weights, Sequence) or len(self.term_weights) != 3:
            raise TypeError(f"term_weights must be three numbers, got {self.term_weights!r}")
        for weight in self.term_weights:
            check_number(weight, "term_weights", 0)

    def _fit(self, X: npt.NDArray[Any]) -> None:
        rng = self._rng()
        n_components = max(N_COMPONENTS, self.n_bits)
        found = principal_rows(X, n_components, normalize=self.normalize, max_rows=self.max_rows, rng=rng)
        if self.preserve == "clusters":
            found = without_copies(found, n_components, n_least=max(self.n_bits, _MIN_DISTINCT_ROWS), rng=rng)
        values, self.sample_rows_ = found.values, found.row_numbers
        self.preserved_, self.stability_, self.excess_modularity_ = self.preserve, np.nan, np.nan
        # Its thousands of small products gain nothing from threads, which wait for each other: beside one other process
        # on two cores 2,000 rows took 42 s with two threads, 4 s with one.
        with threadpool_limits(1, user_api="blas"):
            # Every row its own label, until clusters say more.
            directions, targets = np.eye(values.shape[1]), values
            if self.preserve == "clusters":
                directions, targets = self._follow_clusters(found, rng.spawn(1)[0])
            if self.preserved_ == "neighbors":
                self.pseudo_labels_ = np.arange(len(values), dtype=np.int32)[:, None]
                self.objective_ = np.zeros((0, 3))
            projection = directions[:, : self.n_bits].astype(np.float32)
            projection = projection @ itq_rotation(values @ projection, n_iterations=_N_ITERATIONS, rng=rng)
            projection, layers = self._choose_map(values, targets, projection, rng)
        self._set_map(found.components * _scale(values) if layers else found.components @ projection, found.mean)
        self._set_layers(layers, found.rows)

    def _follow_clusters(self, rows: PrincipalRows, rng: np.random.Generator) -> tuple[Float64, Float32]:
        """Directions for principal components (n_components, n_components), and what a network shall learn."""
        values, variances = rows.values, rows.variances + 1e-12
        n_neighbors = pseudo_labels.graph_size(len(values), self.n_neighbors)
        neighbors = pseudo_labels.nearest_neighbors(values, n_neighbors)
        graph = pseudo_labels.shared_neighbor_graph(neighbors)
        whitening = 1 / np.sqrt(variances + self.ridge * variances.mean())
        white = values * whitening.astype(np.float32)
        smooth = pseudo_labels.smooth_rows(white, graph, self.n_smoothing)
        n_clusters = pseudo_labels.count_clusters(smooth, neighbors, rng)
        if not self._has_clusters(values, white, n_clusters, n_neighbors, rng.spawn(1)[0]):
            self.preserved_ = "neighbors"
            return np.eye(len(variances)), values
        found, self.objective_ = alternate(
            white,
            graph,
            n_clusters,
            self.n_bits,
            rng,
            n_smoothing=self.n_smoothing,
            max_rounds=self.max_rounds,
            term_weights=self.term_weights,
        )
        self.pseudo_labels_ = found.labels
        targets = values
        if self._needs_network(len(values)):
            graphs = [graph, *self._more_graphs(rows.rows, neighbors, rng)]
            projections = white @ found.directions.astype(np.float32)
            targets = teacher.similarity_targets(projections, graphs, teacher.walk_length(n_clusters))
        reliability = pseudo_labels.reliability(self.stability_, len(values))
        return lean_on_variance(whitening[:, None] * found.directions, variances, reliability), targets

    def _more_graphs(
        self, features: Float32, neighbors: pseudo_labels.Int32, rng: np.random.Generator
    ) -> list[pseudo_labels.Graph]:
        """Graphs for the teacher that err elsewhere: of fewer neighbors and, unless features are signed, of roots."""
        n_neighbors = neighbors.shape[1]
        found = [neighbors[:, : max(1, round(_FEWER_NEIGHBORS * n_neighbors))]]
        if features.min() >= 0:
            roots = principal_rows(np.sqrt(features), N_COMPONENTS, normalize=True, max_rows=len(features), rng=rng)
            found.append(pseudo_labels.nearest_neighbors(roots.values, n_neighbors))
        return [pseudo_labels.shared_neighbor_graph(near) for near in found]

    def _has_clusters(
        self, values: Float32, white: Float32, n_clusters: int, n_neighbors: int, rng: np.random.Generator
    ) -> bool:
        """Whether clusters are more than one cloud's; asks, too, how far two halves of the rows agree on them."""
        options = {"n_neighbors": n_neighbors, "n_smoothing": self.n_smoothing}
        self.stability_ = pseudo_labels.cluster_stability(white, n_clusters, rng, **options)
        self.excess_modularity_ = pseudo_labels.excess_modularity(values, white, rng, **options)
        return self.excess_modularity_ >= _MIN_EXCESS_MODULARITY

    def _get_state(self) -> dict[str, npt.NDArray[Any]]:
        decisions = {
            "stability_": np.array([self.stability_]),
            "excess_modularity_": np.array([self.excess_modularity_]),
            "preserved_clusters": np.array([self.preserved_ == "clusters"], dtype=np.uint8),
            "criterion_": np.array([self.criterion_.get(name, np.nan) for name in _CANDIDATES]),
        }
        return super()._get_state() | decisions

    def _set_state(self, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]) -> None:
        super()._set_state(tensors, settings)
        self.stability_ = tensors["stability_"].item()
        self.excess_modularity_ = tensors["excess_modularity_"].item()
        self.preserved_ = "clusters" if tensors["preserved_clusters"].item() else "neighbors"
        figures = dict(zip(_CANDIDATES, tensors["criterion_"].tolist(), strict=True))
        self.criterion_ = {name: figure for name, figure in figures.items() if not np.isnan(figure)}

    def _needs_network(self, n_rows: int) -> bool:
        return self.network == "always" or (self.network == "auto" and n_rows >= _MIN_NETWORK_ROWS)

    def _choose_map(
        self, values: Float32, targets: Float32, projection: Float32, rng: np.random.Generator
    ) -> tuple[Float32, list[tuple[Float32, Float32]]]:
        """The linear map, as it is or refined, and layers of a network if that shall encode, else none."""
        self.criterion_ = {}
        if not self._needs_network(len(values)):
            return projection, []
        from hashkit.training.distillation import refine
        from hashkit.training.loop import held_out_rows
        from hashkit.training.networks import perceptron_outputs

        config = self._training_config(int(rng.integers(2**31)), len(values))
        self.targets_ = self._lesson(targets, values)
        inputs = values * _scale(values)
        layers = self._learn_network(inputs, self.targets_, config)
        maps = {"linear": projection}
        if self.preserved_ == "neighbors":
            maps["refined"] = refine(values, projection, config)
        outputs = {name: values @ linear for name, linear in maps.items()}
        outputs["network"] = perceptron_outputs(layers, inputs)
        unseen = held_out_rows(len(values), config)[:_MAX_HELD_OUT]
        for name, found in outputs.items():
            self.criterion_[name] = criteria.CRITERIA[self.preserved_](found, targets, unseen)
        best = min(self.criterion_, key=self.criterion_.__getitem__)
        if best == "network" or self.network == "always":
            return projection, layers
        return maps[best], []

    def _lesson(self, targets: Float32, values: Float32) -> Float32:
        """What the network is taught: the targets and, as far as clusters are in doubt, plain cosines beside them."""
        if self.preserved_ == "neighbors":
            return targets
        doubt = 1 - pseudo_labels.reliability(self.stability_, len(values))
        return np.concatenate([targets, np.float32(np.sqrt(doubt)) * pseudo_labels.scale_rows(values)], axis=1)

    def _learn_network(
        self, inputs: Float32, targets: Float32, config: TrainingConfig
    ) -> list[tuple[Float32, Float32]]:
        from hashkit.training.distillation import NEIGHBOR_TEMPERATURE, teach
        from hashkit.training.networks import layer_arrays

        clusters = self.preserved_ == "clusters"
        network = teach(
            inputs,
            targets,
            self.n_bits,
            config,
            n_hidden=self.n_hidden,
            target_temperature=teacher.target_temperature(targets) if clusters else NEIGHBOR_TEMPERATURE,
            callbacks=self.callbacks,
            progress=self.progress,
            checkpoint=self.checkpoint,
        )
        return layer_arrays(network)


def _scale(values: Float32) -> np.float32:
    """Factor that brings the mean square of the values to 1."""
    return np.float32(1 / np.sqrt(max(float(np.mean(np.square(values))), 1e-12)))
