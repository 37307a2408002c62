"""
Stage 3: pseudo labels, clusters of smoothed rows at many granularities at once.

No single number of clusters suits pictures of a hundred classes and texts of few topics, and no measure without labels
was found that tells them apart; a row's clusters at all granularities together say how near its class is.

How many clusters the graph shows decides how long walks along it may be: the number that maximizes modularity, the
share of edges inside clusters beyond that of chance.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from hashkit.cosines import Float32, Int32, row_squares
from hashkit.udhpl.configuration import Configuration

# Products with centers held at a time: 64 MiB.
_PRODUCT_VALUES = 2**24


def cluster_scales(smooth: Float32, config: Configuration, rng: np.random.Generator) -> Int32:
    """
    Pseudo labels at the configuration's granularities.

    Returns
    -------
    int32 array of shape (n_rows, n_granularities)
        Cluster numbers, coarsest first; fewer columns where clusters would have too few rows.
    """
    most = max(2, len(smooth) // config.rows_per_cluster)
    sizes = sorted({min(most, max(2, round(n_clusters))) for n_clusters in config.granularities})
    return np.stack([kmeans(smooth, size, config, rng) for size in sizes], axis=1)


def count_clusters(smooth: Float32, neighbors: Int32, config: Configuration, rng: np.random.Generator) -> int:
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
    beyond = 2**config.doublings_beyond_best
    while n_clusters <= min(len(smooth) // config.rows_per_cluster, beyond * n_best):
        value = modularity(kmeans(smooth, n_clusters, config, rng), neighbors)
        if value > best:
            best, n_best = value, n_clusters
        n_clusters *= 2
    return n_best


def modularity(labels: Int32, neighbors: Int32) -> float:
    """
    Share of neighbor pairs inside clusters minus what clusters of these degrees would have by chance (Newman 2006).

    1 is never reached; one cluster or clusters at random give 0.
    """
    inside = float(np.mean(labels[neighbors] == labels[:, None]))
    degrees = neighbors.shape[1] + np.bincount(neighbors.ravel(), minlength=len(labels))
    shares = np.bincount(labels, weights=degrees) / degrees.sum()
    return inside - float(np.sum(shares**2))


def kmeans(rows: Float32, n_clusters: int, config: Configuration, rng: np.random.Generator) -> Int32:
    """
    Cluster numbers of the rows by Lloyd's iterations from a k-means++ start (Arthur and Vassilvitskii, SODA 2007).

    Returns
    -------
    int32 array of shape (n_rows,)
        Numbers from 0 on without gaps: fewer than `n_clusters` where fewer rows are distinct.
    """
    centers = _spread_rows(rows, n_clusters, rng)
    labels = np.full(len(rows), -1, dtype=np.int32)
    for _ in range(config.n_lloyd_iterations):
        previous, labels = labels, nearest_centers(rows, centers)
        if np.array_equal(labels, previous):
            break
        labels = without_gaps(labels)
        centers = cluster_means(labels, rows)
    return labels


def without_gaps(labels: Int32) -> Int32:
    """Cluster numbers from 0 on, in the same order, none of them of an empty cluster."""
    numbers: Int32 = (np.cumsum(np.bincount(labels) > 0) - 1).astype(np.int32)
    return numbers[labels]


def cluster_means(labels: Int32, values: Float32) -> Float32:
    """Mean of the values of each cluster: float32 array of shape (n_clusters, n_values); no cluster may be empty."""
    counts = np.bincount(labels)
    offsets = np.arange(len(labels) + 1, dtype=np.int32)
    # One column a row of values, which are then read in their order: several times faster than cluster by cluster.
    members = sp.csc_matrix((np.ones(len(labels), np.float32), labels, offsets), shape=(len(counts), len(labels)))
    sums: Float32 = np.asarray(members @ values, dtype=np.float32)
    sums /= counts[:, None]
    return sums


def nearest_centers(rows: Float32, centers: Float32) -> Int32:
    """The number of each row's nearest center: int32 array of shape (n_rows,)."""
    half_squares = row_squares(centers) / 2
    labels = np.empty(len(rows), dtype=np.int32)
    step = max(1, _PRODUCT_VALUES // len(centers))
    for start in range(0, len(rows), step):
        labels[start : start + step] = np.argmax(rows[start : start + step] @ centers.T - half_squares, axis=1)
    return labels


def _spread_rows(rows: Float32, n_clusters: int, rng: np.random.Generator) -> Float32:
    """Centers to start from: rows drawn one after another, in proportion to their squared distance from those drawn."""
    squares = row_squares(rows)
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
