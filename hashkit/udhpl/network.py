"""Stage 7: a network, and where neighbors are preserved a refined linear map, are trained. Needs torch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hashkit.cosines import Float32
from hashkit.hashers.pca import PrincipalRows
from hashkit.hashers.sign import choose_map
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.findings import Map, Training, Trial
from hashkit.udhpl.reduce import mean_square_scale
from hashkit.udhpl.targets import Lesson

if TYPE_CHECKING:
    from hashkit.networks.configuration import TrainingConfig
    from hashkit.networks.losses import Loss


def trial_config(n_rows: int, config: Configuration, training: Training, rng: np.random.Generator) -> TrainingConfig:
    """How maps are trained that compete: for a share of the epochs, some rows held out to choose the best one."""
    how = training_config(n_rows, int(rng.integers(2**31)), config, training.device)
    return replace(how, n_epochs=max(1, round(config.trial_share * how.n_epochs)), held_out=config.held_out)


def linear_candidates(
    rows: PrincipalRows,
    lesson: Lesson,
    linear: Float32,
    config: Configuration,
    how: TrainingConfig,
    rng: np.random.Generator,
) -> dict[str, Map]:
    """
    The linear maps that compete, the simplest first, so that it wins among equals.

    Parameters
    ----------
    linear : float32 array of shape (n_components, n_bits)
        That of stage 5; others are there only if neighbors are preserved.
    """
    maps = {"linear": Map(linear)}
    if lesson.preserved == "neighbors":
        maps["sign"] = sign_map(rows, linear.shape[1], rng)
        maps["refined"] = Map(refine(rows.values, linear, config, how))
    return maps


def train_map(
    trial: Trial,
    rows: PrincipalRows,
    lesson: Lesson,
    linear: Float32,
    config: Configuration,
    training: Training,
    rng: np.random.Generator,
) -> Map:
    """The map that won the trial, trained on all rows; parameters are those of `linear_candidates`."""
    values = rows.values
    how = training_config(len(values), int(rng.integers(2**31)), config, training.device)
    how = replace(how, n_epochs=max(1, round(trial.epoch_share * how.n_epochs)), held_out=0.0, keep_best=False)
    if trial.best == "network":
        return teach(values, lesson, linear.shape[1], config, how, training)[0]
    if trial.best == "sign":
        return sign_map(rows, linear.shape[1], rng)
    return Map(refine(values, linear, config, how) if trial.best == "refined" else linear)


def sign_map(rows: PrincipalRows, n_bits: int, rng: np.random.Generator) -> Map:
    """Signs of the features around a threshold, or of a random rotation: the best of those that `Sign` compares."""
    _, weights, offsets, _ = choose_map(rows.rows, rows.mean, n_bits, rng)
    return Map(weights, offsets=offsets)


def training_config(n_rows: int, seed: int, config: Configuration, device: str) -> TrainingConfig:
    """
    How a network is trained on so many rows: on one thread.

    Its layers are so small that threads would mostly wait for each other, the longer the busier the machine; and what
    is learned does not depend on how many there are.
    """
    from hashkit.networks.configuration import TrainingConfig

    n_batches = -(-n_rows // config.batch_size)
    n_epochs = config.n_epochs or max(config.many_epochs, -(-config.least_batches // n_batches))
    return TrainingConfig(
        n_epochs=n_epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        device=device,
        seed=seed,
        n_threads=1,
        patience=max(config.least_patience, int(config.patience * n_epochs)),
    )


def target_loss(temperature: float, config: Configuration) -> Loss:
    """
    Loss of outputs (n_batch, n_bits) and targets (n_batch, n_targets) that teaches codes the targets' neighbors.

    The codes are signs, forced to be balanced: the information of a bit is largest when it is one half of the time.
    Outputs are pulled towards their signs: the quantization error.
    """
    from hashkit.networks.losses import code_loss, half_signs, neighbor_likelihood

    return code_loss(half_signs, neighbor_likelihood(temperature, config.code_temperature), config.pull)


def teach(
    values: Float32, lesson: Lesson, n_bits: int, config: Configuration, how: TrainingConfig, training: Training
) -> tuple[Map, float]:
    """
    Train a perceptron whose codes have the similarities of the lesson's targets.

    Parameters
    ----------
    values : float32 array of shape (n_rows, n_components)

    Returns
    -------
    Map
        Of the epoch that counts.
    float
        The share of all epochs after which that was.
    """
    from hashkit.networks.loop import train
    from hashkit.networks.modules import layer_arrays, perceptron

    scale = mean_square_scale(values)
    network = perceptron(values.shape[1], config.n_hidden, n_bits, dropout=config.dropout, seed=how.seed)
    reports = train(
        network,
        values * scale,
        lesson.targets,
        target_loss(lesson.temperature, config),
        how,
        callbacks=training.callbacks,
        progress=training.progress,
        checkpoint=training.checkpoint,
    )
    losses = [report.held_out_loss for report in reports]
    n_best = int(np.argmin(losses)) + 1 if how.keep_best else len(losses)
    return Map(scale, layer_arrays(network)), n_best / how.n_epochs


def refine(values: Float32, projection: Float32, config: Configuration, how: TrainingConfig) -> Float32:
    """
    A linear map that starts from a given one and learns to put the nearest rows by cosine first.

    Bits need not be balanced here: a map that keeps distances is better free to use them as they come.

    Parameters
    ----------
    values : float32 array of shape (n_rows, n_inputs)
        Centered rows.
    projection : float32 array of shape (n_inputs, n_bits)

    Returns
    -------
    float32 array of shape (n_inputs, n_bits)
    """
    from hashkit.networks.loop import train
    from hashkit.networks.losses import code_loss, neighbor_likelihood, straight_through_sign
    from hashkit.networks.modules import linear_map, linear_weights

    size = float(np.sqrt(np.mean(np.square(values @ projection)))) or 1.0
    network = linear_map(projection)
    similarity = neighbor_likelihood(config.fine_target_temperature, config.fine_code_temperature)
    loss = code_loss(straight_through_sign, similarity, config.fine_pull)
    # The few rows held out are far from each other: how near rows are ranked shows only among all of them, afterwards.
    how = replace(how, batch_size=config.fine_batches * how.batch_size, keep_best=False)
    train(network, values / np.float32(size), values, loss, how)
    return linear_weights(network)
