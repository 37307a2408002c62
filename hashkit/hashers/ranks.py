"""Where rows that are near by cosine stand in the order by Hamming distance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hashkit.codes import hamming_distances
from hashkit.cosines import Float32, nearest_rows

# Pairs of queries and rows that are compared at a time: a few arrays of 16 MiB.
_PAIRS_AT_ONCE = 2**22


def neighbor_ranks(
    unit: Float32, codes: npt.NDArray[np.uint8], queries: npt.NDArray[np.int64], n_near: int
) -> npt.NDArray[np.int64]:
    """
    Ranks by Hamming distance, equal distances by row number, of each query's nearest rows by cosine.

    Parameters
    ----------
    unit : float32 array of shape (n_rows, n_features)
        Rows of length 1 or 0.
    codes : uint8 array of shape (n_rows, n_bytes)
    queries : int64 array
        Numbers of the rows that are queries; each is left out of its own results.
    n_near : int
        Less than n_rows.

    Returns
    -------
    int64 array of shape (n_queries, n_near)
        From 0 on; the rank of the nearest row first.
    """
    ranks = np.empty((len(queries), n_near), dtype=np.int64)
    step = max(1, _PAIRS_AT_ONCE // len(unit))
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        near = nearest_rows(unit, n_near, part)
        distances = hamming_distances(codes[part], codes).astype(np.int32)
        distances[np.arange(len(part)), part] = np.iinfo(np.int32).max
        for j, column in enumerate(near.T[:, :, None]):
            far = np.take_along_axis(distances, column, axis=1)
            before = np.arange(len(unit)) < column
            ranks[start : start + step, j] = ((distances < far) | ((distances == far) & before)).sum(axis=1)
    return ranks
