"""
Stage 6: the targets of the network: one vector for every row; their cosines are the similarities of rows.

Two views side by side. Projections on the directions of the linear map, all of them, order the clusters and keep the
geometry between them, but are linear. The leading eigenvectors of neighbor graphs follow clusters of any shape; their
eigenvalues, taken to a power, count walks of that many steps: how likely one row is reached from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import eigsh

from hashkit.cosines import Float32, unit_rows
from hashkit.hashers.pca import PrincipalRows
from hashkit.networks.temperature import temperature_of_perplexity
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.findings import Clusters
from hashkit.udhpl.graph import Graph


@dataclass(frozen=True, eq=False)
class Lesson:
    """
    What codes shall reproduce.

    Attributes
    ----------
    preserved : {"clusters", "neighbors"}
    targets : float32 array of shape (n_rows, n_targets)
        Their cosines say how similar rows are.
    temperature : float
        At which softmax of the cosines says how likely one row is another's neighbor.
    n_rows : int
        Rows of the collection that the rows are a sample of; as many as they are themselves if that is more.
    """

    preserved: str
    targets: Float32
    temperature: float
    n_rows: int = 0


def similarity_targets(
    projections: Float32, graphs: Sequence[Graph], n_clusters: int, reliability: float, config: Configuration
) -> Float32:
    """
    Vectors whose products are those of the projections plus, as far as clusters are reliable, the mean of the walks'.

    Parameters
    ----------
    projections : float32 array of shape (n_rows, n_directions)
        Of the rows on all directions of the linear map. Those of small spread are mostly noise and are made smaller
        still, the more the less reliable clusters are.
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
    walks = [unit_rows(walk_coordinates(graph, n_steps, config)) for graph in graphs]
    length = min(1.0, config.walk_trust * reliability)
    centered = projections - projections.mean(axis=0)
    views = [unit_rows(centered * centered.std(axis=0) ** np.float32(config.emphasis * (1 - length)))]
    share = np.float32(length / np.sqrt(len(walks)))
    views += [share * unit_rows(walk - walk.mean(axis=0)) for walk in walks]
    return np.concatenate(views, axis=1)


def make_lesson(clusters: Clusters, rows: PrincipalRows, config: Configuration) -> Lesson:
    """The targets of clusters, or where neighbors are preserved the principal components themselves."""
    if clusters.preserved == "neighbors":
        return Lesson(clusters.preserved, rows.values, config.neighbor_temperature, rows.n_rows)
    targets = clusters.targets
    return Lesson(clusters.preserved, targets, temperature_of_perplexity(targets, config.perplexity))


def walk_length(n_clusters: int, config: Configuration) -> int:
    """
    Steps that a walk shall take from each of two rows.

    Long walks average over accidental edges, but must not leave their cluster: the more clusters a graph shows, the
    smaller they are and the sooner a walk has crossed one.
    """
    return max(config.least_steps, min(config.most_steps, config.most_steps * config.few_clusters // n_clusters))


def walk_coordinates(graph: Graph, n_steps: int, config: Configuration) -> Float32:
    """
    Rows of the graph by its leading eigenvectors, weighted so that their products count walks of 2 * n_steps steps.

    Returns
    -------
    float32 array of shape (n_rows, n_vectors)
    """
    n_rows = len(graph.neighbors)
    # What an eigenvector weighs falls with the length of the walk: shorter ones need more of them.
    n_vectors = min(config.n_eigenvectors * config.most_steps // n_steps, n_rows - 2)
    start = np.random.default_rng(0).normal(size=n_rows).astype(np.float32)
    values, vectors = eigsh(graph.weights, k=n_vectors, which="LA", v0=start, tol=config.eigenvector_tolerance)
    coordinates: Float32 = (vectors * np.maximum(values, 0) ** n_steps).astype(np.float32)
    return coordinates
