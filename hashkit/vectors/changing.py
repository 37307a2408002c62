"""How a vector index changes: each change makes a new state, and leaves the one before as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from hashkit.checks import Codes
from hashkit.index import Index
from hashkit.vectors import cells
from hashkit.vectors.funnel import State
from hashkit.vectors.rows import Float32, Vectors
from hashkit.vectors.store import Ids, Store, kept_as

Change = Callable[[State, Float32, Codes, Float32, Any], tuple[State, Ids]]
"""From a state, rows, their codes and factors, and ids, to the state after it and the ids of the rows."""


def added(state: State, rows: Float32, codes: Codes, factors: Float32, ids: Any) -> tuple[State, Ids]:
    """With rows under new ids, counted on where none are given."""
    index = copy.copy(state.index)
    new = index.add(codes, np.arange(state.next_id, state.next_id + len(codes)) if ids is None else ids)
    return _with_rows(state, index, rows, codes, factors, new), new


def replaced(state: State, rows: Float32, codes: Codes, factors: Float32, ids: Any) -> tuple[State, Ids]:
    """With rows in place of those of `ids`."""
    index = copy.copy(state.index)
    index.replace(codes, ids)
    named = np.asarray(ids, np.int64)
    return _with_rows(state, index, rows, codes, factors, named), named


def removed(state: State, ids: Any, missing: str) -> State:
    """Without the rows of `ids`."""
    index = copy.copy(state.index)
    index.remove(ids, missing=missing)
    return State(index, state.store, state.next_id)


def _with_rows(state: State, index: Index, rows: Float32, codes: Codes, factors: Float32, ids: Ids) -> State:
    kept = state.store.segments[0].vectors
    part = None if kept is None else _as_kept(rows, kept)
    next_id = max(state.next_id, int(ids.max(initial=-1)) + 1)
    return State(index, state.store.appended(codes, factors, part, ids), next_id)


def renamed(state: State, ids: Any) -> State:
    """The same rows under the user's ids, in their order."""
    codes = state.store.segments[0].codes
    index = Index(codes, ids=ids, n_bits=state.index.n_bits, method="scan")  # says what is wrong with them
    cells.keep(state.index, index)
    named = np.array(ids, np.int64)
    return State(index, Store(state.store.segments, named), int(named.max(initial=-1)) + 1)


def _as_kept(rows: Float32, kept: Vectors) -> Vectors:
    """New rows in the type of the kept ones, with the same scales of columns."""
    if kept.type != "int8" or kept.column_scales is None:
        return kept_as(rows, kept.type)
    if kept.row_scales is not None:
        raise ValueError("vectors of int8 with scales of both rows and columns cannot be added to")
    codes = np.rint(rows / kept.column_scales)
    if np.abs(codes).max(initial=0) > 128:
        raise ValueError("vectors must fit int8 by the scales of the columns that the index was made with")
    return Vectors(np.clip(codes, -128, 127).astype(np.int8), "int8", None, kept.column_scales)
