"""What a filter lets through: of every part of a snapshot the rows to search, removed ones left out."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.codes import describe
from hashkit.index.ids import check_ids
from hashkit.index.snapshot import Part, Rows, Selection, Snapshot, pack_bitmap, unpack_bitmap

FEW_ROWS = 1 / 256
"""Up to this fraction of a part, rows are listed by number: a bitmap costs as much however few they are."""


def select(snapshot: Snapshot, filter: Any) -> list[Selection]:
    """The rows that `filter` lets through, of every part that has any.

    Parameters
    ----------
    snapshot : Snapshot
    filter : None, bool array of shape (len(snapshot),), or ids
        Everything; a mask by row, rows being counted in the order of the ids; or the ids that may be found (those that
        are not in the index are passed over).

    Raises
    ------
    TypeError, ValueError
        If it is none of these.
    """
    if filter is None:
        return snapshot.everything
    if isinstance(filter, np.ndarray) and filter.dtype == np.bool_:
        chosen = _select_mask(snapshot, filter)
    else:
        chosen = [_listed(part, rows[rows >= 0]) for part, rows in snapshot.locate(check_ids(filter, "filter"))]
    return [selection for selection in chosen if selection.n_rows]


def _select_mask(snapshot: Snapshot, mask: NDArray[np.bool_]) -> list[Selection]:
    if mask.shape != (len(snapshot),):
        raise ValueError(f"filter must have shape ({len(snapshot)},), one bool for each code, got {describe(mask)}")
    if not snapshot.arrived_in_order:
        raise ValueError(
            "filter cannot be a mask by row where ids did not come in ascending order: rows are counted in the order "
            "of the ids, not in that of the codes given; pass the allowed ids"
        )
    if len(snapshot.parts) == 1:
        return [_masked(snapshot.parts[0], mask)]
    ids = [part.live_ids() for part in snapshot.parts]
    ends = [part_ids[[0, -1]] for part_ids in ids if len(part_ids)]
    if all(before[1] < after[0] for before, after in itertools.pairwise(ends)):
        pieces = np.split(mask, np.cumsum([part.n_live for part in snapshot.parts])[:-1])
        return [_masked(part, piece) for part, piece in zip(snapshot.parts, pieces, strict=True)]
    return [_listed(part, rows[rows >= 0]) for part, rows in snapshot.locate(snapshot.live_ids()[mask])]


def _masked(part: Part, mask: NDArray[np.bool_]) -> Selection:
    """The rows of `part` where `mask`, which has a bool for each live row, is True."""
    if part.live is not None:
        spread = unpack_bitmap(part.live, len(part.codes))
        spread[spread] = mask
        mask = spread
    return Selection(part, int(np.count_nonzero(mask)), bitmap=pack_bitmap(mask))


def _listed(part: Part, rows: Rows) -> Selection:
    """The given rows of `part`, in any order and however often each."""
    if len(rows) <= FEW_ROWS * len(part.codes):
        rows = np.unique(rows)
        return Selection(part, len(rows), listed=rows)
    mask = np.zeros(len(part.codes), np.bool_)
    mask[rows] = True
    return Selection(part, int(np.count_nonzero(mask)), bitmap=pack_bitmap(mask))
