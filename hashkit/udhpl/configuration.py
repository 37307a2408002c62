"""Every constant of UDHPL, in the order of the stages, with its reason and its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from hashkit.checks import check_int, check_number

_COUNTS = {
    # Name -> the least value. What is not listed here is a number of at least 0.
    "n_components": 1,
    "max_rows": 16,
    "max_rotated_rows": 16,
    "least_distinct_rows": 1,
    "n_neighbors": 1,
    "rows_per_neighbor": 1,
    "least_neighbors": 1,
    "shared_power": 1,
    "n_smoothing": 0,
    "n_lloyd_iterations": 1,
    "rows_per_cluster": 1,
    "doublings_beyond_best": 1,
    "max_half": 8,
    "n_splits": 1,
    "max_rounds": 1,
    "n_rotations_in_round": 0,
    "n_rotations": 0,
    "n_eigenvectors": 1,
    "most_steps": 1,
    "few_clusters": 1,
    "least_steps": 1,
    "n_hidden": 1,
    "many_epochs": 1,
    "least_batches": 1,
    "least_patience": 1,
    "batch_size": 2,
    "fine_batches": 1,
    "least_network_rows": 4,
    "max_unseen": 2,
    "max_trial_rows": 4,
    "n_recalled": 1,
    "n_first": 1,
}
_TUPLES = ("component_powers", "granularities", "term_weights", "criterion_code_temperatures")


@dataclass(frozen=True)
class Configuration:
    """
    Every constant of UDHPL.

    "Measured": the best of several values by mAP@1000 on CIFAR-10, Caltech-101, Fashion-MNIST or digits, with
    ``benchmarks/quality.py``. "Bound": it follows from the reason given. "Usual": a common value that was not varied.

    Attributes
    ----------
    n_components : int
        Reduce. Number of principal components, or of bits if that is larger. Usual.
    max_rows : int
        Reduce. Everything except mean and principal components is learned from at most this many rows, drawn uniformly.
        Bound: the graph compares all pairs of them, 4 * 10^8 cosines.
    max_rotated_rows : int
        Reduce. The same for the linear map if neighbors are preserved. Measured at 128 bits on 59,000 sentence
        embeddings: recall is .735 with a rotation learned from 4,000 rows, .743 from 20,000, .748 from 50,000.
    max_distinct_share : float
        Reduce. Copies are left out if a smaller share of the rows is distinct. Bound: copies then fill at most a tenth
        of the graph's edges.
    least_distinct_rows : int
        Reduce. Copies are kept if at most this many rows, or no more rows than bits, would remain to be clustered.
    ridge : float
        Reduce. Share of the mean variance that is added to each variance in the whitening. Measured. Without it the
        last components, which are mostly noise, would weigh as much as the first.
    n_neighbors : int
        Graph. Edges of each row. Measured.
    rows_per_neighbor, least_neighbors : int
        Graph. At most one edge per `rows_per_neighbor` rows, so that a row's neighbors stay within its class, but at
        least `least_neighbors` edges. Measured on 600 to 1,700 rows of Caltech-101.
    self_weight : float
        Graph. Weight of each row's edge to itself, which keeps rows without shared neighbors in the graph. Bound: far
        below the smallest weight of another edge, 1 / (n_neighbors + 1)^2.
    shared_power : int
        Graph. The weight of an edge is the share of common neighbors to this power. Usual.
    n_smoothing : int
        Graph. Steps of averaging along the graph before rows are clustered. Measured.
    fewer_neighbors : float
        Graph. Edges per row in the second graph of the targets, as a share of `n_neighbors`. Measured: the errors of
        graphs of different sizes differ, so averaging reduces them.
    granularities : tuple of int
        Labels. Numbers of clusters. Measured on texts and pictures: using only those near the largest modularity loses
        up to .05 on texts; 4, 8, 256 and 512 besides these lose .006 on CIFAR-10, .013 on descriptions of packages, and
        gain .004 on the documentation of the kernel.
    rows_per_cluster : int
        Labels. Least number of rows per cluster. Bound: the mean of fewer rows is mostly noise.
    doublings_beyond_best : int
        Labels. The search for the number of clusters ends after this many doublings without a larger modularity. Bound:
        modularity has a single peak, apart from noise.
    n_lloyd_iterations : int
        Labels. Largest number of iterations of k-means. Usual.
    max_half : int
        Labels. Largest number of rows in each of the halves whose clusters are compared. Bound: more would only cost
        time.
    n_splits : int
        Labels. Number of times that rows are split into halves. Bound: a single split of few rows has a large variance.
    min_excess_modularity : float
        Labels. Clusters count only if their modularity exceeds that of a Gaussian's clusters by at least this.
        Measured: noise and single clouds of any shape had at most .01, features of pictures and texts .1 and more.
    max_rounds : int
        Projection. Largest number of rounds of labels, projection and rotation. Usual: `tolerance` ends most searches
        earlier.
    term_weights : tuple of three floats
        Projection. Weights of likelihood, mutual information and quantization error in the objective. Paper: a sum.
    tolerance : float
        Projection. A round that improves the objective by less than this, in nats, is the last. Usual.
    n_rotations_in_round, n_rotations : int
        Rotation. Iterations of the alternating minimization within a round and at the end. Paper of ITQ: 50.
    component_powers : tuple of float
        Rotation. If neighbors are preserved, components are divided by their spread to one of these powers if that
        finds more neighbors than ITQ's map, of power 0. Measured: unseen rows of 59,000 sentence embeddings find .024,
        .015 and .009 more of their neighbors with .25 at 32, 64 and 128 bits and .007 fewer at 256; features of
        Caltech-101 find .067 and .047 more with .5 at 32 and 64 bits.
    walk_trust : float
        Targets. The length of vectors of walks is this times the reliability of clusters, and at most 1, the length of
        projections. Measured: texts, of a reliability below .25, lose .02 with a length of 1; without the bound spoken
        digits fall from .767 to .719, and handwritten ones gain .01.
    emphasis : float
        Targets. Projections are multiplied by their standard deviation to this power where clusters are not reliable;
        it falls to 0 as the length of walks grows to 1. Measured by the cosines of targets: texts are best with powers
        from 1 to 1.5 (.01 better than with .5, .03 to .04 than with 0), pictures and speech with 0, which gains .003 to
        .008 over .5.
    n_eigenvectors : int
        Targets. Number of leading eigenvectors of each graph for the longest walks; shorter walks use proportionally
        more. Measured: on pictures, cosines of walks differ by less than .001 from those with twice as many.
    eigenvector_tolerance : float
        Targets. Relative accuracy of the eigenvalues. Usual.
    most_steps, few_clusters, least_steps : int
        Targets. Half a walk has `most_steps` steps for up to `few_clusters` clusters, and fewer for more clusters, but
        at least `least_steps`. Measured on CIFAR-10 (few clusters) and Caltech-101 (many).
    perplexity : float
        Targets. The effective number of a row's neighbors by targets, as a share of all rows. Measured.
    n_hidden : int
        Network. Units of the hidden layer. Measured.
    dropout : float
        Network. Share of hidden units left out in training. Measured.
    n_epochs : int, optional
        Network. Largest number of passes over the rows; by default `many_epochs`, or more if these have too few
        batches.
    many_epochs, least_batches : int
        Network. Default number of passes, and least number of batches. Measured on digits: 24 passes over 1,500 rows
        are 144 batches, too few; 400 are as good as 500, 300 lose .006 at 16 bits and 200 .003 at 32 bits.
    held_out : float
        Network. Share of a trial's rows that are used only to choose the best epoch. Usual.
    least_patience, patience : int, float
        Network. Training stops after `least_patience` epochs without a better held-out loss, or the share `patience` of
        all epochs if that is more. Measured: the held-out loss varies while the rate is high; with 4 epochs one
        training of four ended too soon.
    weight_decay : float
        Network. Weight decay of AdamW. Usual.
    batch_size : int
        Network. Rows per step; all pairs of them are compared. Measured.
    learning_rate : float
        Network. Largest learning rate of the schedule. Measured: half of it needs twice as many batches.
    code_temperature : float
        Network. Temperature of the codes' cosines in the loss. Measured.
    pull : float
        Network. Weight of the quantization error in the loss. Measured.
    neighbor_temperature : float
        Network. Temperature of the features' cosines if neighbors are preserved; it separates finer differences than
        those of clusters. Measured.
    fine_target_temperature, fine_code_temperature : float
        Network. The same for a linear map that is refined: they separate the nearest rows from the next nearest.
        Measured.
    fine_batches : int
        Network. Its batches are larger by this factor. Bound: they contain that many times more near rows.
    fine_pull : float
        Network. Weight of its quantization error. Usual.
    least_network_rows : int
        Selection. With fewer rows the linear map encodes. Bound: a tenth of them, held out, is too few for a choice.
    unseen_share, max_unseen : float, int
        Selection. Share of the rows that are held out of a trial and decide it, and their largest number. Bound: all
        pairs of them are compared.
    max_trial_rows : int
        Selection. Largest number of rows that maps learn from in a trial, and whose neighbors decide the component
        power. Bound: the time of a trial grows with it. Measured: a gain of .005 is two standard errors of 4,000 rows.
    trial_handicap : float
        Selection. In a trial the network has fewer rows and epochs than in the final training, so the linear map wins
        only if it is better by more than this share of the criterion. Measured: on 3,000 rows of Caltech-101 at 64 bits
        the network lost by .01 of it.
    trial_share : float
        Selection. Epochs of a trial, as a share of those of the final training. Bound: a network that wins after half
        of the training is even better after all of it.
    criterion_code_temperatures : tuple of float
        Selection. Temperatures of the codes' cosines, of which the best counts. Bound: they range from the nearest code
        alone to all codes.
    n_recalled, n_first : int
        Selection. If neighbors are preserved, the criterion is the share of the `n_recalled` nearest rows by cosine
        among the `n_first` by Hamming distance. Bound: those of the reported metric.
    """

    n_components: int = 256
    max_rows: int = 20_000
    max_rotated_rows: int = 50_000
    max_distinct_share: float = 0.9
    least_distinct_rows: int = 32
    ridge: float = 0.5

    n_neighbors: int = 20
    rows_per_neighbor: int = 80
    least_neighbors: int = 5
    self_weight: float = 1e-3
    shared_power: int = 2
    n_smoothing: int = 8
    fewer_neighbors: float = 0.5

    granularities: tuple[int, ...] = (16, 32, 64, 128)
    rows_per_cluster: int = 8
    doublings_beyond_best: int = 2
    n_lloyd_iterations: int = 25
    max_half: int = 2000
    n_splits: int = 3
    min_excess_modularity: float = 0.05

    max_rounds: int = 5
    term_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    tolerance: float = 1e-3

    n_rotations_in_round: int = 20
    n_rotations: int = 50

    component_powers: tuple[float, ...] = (0.15, 0.3, 0.5)

    walk_trust: float = 2.0
    emphasis: float = 2.0
    n_eigenvectors: int = 64
    eigenvector_tolerance: float = 1e-2
    most_steps: int = 32
    few_clusters: int = 16
    least_steps: int = 16
    perplexity: float = 1 / 12

    n_hidden: int = 1024
    dropout: float = 0.3
    n_epochs: int | None = None
    many_epochs: int = 24
    least_batches: int = 400
    held_out: float = 0.1
    least_patience: int = 8
    patience: float = 0.25
    weight_decay: float = 1e-4
    batch_size: int = 256
    learning_rate: float = 2e-3
    code_temperature: float = 0.14
    pull: float = 0.3
    neighbor_temperature: float = 0.05
    fine_target_temperature: float = 0.02
    fine_code_temperature: float = 0.05
    fine_batches: int = 2
    fine_pull: float = 0.1

    least_network_rows: int = 512
    unseen_share: float = 0.2
    max_unseen: int = 2000
    max_trial_rows: int = 4000
    trial_handicap: float = 0.02
    trial_share: float = 0.5
    criterion_code_temperatures: tuple[float, ...] = (0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5)
    n_recalled: int = 10
    n_first: int = 100

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in _TUPLES:
                value = check_numbers(value, name, 3 if name == "term_weights" else None)
            elif name == "n_epochs":
                value = None if value is None else check_int(value, name, 1)
            elif name in _COUNTS:
                value = check_int(value, name, _COUNTS[name])
            else:
                value = check_number(value, name, 0)
            object.__setattr__(self, name, value)


def check_numbers(values: Any, name: str, length: int | None) -> tuple[float, ...]:
    """A sequence of finite numbers of at least 0: `length` of them, or at least one if it is None."""
    is_sequence = isinstance(values, Sequence) and not isinstance(values, str)
    if not is_sequence or len(values) == 0 or len(values) != (length or len(values)):
        expected = "three numbers" if length == 3 else "at least one number"
        raise TypeError(f"{name} must be {expected}, got {values!r}")
    return tuple(check_number(value, name, 0) for value in values)
