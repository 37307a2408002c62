"""How an index changes: functions from one snapshot to the next.

What is added becomes a small part of its own, and parts are folded together as they accumulate, like the carries of an
addition: whenever a part has less than FOLD_RATIO times the codes of the part behind it, the two become one. So at most
a handful are searched beside the large one, a code is moved only a few times in its life even if codes are added one by
one, and the large part is rebuilt only when an eighth of it has come in. A part of which more than MAX_REMOVED is
removed is rewritten without it. All of this happens in the call that changes the index, never in a query.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hashkit.checks import Codes, check_choice, check_codes
from hashkit.index.ids import MAX_ID, Ids, check_different, check_ids, is_ascending, name_some
from hashkit.index.snapshot import Part, Selection, Snapshot, take_codes

FOLD_RATIO = 8
SMALL_PART = 4096
"""Parts with at most this many codes together are folded whatever their ratio: it takes microseconds."""
MAX_REMOVED = 0.25


def build(codes: Codes, ids: Ids | None, n_bits: int) -> Snapshot:
    """Make a snapshot of `codes` and a copy of `ids`. Codes in the order of their ids are kept by reference.

    The ids are the row numbers if `ids` is None.

    Raises
    ------
    ValueError
        If an id comes twice.
    """
    if ids is None:
        return Snapshot(n_bits, (Part(codes, None, None, len(codes)),), len(codes), True)
    check_different(ids, "ids")
    next_id = max(0, int(ids.max()) + 1) if len(ids) else 0
    return Snapshot(n_bits, (_sorted_part(codes, ids.copy()),), next_id, is_ascending(ids))


def add(snapshot: Snapshot, codes: Codes, ids: Any) -> tuple[Snapshot, Ids]:
    """Add `codes`. Returns the new snapshot and the ids: those given, or the next unused ones if `ids` is None.

    Raises
    ------
    TypeError, ValueError
        If the codes are not of the snapshot's length, or the ids not one for each, all different and new.
    """
    check_codes(codes, "codes", snapshot.n_bits)
    new = _next_ids(snapshot, len(codes)) if ids is None else check_ids(ids, "ids", len(codes)).copy()
    check_different(new, "ids")
    taken = new[snapshot.has(new)]
    if len(taken):
        raise ValueError(f"ids must be new, already in the index: {name_some(taken)}; see replace")
    if len(new) == 0:
        return snapshot, new
    behind_all = len(snapshot) == 0 or (snapshot.arrived_in_order and int(new[0]) >= snapshot.next_id)
    grown = snapshot.after(
        new,
        _fold((*snapshot.parts, _sorted_part(codes.copy(), new))),
        next_id=max(snapshot.next_id, int(new.max()) + 1),
        arrived_in_order=behind_all and is_ascending(new),
    )
    return grown, new.copy()  # the caller may change what the call returns


def remove(snapshot: Snapshot, ids: Any, missing: str = "raise") -> tuple[Snapshot, Ids]:
    """Remove the codes of `ids`. Returns the new snapshot and the removed ids, ascending.

    Raises
    ------
    TypeError, ValueError
        If they are no ids, `missing` is neither "raise" nor "ignore", or it is "raise" and some are not there.
    """
    check_choice(missing, "missing", ("raise", "ignore"))
    unwanted = np.unique(check_ids(ids, "ids"))
    if missing == "raise":
        require_known(snapshot, unwanted)
    parts, removed = _without(snapshot, unwanted)
    return snapshot.after(removed, _fold(parts)), removed


def replace_codes(snapshot: Snapshot, codes: Codes, ids: Any) -> tuple[Snapshot, Ids]:
    """Replace the codes of `ids` by `codes`. Returns the new snapshot and the ids.

    Raises
    ------
    TypeError, ValueError
        If the codes are not of the snapshot's length, or the ids not one for each, all different and there.
    """
    check_codes(codes, "codes", snapshot.n_bits)
    known = check_ids(ids, "ids", len(codes)).copy()
    check_different(known, "ids")
    require_known(snapshot, known)
    parts, _ = _without(snapshot, known)
    return snapshot.after(known, _fold((*parts, _sorted_part(codes.copy(), known)))), known


def require_known(snapshot: Snapshot, ids: Ids) -> None:
    """Raise a ValueError that names the `ids` that are not live, if there are any."""
    unknown = ids[~snapshot.has(ids)]
    if len(unknown):
        raise ValueError(f"ids must be in the index, not in it: {name_some(unknown)}")


def compact(snapshot: Snapshot) -> Snapshot:
    """Return the same live codes in one part."""
    if len(snapshot.parts) == 1 and snapshot.parts[0].live is None:
        return snapshot
    return replace(snapshot, parts=(_merge([part.everything for part in snapshot.parts]),))


def subset(snapshot: Snapshot, selections: list[Selection]) -> Snapshot:
    """Return the selected codes of `snapshot` in one part."""
    none = Selection(snapshot.parts[0], 0, listed=np.empty(0, np.int64))
    return replace(snapshot, parts=(_merge(selections or [none]),), groups=None)


def _next_ids(snapshot: Snapshot, n_codes: int) -> Ids:
    if snapshot.next_id + n_codes - 1 > MAX_ID:
        raise ValueError(f"ids must be given, there are not {n_codes} left above {snapshot.next_id - 1}")
    return np.arange(n_codes) + min(snapshot.next_id, MAX_ID)


def _without(snapshot: Snapshot, ids: Ids) -> tuple[tuple[Part, ...], Ids]:
    """Return the parts without the live ones of `ids`, and these ids."""
    parts, found = [], np.zeros(len(ids), np.bool_)
    for part, rows in snapshot.locate(ids):
        here = rows >= 0
        parts.append(part.without(rows[here]) if here.any() else part)
        found |= here
    return tuple(parts), ids[found]


def _fold(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Fold `parts` into the state that the module's docstring describes."""
    folded: list[Part] = []
    for part in parts:
        n_removed = len(part.codes) - part.n_live
        folded.append(_merge([part.everything]) if n_removed > MAX_REMOVED * len(part.codes) else part)
        while len(folded) > 1 and _belong_together(folded[-2], folded[-1]):
            folded[-2:] = [_merge([each.everything for each in folded[-2:]])] if folded[-1].n_live else folded[-2:-1]
    return tuple(folded)


def _belong_together(large: Part, small: Part) -> bool:
    n_large, n_small = large.n_live, small.n_live
    return n_small == 0 or n_large < FOLD_RATIO * n_small or n_large + n_small <= SMALL_PART


def _merge(selections: list[Selection]) -> Part:
    """Make one part of the selected codes."""
    codes, ids = zip(*(selection.codes_and_ids() for selection in selections), strict=True)
    return _sorted_part(np.concatenate(codes), np.concatenate(ids))


def _sorted_part(codes: Codes, ids: Ids) -> Part:
    """Make a part of `codes` with distinct `ids` in any order."""
    if not is_ascending(ids):
        order = np.argsort(ids, kind="stable")
        ids, codes = ids[order], take_codes(codes, order)
    return Part(codes, ids, None, len(codes))
