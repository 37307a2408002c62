"""Stage 8: which map encodes, decided without labels on rows that the maps were not trained on."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hashkit.codes import hamming_distances
from hashkit.cosines import Float32, nearest_rows, unit_rows
from hashkit.hashers.features import Float64
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.targets import Lesson

Int64 = npt.NDArray[np.int64]
Name = TypeVar("Name", bound=Hashable)

# Pairs of rows that are compared at a time: a few arrays of 16 MiB.
_PAIRS_AT_ONCE = 2**21


def split_rows(n_rows: int, config: Configuration, rng: np.random.Generator) -> tuple[Int64, Int64]:
    """Numbers of the rows that maps learn from in a trial, and of those that they are judged by, in ascending order."""
    order = rng.permutation(n_rows)
    n_unseen = min(config.max_unseen, round(config.unseen_share * n_rows))
    unseen, part = order[:n_unseen], order[n_unseen:][: config.max_trial_rows]
    return np.sort(part), np.sort(unseen)


def judge(outputs: dict[str, Float32], lesson: Lesson, rows: Int64, config: Configuration) -> dict[str, float]:
    """
    How good codes are by what they shall preserve; lower is better.

    Parameters
    ----------
    outputs : dict of str to float32 array of shape (n_rows, n_bits)
        Of each map; their signs are the codes.
    rows : int64 array
        Numbers of the rows that count.
    """
    if lesson.preserved == "clusters":
        return {name: neighbor_cross_entropy(found, lesson, rows, config) for name, found in outputs.items()}
    recalls = float_neighbor_recalls(outputs, lesson, rows, config)
    return {name: 1 - float(recall.mean()) for name, recall in recalls.items()}


def winner(criterion: dict[str, float], preserved: str, config: Configuration) -> str:
    """The map of the lowest criterion, where that of a network for clusters counts as a little lower than it is."""
    weights = {"network": 1 - config.trial_handicap} if preserved == "clusters" else {}
    return min(criterion, key=lambda name: criterion[name] * weights.get(name, 1.0))


def neighbor_cross_entropy(projections: Float32, lesson: Lesson, rows: Int64, config: Configuration) -> float:
    """
    Cross-entropy, in nats a row, of the neighbors that the codes suggest against those that the targets do.

    Only the given rows count. Both spread a probability over the others of them, softmax of the cosines over a
    temperature: that of the lesson, and for the codes the one that fits best, so that only their order and spacing
    count.
    """
    codes = np.where(projections[rows] > 0, np.float32(1), np.float32(-1))
    similar = codes @ codes.T / codes.shape[1]
    unit = unit_rows(lesson.targets[rows])
    wanted = np.exp(_log_shares(unit @ unit.T / np.float32(lesson.temperature)))
    heats = config.criterion_code_temperatures
    losses = [-float((wanted * _log_shares(similar / np.float32(heat))).sum(axis=1).mean()) for heat in heats]
    return min(losses)


def float_neighbor_recalls(
    outputs: dict[Name, Float32], lesson: Lesson, rows: Int64, config: Configuration
) -> dict[Name, Float64]:
    """
    Share of the nearest rows by cosine of the targets that are among the nearest by code of all rows, for some rows.

    Ties fall by row number. Where the rows are a sample, fewer neighbors must be among fewer rows, in proportion: a row
    at rank r of m that were drawn from N is near rank r N / m of all.

    Parameters
    ----------
    outputs : dict of a name to float32 array of shape (n_rows, n_bits)
        Of each map; their signs are the codes.
    rows : int64 array
        Numbers of the rows whose neighbors count.

    Returns
    -------
    dict of a name to float64 array of shape (len(rows),)
    """
    n_rows = len(lesson.targets)
    share = n_rows / max(n_rows, lesson.n_rows)
    n_neighbors = min(max(1, round(config.n_recalled * share)), n_rows - 1)
    n_first = min(max(n_neighbors, round(config.n_first * share)), n_rows - 1)
    codes = {name: np.packbits(found > 0, axis=1) for name, found in outputs.items()}
    unit = unit_rows(lesson.targets)
    recalls = {name: np.empty(len(rows)) for name in outputs}
    step = max(1, _PAIRS_AT_ONCE // n_rows)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        near = nearest_rows(unit, n_neighbors, part)
        for name, own in codes.items():
            # The order by distance, then row number, in one number; the row itself comes last.
            order = hamming_distances(own[part], own).astype(np.int64) * n_rows + np.arange(n_rows)
            order[np.arange(len(part)), part] = np.iinfo(np.int64).max
            last = np.partition(order, n_first - 1, axis=1)[:, n_first - 1 : n_first]
            recalls[name][start : start + step] = (np.take_along_axis(order, near, axis=1) <= last).mean(axis=1)
    return recalls


def _log_shares(logits: Float32) -> Float32:
    """Log softmax of each row over the other rows; the row itself gets a large negative number."""
    logits = logits.copy()
    np.fill_diagonal(logits, -1e4)
    logits -= logits.max(axis=1, keepdims=True)
    shares: Float32 = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return shares
