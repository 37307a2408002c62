"""
What the network learns to reproduce: for every row a vector whose cosines say how similar rows are.

Two views side by side. Projections on all canonical directions of the pseudo labels order the clusters and keep the
geometry between them, but are linear. The leading eigenvectors of the neighbor graph follow clusters of any shape;
their eigenvalues, taken to a power, count walks of that many steps: how likely one row is reached from another.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from hashkit.training.pseudo_labels import scale_rows

Float32 = npt.NDArray[np.float32]

N_EIGENVECTORS = 128
_WALK = 16


def walk_coordinates(graph: sp.csr_matrix) -> Float32:
    """
    Rows of the graph by its leading eigenvectors, weighted so that their products count walks of 2 * 16 steps.

    Returns
    -------
    float32 array of shape (n_rows, min(128, n_rows - 2))
    """
    n_rows = graph.shape[0]
    n_vectors = min(N_EIGENVECTORS, n_rows - 2)
    start = np.random.default_rng(0).normal(size=n_rows).astype(np.float32)
    values, vectors = eigsh(graph, k=n_vectors, which="LA", v0=start, tol=1e-3)
    coordinates: Float32 = (vectors * np.maximum(values, 0) ** _WALK).astype(np.float32)
    return coordinates


def similarity_targets(projections: Float32, graph: sp.csr_matrix) -> Float32:
    """
    Vectors whose cosines are the mean of the two views' cosines.

    Parameters
    ----------
    projections : float32 array of shape (n_rows, n_directions)
        Of the rows on all canonical directions.
    graph : sparse array of shape (n_rows, n_rows)

    Returns
    -------
    float32 array of shape (n_rows, n_directions + n_vectors)
    """
    walks = scale_rows(walk_coordinates(graph))
    views = (projections - projections.mean(axis=0), walks - walks.mean(axis=0))
    return np.concatenate([scale_rows(view) for view in views], axis=1)
