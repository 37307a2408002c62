"""All pairs of codes within a radius, in one set or across two, and the groups that such pairs connect.

Both sides are taken as one part each, in ascending order of id, with nothing removed. So pairs ordered by row are
ordered by id, and each pair of one set is found from its smaller id. Partners are looked up in tables where that is
estimated to be faster than a scan (see csrc/join/bucket_join.hpp); the pairs are the same. The rows of the left side
are searched block by block. A block that has more pairs than fit is begun again with half the rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import Codes
from hashkit.index.growth import compact
from hashkit.index.ids import Ids
from hashkit.index.snapshot import Part, Rows, Snapshot, take_codes
from hashkit.progress import progress_bar

Distances = NDArray[np.int32]
RowPairs = tuple[Rows, Rows, Distances]
Finder = Callable[[int, int, int], RowPairs | None]

MAX_PAIRS = 2**20
"""Pairs in a block, unless a single row has more."""
ROWS_PER_SCAN = 1024
"""Rows of the left side that share one pass over the right side, per thread; more would hardly make it faster."""
ROWS_PER_LOOKUP = 2**17
"""Rows of the left side that are looked up for one block, per thread."""


@dataclass(frozen=True, eq=False, repr=False)
class PairBlock:
    """Some of the pairs that a join found; at least one.

    Attributes
    ----------
    left, right : int64 arrays of shape (n_pairs,)
        The ids of each pair.
    distances : int32 array of shape (n_pairs,)
        Their Hamming distances.
    """

    left: Ids
    right: Ids
    distances: Distances

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.left)

    def __repr__(self) -> str:
        return f"<hashkit.PairBlock of {len(self):,} pairs>"


def join(left: Snapshot, right: Snapshot | None, radius: int, n_threads: int, progress: bool) -> Iterator[PairBlock]:
    """The pairs of `left` and `right`, or of `left` with itself, each once, by (left id, right id)."""
    (left_part,) = compact(left).parts
    right_part = None if right is None else compact(right).parts[0]
    return _with_ids(left_part, right_part, left.n_bits, radius, n_threads, progress)


def group(snapshot: Snapshot, radius: int, n_threads: int, progress: bool) -> Ids:
    """For each live code, ascending by id, the smallest id that chains of pairs connect it with."""
    (part,) = compact(snapshot).parts
    # Equal codes are one group without being compared: a thousand copies of a code would make half a million pairs.
    firsts, distinct = _native.distinct_codes(part.codes)
    forest = _native.Forest(len(firsts))
    different = take_codes(part.codes, firsts)
    for left, right, _ in _row_pairs(different, None, snapshot.n_bits, radius, n_threads, progress):
        forest.unite(left, right)
    return part.ids_of(firsts[forest.firsts()[distinct]])


def _with_ids(
    left: Part, right: Part | None, n_bits: int, radius: int, n_threads: int, progress: bool
) -> Iterator[PairBlock]:
    others = left if right is None else right
    for rows, other_rows, distances in _row_pairs(
        left.codes, None if right is None else right.codes, n_bits, radius, n_threads, progress
    ):
        yield PairBlock(left.ids_of(rows), others.ids_of(other_rows), distances)


def _row_pairs(
    codes: Codes, others: Codes | None, n_bits: int, radius: int, n_threads: int, progress: bool
) -> Iterator[RowPairs]:
    """The pairs by row, without empty blocks."""
    n_partners = len(codes if others is None else others)
    find, full = _finder(codes, others, n_bits, radius, n_threads)
    n_rows, first = full, 0
    with progress_bar(progress, total=len(codes), unit=" codes") as bar:
        while first < len(codes):
            last = min(first + n_rows, len(codes))
            found = find(first, last, MAX_PAIRS if last - first > 1 else max(MAX_PAIRS, n_partners))
            if found is None:
                n_rows = (last - first + 1) // 2
                continue
            if len(found[0]):
                yield found
            bar.update(last - first)
            first = last
            if len(found[0]) < MAX_PAIRS // 4:
                n_rows = min(2 * n_rows, full)


def _finder(codes: Codes, others: Codes | None, n_bits: int, radius: int, n_threads: int) -> tuple[Finder, int]:
    """A function that finds the pairs of rows [first, last) if there are not too many, and its best number of rows."""
    partners, n_left = (codes, 0) if others is None else (others, max(1, len(codes)))
    try:
        tables = _native.build_join_tables(partners, n_bits, n_left, radius, n_threads)
    except MemoryError:  # a scan needs none
        _warn_of_scan(partners, radius)
        tables = None

    if tables is None:
        return (
            lambda first, last, most: _native.scan_pairs(codes, first, last, others, radius, most, n_threads)
        ), ROWS_PER_SCAN * n_threads
    return (
        lambda first, last, most: _native.bucket_pairs(codes, first, last, others, tables, radius, most, n_threads)
    ), ROWS_PER_LOOKUP * n_threads


def _warn_of_scan(codes: Codes, radius: int) -> None:
    """Say that a join will take far longer for lack of memory, and of how much."""
    n_bytes = (radius + 1) * len(codes) * (codes.shape[1] + 8)
    warnings.warn(
        f"there is no memory for tables of about {n_bytes / 1e6:,.0f} MB: every code is compared with every other "
        "instead, which can take a hundred times as long",
        RuntimeWarning,
        stacklevel=5,
    )
