"""Recall that is stated: what a funnel finds of the true neighbors of held-out rows; the plan that reaches a recall.

A held-out row is searched for in the whole database without itself, never in a sample of it: in fewer rows neighbors
are farther apart, and every search looks better than it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.index import Index
from hashkit.vectors.cells import most_candidates, work_of
from hashkit.vectors.encoding import PreparedQueries
from hashkit.vectors.funnel import READ_FIRST, Plan, State, best_estimates, read_best
from hashkit.vectors.rows import Float32
from hashkit.vectors.store import Slots

N_QUERIES = 1000
"""Rows held out: the standard error of a mean recall near .95 is then about .003."""
N_UNTARGETED = 200
"""Rows held out where no recall was asked for: exact search of 1,000 costs as much as encoding 1,000 dimensions."""
LEAST_ROWS = 200
"""Fewer rows are too few for a measurement: a tenth of them is held out."""
CONFIDENCE = 2.0
"""Standard errors by which a plan must exceed the target. For one plan 1.64 would do to meet it in 19 of 20 sets; the
cheapest of many plans is more often one whose sample was lucky."""
SLACK_ROUNDS = 10
"""Halvings of the range of estimates: a slack within a thousandth of it."""
CANDIDATES = (50, 75, 100, 150, 200, 300, 400, 550, 800, 1100, 1600, 2200, 3200, 4500, 6400)
CODE_RECALLS = (0.7, 0.8, 0.9, 0.95, 0.98)
CANDIDATE_COST, ROW_COST = 0.07, 0.4
"""Microseconds for a candidate by Hamming distance with its estimate, and for a vector of 2 KiB that is read. Only the
ratios of these and the following matter; ``pytest benchmarks/bench_vectors.py -k stages`` measures them."""
CODE_COST, CELL_COST, ESTIMATE_COST = 2.5e-6, 1.8e-5, 1.45e-5
"""Microseconds for each bit that a scan of codes reads in a batch, a search of cells, and a scan of all estimates."""


@dataclass(frozen=True)
class Recall:
    """A recall that was measured on some queries.

    Attributes
    ----------
    k : int
        Of the `k` true nearest, the share among the first `k` of the answer.
    mean : float
    low, high : float
        95 % of such measurements take in the mean over all queries.
    n_queries : int
    target : float or None
        The recall that was asked for.
    """

    k: int
    mean: float
    low: float
    high: float
    n_queries: int
    target: float | None = None

    @classmethod
    def of(cls, found: NDArray[np.bool_], target: float | None = None) -> Recall:
        """From what was found of each query's true nearest, (n_queries, k)."""
        shares = found.mean(axis=1)
        mean, error = float(shares.mean()), _standard_error(shares)
        return cls(
            found.shape[1], mean, max(0.0, mean - 1.96 * error), min(1.0, mean + 1.96 * error), len(found), target
        )

    def to_settings(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def _standard_error(shares: NDArray[np.floating]) -> float:
    return float(shares.std() / np.sqrt(max(1, len(shares))))


def ranks_of(true: Slots, found: Slots) -> NDArray[np.int64]:
    """Where each true neighbor stands in a list, (n_queries, k); beyond its end if it does not."""
    ranks = np.full(true.shape, found.shape[1])
    for query, (wanted, own) in enumerate(zip(true, found, strict=True)):
        match = wanted[:, None] == own[None, :]
        ranks[query] = np.where(match.any(axis=1), match.argmax(axis=1), found.shape[1])
    return ranks


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Queries with their true neighbors, to measure searches with.

    Attributes
    ----------
    prepared : PreparedQueries
    true : int64 array of shape (n_queries, k)
        Slots.
    own : int64 array of shape (n_queries,), or None
        The slot of each query that is a row of the database itself, which no search may find.
    """

    prepared: PreparedQueries
    true: Slots
    own: Slots | None

    def estimates(self, state: State, plan: Plan, k: int, n_threads: int) -> tuple[Float32, Slots]:
        """Estimates and slots of the k best, each query's own left out."""
        extra = self.own is not None
        # A search of cells would have to be calibrated anew for one more.
        wider = replace(plan, n_candidates=plan.n_candidates + (extra and plan.code_recall == 1))
        estimates, slots = best_estimates(state, wider, self.prepared, k + extra, None, n_threads)
        return (estimates, slots) if self.own is None else _without(estimates, slots, self.own)

    def found(self, state: State, plan: Plan, n_threads: int) -> NDArray[np.bool_]:
        """Which of the true neighbors the whole funnel finds."""
        k = self.true.shape[1]
        if state.store.segments[0].vectors is None:
            return _within(self.true, self.estimates(state, plan, k, n_threads)[1], k)
        return self.read(state, plan, *self.estimates(state, plan, max(plan.n_rescored, k), n_threads), n_threads)[0]

    def read(
        self, state: State, plan: Plan, estimates: Float32, slots: Slots, n_threads: int
    ) -> tuple[NDArray[np.bool_], float]:
        """Which of the true neighbors are found among candidates by their vectors, and how many of these are read."""
        k = self.true.shape[1]
        n_read = np.empty(len(slots), np.int64)
        _, ids = read_best(state, plan, self.prepared, estimates, slots, min(k, slots.shape[1]), n_threads, n_read)
        return _within(self.true, state.store.slots_of(ids), k), float(n_read.mean())


def _without(estimates: Float32, slots: Slots, own: Slots) -> tuple[Float32, Slots]:
    """Lists without each query's own slot, or where it is not in it without the last."""
    kept = slots != own[:, None]
    kept[kept.all(axis=1), -1] = False
    return estimates[kept].reshape(len(slots), -1), slots[kept].reshape(len(slots), -1)


def _within(true: Slots, found: Slots, k: int) -> NDArray[np.bool_]:
    within: NDArray[np.bool_] = ranks_of(true, found) < k
    return within


def cost_of_first(index: Index, plan: Plan, n_threads: int) -> float:
    """Microseconds that the first stage takes for a query of a batch; infinite where it would search cells in vain."""
    n_read = len(index) * index.n_bits
    if plan.first == "estimates":
        return ESTIMATE_COST * n_read
    of_candidates = CANDIDATE_COST * plan.n_candidates
    if plan.code_recall == 1:
        return CODE_COST * n_read + of_candidates
    work = work_of(index, plan.n_candidates, plan.code_recall, n_threads)
    return np.inf if work is None else CELL_COST * work * n_read + of_candidates


def choose_plan(
    state: State, held_out: HeldOut, target: float, most: int, row_bytes: int, n_threads: int
) -> Plan | None:
    """The cheapest plan that reads at most `most` vectors and reaches the target, or None."""
    trials = _Trials(state, held_out, target, most, ROW_COST * max(row_bytes / 2048, 0.25), n_threads)
    enough = [n for n in CANDIDATES if trials.run(Plan("codes", n, most))]
    trials.run(Plan("estimates", 0, most))
    if enough:
        trials.run_cells(max(enough[0], most + 1))
    if trials.best is None or row_bytes == 0:
        return trials.best
    return with_slack(state, held_out, replace(trials.best, n_rescored=most), trials.best, target, n_threads)


@dataclass
class _Trials:
    """Plans that are tried one after the other, the cheapest of which stays.

    Attributes
    ----------
    row_cost : float
        Microseconds for each vector that is read.
    """

    state: State
    held_out: HeldOut
    target: float
    most: int
    row_cost: float
    n_threads: int
    best: Plan | None = None
    cost: float = np.inf

    def run(self, plan: Plan) -> bool | None:
        """Whether a plan reaches the target; None if it is not tried, since it costs more than the best."""
        n_rows = len(self.state.index)
        if plan.n_candidates >= n_rows:
            return None
        cost = cost_of_first(self.state.index, plan, self.n_threads)
        if cost > self.cost:
            return None
        slots = self.held_out.estimates(self.state, plan, min(self.most, n_rows - 1), self.n_threads)[1]
        ranks = ranks_of(self.held_out.true, slots)
        reaches = functools.partial(_reaches, self.state, self.held_out, plan, self.target, self.n_threads)
        n_rescored = _least(ranks, self.target, self.most, reaches)
        if n_rescored is None:
            return False
        cost += self.row_cost * n_rescored
        if cost < self.cost:
            self.best, self.cost = replace(plan, n_rescored=n_rescored), cost
        return True

    def run_cells(self, least: int) -> None:
        """Candidates from cells, at least so many: of each number, the least share of the nearest that is enough."""
        for n_candidates in CANDIDATES:
            if not least <= n_candidates <= most_candidates(self.state.index):
                continue
            for share in CODE_RECALLS:
                reached = self.run(Plan("codes", n_candidates, self.most, code_recall=share))
                if reached is not False:
                    break
            if reached is None and share == CODE_RECALLS[0]:
                return  # more candidates cost more


def with_slack(state: State, held_out: HeldOut, wide: Plan, narrow: Plan, target: float, n_threads: int) -> Plan:
    """The wide plan with the least slack that reaches the target, if it reads fewer vectors than the narrow one."""
    k = held_out.true.shape[1]
    estimates, slots = held_out.estimates(state, wide, min(wide.n_rescored, len(state.index) - 1), n_threads)
    if slots.shape[1] <= READ_FIRST * k:
        return narrow
    # The largest slack that could matter: with it every candidate is read.
    scores = held_out.prepared.to_scores(estimates)
    low, high = 0.0, float(np.abs(scores[:, 0] - scores[:, -1]).max())
    best, n_read = narrow, float(narrow.n_rescored)
    for _ in range(SLACK_ROUNDS):
        plan = replace(wide, slack=(low + high) / 2)
        found, read = held_out.read(state, plan, estimates, slots, n_threads)
        if _is_enough(found, target):
            high = (low + high) / 2
            if read < n_read:
                best, n_read = replace(plan, mean_rescored=read), read
        else:
            low = (low + high) / 2
    return best


def _least(ranks: NDArray[np.int64], target: float, most: int, reaches: Callable[[int], bool]) -> int | None:
    """The least number of vectors to read; `reaches` tells of a number whether the whole search reaches the target."""
    numbers = [n for n in range(ranks.shape[1], most + 1) if _is_enough(ranks < n, target)]
    while numbers:
        if reaches(numbers[0]):
            return numbers[0]
        numbers = numbers[max(1, len(numbers) // 4) :]  # what the kept vectors lose needs more of them
    return None


def _reaches(state: State, held_out: HeldOut, plan: Plan, target: float, n_threads: int, n_rescored: int) -> bool:
    return _is_enough(held_out.found(state, replace(plan, n_rescored=n_rescored), n_threads), target)


def _is_enough(found: NDArray[np.bool_], target: float) -> bool:
    shares = found.mean(axis=1)
    return bool(shares.mean() - CONFIDENCE * _standard_error(shares) >= target)
