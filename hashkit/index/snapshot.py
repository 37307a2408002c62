"""The state of an index at one moment: immutable flat arrays, so that readers need no lock.

A snapshot is a tuple of parts: one large part, and behind it smaller ones with what was added since. A part has its
codes in ascending order of id, so that the order of rows is the order of ids and a search ranks by (distance, row). A
removed code stays in place; a bit marks it as removed. No id is live in two parts.

A change makes a new snapshot, which shares everything unchanged with the old one (see :mod:`hashkit.index.growth`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import Codes
from hashkit.index.ids import Ids, is_ascending
from hashkit.storage.blocks import BlockSums

METRICS = ("hamming", "jaccard")
LEAST_TOUCHED = 1000
"""At least this many changed ids are kept with known groups, however few codes these have."""
BYTES_PER_PIECE = 2**20
"""Codes copied between two checks for signals: at most a millisecond, even if each row is on another page."""

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]
Bitmap = NDArray[np.uint8]
"""One bit per row, least significant bit of a byte first, bits behind the last row zero."""

PopcountOrder = tuple[Codes, NDArray[np.int64], Rows]
LEAST_SKETCHED = 8 << 20
"""More bytes of codes than a cache holds: from here on a sample is taken to choose the length of sketches."""
"""Codes in the order of their popcounts, where those of each popcount start, and the row where each code stood."""


class Derived(dict[str, Any]):
    """Values computed from the codes of a part on first use, by name; not pickled.

    Shared by all parts that have the same codes. Needs no lock: threads that miss something at the same moment each
    compute it, and the last one's stays.
    """

    def __reduce__(self) -> tuple[type[Derived], tuple[()]]:
        return Derived, ()


@dataclass(frozen=True, eq=False)
class Part:
    """Codes in ascending order of id, some of them removed.

    Attributes
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
    ids : int64 array of shape (n_codes,), or None
        Strictly ascending; None if they are the row numbers.
    live : bitmap, or None
        The rows that are not removed; None if none is.
    n_live : int
        How many those are.
    derived : Derived
    """

    codes: Codes
    ids: Ids | None
    live: Bitmap | None
    n_live: int
    derived: Derived = field(default_factory=Derived, repr=False)

    @property
    def tables(self) -> _native.Tables | None:
        """Tables of the codes, if there are any (see :mod:`hashkit.index.tables`)."""
        return self.derived.get("tables")

    @property
    def blocks(self) -> BlockSums | None:
        """Checksums that verify mapped codes, ids and tables as they are read; None if none are needed."""
        return self.derived.get("blocks")

    def require_codes(self, rows: Rows | None = None) -> None:
        """Verify the codes, or those at `rows`, unless that is done."""
        if self.blocks is not None:
            self.blocks.require(self.codes, rows)

    @property
    def everything(self) -> Selection:
        """All live rows."""
        return Selection(self, self.n_live, bitmap=self.live)

    def ids_of(self, rows: Rows) -> Ids:
        """The ids at `rows`, an array of any shape."""
        if self.ids is None:
            return rows
        if self.blocks is not None:
            self.blocks.require(self.ids, np.ascontiguousarray(rows))
        return self.ids[rows]

    def rows_of(self, ids: Ids) -> Rows:
        """Return the row of each of `ids`, -1 for ids that are not live in this part."""
        if len(self.codes) == 0:
            return np.full(len(ids), -1)
        if self.ids is None:
            rows = np.where((ids >= 0) & (ids < len(self.codes)), ids, -1)
        else:
            rows = _native.find_ids(self.ids, np.ascontiguousarray(ids))
        if self.live is not None:
            rows[~_bits_at(self.live, rows)] = -1  # for rows that are -1 already the bit does not matter
        return rows

    def live_ids(self) -> Ids:
        """The ids that are not removed, ascending."""
        if self.live is None:
            return np.arange(len(self.codes)) if self.ids is None else self.ids
        return self.ids_of(np.flatnonzero(unpack_bitmap(self.live, len(self.codes))))

    def id_range(self) -> tuple[int, int]:
        """Return the first and last id, removed codes included; there must be a code."""
        return (0, len(self.codes) - 1) if self.ids is None else (int(self.ids[0]), int(self.ids[-1]))

    def popcount_order(self, n_threads: int) -> PopcountOrder:
        """Return a copy of the codes in the order of popcounts, removed ones included; made on the first call."""
        order: PopcountOrder | None = self.derived.get("popcount_order")
        if order is None:
            order = self.derived["popcount_order"] = _native.popcount_order(self.codes, n_threads)
        return order

    def jaccard_sketches(self, n_threads: int) -> Codes | None:
        """Return sketches of the codes in that order, for k-nearest searches; None if they would not pay."""
        if self.codes.size < LEAST_SKETCHED:
            return None
        sketches: Codes | None = self.derived.get("jaccard_sketches")
        if sketches is None:
            order = self.popcount_order(n_threads)
            sketches = self.derived["jaccard_sketches"] = _native.jaccard_sketches(*order, None, None, n_threads)
        return None if sketches.shape == self.codes.shape else sketches

    def without(self, rows: Rows) -> Part:
        """Return the part with `rows` removed, which are live and distinct."""
        live = pack_bitmap(np.ones(len(self.codes), np.bool_)) if self.live is None else self.live.copy()
        np.bitwise_and.at(live, rows >> 3, ~_bit(rows))
        return replace(self, live=live, n_live=self.n_live - len(rows))


@dataclass(frozen=True, eq=False)
class Selection:
    """`n_rows` rows of a part: those in `bitmap`, or those that `listed` has in ascending order, or else all.

    With `mask`, which has an entry for each of them, only those for which it has True: about `n_rows`, and surely as
    many as are searched for.
    """

    part: Part
    n_rows: int
    bitmap: Bitmap | None = None
    listed: Rows | None = None
    mask: Mask | None = None

    def codes_and_ids(self) -> tuple[Codes, Ids]:
        """Return the selected codes and their ids, ascending; there must be no mask."""
        if self.listed is not None:
            return take_codes(self.part.codes, self.listed), self.part.ids_of(self.listed)
        if self.bitmap is None:
            return self.part.codes, self.part.live_ids()
        codes, rows = _native.gather_rows(self.part.codes, self.bitmap, 1)
        return codes, self.part.ids_of(rows)


@dataclass(frozen=True, eq=False)
class KnownGroups:
    """The groups of an earlier state, and the ids changed since.

    Attributes
    ----------
    limit : object
        How near the codes of a pair are (see :mod:`hashkit.index.joins`).
    ids, labels : int64 arrays of shape (n_codes,)
        The ids of that moment, ascending, and for each the smallest id in its group.
    touched : pair of ids and such a pair, or None
        What each change added, removed or replaced, the last change first.
    n_touched : int
    """

    limit: object
    ids: Ids
    labels: Ids
    touched: tuple[Ids, Any] | None = None
    n_touched: int = 0

    def touch(self, ids: Ids) -> KnownGroups | None:
        """Return the groups after a change of `ids`; None if so much changed that computing them anew is faster."""
        n_touched = self.n_touched + len(ids)
        if n_touched > max(len(self.ids) // 2, LEAST_TOUCHED):
            return None
        return replace(self, touched=(ids, self.touched), n_touched=n_touched) if len(ids) else self

    def touched_ids(self) -> Ids:
        """Return all changed ids, ascending."""
        lists, rest = [np.empty(0, np.int64)], self.touched
        while rest is not None:
            ids, rest = rest
            lists.append(ids)
        return np.unique(np.concatenate(lists))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of an index.

    Attributes
    ----------
    n_bits : int
    parts : tuple of Part
        At least one; only the first may be empty.
    next_id : int
        What a code that is added without an id gets: larger than every id that was ever live.
    arrived_in_order : bool
        Whether every code came with an id above all ids before it: then the order of the ids is that in which the user
        gave the codes.
    metric : {"hamming", "jaccard"}
        Which distance searches go by.
    groups : KnownGroups, or None
        Those last asked for; changes only say which ids they touched.
    """

    n_bits: int
    parts: tuple[Part, ...]
    next_id: int
    arrived_in_order: bool
    metric: str = "hamming"
    groups: KnownGroups | None = field(default=None, repr=False)

    def after(self, ids: Ids, parts: tuple[Part, ...], **changes: Any) -> Snapshot:
        """Return the snapshot after a change of `ids`."""
        groups = None if self.groups is None else self.groups.touch(ids)
        return replace(self, parts=parts, groups=groups, **changes)

    def __len__(self) -> int:
        return sum(part.n_live for part in self.parts)

    @functools.cached_property
    def everything(self) -> list[Selection]:
        """All live rows of every part that has any. Cached, since most queries search them; do not modify."""
        return [part.everything for part in self.parts if part.n_live]

    def locate(self, ids: Ids) -> Iterator[tuple[Part, Rows]]:
        """Yield each part with the row of each of `ids` in it, -1 for ids that it lacks."""
        return ((part, part.rows_of(ids)) for part in self.parts)

    def has(self, ids: Ids) -> NDArray[np.bool_]:
        """Return which of `ids` are live."""
        found = np.zeros(len(ids), np.bool_)
        for _, rows in self.locate(ids):
            found |= rows >= 0
        return found

    def codes_of(self, ids: Ids) -> Codes:
        """Return the codes of `ids`, which are live."""
        codes = np.empty((len(ids), self.parts[0].codes.shape[1]), np.uint8)
        for part, rows in self.locate(ids):
            for piece in _pieces(len(ids), codes.shape[1]):
                found = rows[piece] >= 0
                codes[piece][found] = part.codes[rows[piece][found]]
        return codes

    def live_ids(self) -> Ids:
        """Return all live ids, ascending."""
        lists = [part.live_ids() for part in self.parts]
        ids = lists[0] if len(lists) == 1 else np.concatenate(lists)
        return ids if is_ascending(ids) else np.sort(ids, kind="stable")


