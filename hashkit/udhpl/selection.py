"""Stage 8: which map encodes, decided without labels on rows that the maps were not trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hashkit.cosines import Float32, nearest_rows, scale_rows
from hashkit.udhpl.configuration import Configuration
from hashkit.udhpl.findings import Candidates, Clusters, Map

Int64 = npt.NDArray[np.int64]

# Equally good maps: the first one encodes.
CANDIDATES = ("linear", "refined", "network")


def choose(
    values: Float32,
    linear: Float32,
    candidates: Candidates | None,
    clusters: Clusters,
    config: Configuration,
    network: str,
) -> tuple[Map, dict[str, float]]:
    """
    The map that encodes, and what decided: how good each map's codes are on unseen rows, lower is better.

    Parameters
    ----------
    values : float32 array of shape (n_rows, n_components)
        Principal components.
    linear : float32 array of shape (n_components, n_bits)
        The linear map, the only one without candidates.
    network : {"auto", "always", "never"}
        With ``"always"`` the network encodes whatever the criterion says.
    """
    maps = {"linear": Map(linear)}
    if candidates is None:
        return maps["linear"], {}
    maps |= candidates.maps
    rows = candidates.unseen[: config.max_held_out]
    criterion = {}
    for name in sorted(maps, key=CANDIDATES.index):
        outputs = maps[name].outputs(values)
        if clusters.preserved == "clusters":
            criterion[name] = neighbor_cross_entropy(outputs, clusters.targets, rows, config)
        else:
            criterion[name] = 1 - float_neighbor_recall(outputs, clusters.targets, rows, config)
    best = "network" if network == "always" else min(criterion, key=criterion.__getitem__)
    return maps[best], criterion


def neighbor_cross_entropy(projections: Float32, targets: Float32, rows: Int64, config: Configuration) -> float:
    """
    Cross-entropy, in nats a row, of the neighbors that the codes suggest against those that the targets do.

    Only the given rows count. Both spread a probability over the others of them, softmax of the cosines over a
    temperature; that of the codes is the one that fits best, so that only their order and spacing count.
    """
    codes = np.where(projections[rows] > 0, np.float32(1), np.float32(-1))
    similar = codes @ codes.T / codes.shape[1]
    unit = scale_rows(targets[rows])
    wanted = np.exp(_log_shares(unit @ unit.T / config.criterion_temperature))
    heats = config.criterion_code_temperatures
    losses = [-float((wanted * _log_shares(similar / heat)).sum(axis=1).mean()) for heat in heats]
    return min(losses)


def float_neighbor_recall(projections: Float32, targets: Float32, rows: Int64, config: Configuration) -> float:
    """
    Share of some rows' nearest rows by cosine of the targets that are among the nearest rows by code, of all rows.

    Among the nearest means in the first `recalled_share` of all rows; ties fall by row number.
    """
    n_rows = len(projections)
    n_neighbors = min(config.n_recalled, n_rows - 1)
    own = (np.arange(len(rows)), rows)
    unit = scale_rows(targets)
    near = nearest_rows(unit, n_neighbors, rows)
    codes = np.where(projections > 0, np.float32(1), np.float32(-1))
    # Products of codes are whole numbers, so that a row number decides between equal ones only.
    keys = (codes[rows] @ codes.T).astype(np.int64) * -n_rows + np.arange(n_rows)
    keys[own] = np.iinfo(np.int64).max
    n_first = max(n_neighbors, round(config.recalled_share * n_rows))
    last = np.partition(keys, n_first - 1, axis=1)[:, n_first - 1 : n_first]
    return float((np.take_along_axis(keys, near, axis=1) <= last).mean())


def _log_shares(logits: Float32) -> Float32:
    """Log softmax of each row over the other rows; the row itself gets a large negative number."""
    logits = logits.copy()
    np.fill_diagonal(logits, -1e4)
    logits -= logits.max(axis=1, keepdims=True)
    shares: Float32 = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return shares
