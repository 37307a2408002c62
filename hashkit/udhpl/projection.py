"""Stage 4: the projection that is most informative about the labels."""

from __future__ import annotations

import numpy as np

from hashkit.cosines import Float32, Int32
from hashkit.hashers.features import Float64
from hashkit.hashers.pca import descending_eigenvectors
from hashkit.udhpl.labels import cluster_means


def correlated_directions(white: Float32, labels: Int32) -> tuple[Float64, Float64]:
    """
    Directions by their canonical correlation with the labels of all granularities, largest first.

    Between whitened rows and one-hot labels the squared correlations are the eigenvalues of the covariance of the
    cluster means. For Gaussian projections they maximize the mutual information, the sum of
    -1/2 log(1 - correlation^2).

    Returns
    -------
    squared_correlations : float64 array of shape (n_components,)
        In [0, 1]; means over the granularities.
    directions : float64 array of shape (n_components, n_components)
    """
    between = np.zeros((white.shape[1], white.shape[1]))
    for column in labels.T:
        means = cluster_means(column, white).astype(np.float64)
        between += (means.T * np.bincount(column)) @ means / len(white) / labels.shape[1]
    correlations, directions = descending_eigenvectors(between, len(between))
    return np.clip(correlations, 0, 1), directions


def lean_on_variance(directions: Float64, variances: Float64, reliability: float) -> Float64:
    """
    Directions of both the labels and the largest variance: principal components of the two views side by side.

    Parameters
    ----------
    directions : float64 array of shape (n_components, n_components)
        For principal components, one direction a column.
    variances : float64 array of shape (n_components,)
        Of the principal components.
    reliability : float
        Share of the total variance that the directions' view has, in [0, 1]; the components as they are have the rest.
        With 0 they are all that is left, as in ITQ.

    Returns
    -------
    float64 array of shape (n_components, n_components)
        Best first.
    """
    total = float(variances @ np.square(directions).sum(axis=1))
    own = np.sqrt(reliability / max(total, 1e-12)) * directions
    plain = np.sqrt((1 - reliability) / variances.sum()) * np.eye(len(variances))
    views = np.concatenate([own, plain], axis=1)
    _, mixture = descending_eigenvectors((views.T * variances) @ views, len(variances))
    mixed: Float64 = views @ mixture
    return mixed
