"""
Stage 6: what the network learns to reproduce, for every row a vector whose cosines say how similar rows are.

Two views side by side. Projections on all canonical directions of the pseudo labels order the clusters and keep the
geometry between them, but are linear. The leading eigenvectors of neighbor graphs follow clusters of any shape; their
eigenvalues, taken to a power, count walks of that many steps: how likely one row is reached from another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse.linalg import eigsh

from hashkit.cosines import Float32, scale_rows
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.graph import Graph


def similarity_targets(
    projections: Float32, graphs: Sequence[Graph], n_clusters: int, reliability: float, config: Configuration
) -> Float32:
    """
    Vectors whose cosines are those of the projections plus, times the reliability, the mean of the graphs' walks'.

    Parameters
    ----------
    projections : float32 array of shape (n_rows, n_directions)
        Of the rows on all canonical directions.
    graphs : sequence of Graph
        Their errors differ, so averaging reduces them.
    n_clusters : int
        How many clusters the first graph shows.
    reliability : float
        How far two halves of the rows agree on clusters, in [0, 1]: where they do not, walks lead astray.

    Returns
    -------
    float32 array of shape (n_rows, n_directions + n_graphs * n_vectors)
    """
    n_steps = walk_length(n_clusters, config)
    walks = [scale_rows(walk_coordinates(graph, n_steps, config)) for graph in graphs]
    share = np.float32(np.sqrt(reliability / len(walks)))
    views = [scale_rows(projections - projections.mean(axis=0))]
    views += [share * scale_rows(walk - walk.mean(axis=0)) for walk in walks]
    return np.concatenate(views, axis=1)


def walk_length(n_clusters: int, config: Configuration) -> int:
    """
    Steps that a walk shall take from each of two rows.

    Long walks forget which edge was by chance, but must not leave their cluster: the more clusters a graph shows, the
    smaller they are and the sooner a walk has crossed one.
    """
    return max(config.least_steps, min(config.most_steps, config.most_steps * config.few_clusters // n_clusters))


def walk_coordinates(graph: Graph, n_steps: int, config: Configuration) -> Float32:
    """
    Rows of the graph by its leading eigenvectors, weighted so that their products count walks of 2 * n_steps steps.

    Returns
    -------
    float32 array of shape (n_rows, min(n_eigenvectors, n_rows - 2))
    """
    n_rows = len(graph.neighbors)
    n_vectors = min(config.n_eigenvectors, n_rows - 2)
    start = np.random.default_rng(0).normal(size=n_rows).astype(np.float32)
    values, vectors = eigsh(graph.weights, k=n_vectors, which="LA", v0=start, tol=config.eigenvector_tolerance)
    coordinates: Float32 = (vectors * np.maximum(values, 0) ** n_steps).astype(np.float32)
    return coordinates
