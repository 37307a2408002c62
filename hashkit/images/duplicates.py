"""Groups of pictures: by codes that are near each other, or by pairs of pictures that are similar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes
from hashkit.images.copies import Pairs
from hashkit.index import Index

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Group:
    """Rows that belong together.

    Attributes
    ----------
    rows : int64 array of shape (n_rows,)
        The row that all others are similar to, then these by their similarity to it; ascending in a group by codes.
    similarities : float32 array of shape (n_rows,), or None in a group by codes
        To the first row; that of the first itself is 1.
    """

    rows: Rows
    similarities: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups one after the other, in flat arrays: a hundred thousand of them are made in milliseconds.

    Attributes
    ----------
    rows, similarities : arrays
        Those of all groups.
    bounds : int64 array of shape (n_groups + 1,)
        Where each group starts and ends.
    """

    rows: Rows
    similarities: NDArray[np.float32] | None
    bounds: Rows

    def __len__(self) -> int:
        """The number of groups."""
        return len(self.bounds) - 1

    def __getitem__(self, number: int) -> Group:
        """One group."""
        part = slice(self.bounds[number], self.bounds[number + 1])
        return Group(self.rows[part], None if self.similarities is None else self.similarities[part])

    def __iter__(self) -> Iterator[Group]:
        """All groups."""
        return (self[number] for number in range(len(self)))

    def pages(self, n_shown: int, most: int) -> list[int]:
        """Where each page of groups starts and the last one ends, if a page shows `n_shown` rows, `most` of a group.

        A group is not divided: the last one of a page may go beyond `n_shown`.
        """
        shown = np.minimum(np.diff(self.bounds), most)
        first = np.cumsum(shown) - shown  # rows that are shown before each group
        return [0, *(np.flatnonzero(np.diff(first // n_shown)) + 1).tolist(), len(self)]

    def place_of(self, row: int) -> int | None:
        """The number of the group whose first row this is."""
        found = np.flatnonzero(self.rows[self.bounds[:-1]] == row)
        return int(found[0]) if len(found) else None

    def ordered(self, order: Rows) -> Groups:
        """The groups in another order."""
        sizes = np.diff(self.bounds)[order]
        bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        places = np.repeat(self.bounds[:-1][order] - bounds[:-1], sizes) + np.arange(bounds[-1])
        return Groups(self.rows[places], None if self.similarities is None else self.similarities[places], bounds)


@dataclass(frozen=True, eq=False)
class Partners:
    """The similar rows of each row, those of one row after those of the other.

    Attributes
    ----------
    rows : int64 array of shape (n_rows,)
        Rows that have partners, ascending.
    bounds : int64 array of shape (n_rows + 1,)
        Where the partners of each of them start and end.
    others, similarities : int64 and float32 arrays of shape (2 n_pairs,)
        The partners of a row, by falling similarity and then by row.
    """

    rows: Rows
    bounds: Rows
    others: Rows
    similarities: NDArray[np.float32]


def partners_of(pairs: Pairs) -> Partners:
    """The partners of each row: sorted once, they are grouped at any similarity quickly."""
    first = np.concatenate([pairs.first, pairs.second])
    second = np.concatenate([pairs.second, pairs.first])
    similarity = np.concatenate([pairs.similarity, pairs.similarity])
    order = np.lexsort((second, -similarity, first))
    rows, starts = np.unique(first[order], return_index=True)
    bounds = np.append(starts, len(order)).astype(np.int64)
    return Partners(rows, bounds, second[order], similarity[order])


def group_partners(partners: Partners, similarity: float) -> Groups:
    """Groups of rows around a center to which each of them is similar: the ends of a chain do not come together.

    The row with most partners becomes a center and takes those that are in no group yet; then the next. Partners that
    are less similar than `similarity` do not count.

    Returns
    -------
    groups : Groups
        The tightest first: by the least similarity in them, then by size, then by their least row.
    """
    counts = np.concatenate([[0], np.cumsum(partners.similarities >= np.float32(similarity))])
    degrees = np.diff(counts[partners.bounds])
    parts = [_pairs_alone(partners, degrees), *_stars(partners, degrees)]
    rows = np.concatenate([rows.ravel() for rows, _ in parts])
    similarities = np.concatenate([values.ravel() for _, values in parts])
    sizes = np.concatenate([np.full(len(parts[0][0]), 2), [len(rows) for rows, _ in parts[1:]]])
    return _tightest_first(rows, similarities, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def _pairs_alone(partners: Partners, degrees: Rows) -> tuple[Rows, NDArray[np.float32]]:
    """Pairs of rows that have no other partners, and the similarities of their groups: shape (n_pairs, 2)."""
    ends = np.flatnonzero(degrees == 1)
    others = partners.others[partners.bounds[ends]]
    back = degrees[np.searchsorted(partners.rows, others)] == 1
    first = ends[back & (partners.rows[ends] < others)]
    similarities = partners.similarities[partners.bounds[first]]
    pairs = np.column_stack([partners.rows[first], partners.others[partners.bounds[first]]])
    return pairs, np.column_stack([np.ones_like(similarities), similarities])


def _stars(partners: Partners, degrees: Rows) -> Iterator[tuple[Rows, NDArray[np.float32]]]:
    """The other groups, those with most partners first."""
    others = partners.others
    alone = degrees == 0
    ends = np.flatnonzero(degrees == 1)
    alone[ends] = degrees[np.searchsorted(partners.rows, others[partners.bounds[ends]])] == 1
    taken = np.zeros(int(partners.rows.max(initial=0)) + 1, np.bool_)
    flags = taken.view(np.uint8).data  # reading one of them is quicker than from an array
    places = np.flatnonzero(~alone)
    for place in places[np.lexsort((partners.rows[places], -degrees[places]))].tolist():
        center = int(partners.rows[place])
        if flags[center]:
            continue
        around = slice(partners.bounds[place], partners.bounds[place] + degrees[place])
        free = ~taken[others[around]]
        if free.any():
            rows = np.append(center, others[around][free])
            taken[rows] = True
            yield rows, np.append(np.float32(1), partners.similarities[around][free])


def _tightest_first(rows: Rows, similarities: NDArray[np.float32], bounds: Rows) -> Groups:
    if len(rows) == 0:
        return Groups(rows, similarities, bounds)
    least, first = similarities[bounds[1:] - 1], np.minimum.reduceat(rows, bounds[:-1])
    return Groups(rows, similarities, bounds).ordered(np.lexsort((first, -np.diff(bounds), -least)))


def group_duplicates(codes: Codes, radius: int, *, n_threads: int | None = None) -> Groups:
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
    groups : Groups
        Row numbers, ascending; groups of most rows first, among equals the one with the least row first.
    """
    labels = Index(codes, method="scan").groups(radius, n_threads=n_threads)
    order = np.argsort(labels, kind="stable").astype(np.int64)
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(labels[order])) + 1, [len(labels)]]).astype(np.int64)
    sizes = np.diff(bounds)
    several = np.flatnonzero(sizes > 1)
    chosen = several[np.lexsort((order[bounds[:-1][several]], -sizes[several]))]
    return Groups(order, None, bounds).ordered(chosen)
