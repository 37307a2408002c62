"""Stage 5: the rotation towards the signs, and what the signs lose."""

from __future__ import annotations

import numpy as np

from hashkit.cosines import Float32
from hashkit.hashers.features import Float64
from hashkit.hashers.itq import itq_rotation
from hashkit.hashers.pca import PrincipalRows
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.findings import Clusters
from hashkit.udhpl.selection import exceeds_error, float_neighbor_recalls
from hashkit.udhpl.targets import Lesson


def linear_map(
    rows: PrincipalRows, clusters: Clusters, n_bits: int, config: Configuration, rng: np.random.Generator
) -> Float32:
    """The linear map of principal components: the best directions, rotated towards the signs."""
    if clusters.preserved == "neighbors":
        return evened_map(rows.values, clusters.power, n_bits, config, rng)
    return rotate(rows.values, clusters.directions, n_bits, config, rng)


def rotate(
    values: Float32, directions: Float64, n_bits: int, config: Configuration, rng: np.random.Generator
) -> Float32:
    """
    The linear map: the best directions, rotated so that the projections of the values lose little by the sign.

    Returns
    -------
    float32 array of shape (n_components, n_bits)
    """
    projection: Float32 = directions[:, :n_bits].astype(np.float32)
    return projection @ itq_rotation(values @ projection, n_iterations=config.n_rotations, rng=rng)


def choose_power(rows: PrincipalRows, n_bits: int, config: Configuration, rng: np.random.Generator) -> float:
    """
    How far components are evened before they are rotated, if neighbors are preserved: 0, as in ITQ, or more.

    Short codes of many features find more neighbors if the largest components count less than they vary. Which power is
    best is measured by the recall of neighbors of some rows, after rotations that were learned on others.
    """
    order = rng.permutation(len(rows.values))
    n_judges = min(config.max_trial_rows, len(order) // 2)
    judges, others = np.sort(order[:n_judges]), order[n_judges:]
    sample = rows.values[others[: config.max_trial_rows]]
    powers = (0.0, *config.component_powers)
    # The iterations of all powers start from one rotation, so that a gain is not the luck of the start.
    seed = int(rng.integers(2**31))
    maps = {power: evened_map(sample, power, n_bits, config, np.random.default_rng(seed)) for power in powers}
    outputs = {power: rows.values @ linear for power, linear in maps.items()}
    lesson = Lesson("neighbors", rows.values, config.neighbor_temperature, rows.n_rows)
    recalls = float_neighbor_recalls(outputs, lesson, judges, config)
    best = max(powers, key=lambda power: float(recalls[power].mean()))
    return best if exceeds_error(recalls[best] - recalls[0.0]) else 0.0


def evened_map(values: Float32, power: float, n_bits: int, config: Configuration, rng: np.random.Generator) -> Float32:
    """
    ITQ's map of the first components, divided by their spread to a power.

    Parameters
    ----------
    values : float32 array of shape (n_rows, n_components)
    power : float
        With 0 components count as they vary, as in ITQ; with 1 they would all count alike.

    Returns
    -------
    float32 array of shape (n_components, n_bits)
    """
    kept = values[:, :n_bits]
    factors = np.maximum(kept.std(axis=0), 1e-6) ** np.float32(-power)
    linear = np.zeros((values.shape[1], n_bits), dtype=np.float32)
    linear[:n_bits] = factors[:, None] * itq_rotation(kept * factors, n_iterations=config.n_rotations, rng=rng)
    return linear


def quantization_error(projections: Float32, config: Configuration, rng: np.random.Generator) -> float:
    """Mean squared distance from their signs of projections that were rotated, and scaled to mean square 1."""
    rotated = projections @ itq_rotation(projections, n_iterations=config.n_rotations_in_round, rng=rng)
    rotated /= np.sqrt(max(float(np.mean(np.square(rotated))), 1e-12))
    return float(np.mean(np.square(np.abs(rotated) - 1)))
