"""Stage 8: which map encodes, decided without labels on rows that the maps were not trained on."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hashkit.cosines import Float32, nearest_rows, unit_rows
from hashkit.hashers.features import Float64
from hashkit.index import Index
from hashkit.index.results import others_than
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


def judge(outputs: dict[str, Float32], lesson: Lesson, rows: Int64, config: Configuration) -> dict[str, Float64]:
    """
    How good codes are by what they shall preserve, row by row; lower is better.

    Parameters
    ----------
    outputs : dict of str to float32 array of shape (n_rows, n_bits)
        Of each map; their signs are the codes.
    rows : int64 array
        Numbers of the rows that count.

    Returns
    -------
    dict of str to float64 array of shape (len(rows),)
    """
    if lesson.preserved == "clusters":
        return {name: neighbor_cross_entropies(found, lesson, rows, config) for name, found in outputs.items()}
    recalls = float_neighbor_recalls(outputs, lesson, rows, config)
    return {name: 1 - recall for name, recall in recalls.items()}


def winner(judged: dict[str, Float64], preserved: str, config: Configuration) -> str:
    """
    The map whose mean is lowest.

    For clusters, the mean of a network counts as a little lower than it is. For neighbors, a map must be better than
    the linear one by more than the standard error of the difference.
    """
    weights = {"network": 1 - config.trial_handicap} if preserved == "clusters" else {}
    best = min(judged, key=lambda name: judged[name].mean() * weights.get(name, 1.0))
    if preserved == "neighbors" and not exceeds_error(judged["linear"] - judged[best]):
        return "linear"
    return best


def exceeds_error(gains: Float64) -> bool:
    """Whether the mean of gains, one for each row, is larger than its standard error."""
    return bool(gains.mean() > gains.std() / np.sqrt(len(gains)))


def neighbor_cross_entropies(projections: Float32, lesson: Lesson, rows: Int64, config: Configuration) -> Float64:
    """
    Cross-entropy, in nats, of the neighbors that each row's code suggests against those that its target does.

    Only the given rows count. Both spread a probability over the others of them, softmax of the cosines over a
    temperature: that of the lesson, and for the codes the one that fits best, so that only their order and spacing
    count.
    """
    codes = np.where(projections[rows] > 0, np.float32(1), np.float32(-1))
    similar = codes @ codes.T / codes.shape[1]
    unit = unit_rows(lesson.targets[rows])
    wanted = np.exp(_log_shares(unit @ unit.T / np.float32(lesson.temperature)))
    heats = config.criterion_code_temperatures
    losses = (-(wanted * _log_shares(similar / np.float32(heat))).sum(axis=1) for heat in heats)
    best: Float64 = min(losses, key=lambda loss: float(loss.mean())).astype(np.float64)
    return best


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
    indexes = {name: Index(np.packbits(found > 0, axis=1), method="scan") for name, found in outputs.items()}
    unit = unit_rows(lesson.targets)
    recalls = {name: np.empty(len(rows)) for name in outputs}
    step = max(1, _PAIRS_AT_ONCE // n_rows)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        near = nearest_rows(unit, n_neighbors, part)
        for name, index in indexes.items():
            first = _nearest_by_code(index, part, n_first)
            recalls[name][start : start + step] = (near[:, :, None] == first[:, None, :]).any(axis=2).mean(axis=1)
    return recalls


def _nearest_by_code(index: Index, rows: Int64, n_first: int) -> Int64:
    """The n_first rows nearest to each of some rows, themselves left out."""
    found = index.query(index.get(rows), n_first + 1, n_threads=1)[1]
    return found[others_than(rows, found)].reshape(len(rows), n_first)


def _log_shares(logits: Float32) -> Float32:
    """Log softmax of each row over the other rows; the row itself gets a large negative number."""
    logits = logits.copy()
    np.fill_diagonal(logits, -1e4)
    logits -= logits.max(axis=1, keepdims=True)
    shares: Float32 = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return shares
