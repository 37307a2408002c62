"""How an index changes: functions from one snapshot to the next.

What is added becomes a small part of its own, and parts are folded together as they accumulate, like the carries of an
addition: whenever a part has less than FOLD_RATIO times the codes of the part behind it, the two become one. So at most
a handful are searched beside the large one, a code is moved only a few times in its life even if codes are added one by
one, and the large part is rebuilt only when an eighth of it has come in. A part of which more than MAX_REMOVED is
removed is rewritten without it. All of this happens in the call that changes the index, never in a query.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hashkit.codes import Codes
from hashkit.index.ids import MAX_ID, Ids, check_different, is_ascending, name_some
from hashkit.index.snapshot import Part, Snapshot

FOLD_RATIO = 8
SMALL_PART = 4096
"""Parts that have no more codes than this together are folded whatever their ratio: it takes microseconds."""
MAX_REMOVED = 0.25


def build(codes: Codes, ids: Ids | None, n_bits: int) -> Snapshot:
    """The snapshot of `codes`, whose ids are the row numbers if `ids` is None.

    Raises
    ------
    ValueError
        If an id comes twice.
    """
    if ids is None:
        return Snapshot(n_bits, (Part(codes, None, None, len(codes)),), len(codes), True)
    check_different(ids, "ids")
    next_id = max(0, int(ids.max()) + 1) if len(ids) else 0
    return Snapshot(n_bits, (_sorted_part(codes, ids),), next_id, is_ascending(ids))


def new_ids(snapshot: Snapshot, n_codes: int) -> Ids:
    """The ids that `n_codes` codes get when they are added without ids.

    Raises
    ------
    ValueError
        If so many are not left.
    """
    if snapshot.next_id + n_codes - 1 > MAX_ID:
        raise ValueError(f"ids must be given, there are not {n_codes} left above {snapshot.next_id - 1}")
    return np.arange(n_codes) + min(snapshot.next_id, MAX_ID)


def add(snapshot: Snapshot, codes: Codes, ids: Ids) -> Snapshot:
    """`snapshot` with `codes` added.

    Raises
    ------
    ValueError
        If an id comes twice or is already there.
    """
    check_different(ids, "ids")
    taken = ids[snapshot.has(ids)]
    if len(taken):
        raise ValueError(f"ids must be new, already in the index: {name_some(taken)}; see replace")
    if len(ids) == 0:
        return snapshot
    behind_all = len(snapshot) == 0 or (snapshot.arrived_in_order and int(ids[0]) >= snapshot.next_id)
    next_id = max(snapshot.next_id, int(ids.max()) + 1)
    parts = _fold((*snapshot.parts, _sorted_part(codes.copy(), ids.copy())))
    return replace(snapshot, parts=parts, next_id=next_id, arrived_in_order=behind_all and is_ascending(ids))


def remove(snapshot: Snapshot, ids: Ids) -> Snapshot:
    """`snapshot` without the codes of `ids`, all of them live and different."""
    return replace(snapshot, parts=_fold(_without(snapshot, ids)))


def replace_codes(snapshot: Snapshot, codes: Codes, ids: Ids) -> Snapshot:
    """`snapshot` with `codes` as the codes of `ids`, all of them live and different."""
    if len(ids) == 0:
        return snapshot
    return replace(snapshot, parts=_fold((*_without(snapshot, ids), _sorted_part(codes.copy(), ids.copy()))))


def require_known(snapshot: Snapshot, ids: Ids) -> None:
    """Raise a ValueError that names them if some of `ids` are not live."""
    unknown = ids[~snapshot.has(ids)]
    if len(unknown):
        raise ValueError(f"ids must be in the index, not in it: {name_some(unknown)}")


def compact(snapshot: Snapshot) -> Snapshot:
    """The same codes in one part, with nothing removed."""
    if len(snapshot.parts) == 1 and snapshot.parts[0].live is None:
        return snapshot
    return replace(snapshot, parts=(_merge(snapshot.parts),))


def _without(snapshot: Snapshot, ids: Ids) -> tuple[Part, ...]:
    parts = []
    for part, rows in snapshot.locate(ids):
        rows = rows[rows >= 0]
        parts.append(part.without(rows) if len(rows) else part)
    return tuple(parts)


def _fold(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """`parts` in the state that the module's docstring describes."""
    folded: list[Part] = []
    for part in parts:
        n_removed = len(part.codes) - part.n_live
        folded.append(_merge((part,)) if n_removed > MAX_REMOVED * len(part.codes) else part)
        while len(folded) > 1 and _belong_together(folded[-2], folded[-1]):
            folded[-2:] = [_merge(tuple(folded[-2:]))]
    return tuple(folded)


def _belong_together(large: Part, small: Part) -> bool:
    n_large, n_small = large.n_live, small.n_live
    return n_small == 0 or n_large < FOLD_RATIO * n_small or n_large + n_small <= SMALL_PART


def _merge(parts: tuple[Part, ...]) -> Part:
    """The live codes of `parts` as one part."""
    codes, ids = zip(*(part.live_codes() for part in parts), strict=True)
    return _sorted_part(np.concatenate(codes), np.concatenate(ids))


def _sorted_part(codes: Codes, ids: Ids) -> Part:
    """A part of `codes` with different `ids` in any order."""
    if not is_ascending(ids):
        order = np.argsort(ids, kind="stable")
        ids, codes = ids[order], codes.take(order, axis=0)
    return Part(codes, ids, None, len(codes))
