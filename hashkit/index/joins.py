"""All pairs of codes that are near, in one set or across two.

Both sides are taken as one part each, in ascending order of id, with nothing removed. So pairs ordered by row are
ordered by id, and each pair of one set is found from its smaller id. Partners are looked up in tables where that is
estimated to be faster than a scan (see csrc/join/bucket_join.hpp); the pairs are the same. The rows of the left side
are searched block by block. A block that has more pairs than fit is begun again with half the rows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import Codes, check_number, check_radius, describe
from hashkit.index.growth import compact
from hashkit.index.ids import Ids
from hashkit.index.jaccard_joins import JaccardFinder, JaccardLimit
from hashkit.index.measures import check_measure
from hashkit.index.snapshot import Part, Rows, Snapshot
from hashkit.progress import progress_bar

Distances = NDArray[np.int32] | NDArray[np.float64]
Limit = int | JaccardLimit
"""How near a pair must be: a Hamming distance, or a distance or similarity of sets of bits."""
RowPairs = tuple[Rows, Rows, Distances]
Finder = Callable[[int, int, int], RowPairs | None]

MAX_PAIRS = 2**20
"""Pairs in a block, unless a single row has more."""
ROWS_PER_SCAN = 1024
"""Left rows that share one pass over the right side, per thread; more would hardly make it faster."""
ROWS_PER_LOOKUP = 2**17
"""Left rows that are looked up for one block, per thread."""
ROWS_PER_NEAR_LOOKUP = 2**20
"""The same where keys within reach are looked up too: rows with one key share these lookups."""


@dataclass(frozen=True, eq=False, repr=False)
class PairBlock:
    """Some of the pairs that a join found; at least one.

    Attributes
    ----------
    left, right : int64 arrays of shape (n_pairs,)
        The ids of each pair.
    distances : int32 or float64 array of shape (n_pairs,)
        Their Hamming distances (int32), or those by the join's measure (float64).
    """

    left: Ids
    right: Ids
    distances: Distances

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.left)

    def __repr__(self) -> str:
        return f"<hashkit.PairBlock of {len(self):,} pairs>"


def check_limit(
    radius: Any, similarity: Any, measure: Any, metric: str, n_bits: int, *, is_directed: bool = False
) -> Limit:
    """Return the limit given by `radius` or by `similarity` with `measure`; the other is None."""
    if (radius is None) == (similarity is None):
        both = "none" if radius is None else "both"
        raise ValueError(f"one of radius and similarity must be given, got {both}")
    if metric == "hamming":
        if similarity is not None:
            raise ValueError(
                f"similarity must not be given for Hamming distance, which has a radius; got {describe(similarity)}"
            )
        if measure is not None:
            raise ValueError(
                f"measure must not be given for Hamming distance, only with metric='jaccard'; got {describe(measure)}"
            )
        return check_radius(radius, "radius", n_bits)
    name, value = ("radius", radius) if similarity is None else ("similarity", similarity)
    number = check_number(value, name, -math.inf, most=math.inf)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be from 0 to 1 for Jaccard distance, got {value}")
    return JaccardLimit(number, similarity is not None, check_measure(measure), is_directed)


class PairBlocks(Iterator[PairBlock]):
    """The blocks of a join, computed one at a time as the iterator advances.

    Attributes
    ----------
    distance_dtype : dtype
        Of the distances in every block: int32, or float64 for Jaccard distance.
    """

    def __init__(self, blocks: Iterator[PairBlock], distance_dtype: np.dtype[Any]) -> None:
        self._blocks, self.distance_dtype = blocks, distance_dtype

    def __next__(self) -> PairBlock:
        return next(self._blocks)


def join(left: Snapshot, right: Snapshot | None, limit: Limit, n_threads: int, progress: bool) -> PairBlocks:
    """Find the pairs of `left` and `right`, or within `left`, each once, by (left id, right id)."""
    (left_part,) = compact(left).parts
    right_part = None if right is None else compact(right).parts[0]
    blocks = _with_ids(left_part, right_part, left.n_bits, limit, n_threads, progress)
    return PairBlocks(blocks, np.dtype(np.int32 if left.metric == "hamming" else np.float64))


def _with_ids(
    left: Part, right: Part | None, n_bits: int, limit: Limit, n_threads: int, progress: bool
) -> Iterator[PairBlock]:
    others = left if right is None else right
    for rows, other_rows, distances in row_pairs(
        left.codes, None if right is None else right.codes, n_bits, limit, n_threads, progress
    ):
        yield PairBlock(left.ids_of(rows), others.ids_of(other_rows), distances)


def row_pairs(
    codes: Codes, others: Codes | None, n_bits: int, limit: Limit, n_threads: int, progress: bool
) -> Iterator[RowPairs]:
    """Yield the pairs of all rows, by row, without empty blocks."""
    n_partners = len(codes if others is None else others)
    find, full = _finder(codes, others, n_bits, limit, n_threads)
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


def _finder(codes: Codes, others: Codes | None, n_bits: int, limit: Limit, n_threads: int) -> tuple[Finder, int]:
    """Return a function that finds the pairs of rows [first, last), unless too many, and its best number of rows."""
    if isinstance(limit, JaccardLimit):
        return JaccardFinder(codes, others, limit, n_threads), ROWS_PER_SCAN * n_threads
    radius = limit
    partners, n_left = (codes, 0) if others is None else (others, max(1, len(codes)))
    try:
        tables = _native.build_join_tables(partners, n_bits, n_left, radius, n_threads)
    except MemoryError:  # a scan needs none
        _warn_of_scan()
        tables = None

    if tables is None:
        return (
            lambda first, last, most: _native.scan_pairs(codes, first, last, others, radius, most, n_threads)
        ), ROWS_PER_SCAN * n_threads
    n_rows = ROWS_PER_NEAR_LOOKUP if _native.describe_join_tables(tables)["reach"] else ROWS_PER_LOOKUP
    return (
        lambda first, last, most: _native.bucket_pairs(codes, first, last, others, tables, radius, most, n_threads)
    ), n_rows * n_threads


def _warn_of_scan() -> None:
    """Warn that a join will take far longer for lack of memory."""
    warnings.warn(
        "there is no memory for tables of the codes: every code is compared with every other instead, which can take "
        "a hundred times as long",
        RuntimeWarning,
        stacklevel=5,
    )
