"""
Stage 2: the graph of neighbors that share neighbors, along which rows are averaged.

A row's nearest neighbors are often of its class, and neighbors that share neighbors are more often still. Each edge is
noisy; averaging features along a few steps of them reduces the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from hashkit.cosines import Float32, Int32, nearest_neighbors, unit_rows
from hashkit.hashers.pca import principal_rows
from hashkit.udhpl.configuration import Configuration

# Pairs of neighbors that are compared at a time: 16 MiB.
_COMPARED_AT_ONCE = 2**24


@dataclass(frozen=True, eq=False)
class Graph:
    """
    A graph of neighbors.

    Attributes
    ----------
    neighbors : int32 array of shape (n_rows, n_neighbors)
        The nearest rows of each row by cosine, the nearest first.
    weights : sparse float32 array of shape (n_rows, n_rows)
        D^-1/2 A D^-1/2, where A weighs an edge by the neighbors that its two rows share.
    """

    neighbors: Int32
    weights: sp.csr_matrix


def build_graph(rows: Float32, config: Configuration) -> Graph:
    """The graph of rows (n_rows, n_components) by their cosines."""
    return shared_neighbor_graph(nearest_neighbors(rows, graph_size(len(rows), config)), config)


def graph_size(n_rows: int, config: Configuration) -> int:
    """Edges of each row: `n_neighbors`, fewer where those would be too large a share of all rows."""
    most = max(config.least_neighbors, n_rows // config.rows_per_neighbor)
    return min(config.n_neighbors, n_rows - 1, most)


def shared_neighbor_graph(neighbors: Int32, config: Configuration) -> Graph:
    """
    An edge weighs the share of neighbors that its two rows have in common, to a power.

    Such edges are right more often than plain ones (Jarvis and Patrick 1973): chance neighbors share few.
    """
    n_rows, n_neighbors = neighbors.shape
    offsets = np.arange(n_rows + 1) * n_neighbors
    shares = shared_neighbors(neighbors).astype(np.float32) / np.float32(n_neighbors + 1)
    weights = sp.csr_matrix((shares.ravel() ** config.shared_power, neighbors.ravel(), offsets), shape=(n_rows, n_rows))
    # A little weight on itself keeps rows that share nothing with their neighbors in the graph.
    own = sp.identity(n_rows, dtype=np.float32, format="csr")
    graph = (weights + weights.T + np.float32(config.self_weight) * own).tocsr()
    scale = sp.diags(1 / np.sqrt(np.asarray(graph.sum(axis=1)).ravel()), dtype=np.float32)
    return Graph(neighbors, (scale @ graph @ scale).tocsr())


def shared_neighbors(neighbors: Int32) -> Int32:
    """
    How many neighbors the two rows of each edge have in common, each row being one of its own.

    Edge by edge, since a product of the graph with itself would be dense where one row is a neighbor of all.

    Parameters
    ----------
    neighbors : int32 array of shape (n_rows, n_neighbors)

    Returns
    -------
    int32 array of shape (n_rows, n_neighbors)
    """
    n_rows, n_neighbors = neighbors.shape
    sets = np.concatenate([neighbors, np.arange(n_rows, dtype=np.int32)[:, None]], axis=1)
    counts = np.empty(neighbors.shape, dtype=np.int32)
    step = max(1, _COMPARED_AT_ONCE // (n_neighbors * sets.shape[1] ** 2))
    for start in range(0, n_rows, step):
        one = sets[start : start + step, None, :, None]
        other = sets[neighbors[start : start + step]][:, :, None, :]
        counts[start : start + step] = np.count_nonzero(one == other, axis=(2, 3))
    return counts


def smooth_rows(rows: Float32, graph: Graph, n_steps: int) -> Float32:
    """Rows averaged along the graph several times, then scaled to length 1."""
    for _ in range(n_steps):
        rows = graph.weights @ rows
    return unit_rows(rows)


def more_graphs(features: Float32, graph: Graph, config: Configuration, rng: np.random.Generator) -> list[Graph]:
    """
    Graphs whose errors differ from the first one's: of fewer neighbors and, unless features are signed, of their roots.

    Square roots, Hellinger's distance, weight the features more evenly.

    Parameters
    ----------
    features : float32 array of shape (n_rows, n_features)
        The rows of the graph before they were reduced.
    """
    n_neighbors = graph.neighbors.shape[1]
    found = [graph.neighbors[:, : max(1, round(config.fewer_neighbors * n_neighbors))]]
    if features.min() >= 0:
        roots = principal_rows(np.sqrt(features), config.n_components, normalize=True, max_rows=len(features), rng=rng)
        found.append(nearest_neighbors(roots.values, n_neighbors))
    return [shared_neighbor_graph(neighbors, config) for neighbors in found]
