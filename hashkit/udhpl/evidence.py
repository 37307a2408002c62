"""Stage 3, continued: whether there are clusters at all, and how far they are to be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashkit.cosines import Float32, nearest_neighbors, unit_rows
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.graph import Graph, shared_neighbor_graph, smooth_rows
from hashkit.udhpl.labels import cluster_means, count_clusters, kmeans, modularity, nearest_centers


@dataclass(frozen=True)
class Evidence:
    """
    What speaks for clusters.

    Attributes
    ----------
    stability : float
        How far two halves of the rows agree on clusters; see `cluster_stability`.
    excess_modularity : float
        How much better clusters fit the graph than one Gaussian's; see `excess_modularity`.
    """

    stability: float = np.nan
    excess_modularity: float = np.nan


def weigh_clusters(
    values: Float32,
    white: Float32,
    graph: Graph,
    n_clusters: int,
    config: Configuration,
    rng: np.random.Generator,
) -> Evidence:
    """Both measures, for principal components and the same whitened, of shape (n_rows, n_components)."""
    n_neighbors = graph.neighbors.shape[1]
    stability = cluster_stability(white, n_clusters, n_neighbors, config, rng)
    return Evidence(stability, excess_modularity(values, white, n_neighbors, config, rng))


def cluster_stability(
    white: Float32, n_clusters: int, n_neighbors: int, config: Configuration, rng: np.random.Generator
) -> float:
    """
    How far two halves of the rows, each with a graph of its own, agree on clusters of all rows.

    Returns
    -------
    float
        Adjusted Rand index (Hubert and Arabie 1985) of the nearest means of the one half's clusters and the other's: 1
        for the same clusters, 0 for what chance gives, as on noise. The mean over several cuts into halves.
    """
    from sklearn.metrics import adjusted_rand_score

    unit = unit_rows(white)
    agreements = []
    for _ in range(config.n_splits):
        order = rng.permutation(len(white))
        assigned = []
        for half in (order[::2][: config.max_half], order[1::2][: config.max_half]):
            rows = white[half]
            smooth = smooth_rows(rows, _own_graph(rows, n_neighbors, config), config.n_smoothing)
            means = cluster_means(kmeans(smooth, n_clusters, config, rng), unit[half])
            assigned.append(nearest_centers(unit, means))
        agreements.append(adjusted_rand_score(*assigned))
    return float(np.mean(agreements))


def excess_modularity(
    values: Float32, white: Float32, n_neighbors: int, config: Configuration, rng: np.random.Generator
) -> float:
    """
    How much better clusters fit the neighbor graph than they would one Gaussian's of the same variances.

    Clusters of one stretched cloud are alike in every half of the rows, and yet are no classes: a graph of few
    directions always falls into pieces. What counts is modularity beyond that.

    Parameters
    ----------
    values : float32 array of shape (n_rows, n_components)
        Principal components.
    white : float32 array of shape (n_rows, n_components)
        The same, whitened.
    """
    rows = rng.permutation(len(values))[: 2 * config.max_half]
    values, white = values[rows], white[rows]
    spread = values.std(axis=0)
    scale = white.std(axis=0) / np.maximum(spread, 1e-12)
    cloud = rng.standard_normal(values.shape, dtype=np.float32) * spread
    found = []
    for near, clustered in ((values, white), (cloud, cloud * scale)):
        graph = _own_graph(near, n_neighbors, config)
        smooth = smooth_rows(clustered, graph, config.n_smoothing)
        labels = kmeans(smooth, count_clusters(smooth, graph.neighbors, config, rng), config, rng)
        found.append(modularity(labels, graph.neighbors))
    return found[0] - found[1]


def reliability(stability: float, n_rows: int, config: Configuration) -> float:
    """
    How far clusters of so many rows are to be trusted, by the agreement of two halves; 0 if that is chance's or less.

    The agreement itself, which errs on the safe side, up to the rows that the halves hold together; beyond them the
    formula of Spearman and Brown (1910) for tests that are lengthened.
    """
    agreement, share = max(stability, 0.0), max(1.0, n_rows / (2 * config.max_half))
    return share * agreement / (1 + (share - 1) * agreement)


def _own_graph(rows: Float32, n_neighbors: int, config: Configuration) -> Graph:
    return shared_neighbor_graph(nearest_neighbors(rows, min(n_neighbors, len(rows) - 1)), config)
