"""A search in three stages: candidates by codes, the best of them by estimates, the best of those by vectors."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import Codes
from hashkit.index import Index
from hashkit.storage import FormatError
from hashkit.vectors.encoding import Encoder, PreparedQueries
from hashkit.vectors.rows import Float32
from hashkit.vectors.store import Ids, Slots, Store

SCAN_PLANES = 4
"""Bits of a query's values when all codes are scored: 4 lose nothing in the first 100, at half the time of 8."""
SCORE_PLANES = 8
"""Bits of a query's values when candidates are scored: the estimates are then as good as with floats."""
SCANNED_FOR_EACH = 2
"""So many are kept of a scan by few bits for each one that is wanted by more of them."""

READ_FIRST = 2
"""Vectors that are read before a search can end early, for each neighbor wanted: twice, so that the worst of the best
so far is near what it will be."""

FIRST_STAGES = ("codes", "estimates")


@dataclass(frozen=True)
class Plan:
    """How many pass each stage.

    Attributes
    ----------
    first : {"codes", "estimates"}
        Whether candidates are the nearest by Hamming distance, or all codes are scored by estimates at once.
    n_candidates : int
        Candidates by Hamming distance whose estimates are computed; not used if `first` is "estimates".
    n_rescored : int
        Vectors that are read for a query, at most.
    slack : float or None
        By how much an estimated score may fall short of the true one: a candidate is not read if its estimate is worse
        than the k-th best score so far by more. None reads all `n_rescored`.
    mean_rescored : float or None
        How many vectors were read on average when the slack was chosen.
    code_recall : float
        Of the nearest codes, the share that is among the candidates; below 1 they come from the nearest cells of codes
        (see :mod:`hashkit.index.cells`), not from a scan.
    """

    first: str
    n_candidates: int
    n_rescored: int
    slack: float | None = None
    mean_rescored: float | None = None
    code_recall: float = 1.0

    def to_settings(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class State:
    """What a vector index holds at one moment, and the id that the next vector gets unless told otherwise."""

    index: Index
    store: Store
    next_id: int

    def __getstate__(self) -> dict[str, Any]:
        return {"index": self.index, "store": self.store, "next_id": self.next_id}

    def whole(self, encoder: Encoder) -> _native.VectorFunnel | None:
        """All of it for searches in one native call; None where rows are missing, in other order, or in parts."""
        if "_whole" not in self.__dict__:
            self.__dict__["_whole"] = self._make_whole(encoder)
        found: _native.VectorFunnel | None = self.__dict__["_whole"]
        return found

    def _make_whole(self, encoder: Encoder) -> _native.VectorFunnel | None:
        ids, n_slots = self.store.ids, self.store.n_slots
        in_order = ids is None or bool((ids[1:] > ids[:-1]).all())
        if len(self.store.segments) > 1 or len(self.index) < n_slots or not in_order or n_slots == 0:
            return None
        (segment,) = self.store.segments
        kept, codes, factors = segment.vectors, segment.codes, segment.factors
        if kept is None:
            return _native.VectorFunnel(encoder.native, codes, factors, None, "", None, None, ids, None)
        checks = None if kept.blocks is None else kept.blocks.native
        return _native.VectorFunnel(encoder.native, codes, factors, *kept.native(), ids, checks)


def search_whole(
    state: State, encoder: Encoder, plan: Plan, queries: Float32, k: int, n_threads: int
) -> tuple[Float32, Ids] | None:
    """:func:`nearest` in one native call, of queries that may not be finite; None where it takes several."""
    whole = state.whole(encoder)
    if whole is None:
        return None
    candidates = None
    if plan.code_recall < 1:
        wanted = k if state.store.segments[0].vectors is None else max(plan.n_rescored, k)
        codes = encoder.native.prepare(queries, n_threads)[0]
        candidates = nearest_codes(state, plan, codes, wanted, None, n_threads)
    # By position: names would cost a tenth of what a query takes.
    slack = math.inf if plan.slack is None else plan.slack
    try:
        scores, ids, query, row = whole.query(
            queries, k, plan.first == "codes", plan.n_candidates, plan.n_rescored, slack, candidates, n_threads
        )
    except _native.DamagedError as error:
        raise FormatError(str(error)) from None
    if query >= 0:
        raise ValueError(f"queries must be finite, row {query} is not")
    if row >= 0:
        raise ValueError(f"vectors must be finite and give finite scores, row {row} does not")
    return scores, ids


def nearest(
    state: State, plan: Plan, prepared: PreparedQueries, k: int, filter: NDArray[Any] | None, n_threads: int
) -> tuple[Float32, Ids]:
    """Scores and ids of the k best that the funnel finds, one row for each query."""
    kept = state.store.segments[0].vectors is not None
    n_rescored = max(plan.n_rescored, k) if kept else k
    estimates, slots = best_estimates(state, plan, prepared, n_rescored, filter, n_threads)
    k = min(k, slots.shape[1])
    if kept:
        return read_best(state, plan, prepared, estimates, slots, k, n_threads)
    scores = prepared.to_scores(estimates)
    if prepared.encoder.metric == "l2":
        scores[slots < 0] = np.inf
    return scores, state.store.ids_of(slots)


def read_best(
    state: State,
    plan: Plan,
    prepared: PreparedQueries,
    estimates: Float32,
    slots: Slots,
    k: int,
    n_threads: int,
    n_read: NDArray[np.int64] | None = None,
) -> tuple[Float32, Ids]:
    """Scores and ids of the k best by their vectors; fills in how many were read for each query, where there is room.

    Candidates come in the order of their estimates. The first `READ_FIRST` times k are read always; of the others
    those whose estimate, improved by the plan's slack, would be among the k best so far.
    """
    store, metric = state.store, prepared.encoder.metric
    n_first = READ_FIRST * k
    if plan.slack is None or slots.shape[1] <= n_first:
        if n_read is not None:
            n_read[:] = np.count_nonzero(slots >= 0, axis=1)
        return store.rescore(prepared.queries, slots, k, metric, n_threads)
    scores, ids = store.rescore(prepared.queries, np.ascontiguousarray(slots[:, :n_first]), k, metric, n_threads)
    hoped, worst = prepared.to_scores(estimates)[:, n_first:], scores[:, -1:]
    hopeful = hoped - plan.slack <= worst if metric == "l2" else hoped + plan.slack >= worst
    rest = np.where(hopeful, slots[:, n_first:], -1)
    rest = rest[:, : int(hopeful.sum(axis=1).max(initial=0))]  # estimates are in order: what is hopeful comes first
    if n_read is not None:
        n_read[:] = np.count_nonzero(slots[:, :n_first] >= 0, axis=1) + np.count_nonzero(rest >= 0, axis=1)
    if not rest.shape[1]:
        return scores, ids
    # The best so far are read again: few, and in cache.
    candidates = np.concatenate([store.slots_of(ids), rest], axis=1)
    return store.rescore(prepared.queries, candidates, k, metric, n_threads)


def best_estimates(
    state: State, plan: Plan, prepared: PreparedQueries, k: int, filter: NDArray[Any] | None, n_threads: int
) -> tuple[Float32, Slots]:
    """Estimates and slots of the k best candidates of each query."""
    if plan.first == "codes":
        slots = nearest_codes(state, plan, prepared.codes, k, filter, n_threads)
        return state.store.score(prepared, slots, min(k, slots.shape[1]), SCORE_PLANES, n_threads)
    allowed = _allowed(state, filter)
    most = state.store.n_slots if allowed is None else len(allowed)
    wanted = min(SCANNED_FOR_EACH * k, most)
    slots = state.store.scan(prepared, wanted, SCAN_PLANES, allowed, n_threads)[1]
    return state.store.score(prepared, slots, min(k, wanted), SCORE_PLANES, n_threads)


def nearest_codes(state: State, plan: Plan, codes: Codes, k: int, filter: NDArray[Any] | None, n_threads: int) -> Slots:
    """Slots of the candidates of each query by Hamming distance, at least `k`."""
    n_candidates = max(plan.n_candidates, k)
    recall = plan.code_recall if n_candidates == plan.n_candidates else 1.0  # it was calibrated for no other number
    ids = state.index.query(codes, n_candidates, filter=filter, recall=recall, n_threads=n_threads)[1]
    return state.store.slots_of(ids)


def _allowed(state: State, filter: NDArray[Any] | None) -> Slots | None:
    """The slots that a scan may find; None for all."""
    if filter is None:
        complete = len(state.index) == state.store.n_slots
        return None if complete else state.store.slots_of(state.index.ids)
    # The index says what is wrong with a filter, and which ids it lets through.
    return state.store.slots_of(state.index.subset(filter).ids)
