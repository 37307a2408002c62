"""Searches a snapshot: each part separately, then merges the results by (distance, id)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import Codes
from hashkit.index import bounds
from hashkit.index.blocks import search_in_blocks
from hashkit.index.cells import search_rule
from hashkit.index.ids import Ids
from hashkit.index.merging import merge_nearest
from hashkit.index.results import RadiusResult
from hashkit.index.snapshot import Bitmap, Rows, Selection, take_codes
from hashkit.storage import FormatError

Distances = NDArray[np.int32]
Counts = NDArray[np.int64]
"""Work done for each query: the attributes of QueryStats, in their order, shape (n_queries, 5)."""

MANY_QUERIES = 32
LEAST_ALLOWED, LEAST_ALLOWED_FOR_MANY = 1 / 20, 1 / 4
"""If a smaller fraction is allowed, most candidates of tables are not; with many queries a copy pays sooner."""

GATHER_COST = 6
"""Gathering a row costs about as much as scanning it for this many queries."""
NO_DISTANCE = 2**31 - 1
"""Larger than every distance: no code was found for this place."""
MAX_GATHERED = 0.5
"""Above this fraction of a part, rows are never gathered: the copy would take as much memory again."""


class Approximation(NamedTuple):
    """A search at a recall below 1.

    Attributes
    ----------
    recall : float
        Mean share of the `k` nearest codes to find.
    n_bits : int
        Length of the codes.
    compact : bool
        Whether new cells keep no copies of codes.
    """

    recall: float
    n_bits: int
    compact: bool


def k_nearest(
    selections: list[Selection],
    queries: Codes,
    k: int,
    n_threads: int,
    limits: Distances | None = None,
    max_candidates: int | None = None,
    counting: bool = False,
    approximation: Approximation | None = None,
) -> tuple[Distances, Ids, list[Counts | None]]:
    """Return distances and ids of the `k` nearest selected codes, or of all if there are fewer, one row per query.

    What is read of a mapped file is verified first: a FormatError says what is damaged.
    With an `approximation` parts are searched by cells where that is less work than an exact search.
    With `limits`, codes beyond a query's limit may be left out: its last distances are then NO_DISTANCE. With
    `max_candidates`, a search in tables is cut short when it has compared so many codes. The counts say what was done
    in each part, with `counting`; None is a scan (see :class:`QueryStats`).
    """
    answers: list[tuple[Distances, Ids]] = []
    counts: list[Counts | None] = []
    for selection in selections:
        k_here = min(k, selection.n_rows)
        by_cells = None
        try:
            if approximation is not None:
                by_cells = _nearest_in_cells(selection, queries, k_here, n_threads, limits, approximation, counting)
            distances, ids, done = by_cells or _nearest_in(
                selection, queries, k_here, n_threads, limits, max_candidates, counting
            )
        except _native.DamagedError as error:
            raise FormatError(str(error)) from None
        counts.append(done)
        if len(selections) == 1:
            return distances, ids, counts
        answers.append((distances, ids))
        if k_here == k and selection is not selections[-1]:
            # Only codes at most as far as the k-th so far can enter from the remaining parts.
            reached = np.ascontiguousarray(distances[:, -1])
            limits = reached if limits is None else np.minimum(limits, reached)
    if not answers:
        return np.empty((len(queries), 0), np.int32), np.empty((len(queries), 0), np.int64), counts
    distances, ids = merge_nearest(answers, k, n_threads)
    return distances, ids, counts


def _nearest_in(
    selection: Selection,
    queries: Codes,
    k: int,
    n_threads: int,
    limits: Distances | None,
    max_candidates: int | None,
    counting: bool,
) -> tuple[Distances, Ids, Counts | None]:
    """:func:`k_nearest` in one part, of which at least `k` rows are selected."""
    # Native calls pass arguments by position: keywords would cost a tenth of the time of a query.
    part, tables = selection.part, _tables_for(selection, len(queries))
    if tables is not None:
        counts = np.empty((len(queries), 5), np.int64) if counting else None
        distances, rows = _native.mih_k_nearest(
            tables,
            part.codes,
            queries,
            k,
            n_threads,
            selection.bitmap,
            limits,
            max_candidates,
            counts,
            selection.mask,
            selection.n_rows,
        )
        return distances, part.ids_of(rows), counts
    by_bounds = bounds.bounds_for(selection, len(queries), k)
    if by_bounds is not None and not _is_narrow(selection, len(queries)):
        distances, rows, counts = bounds.k_nearest(by_bounds, selection, queries, k, n_threads, limits, counting)
        return distances, part.ids_of(rows), counts
    codes, allowed, numbers = to_scan(selection, len(queries), n_threads)
    distances, rows = _native.scan_k_nearest(codes, queries, k, n_threads, allowed, limits, selection.mask)
    return distances, part.ids_of(rows if numbers is None else numbers[rows]), None


def _nearest_in_cells(
    selection: Selection,
    queries: Codes,
    k: int,
    n_threads: int,
    limits: Distances | None,
    approximation: Approximation,
    counting: bool,
) -> tuple[Distances, Ids, Counts | None] | None:
    """:func:`_nearest_in` at a recall below 1; None where an exact search is as fast."""
    part, recall = selection.part, approximation.recall
    if _is_narrow(selection, len(queries)):
        return None
    chosen = search_rule(part, approximation.n_bits, k, recall, approximation.compact, n_threads)
    if chosen is None:
        return None
    cells, rule = chosen
    read = np.empty((len(queries), 3), np.int64) if counting else None
    distances, rows = _native.cells_k_nearest(
        cells.native,
        part.codes,
        queries,
        k,
        n_threads,
        rule.twice_slack,
        rule.sketch_limits,
        rule.start_distance,
        rule.by_sketches,
        selection.bitmap,
        limits,
        selection.mask,
        read,
    )
    counts = None
    if read is not None:
        counts = np.zeros((len(queries), 5), np.int64)
        counts[:, 0], counts[:, 1], counts[:, 2] = read[:, 0], read[:, 2], -1
    return distances, part.ids_of(rows), counts


def within_radius(selections: list[Selection], queries: Codes, r: int, n_threads: int) -> RadiusResult:
    """Return the selected codes within distance `r` of each query."""
    return search_in_blocks(
        lambda some: _within_radius(selections, some, r, n_threads),
        lambda some, codes: _native.hamming_distances(some, codes, 1),
        np.dtype(np.int32),
        selections,
        queries,
        r,
    )


def _within_radius(selections: list[Selection], queries: Codes, r: int, n_threads: int) -> RadiusResult:
    answers = [(np.zeros(len(queries) + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))]
    for selection in selections:
        part, tables = selection.part, _tables_for(selection, len(queries))
        if tables is not None:
            try:
                offsets, found, rows = _native.mih_within_radius(
                    tables, part.codes, queries, r, n_threads, selection.bitmap
                )
            except _native.DamagedError as error:
                raise FormatError(str(error)) from None
        else:
            codes, allowed, numbers = to_scan(selection, len(queries), n_threads)
            offsets, found, rows = _native.scan_within_radius(codes, queries, r, n_threads, allowed)
            rows = rows if numbers is None else numbers[rows]
        answers.append((offsets, found, part.ids_of(rows)))
    if len(answers) <= 2:
        return RadiusResult(*answers[-1])
    return RadiusResult(*_native.merge_within_radius(answers, n_threads))


def _tables_for(selection: Selection, n_queries: int) -> _native.Tables | None:
    """Return the tables of a part, unless it is faster to gather the allowed rows and scan them."""
    return None if _is_narrow(selection, n_queries) else selection.part.tables


def _is_narrow(selection: Selection, n_queries: int) -> bool:
    """Whether so few rows are allowed that gathering and scanning them is faster."""
    if selection.mask is not None or (selection.bitmap is None and selection.listed is None):
        return False
    least = LEAST_ALLOWED if n_queries < MANY_QUERIES else LEAST_ALLOWED_FOR_MANY
    return selection.listed is not None or selection.n_rows < least * len(selection.part.codes)


def to_scan(selection: Selection, n_queries: int, n_threads: int) -> tuple[Codes, Bitmap | None, Rows | None]:
    """Return the codes to scan, which are allowed (None: all), and their rows in the part (None: the same).

    Rows that are listed, or are few enough in a bitmap, are copied together: what is left out then costs nothing.
    """
    selection.part.require_codes()
    codes, bitmap, listed = selection.part.codes, selection.bitmap, selection.listed
    if listed is not None:
        return take_codes(codes, listed), None, listed
    if bitmap is None or selection.mask is not None:
        return codes, bitmap, None
    fraction = selection.n_rows / len(codes)
    if fraction > MAX_GATHERED or fraction * (GATHER_COST + n_queries) > 1 + n_queries:
        return codes, bitmap, None
    gathered, numbers = _native.gather_rows(codes, bitmap, n_threads)
    return gathered, None, numbers
