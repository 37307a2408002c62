"""Stage 5: the rotation towards the signs, and what the signs lose."""

from __future__ import annotations

import numpy as np

from hashkit.cosines import Float32
from hashkit.hashers.features import Float64
from hashkit.hashers.itq import itq_rotation
from hashkit.udhpl.configuration import Configuration


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


def quantization_error(projections: Float32, config: Configuration, rng: np.random.Generator) -> float:
    """Mean squared distance from their signs of projections that were rotated, and scaled to mean square 1."""
    rotated = projections @ itq_rotation(projections, n_iterations=config.n_rotations_in_round, rng=rng)
    rotated /= np.sqrt(max(float(np.mean(np.square(rotated))), 1e-12))
    return float(np.mean(np.square(np.abs(rotated) - 1)))
