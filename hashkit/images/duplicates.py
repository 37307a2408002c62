"""Groups of pictures: by codes that are near each other, or by pairs of pictures that are similar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes
from hashkit.images.copies import Pairs
from hashkit.index import Index


@dataclass(frozen=True, eq=False)
class Group:
    """Rows that belong together.

    Attributes
    ----------
    rows : int64 array of shape (n_rows,)
        The row that all others are similar to, then these by their similarity to it.
    similarities : float32 array of shape (n_rows,)
        To the first row; that of the first itself is 1.
    """

    rows: NDArray[np.int64]
    similarities: NDArray[np.float32]


def group_pairs(pairs: Pairs) -> list[Group]:
    """Groups of rows around a center to which each of them is similar: the ends of a chain do not come together.

    The row with most partners becomes a center and takes those that are in no group yet; then the next.

    Returns
    -------
    groups : list of Group
        The tightest first: by the least similarity in them, then by size, then by their least row.
    """
    first = np.concatenate([pairs.first, pairs.second])
    second = np.concatenate([pairs.second, pairs.first])
    similarity = np.concatenate([pairs.similarity, pairs.similarity])
    order = np.lexsort((second, -similarity, first))
    first, second, similarity = first[order], second[order], similarity[order]
    rows, starts, degrees = np.unique(first, return_index=True, return_counts=True)
    taken: set[int] = set()
    groups = []
    for place in np.lexsort((rows, -degrees)).tolist():
        center = int(rows[place])
        if center in taken:
            continue
        around = slice(starts[place], starts[place] + degrees[place])
        near, how = second[around].tolist(), similarity[around].tolist()
        free = [(row, value) for row, value in zip(near, how, strict=True) if row not in taken]
        if free:
            taken.update([center, *(row for row, _ in free)])
            groups.append(
                Group(
                    np.array([center, *(row for row, _ in free)], np.int64),
                    np.array([1, *(value for _, value in free)], np.float32),
                )
            )
    return sorted(groups, key=lambda group: (-group.similarities.min(), -len(group.rows), group.rows.min()))


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
