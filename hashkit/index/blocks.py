"""Searches by radius whose results may be larger than memory.

How many codes are within a radius is not known before the search. Where it may be many, it is estimated from a sample;
an answer for which there is no memory is refused at once, and a large one is found block by block of the queries, in
arrays that hold the answer and little more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes
from hashkit.index.results import RadiusResult
from hashkit.index.snapshot import Selection

PAIRS_WITHOUT_ESTIMATE = 2**24
"""Queries times codes up to which results take at most 256 MB, and a search hardly longer than the estimate."""
ENTRIES_PER_BLOCK = 2**21
"""Entries of a block: about 25 MB, or twice that while it is copied."""
SAMPLED_QUERIES, SAMPLED_CODES = 16, 1024
GROWTH = 1 / 16
"""Spare room in the arrays, for estimates that are too low; room that is not written takes no memory."""

Search = Callable[[Codes], RadiusResult]
Measure = Callable[[Codes, Codes], NDArray[Any]]
"""All distances between two sets of codes."""


def search_in_blocks(
    search: Search, measure: Measure, dtype: np.dtype[Any], selections: list[Selection], queries: Codes, radius: float
) -> RadiusResult:
    """What ``search(queries)`` returns: distances of `dtype`.

    Raises
    ------
    MemoryError
        If the result would not fit into free memory; the message has its size.
    """
    n_codes = sum(selection.n_rows for selection in selections)
    if len(queries) * n_codes <= PAIRS_WITHOUT_ESTIMATE:
        return search(queries)
    # Three standard deviations to either side of what the sample has.
    n_within, n_sampled = _sample(measure, selections, queries, radius)
    least = max(0.0, n_within - 3 * math.sqrt(n_within)) / n_sampled
    most = min(1.0, (n_within + 3 * math.sqrt(n_within) + 3) / n_sampled)
    item_bytes = np.dtype(np.int64).itemsize + dtype.itemsize
    _refuse_without_memory(least * n_codes * len(queries), item_bytes)
    step = _step(most * n_codes)
    if step >= len(queries):
        return search(queries)
    answer = _Growing(len(queries), dtype)
    while answer.n_queries < len(queries):
        first = answer.n_queries
        found = search(queries[first : first + step])
        per_query = (answer.n_found + len(found.ids)) / (first + len(found))
        _refuse_without_memory(per_query * (len(queries) - first), item_bytes)
        answer.append(found, per_query)
        step = min(4 * step, _step(per_query))
    return answer.result()


def _step(per_query: float) -> int:
    return max(1, int(ENTRIES_PER_BLOCK / max(per_query, 1.0)))


def _sample(measure: Measure, selections: list[Selection], queries: Codes, radius: float) -> tuple[int, int]:
    """Count the sampled pairs, and those of them within the radius."""
    part = max(selections, key=lambda selection: selection.n_rows).part
    sampled = np.linspace(0, len(part.codes) - 1, min(SAMPLED_CODES, len(part.codes))).astype(np.int64)
    part.require_codes(sampled)
    some = part.codes.take(sampled, axis=0)
    rows = np.linspace(0, len(queries) - 1, min(SAMPLED_QUERIES, len(queries))).astype(np.int64)
    distances = measure(queries.take(rows, axis=0), some)
    return int(np.count_nonzero(distances <= radius)), distances.size


def _refuse_without_memory(n_entries: float, item_bytes: int) -> None:
    free = free_memory()
    if n_entries * item_bytes > free:
        raise MemoryError(
            f"about {n_entries:,.0f} codes are within the radius, which take "
            f"{n_entries * item_bytes / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB are free: "
            "give fewer queries at a time, or a smaller radius"
        )


def free_memory() -> float:
    """Return free memory in bytes, by /proc/meminfo and the control group's limit; infinity if neither is known."""
    free = math.inf
    try:
        with open("/proc/meminfo") as file:
            sizes = {line.partition(":")[0]: line.split()[1] for line in file}
        free = 1024.0 * (int(sizes["MemAvailable"]) + int(sizes["SwapFree"]))
    except (OSError, KeyError, ValueError):
        pass
    try:
        with open("/sys/fs/cgroup/memory.max") as file:
            free = min(free, float(file.read()))
    except (OSError, ValueError):  # no such group, or "max"
        pass
    return free


class _Growing:
    """Results that blocks are appended to, in arrays that are rarely moved and never held twice."""

    def __init__(self, n_queries: int, dtype: Any) -> None:
        self.n_queries = self.n_found = 0
        self._offsets = np.zeros(n_queries + 1, np.int64)
        self._distances: NDArray[Any] = np.empty(0, dtype)
        self._ids = np.empty(0, np.int64)

    def append(self, found: RadiusResult, per_query: float) -> None:
        """Append the results of the next queries, with the number of entries expected of each query."""
        n, first = self.n_found + len(found.ids), self.n_queries
        if first == 0:
            room = max(n, int(per_query * (len(self._offsets) - 1) * (1 + GROWTH)))
            self._distances, self._ids = np.empty(room, self._distances.dtype), np.empty(room, np.int64)
        if n > len(self._ids):
            self._resize(n + int(n * GROWTH))
        self._distances[self.n_found : n], self._ids[self.n_found : n] = found.distances, found.ids
        self._offsets[first + 1 : first + 1 + len(found)] = self.n_found + found.offsets[1:]
        self.n_found, self.n_queries = n, first + len(found)

    def _resize(self, size: int) -> None:
        # In place: the system moves pages of memory, not bytes. No other reference to these arrays exists.
        self._distances.resize(size, refcheck=False)
        self._ids.resize(size, refcheck=False)

    def result(self) -> RadiusResult:
        self._resize(self.n_found)
        return RadiusResult(self._offsets, self._distances, self._ids)
