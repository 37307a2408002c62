"""Pseudo labels, projection and rotation found in turn: the joint objective of UDHPL's first three steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hashkit.hashers.itq import itq_rotation
from hashkit.hashers.pca import descending_eigenvectors
from hashkit.training import pseudo_labels

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]

# A round that improves the objective by less than this ends the search.
_TOLERANCE = 1e-3
_N_ITERATIONS = 20


@dataclass(frozen=True)
class Round:
    """
    What one round found.

    Attributes
    ----------
    labels : int32 array of shape (n_rows, n_granularities)
    directions : float64 array of shape (n_components, n_components)
        Canonical directions for whitened rows, best first, scaled by their squared correlations.
    terms : (likelihood, mutual information, quantization error)
    """

    labels: Int32
    directions: Float64
    terms: tuple[float, float, float]


def alternate(
    white: Float32,
    graph: pseudo_labels.Graph,
    n_clusters: int,
    n_bits: int,
    rng: np.random.Generator,
    *,
    n_smoothing: int,
    max_rounds: int,
    term_weights: tuple[float, float, float],
) -> tuple[Round, Float64]:
    """
    Repeat the three steps until their joint objective stops improving.

    The first round clusters whitened rows, each later one their projections on the directions of the round before.

    Parameters
    ----------
    white : float32 array of shape (n_rows, n_components)
        Whitened principal components.
    graph : sparse array of shape (n_rows, n_rows)
        To smooth rows along before they are clustered.
    n_clusters : int
        How many clusters the graph shows.

    Returns
    -------
    best : Round
        Of largest objective: weights[0] * likelihood + weights[1] * information - weights[2] * quantization.
    terms : float64 array of shape (n_rounds, 3)
        The three terms of every round.
    """
    weights = np.array([1, 1, -1]) * term_weights
    space = white
    rounds: list[Round] = []
    for _ in range(max_rounds):
        smooth = pseudo_labels.smooth_rows(space, graph, n_smoothing)
        labels = pseudo_labels.cluster_scales(smooth, n_clusters, rng)
        correlations, directions = correlated_directions(white, labels)
        scaled = directions * correlations
        space = white @ scaled.astype(np.float32)
        terms = (
            label_likelihood(white, labels),
            float(np.mean(-0.5 * np.log1p(-np.minimum(correlations[:n_bits], 1 - 1e-9)))),
            quantization_error(space[:, :n_bits], rng),
        )
        rounds.append(Round(labels, scaled, terms))
        gains = [float(weights @ found.terms) for found in rounds]
        if len(gains) > 1 and gains[-1] < max(gains[:-1]) + _TOLERANCE:
            break
    return rounds[int(np.argmax(gains))], np.array([found.terms for found in rounds])


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
        means = pseudo_labels.cluster_means(column, white).astype(np.float64)
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


def label_likelihood(white: Float32, labels: Int32) -> float:
    """
    Mean log-likelihood of whitened rows under spherical Gaussians around the cluster means, in nats a dimension.

    Up to a constant it is -1/2 log of the share of variance inside clusters; its mean over the granularities.
    """
    total = float(white.var(axis=0, dtype=np.float64).sum())
    gains = []
    for column in labels.T:
        inside = float(np.square(white - pseudo_labels.cluster_means(column, white)[column], dtype=np.float64).sum())
        gains.append(-0.5 * np.log(max(inside / len(white), 1e-12) / max(total, 1e-12)))
    return float(np.mean(gains))


def quantization_error(projections: Float32, rng: np.random.Generator) -> float:
    """Mean squared distance from their signs of projections that were rotated, and scaled to mean square 1."""
    rotated = projections @ itq_rotation(projections, n_iterations=_N_ITERATIONS, rng=rng)
    rotated /= np.sqrt(max(float(np.mean(np.square(rotated))), 1e-12))
    return float(np.mean(np.square(np.abs(rotated) - 1)))
