"""
UDHPL on one page: features in, a map to codes out, a stage a line, in the order of docs/method.md.

The paper (Zhang, Liu, Long, Shao, IEEE TIP 2018) finds pseudo labels by maximizing likelihood, mutual information and
minus the quantization error, then teaches them to a network. hashkit's own formulation of each is in the stage's file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from hashkit.hashers.pca import PrincipalRows
from hashkit.udhpl.alternation import alternate
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.evidence import Evidence, reliability, weigh_clusters
from hashkit.udhpl.findings import Clusters, Learnt, every_row_its_own
from hashkit.udhpl.graph import build_graph, more_graphs, smooth_rows
from hashkit.udhpl.labels import count_clusters
from hashkit.udhpl.network import Training, train_candidates
from hashkit.udhpl.projection import lean_on_variance
from hashkit.udhpl.reduce import reduce_features, whitening, without_copies
from hashkit.udhpl.rotation import rotate
from hashkit.udhpl.selection import choose
from hashkit.udhpl.targets import similarity_targets


def learn(
    X: npt.NDArray[Any],
    n_bits: int,
    config: Configuration,
    training: Training,
    rng: np.random.Generator,
    *,
    normalize: bool,
    preserve: str,
    network: str,
) -> Learnt:
    """Learn a map from features (n_rows, n_features); see `UDHPL` for the options."""
    rows = reduce_features(X, n_bits, config, rng, normalize=normalize)
    if preserve == "clusters":
        rows = without_copies(rows, n_bits, config, rng)
    is_taught = network == "always" or (network == "auto" and len(rows.values) >= config.least_network_rows)
    # Thousands of small products gain nothing from threads, which wait for each other: beside one other process on two
    # cores 2,000 rows took 42 s with two threads, 4 s with one.
    with threadpool_limits(1, user_api="blas"):
        clusters = every_row_its_own(rows, Evidence())
        if preserve == "clusters":
            clusters = find_clusters(rows, n_bits, config, rng.spawn(1)[0], with_targets=is_taught)
        linear = rotate(rows.values, clusters.directions, n_bits, config, rng)
        candidates = train_candidates(rows.values, clusters, linear, config, training, rng) if is_taught else None
        best, criterion = choose(rows.values, linear, candidates, clusters, config, network)
    return Learnt(rows, clusters, best, criterion, candidates)


def find_clusters(
    rows: PrincipalRows, n_bits: int, config: Configuration, rng: np.random.Generator, *, with_targets: bool
) -> Clusters:
    """Labels, the directions that are most informative about them, and targets, where there are clusters at all."""
    graph = build_graph(rows.values, config)
    factors = whitening(rows, config)
    white = rows.values * factors.astype(np.float32)
    n_clusters = count_clusters(smooth_rows(white, graph, config.n_smoothing), graph.neighbors, config, rng)
    evidence = weigh_clusters(rows.values, white, graph, n_clusters, config, rng.spawn(1)[0])
    if evidence.excess_modularity < config.min_excess_modularity:
        return every_row_its_own(rows, evidence)
    best, objective = alternate(white, graph, n_bits, config, rng)
    trust = reliability(evidence.stability, len(white), config)
    directions = lean_on_variance(factors[:, None] * best.directions, rows.variances + 1e-12, trust)
    targets = rows.values
    if with_targets:
        graphs = [graph, *more_graphs(rows.rows, graph, config, rng)]
        targets = similarity_targets(rows.values @ directions.astype(np.float32), graphs, n_clusters, trust, config)
    return Clusters("clusters", best.labels, objective, evidence, directions, targets)
