"""Applies filters: finds the rows to search in every part of a snapshot, without removed rows."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import describe, is_int, to_array
from hashkit.index.ids import Ids, check_ids, holds_integers, is_ascending
from hashkit.index.snapshot import Mask, Part, Rows, Selection, Snapshot, pack_bitmap

FEW_ROWS = 1 / 256
"""Up to this fraction of a part, rows are listed by number. The cost of a bitmap does not fall with their number."""
FEW_QUERIES = 8
"""For up to this many queries, testing the mask for each candidate costs less than reading all of it."""
N_SAMPLED = 512
"""Sampled entries of a mask, from which the number of True is estimated; fewer than two True count as few."""
ALLOWED_FOR_EACH = 256
"""A mask is tested by candidate if it allows this many rows for each neighbor; with fewer, most candidates fail."""


def select(snapshot: Snapshot, filter: Any, k: int | None = None) -> list[Selection]:
    """Return the rows that pass `filter`, for every part that has any.

    Parameters
    ----------
    snapshot : Snapshot
    filter : None, mask or ids
        Everything; of bool, a mask by row of shape (len(snapshot),), rows being counted in the order of the ids; of
        integers, the ids that may be found (those that are not in the index are passed over). A mask or ids may be an
        array, a list or a column of pandas, Polars or Arrow; an empty list is no ids.
    k : int, optional
        How many are searched for, if by few queries: a mask may then be left unread, to be tested at each candidate.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or integers that look like a mask.
    """
    if filter is None:
        return snapshot.everything
    array = to_array(filter, "filter")
    if array is not None and array.dtype == np.bool_:
        chosen = _select_mask(snapshot, array, k)
    else:
        chosen = _select_ids(snapshot, _check_ids(snapshot, filter, array))
    return [selection for selection in chosen if selection.n_rows]


def _check_ids(snapshot: Snapshot, filter: Any, array: NDArray[Any] | None) -> Ids:
    """Return the ids that `filter` lists, whose values are in `array`. Values that look like a mask are refused."""
    if not (is_int(filter) if array is None else holds_integers(array)):
        raise TypeError(f"filter must be a mask of bool, or ids, got {describe(filter if array is None else array)}")
    ids = check_ids(filter if array is None else array, "filter")
    if array is not None and len(ids) == len(snapshot) and _looks_like_mask(array):
        raise ValueError(
            f"filter could mean two things, got {describe(array)} of 0 and 1 only, one for each code: integers are "
            "ids, but this looks like a mask; pass filter.astype(bool) for the mask, or numpy.unique(filter) for the "
            "ids 0 and 1"
        )
    return ids


def _looks_like_mask(values: NDArray[Any]) -> bool:
    """Whether integers, one for each code, are 0 and 1 only. As ids, more than two of them would repeat one."""
    if not len(values) or (len(values) <= 2 and values.itemsize > 1) or not 0 <= values[0] <= 1:
        return False
    return bool(values.min() >= 0 and values.max() <= 1)


def _select_mask(snapshot: Snapshot, mask: Mask, k: int | None) -> list[Selection]:
    if mask.shape != (len(snapshot),):
        raise ValueError(f"filter must have shape ({len(snapshot)},), one bool for each code, got {describe(mask)}")
    if not snapshot.arrived_in_order:
        raise ValueError(
            "filter cannot be a mask by row where ids did not come in ascending order: rows are counted in the order "
            "of the ids, not in that of the codes given; pass the allowed ids"
        )
    mask = np.ascontiguousarray(mask)
    parts = [part for part in snapshot.parts if len(part.codes)]
    if all(before.id_range()[1] < after.id_range()[0] for before, after in itertools.pairwise(parts)):
        ends = list(itertools.accumulate(part.n_live for part in parts))
        return [_masked(part, mask[end - part.n_live : end], k) for part, end in zip(parts, ends, strict=True)]
    return _select_ids(snapshot, snapshot.live_ids()[mask])


def _select_ids(snapshot: Snapshot, ids: Ids) -> list[Selection]:
    if not is_ascending(ids):  # ascending ids are found in one pass
        ids = np.sort(ids)
        ids = ids[np.append(True, ids[1:] != ids[:-1])]
    return [_listed(part, rows[rows >= 0]) for part, rows in snapshot.locate(ids)]


def _masked(part: Part, mask: Mask, k: int | None) -> Selection:
    """Return the rows of `part` where `mask`, one bool for each live row, is True."""
    estimate = 0 if k is None else _estimate_true(mask)
    if k is not None and estimate >= ALLOWED_FOR_EACH * k and _native.list_rows(mask, k - 1) is None:
        return Selection(part, estimate, bitmap=part.live, mask=mask)
    n_rows = len(part.codes)
    if part.live is not None:
        bitmap = _native.narrow_bitmap(part.live, mask, n_rows)
        return Selection(part, _native.count_rows(bitmap, n_rows), bitmap=bitmap)
    listed = _native.list_rows(mask, int(FEW_ROWS * n_rows))
    return _of_mask(part, mask) if listed is None else Selection(part, len(listed), listed=listed)


def _estimate_true(mask: Mask) -> int:
    """Estimate the number of True from a sample; 0 if they are few."""
    sample = mask[:: len(mask) // N_SAMPLED + 1]
    n_true = np.count_nonzero(sample)
    return int(n_true / len(sample) * len(mask)) if n_true > 1 else 0


def _listed(part: Part, rows: Rows) -> Selection:
    """Select the given live rows of `part`, which ascend."""
    if len(rows) <= FEW_ROWS * len(part.codes):
        return Selection(part, len(rows), listed=rows)
    mask = np.zeros(len(part.codes), np.bool_)
    mask[rows] = True
    return _of_mask(part, mask)


def _of_mask(part: Part, mask: Mask) -> Selection:
    """Return the rows of `part` where `mask`, one bool for every row, is True."""
    bitmap = pack_bitmap(mask)
    return Selection(part, _native.count_rows(bitmap, len(mask)), bitmap=bitmap)
