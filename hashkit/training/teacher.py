"""
What the network learns to reproduce: for every row a vector whose cosines say how similar rows are.

Two kinds of views side by side. Projections on all canonical directions of the pseudo labels order the clusters and
keep the geometry between them, but are linear. The leading eigenvectors of neighbor graphs follow clusters of any
shape; their eigenvalues, taken to a power, count walks of that many steps: how likely one row is reached from another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from hashkit.training.pseudo_labels import scale_rows

Float32 = npt.NDArray[np.float32]

N_EIGENVECTORS = 128
# Share of all rows that a row's neighbors by targets spread over, and rows on which that is measured.
_PERPLEXITY, _MEASURED_ROWS = 1 / 12, 1024
# Steps of half a walk: the most for few clusters, fewer for more of them, never less than the least.
_MOST_STEPS, _FEW_CLUSTERS, _LEAST_STEPS = 32, 16, 16


def walk_length(n_clusters: int) -> int:
    """
    Steps that a walk shall take from each of two rows.

    Long walks forget which edge was by chance, but must not leave their cluster: the more clusters a graph shows, the
    smaller they are and the sooner a walk has crossed one.
    """
    return max(_LEAST_STEPS, min(_MOST_STEPS, _MOST_STEPS * _FEW_CLUSTERS // n_clusters))


def walk_coordinates(graph: sp.csr_matrix, n_steps: int) -> Float32:
    """
    Rows of the graph by its leading eigenvectors, weighted so that their products count walks of 2 * n_steps steps.

    Returns
    -------
    float32 array of shape (n_rows, min(128, n_rows - 2))
    """
    n_rows = graph.shape[0]
    n_vectors = min(N_EIGENVECTORS, n_rows - 2)
    start = np.random.default_rng(0).normal(size=n_rows).astype(np.float32)
    values, vectors = eigsh(graph, k=n_vectors, which="LA", v0=start, tol=1e-2)
    coordinates: Float32 = (vectors * np.maximum(values, 0) ** n_steps).astype(np.float32)
    return coordinates


def similarity_targets(projections: Float32, graphs: Sequence[sp.csr_matrix], n_steps: int) -> Float32:
    """
    Vectors whose cosines are the mean of the projections' cosines and those of walks, the mean over the graphs.

    Parameters
    ----------
    projections : float32 array of shape (n_rows, n_directions)
        Of the rows on all canonical directions.
    graphs : sequence of sparse arrays of shape (n_rows, n_rows)
        Graphs of more and of fewer neighbors err in different places; their mean errs less.
    n_steps : int
        See `walk_length`.

    Returns
    -------
    float32 array of shape (n_rows, n_directions + n_graphs * n_vectors)
    """
    walks = [scale_rows(walk_coordinates(graph, n_steps)) for graph in graphs]
    share = np.float32(1 / np.sqrt(len(walks)))
    views = [scale_rows(projections - projections.mean(axis=0))]
    views += [share * scale_rows(walk - walk.mean(axis=0)) for walk in walks]
    return np.concatenate(views, axis=1)


def target_temperature(targets: Float32) -> float:
    """
    Temperature at which softmax of the targets' cosines spreads a row's likelihood of neighbors over a twelfth of all.

    The spread is the perplexity, the exponential of the entropy (Hinton and Roweis, NIPS 2002), its mean over the rows.
    Cosines of few clusters and of many, of sharp ones and of vague ones, are so brought to one scale.
    """
    rows = np.random.default_rng(0).permutation(len(targets))[:_MEASURED_ROWS]
    unit = scale_rows(targets[rows])
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    cosines -= cosines.max(axis=1, keepdims=True)
    low, high = 0.005, 1.0
    for _ in range(12):
        temperature = float(np.sqrt(low * high))
        shares = np.exp(cosines / np.float32(temperature))
        shares /= shares.sum(axis=1, keepdims=True)
        entropies = -np.sum(shares * np.log(shares + np.float32(1e-30)), axis=1)
        too_wide = np.exp(entropies).mean() > _PERPLEXITY * len(rows)
        low, high = (low, temperature) if too_wide else (temperature, high)
    return temperature
