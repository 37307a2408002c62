"""Stage 5: the rotation towards the signs, and what the signs lose."""

from __future__ import annotations

import numpy as np

from hashkit.cosines import Float32
from hashkit.hashers.features import Float64
from hashkit.hashers.itq import itq_rotation
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.findings import Clusters
from hashkit.udhpl.selection import float_neighbor_recall
from hashkit.udhpl.targets import Lesson


def linear_map(
    values: Float32, clusters: Clusters, n_bits: int, config: Configuration, rng: np.random.Generator
) -> Float32:
    """The linear map of principal components (n_rows, n_components): the best directions, rotated towards the signs."""
    if clusters.preserved == "neighbors":
        return rotate_for_neighbors(values, n_bits, config, rng)
    return rotate(values, clusters.directions, n_bits, config, rng)


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


def rotate_for_neighbors(values: Float32, n_bits: int, config: Configuration, rng: np.random.Generator) -> Float32:
    """
    The linear map that preserves neighbors: several bits for each of the first components, if that finds more of them.

    Long codes need not give every component a bit: the last ones have little of the variance, and more bits for the
    others quantize those finer. Which share of `n_bits` is best is measured by the recall of neighbors on some rows.

    Returns
    -------
    float32 array of shape (n_components, n_bits)
    """
    trials = rng.spawn(1)[0]
    sample = values[np.sort(trials.permutation(len(values))[: config.max_trial_rows])]
    lesson = Lesson("neighbors", sample, config.neighbor_temperature)
    judges = np.arange(min(len(sample), config.max_unseen))
    recalls = []
    sizes = sorted({min(n_bits, max(1, round(share * n_bits))) for share in config.component_shares}, reverse=True)
    for n_kept in sizes if len(sizes) > 1 else []:
        outputs = sample[:, :n_kept] @ tight_frame(sample[:, :n_kept], n_bits, config, trials)
        recalls.append(float_neighbor_recall(outputs, lesson, judges, config))
    n_best = sizes[int(np.argmax(recalls)) if recalls else 0]
    linear = np.zeros((values.shape[1], n_bits), dtype=np.float32)
    linear[:n_best] = tight_frame(values[:, :n_best], n_bits, config, rng)
    return linear


def tight_frame(values: Float32, n_bits: int, config: Configuration, rng: np.random.Generator) -> Float32:
    """
    Orthonormal rows R of shape (n_kept, n_bits) of small ||sign(values R) - values R||^2, n_kept at most n_bits.

    The alternating minimization of ITQ (Gong and Lazebnik, CVPR 2011), which is the case of n_kept = n_bits.
    """
    frame = np.linalg.qr(rng.normal(size=(n_bits, n_bits)))[0][: values.shape[1]].astype(np.float32)
    for _ in range(config.n_rotations):
        signs = np.where(values @ frame > 0, np.float32(1), np.float32(-1))
        left, _, right = np.linalg.svd((values.T @ signs).astype(np.float64), full_matrices=False)
        frame = (left @ right).astype(np.float32)
    return frame


def quantization_error(projections: Float32, config: Configuration, rng: np.random.Generator) -> float:
    """Mean squared distance from their signs of projections that were rotated, and scaled to mean square 1."""
    rotated = projections @ itq_rotation(projections, n_iterations=config.n_rotations_in_round, rng=rng)
    rotated /= np.sqrt(max(float(np.mean(np.square(rotated))), 1e-12))
    return float(np.mean(np.square(np.abs(rotated) - 1)))
