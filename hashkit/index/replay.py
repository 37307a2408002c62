"""Rebuilds the state of a collection from an index file and the changes recorded since."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from hashkit.checks import Codes
from hashkit.index import files, growth, stored
from hashkit.index.ids import Ids
from hashkit.index.snapshot import Snapshot
from hashkit.storage import FormatError, open_tensors
from hashkit.storage.changes import ADD, REMOVE, REPLACE
from hashkit.storage.journal import Journal
from hashkit.storage.layout import index_path


def read_state(folder: str, journal: Journal, *, method: str = "auto") -> tuple[Snapshot, Callable[..., None] | None]:
    """Return the state of the collection in `folder`, and a function that verifies it unless that is done.

    The index file is mapped, with what `method` uses of its tables. Codes and ids are read, and verified, only if there
    are changes to apply to them.

    Raises
    ------
    FormatError
        If a file is damaged.
    FileNotFoundError
        If the index file is missing.
    """
    verify: Callable[..., None] | None = None
    generation = journal.state().generation
    if generation == 0:
        state = growth.build(np.empty((0, (journal.n_bits + 7) // 8), np.uint8), None, journal.n_bits)
    else:
        file = open_tensors(index_path(folder, generation), files.KIND, mmap=True)
        state = files.from_file(file)
        stored.attach(file, state, method=method, verify=True)
        verify = functools.partial(files.verify, file, state)
    if state.n_bits != journal.n_bits:
        raise FormatError(
            f"{folder!r} is damaged: its journal is of {journal.n_bits} bits, its index of {state.n_bits}"
        )
    try:
        for kind, ids, codes in journal.changes():
            if verify is not None:
                verify()
                verify = None
            state = _applied(state, kind, ids, codes)
    except FormatError:
        raise
    except (TypeError, ValueError) as error:
        raise FormatError(f"{folder!r} is damaged: a change in its journal does not fit: {error}") from error
    return state, verify


def _applied(state: Snapshot, kind: str, ids: Ids, codes: Codes) -> Snapshot:
    """Apply a change of the journal to `state`; the last change of an id counts.

    Journals of version 0.1.0 may hold changes that do not follow upon each other. A call that was interrupted had
    written one, but memory had not gone over to it; so the next call gave the same ids once more, or removed them once
    more. The codes that an id was given last count, and an id that is gone already is passed over.
    """
    if kind == REMOVE:
        return growth.remove(state, ids, "ignore")[0]
    if kind not in (ADD, REPLACE):
        raise ValueError(f"there is no change {kind!r}")
    last = np.sort(len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1])
    if len(last) < len(ids):
        ids, codes = ids[last], codes[last]
    known = state.has(ids)
    if known.any():
        state = growth.replace_codes(state, codes[known], ids[known])[0]
    return state if known.all() else growth.add(state, codes[~known], ids[~known])[0]
