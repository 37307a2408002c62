"""
Pseudo labels: clusters of unlabeled rows at several granularities, chosen by the rows' own neighbor graph.

A neighbor graph knows which rows belong together, but each of its edges is noisy; smoothing the features along it a
few steps averages the noise away. Clusters of the smoothed rows are the labels. How many clusters there are is read
from the graph too: the number that maximizes modularity, the share of edges inside clusters beyond that of chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]
Graph = sp.csr_matrix

# Similarities held at a time while neighbors are sought: 64 MiB.
_SIMILARITY_VALUES = 2**24
# Rows of each half whose clusters are compared; more would only cost time.
_MAX_HALF = 2000
# Times that the rows are cut into halves: one cut of few rows says little.
_N_SPLITS = 3
# A row's neighbors are at most such a part of all rows, so that they stay within its kind, but so many at least.
_ROWS_PER_NEIGHBOR, _LEAST_NEIGHBORS = 80, 5


def nearest_neighbors(rows: Float32, n_neighbors: int) -> Int32:
    """
    The nearest rows of each row by cosine, itself left out.

    Parameters
    ----------
    rows : float32 array of shape (n_rows, n_features)
    n_neighbors : int
        Less than n_rows.

    Returns
    -------
    int32 array of shape (n_rows, n_neighbors)
        The nearest first.
    """
    unit = scale_rows(rows)
    found = np.empty((len(rows), n_neighbors), dtype=np.int32)
    step = max(1, _SIMILARITY_VALUES // len(rows))
    for start in range(0, len(rows), step):
        similarities = unit[start : start + step] @ unit.T
        own = np.arange(len(similarities))
        similarities[own, start + own] = -np.inf
        np.negative(similarities, out=similarities)
        near = np.argpartition(similarities, n_neighbors - 1, axis=1)[:, :n_neighbors]
        order = np.argsort(np.take_along_axis(similarities, near, axis=1), axis=1)
        found[start : start + step] = np.take_along_axis(near, order, axis=1)
    return found


def graph_size(n_rows: int, n_neighbors: int) -> int:
    """Edges of each row in a graph: `n_neighbors`, fewer where they would be more than an eightieth of all rows."""
    return min(n_neighbors, n_rows - 1, max(_LEAST_NEIGHBORS, n_rows // _ROWS_PER_NEIGHBOR))


def scale_rows(rows: Float32) -> Float32:
    """A copy with rows of length 1; rows of zeros stay zero."""
    norms: Float32 = np.linalg.norm(rows, axis=1, keepdims=True)
    norms[norms == 0] = 1
    return rows / norms


def shared_neighbor_graph(neighbors: Int32) -> sp.csr_matrix:
    """
    D^-1/2 A D^-1/2, where an edge weighs the squared share of neighbors that its two rows have in common.

    Such edges are right more often than plain ones (Jarvis and Patrick 1973): chance neighbors share few.
    """
    n_rows, n_neighbors = neighbors.shape
    offsets = np.arange(n_rows + 1) * n_neighbors
    ones = np.ones(neighbors.size, dtype=np.float32)
    directed = sp.csr_matrix((ones, neighbors.ravel(), offsets), shape=(n_rows, n_rows))
    own = sp.identity(n_rows, dtype=np.float32, format="csr")
    shared = ((directed + own) @ (directed + own).T).multiply(directed) / np.float32(n_neighbors + 1)
    # A little weight on itself keeps rows that share nothing with their neighbors in the graph.
    graph = (shared.power(2) + shared.power(2).T + np.float32(1e-3) * own).tocsr()
    scale = sp.diags(1 / np.sqrt(np.asarray(graph.sum(axis=1)).ravel()), dtype=np.float32)
    return (scale @ graph @ scale).tocsr()


def smooth_rows(rows: Float32, graph: sp.csr_matrix, n_steps: int) -> Float32:
    """Rows averaged along the graph several times, then scaled to length 1."""
    for _ in range(n_steps):
        rows = graph @ rows
    return scale_rows(rows)


def kmeans(rows: Float32, n_clusters: int, rng: np.random.Generator, *, n_iterations: int = 25) -> Int32:
    """
    Cluster numbers of the rows by Lloyd's iterations from a k-means++ start (Arthur and Vassilvitskii, SODA 2007).

    Returns
    -------
    int32 array of shape (n_rows,)
        Numbers from 0 on without gaps: fewer than `n_clusters` where the rows are not that many kinds.
    """
    centers = _spread_rows(rows, n_clusters, rng)
    labels = np.full(len(rows), -1, dtype=np.int32)
    for _ in range(n_iterations):
        previous, labels = labels, _nearest_centers(rows, centers)
        if np.array_equal(labels, previous):
            break
        labels = np.unique(labels, return_inverse=True)[1].astype(np.int32)
        centers = cluster_means(labels, rows)
    return labels


def cluster_means(labels: Int32, values: Float32) -> Float32:
    """Mean of the values of each cluster: float32 array of shape (n_clusters, n_values); no cluster may be empty."""
    members = sp.csr_matrix((np.ones(len(labels), dtype=np.float32), (labels, np.arange(len(labels)))))
    counts = np.bincount(labels).astype(np.float32)
    means: Float32 = (members @ values) / counts[:, None]
    return means


def modularity(labels: Int32, neighbors: Int32) -> float:
    """
    Share of neighbor pairs inside clusters minus what clusters of these degrees would have by chance (Newman 2006).

    The graph's own spread decides: 1 is never reached, one cluster or clusters at random give 0.
    """
    inside = float(np.mean(labels[neighbors] == labels[:, None]))
    degrees = neighbors.shape[1] + np.bincount(neighbors.ravel(), minlength=len(labels))
    shares = np.bincount(labels, weights=degrees) / degrees.sum()
    return inside - float(np.sum(shares**2))


def count_clusters(smooth: Float32, neighbors: Int32, rng: np.random.Generator) -> int:
    """
    The number of clusters, a power of two, of largest modularity in the neighbor graph.

    Parameters
    ----------
    smooth : float32 array of shape (n_rows, n_features)
        Rows smoothed along the graph.
    neighbors : int32 array of shape (n_rows, n_neighbors)
        The graph.
    """
    best, n_best, n_clusters = -np.inf, 2, 2
    while n_clusters <= min(len(smooth) // 8, 4 * n_best):
        value = modularity(kmeans(smooth, n_clusters, rng), neighbors)
        if value > best:
            best, n_best = value, n_clusters
        n_clusters *= 2
    return n_best


def cluster_scales(smooth: Float32, n_clusters: int, rng: np.random.Generator) -> Int32:
    """
    Pseudo labels with twice, four times and eight times so many clusters as the graph shows.

    Finer is safer than coarser: a cluster split in two costs little, two kinds in one cluster cannot be told apart.

    Returns
    -------
    int32 array of shape (n_rows, n_granularities)
        Cluster numbers, coarsest first; one to three columns, since clusters of fewer than 8 rows teach nothing.
    """
    most = max(2, len(smooth) // 8)
    sizes = sorted({min(most, factor * n_clusters) for factor in (2, 4, 8)})
    return np.stack([kmeans(smooth, size, rng) for size in sizes], axis=1)


def cluster_stability(
    white: Float32, n_clusters: int, rng: np.random.Generator, *, n_neighbors: int, n_smoothing: int
) -> float:
    """
    How far two halves of the rows, each with a graph of its own, agree on clusters of all rows.

    Returns
    -------
    float
        Adjusted Rand index (Hubert and Arabie 1985) of the nearest means of the one half's clusters and the other's: 1
        for the same clusters, 0 for what chance gives, as on noise. The mean over three cuts into halves.
    """
    from sklearn.metrics import adjusted_rand_score

    unit = scale_rows(white)
    agreements = []
    for _ in range(_N_SPLITS):
        order = rng.permutation(len(white))
        assigned = []
        for half in (order[::2][:_MAX_HALF], order[1::2][:_MAX_HALF]):
            rows = white[half]
            neighbors = nearest_neighbors(rows, min(n_neighbors, len(rows) - 1))
            smooth = smooth_rows(rows, shared_neighbor_graph(neighbors), n_smoothing)
            means = cluster_means(kmeans(smooth, n_clusters, rng), unit[half])
            assigned.append(_nearest_centers(unit, means))
        agreements.append(adjusted_rand_score(*assigned))
    return float(np.mean(agreements))


def reliability(stability: float, n_rows: int) -> float:
    """
    How far clusters of so many rows are to be trusted, by the agreement of two halves; 0 if that is chance's or less.

    The agreement itself, which errs on the safe side, up to the rows that the halves hold together; beyond them the
    formula of Spearman and Brown (1910) for tests that are lengthened.
    """
    agreement, share = max(stability, 0.0), max(1.0, n_rows / (2 * _MAX_HALF))
    return share * agreement / (1 + (share - 1) * agreement)


def excess_modularity(
    values: Float32, white: Float32, rng: np.random.Generator, *, n_neighbors: int, n_smoothing: int
) -> float:
    """
    How much better clusters fit the neighbor graph than they would one Gaussian's of the same variances.

    Clusters of one stretched cloud are alike in every half of the rows, and yet are not kinds: a graph of few
    directions always falls into pieces. What counts is modularity beyond that.

    Parameters
    ----------
    values : float32 array of shape (n_rows, n_components)
        Principal components.
    white : float32 array of shape (n_rows, n_components)
        The same, whitened.
    """
    rows = rng.permutation(len(values))[: 2 * _MAX_HALF]
    values, white = values[rows], white[rows]
    spread = values.std(axis=0)
    scale = white.std(axis=0) / np.maximum(spread, 1e-12)
    cloud = rng.standard_normal(values.shape, dtype=np.float32) * spread
    found = []
    for near, clustered in ((values, white), (cloud, cloud * scale)):
        neighbors = nearest_neighbors(near, min(n_neighbors, len(rows) - 1))
        smooth = smooth_rows(clustered, shared_neighbor_graph(neighbors), n_smoothing)
        labels = kmeans(smooth, count_clusters(smooth, neighbors, rng), rng)
        found.append(modularity(labels, neighbors))
    return found[0] - found[1]


def _spread_rows(rows: Float32, n_clusters: int, rng: np.random.Generator) -> Float32:
    """Centers to start from: rows drawn one after another, in proportion to their squared distance from those drawn."""
    squares = np.einsum("ij,ij->i", rows, rows)
    chosen = [int(rng.integers(len(rows)))]
    distances = np.full(len(rows), np.inf, dtype=np.float32)
    while len(chosen) < n_clusters:
        last = rows[chosen[-1]]
        distances = np.minimum(distances, np.maximum(squares - 2 * (rows @ last) + last @ last, 0))
        cumulative = np.cumsum(distances, dtype=np.float64)
        if cumulative[-1] <= 0:
            break
        drawn = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
        chosen.append(int(min(drawn, len(rows) - 1)))
    return rows[chosen]


def _nearest_centers(rows: Float32, centers: Float32) -> Int32:
    half_squares = np.einsum("ij,ij->i", centers, centers) / 2
    labels = np.empty(len(rows), dtype=np.int32)
    step = max(1, _SIMILARITY_VALUES // len(centers))
    for start in range(0, len(rows), step):
        labels[start : start + step] = np.argmax(rows[start : start + step] @ centers.T - half_squares, axis=1)
    return labels
