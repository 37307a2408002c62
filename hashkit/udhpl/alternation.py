"""Stages 3 to 5 in turn: labels, projection and rotation, until their joint objective stops improving."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hashkit.cosines import Float32, Int32
from hashkit.hashers.features import Float64
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.graph import Graph, smooth_rows
from hashkit.udhpl.labels import cluster_means, cluster_scales
from hashkit.udhpl.projection import correlated_directions
from hashkit.udhpl.rotation import quantization_error


@dataclass(frozen=True, eq=False)
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
    white: Float32, graph: Graph, n_bits: int, config: Configuration, rng: np.random.Generator
) -> tuple[Round, Float64]:
    """
    Repeat the three steps until their joint objective stops improving.

    The first round clusters whitened rows, each later one their projections on the directions of the round before.

    Parameters
    ----------
    white : float32 array of shape (n_rows, n_components)
        Whitened principal components.
    graph : Graph
        To smooth rows along before they are clustered.

    Returns
    -------
    best : Round
        Of largest objective: weights[0] * likelihood + weights[1] * information - weights[2] * quantization.
    terms : float64 array of shape (n_rounds, 3)
        The three terms of every round.
    """
    weights = np.array([1, 1, -1]) * config.term_weights
    space = white
    rounds: list[Round] = []
    for _ in range(config.max_rounds):
        labels = cluster_scales(smooth_rows(space, graph, config.n_smoothing), config, rng)
        correlations, directions = correlated_directions(white, labels)
        scaled = directions * correlations
        space = white @ scaled.astype(np.float32)
        terms = (
            label_likelihood(white, labels),
            float(np.mean(-0.5 * np.log1p(-np.minimum(correlations[:n_bits], 1 - 1e-9)))),
            quantization_error(space[:, :n_bits], config, rng),
        )
        rounds.append(Round(labels, scaled, terms))
        gains = [float(weights @ found.terms) for found in rounds]
        if len(gains) > 1 and gains[-1] < max(gains[:-1]) + config.tolerance:
            break
    return rounds[int(np.argmax(gains))], np.array([found.terms for found in rounds])


def label_likelihood(white: Float32, labels: Int32) -> float:
    """
    Mean log-likelihood of whitened rows under spherical Gaussians around the cluster means, in nats a dimension.

    Up to a constant it is -1/2 log of the share of variance inside clusters; its mean over the granularities.
    """
    total = float(white.var(axis=0, dtype=np.float64).sum())
    gains = []
    for column in labels.T:
        inside = float(np.square(white - cluster_means(column, white)[column], dtype=np.float64).sum())
        gains.append(-0.5 * np.log(max(inside / len(white), 1e-12) / max(total, 1e-12)))
    return float(np.mean(gains))
