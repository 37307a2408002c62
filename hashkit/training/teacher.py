"""
What the network learns to reproduce: for every row a vector whose cosines say how similar rows are.

Two views side by side. Projections on all canonical directions of the pseudo labels order the clusters and keep the
geometry between them, but are linear. The leading eigenvectors of a neighbor graph follow clusters of any shape; their
eigenvalues, taken to a power, count walks of many steps: how likely one row is reached from another. Small, middle and
large neighborhoods make graphs whose errors differ, so that their mean is better than each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import eigsh

from hashkit.training.pseudo_labels import scale_rows

Float32 = npt.NDArray[np.float32]

_N_TARGETS = 256
# Taken to the power 32, smaller eigenvalues than these count for nothing.
_N_EIGENVECTORS = 64
_HALF_WALK = 32


def walk_coordinates(graph: sp.csr_matrix) -> Float32:
    """
    Rows of the graph by its leading eigenvectors, weighted so that their products count walks of 64 steps.

    Returns
    -------
    float32 array of shape (n_rows, min(64, n_rows - 2))
    """
    n_rows = graph.shape[0]
    n_vectors = min(_N_EIGENVECTORS, n_rows - 2)
    start = np.random.default_rng(0).normal(size=n_rows).astype(np.float32)
    values, vectors = eigsh(graph, k=n_vectors, which="LA", v0=start, tol=1e-2)
    coordinates: Float32 = (vectors * np.maximum(values, 0) ** _HALF_WALK).astype(np.float32)
    return coordinates


def similarity_targets(projections: Float32, graphs: Sequence[sp.csr_matrix]) -> Float32:
    """
    Vectors whose products are the cosines of the two views, added up, but for what 256 directions cannot hold.

    Parameters
    ----------
    projections : float32 array of shape (n_rows, n_directions)
        Of the rows on all canonical directions.
    graphs : sequence of sparse arrays of shape (n_rows, n_rows)
        Their cosines are averaged to one view.

    Returns
    -------
    float32 array of shape (n_rows, n_targets)
        At most 256 columns.
    """
    walks = [_centered_unit_rows(scale_rows(walk_coordinates(graph))) for graph in graphs]
    share = np.float32(1 / np.sqrt(len(graphs)))
    joint = np.concatenate([_centered_unit_rows(projections), *(share * walk for walk in walks)], axis=1)
    axes = np.linalg.eigh((joint.T @ joint).astype(np.float64))[1][:, ::-1][:, :_N_TARGETS]
    targets: Float32 = joint @ axes.astype(np.float32)
    return targets


def _centered_unit_rows(rows: Float32) -> Float32:
    return scale_rows(rows - rows.mean(axis=0))
