"""Groups of codes that are near each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes
from hashkit.index import Index


def group_duplicates(codes: Codes, radius: int, *, n_threads: int | None = None) -> list[NDArray[np.int64]]:
    """Groups of rows that hang together by distances of at most `radius`.

    Two rows are in one group if a chain of rows leads from one to the other in which neighbors are within `radius`, so
    that the ends of a long chain may be further apart. A row that is alone is in no group.

    Parameters
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
    radius : int
        At least 0.
    n_threads : int, optional
        Threads of the search; by default every CPU that this process may use.

    Returns
    -------
    groups : list of int64 arrays
        Row numbers, ascending; groups of most rows first, among equals the one with the least row first.
    """
    return _groups(Index(codes, method="scan").groups(radius, n_threads=n_threads))


def _groups(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    groups = [group for group in np.split(order.astype(np.int64), starts) if len(group) > 1]
    return sorted(groups, key=lambda group: (-len(group), group[0]))
