"""Groups that grow: the groups of an index, computed anew or updated from earlier groups and the changes since.

A snapshot carries the groups that were last asked for, and every change notes which ids it touched. Groups that lost a
code (removed, or replaced) are found anew among the codes that are left of them. What is new is joined with
everything. All else stays connected as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.index.growth import compact
from hashkit.index.ids import Ids
from hashkit.index.joins import Limit, row_pairs
from hashkit.index.snapshot import KnownGroups, Part, Rows, Snapshot, take_codes


@dataclass(frozen=True)
class Search:
    """How pairs are found: the limit, the threads, and whether a progress bar is shown."""

    limit: Limit
    n_threads: int
    progress: bool


def group(snapshot: Snapshot, search: Search) -> KnownGroups:
    """Return the groups of all live codes."""
    known = snapshot.groups
    if known is None or known.limit != search.limit:
        ids = snapshot.live_ids()
        return KnownGroups(search.limit, ids, _find(compact(snapshot).parts[0], snapshot.n_bits, search))
    return known if known.touched is None else _update(snapshot, known, search)


def _find(part: Part, n_bits: int, search: Search) -> Ids:
    """Return the smallest id in the group of each code of a part without removed codes."""
    # Equal codes form a group without comparisons: a thousand copies of a code would make half a million pairs.
    firsts, distinct = _native.distinct_codes(part.codes)
    forest = _native.Forest(len(firsts))
    different = take_codes(part.codes, firsts)
    for left, right, _ in row_pairs(different, None, n_bits, search.limit, search.n_threads, search.progress):
        forest.unite(left, right)
    return part.ids_of(firsts[forest.firsts()[distinct]])


def _update(snapshot: Snapshot, known: KnownGroups, search: Search) -> KnownGroups:
    """Return the groups of a later snapshot, one row for each live id, ascending."""
    ids, touched = snapshot.live_ids(), known.touched_ids()
    forest = _native.Forest(len(ids))
    is_kept = ~_are_in(known.ids, touched)
    broken = np.unique(known.labels[~is_kept])
    is_whole = is_kept & ~_are_in(known.labels, broken)
    # A complete group includes its label, which is its first id.
    follows = is_whole & (known.labels != known.ids)
    forest.unite(np.searchsorted(ids, known.labels[follows]), np.searchsorted(ids, known.ids[follows]))

    left_over = known.ids[is_kept & ~is_whole]
    if len(left_over):
        part = Part(snapshot.codes_of(left_over), left_over, None, len(left_over))
        labels = _find(part, snapshot.n_bits, search)
        forest.unite(np.searchsorted(ids, labels), np.searchsorted(ids, left_over))

    fresh = touched[snapshot.has(touched)]
    if len(fresh):
        _join_fresh(snapshot, fresh, ids, forest, search)
    return KnownGroups(search.limit, ids, ids[forest.firsts()])


def _join_fresh(snapshot: Snapshot, fresh: Ids, ids: Ids, forest: _native.Forest, search: Search) -> None:
    """Unite the `fresh` ids with every live id that is near."""
    codes = snapshot.codes_of(fresh)
    firsts, distinct = _native.distinct_codes(codes)
    rows = np.searchsorted(ids, fresh)
    forest.unite(rows[firsts[distinct]], rows)
    different, rows = take_codes(codes, firsts), rows[firsts]
    for part in snapshot.parts:
        if not part.n_live:
            continue
        for left, right, _ in row_pairs(
            part.codes, different, snapshot.n_bits, search.limit, search.n_threads, search.progress
        ):
            near = part.ids_of(left)
            live = np.ones(len(left), np.bool_) if part.live is None else part.rows_of(near) >= 0
            forest.unite(np.searchsorted(ids, near[live]), np.ascontiguousarray(rows[right[live]]))


def _are_in(values: Rows, ascending: Rows) -> NDArray[np.bool_]:
    """Return which of `values` are in an ascending array."""
    if not len(ascending):
        return np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    found: NDArray[np.bool_] = ascending[places] == values
    return found
