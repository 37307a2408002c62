"""
UDHPL on one page: features in, a map to codes out, a stage a line, in the order of docs/method.md.

The paper (Zhang, Liu, Long, Shao, IEEE TIP 2018) finds pseudo labels by maximizing likelihood, mutual information and
minus the quantization error, then teaches them to a network. hashkit's own formulation of each is in the stage's file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.hashers.pca import PrincipalRows
from hashkit.udhpl.alternation import alternate
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.evidence import Evidence, reliability, weigh_clusters
from hashkit.udhpl.findings import Clusters, Learned, Map, Task, Trial, every_row_its_own
from hashkit.udhpl.graph import build_graph, more_graphs, smooth_rows
from hashkit.udhpl.labels import count_clusters
from hashkit.udhpl.network import linear_candidates, teach, train_map, trial_config
from hashkit.udhpl.projection import lean_on_variance
from hashkit.udhpl.reduce import reduce_features, take_rows, whitening, without_copies
from hashkit.udhpl.rotation import choose_power, linear_map
from hashkit.udhpl.selection import judge, split_rows, winner
from hashkit.udhpl.targets import Lesson, make_lesson, similarity_targets


def learn(X: npt.NDArray[Any], task: Task, rng: np.random.Generator) -> Learned:
    """Learn a map from features (n_rows, n_features)."""
    config = task.config
    most = config.max_rows if task.preserve == "clusters" else config.max_rotated_rows
    rows = reduce_features(X, task.n_bits, config, rng, normalize=task.normalize, max_rows=most)
    if task.preserve == "clusters":
        rows = without_copies(rows, task.n_bits, config, rng)
    has_many_rows = len(rows.values) >= config.least_network_rows
    is_taught = task.network in ("always", "targets") or (task.network == "auto" and has_many_rows)
    clusters = every_row_its_own(rows, Evidence())
    if task.preserve == "clusters":
        clusters = find_clusters(rows, task.n_bits, config, rng.spawn(1)[0], with_targets=is_taught)
    if clusters.preserved == "neighbors":
        clusters = replace(clusters, power=choose_power(rows, task.n_bits, config, rng.spawn(1)[0]))
    linear = linear_map(rows, clusters, task.n_bits, config, rng)
    if not is_taught:
        return Learned(rows, clusters, Map(linear))
    if len(rows.values) > config.max_rows:
        rows = take_rows(rows, np.sort(rng.permutation(len(rows.values))[: config.max_rows]))
        clusters = every_row_its_own(rows, clusters.evidence, clusters.power)
    lesson = make_lesson(clusters, rows, config)
    if task.network == "targets":
        return Learned(rows, clusters, Map(linear), targets=lesson.targets)
    trial = try_maps(rows, clusters, lesson, task, rng) if task.network == "auto" else Trial("network")
    best = train_map(trial, rows, lesson, linear, config, task.training, rng)
    return Learned(rows, clusters, best, trial.criterion, lesson.targets)


def try_maps(rows: PrincipalRows, clusters: Clusters, lesson: Lesson, task: Task, rng: np.random.Generator) -> Trial:
    """Learn each map from a part of the rows; the best on the rest, of which all rows say what is similar, wins."""
    config = task.config
    part, unseen = split_rows(len(rows.values), config, rng)
    some = take_rows(rows, part)
    found = every_row_its_own(some, clusters.evidence, clusters.power)
    if clusters.preserved == "clusters":
        found = find_clusters(some, task.n_bits, config, rng.spawn(1)[0], with_targets=True, evidence=clusters.evidence)
    taught, linear = make_lesson(found, some, config), linear_map(some, found, task.n_bits, config, rng)
    how = trial_config(len(part), config, task.training, rng)
    tried = linear_candidates(some, taught, linear, config, how, rng)
    judged = judge({name: tried[name].outputs(rows) for name in tried}, lesson, unseen, config)
    epoch_share = 1.0
    # Where a refined linear map finds no more neighbors a network, which has more to learn, does not either.
    if clusters.preserved == "clusters" or judged["refined"].mean() < judged["linear"].mean():
        network, epoch_share = teach(some.values, taught, task.n_bits, config, how, task.training.of_a_trial())
        judged |= judge({"network": network.outputs(rows)}, lesson, unseen, config)
    best = winner(judged, clusters.preserved, config)
    criterion = {name: float(of_rows.mean()) for name, of_rows in judged.items()}
    return Trial(best, criterion, epoch_share if best == "network" else 1.0)


def find_clusters(
    rows: PrincipalRows,
    n_bits: int,
    config: Configuration,
    rng: np.random.Generator,
    *,
    with_targets: bool,
    evidence: Evidence | None = None,
) -> Clusters:
    """Labels, the directions that are most informative about them, and targets, where there are clusters at all."""
    graph = build_graph(rows.values, config)
    factors = whitening(rows, config)
    white = rows.values * factors.astype(np.float32)
    n_clusters = count_clusters(smooth_rows(white, graph, config.n_smoothing), graph.neighbors, config, rng)
    evidence = evidence or weigh_clusters(rows.values, white, graph, n_clusters, config, rng.spawn(1)[0])
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