def take_codes(codes: Codes, rows: Rows) -> Codes:
    """Return ``codes[rows]``, but stop at an interrupt: numpy checks for signals only after the whole copy."""
    taken = np.empty((len(rows), codes.shape[1]), np.uint8)
    for piece in _pieces(len(rows), codes.shape[1]):
        taken[piece] = codes.take(rows[piece], axis=0)
    return taken


def _pieces(n_rows: int, n_bytes: int) -> Iterator[slice]:
    step = max(1, BYTES_PER_PIECE // n_bytes)
    return (slice(first, first + step) for first in range(0, n_rows, step))


def pack_bitmap(mask: Mask) -> Bitmap:
    """Pack the bools of `mask` into bits."""
    return np.packbits(mask, bitorder="little")


def unpack_bitmap(bitmap: Bitmap, n_rows: int) -> Mask:
    """Return the first `n_rows` bits as bools."""
    return np.unpackbits(bitmap, count=n_rows, bitorder="little").view(np.bool_)


def _bit(rows: Rows) -> Bitmap:
    """Return the bit of each row, in the byte that holds it."""
    return np.left_shift(np.uint8(1), (rows & 7).astype(np.uint8))


def _bits_at(bitmap: Bitmap, rows: Rows) -> NDArray[np.bool_]:
    bits: NDArray[np.bool_] = (bitmap[rows >> 3] & _bit(rows)) != 0
    return bits
