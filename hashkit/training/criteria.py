"""How good codes are without labels: what decides between maps, on rows that a map was not trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hashkit.training.pseudo_labels import scale_rows

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

_TEMPERATURES = (0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5)


def neighbor_cross_entropy(
    projections: Float32, targets: Float32, rows: Int64, *, target_temperature: float = 0.1
) -> float:
    """
    Cross-entropy, in nats a row, of the neighbors that the codes suggest against those that the targets do.

    Only the given rows count. Both spread a probability over the others of them, softmax of the cosines over a
    temperature; that of the codes is the one that fits best, so that only their order and spacing count.

    Parameters
    ----------
    projections : float32 array of shape (n_rows, n_bits)
        Their signs are the codes.
    targets : float32 array of shape (n_rows, n_targets)
    rows : int64 array
        Numbers of the rows that are compared with each other.
    """
    codes = np.where(projections[rows] > 0, np.float32(1), np.float32(-1))
    similar = codes @ codes.T / codes.shape[1]
    unit = scale_rows(targets[rows])
    wanted = np.exp(_log_shares(unit @ unit.T / target_temperature))
    losses = [-float((wanted * _log_shares(similar / heat)).sum(axis=1).mean()) for heat in _TEMPERATURES]
    return min(losses)


def float_neighbor_recall(
    projections: Float32, targets: Float32, rows: Int64, *, n_neighbors: int = 10, share: float = 0.01
) -> float:
    """
    Share of some rows' nearest rows by cosine of the targets that are among the nearest rows by code, of all rows.

    Among the nearest means in the first `share` of all rows, at least `n_neighbors` of them; ties fall by row number.

    Parameters
    ----------
    projections : float32 array of shape (n_rows, n_bits)
        Their signs are the codes.
    targets : float32 array of shape (n_rows, n_targets)
    rows : int64 array
        Numbers of the rows that ask.
    """
    n_rows = len(projections)
    n_neighbors = min(n_neighbors, n_rows - 1)
    own = (np.arange(len(rows)), rows)
    unit = scale_rows(targets)
    cosines = unit[rows] @ unit.T
    cosines[own] = -np.inf
    near = np.argpartition(-cosines, n_neighbors - 1, axis=1)[:, :n_neighbors]
    codes = np.where(projections > 0, np.float32(1), np.float32(-1))
    # Products of codes are whole numbers, so that a row number decides between equal ones only.
    keys = (codes[rows] @ codes.T).astype(np.int64) * -n_rows + np.arange(n_rows)
    keys[own] = np.iinfo(np.int64).max
    n_first = max(n_neighbors, round(share * n_rows))
    last = np.partition(keys, n_first - 1, axis=1)[:, n_first - 1 : n_first]
    return float((np.take_along_axis(keys, near, axis=1) <= last).mean())


def _log_shares(logits: Float32) -> Float32:
    """Log softmax of each row over the other rows; the row itself gets a large negative number."""
    logits = logits.copy()
    np.fill_diagonal(logits, -1e4)
    logits -= logits.max(axis=1, keepdims=True)
    shares: Float32 = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return shares


# By what codes shall preserve; lower is better.
CRITERIA = {
    "clusters": neighbor_cross_entropy,
    "neighbors": lambda projections, targets, rows: 1 - float_neighbor_recall(projections, targets, rows),
}
