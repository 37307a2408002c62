"""Cells of a part's codes, for searches at a recall below 1, and the rule that ends them.

Codes are grouped around centroids (k-majority, the k-means of Hamming distance). A query reads the nearest cells first.
Where codes are long, a short sketch of each code decides whether the code itself is compared. How many cells are read
follows from the index's own codes: the exact neighbors of a sample of them say how far the search must go for the
recall that is wanted. Inverted files with such a rule are usual for floats (Jégou, Douze, Schmid 2011); here all of it
is integer arithmetic, so that an answer depends on neither threads nor instruction set.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import Codes
from hashkit.index.results import others_than
from hashkit.index.snapshot import Part
from hashkit.storage.blocks import BlockSums

LEAST_BITS = 64
"""For shorter codes a scan is hardly slower."""
LEAST_CODES = 2**15
"""A scan of this many codes takes a few microseconds."""
CELLS_PER_ROOT = 8
"""The number of cells over the square root of the number of codes. With half as many, a query of 1,000,000 codes of
1,024 bits read 2.4 times as many sketches at a recall of .95, and 1.4 times as many codes."""
COPIED_CELLS_PER_ROOT = 2
"""The same where codes are copied: they are read in their order, which costs less than going from cell to cell."""
LEAST_CODES_PER_CELL = 40
"""A centroid is the majority of at least this many codes, on average."""
LEAST_SKETCHED_BYTES = 64
"""Shorter codes are copied in the order of the cells: a sketch of a quarter of their bits would be too coarse."""
MOST_SKETCH_BYTES = 32
"""A longer sketch costs more to read than it saves."""

TABLE_QUERIES = 64
"""Codes looked up in the tables of a part, to measure whether these find neighbors without a scan."""

SAMPLE_SIZE = 1000
"""Codes that serve as queries when a rule is calibrated: the standard error of a recall of .95 is .003."""
CALIBRATED_K = 100
"""Neighbors of each that are found at first; more are found when a query needs them."""
STANDARD_ERRORS = 2
"""The sample's recall must exceed the wanted recall by this many standard errors, since other queries differ."""
MOST_OVERSHOOT = 4
"""A rule made to miss this many times the allowed number of neighbors counts as too loose."""
CALIBRATION_ROUNDS = 6
"""Rules tried on the sample for one `k` and recall."""
CELL_SHARE = 0.5
"""The share of the allowed misses that the choice of cells may cause; sketches may cause the rest."""
MOST_WORK = 0.5
"""Cells are searched if that reads at most this share of the bytes that a scan reads."""
RANDOM_READ_COST = 3
"""A byte of codes at random places costs as much as this many consecutive ones."""


@dataclass(frozen=True, eq=False)
class Rule:
    """When a search of cells ends, calibrated for one `k` and one recall.

    Attributes
    ----------
    twice_slack : int
        See csrc/far/search.hpp.
    sketch_limits : int32 array of shape (n_bits + 1,), or None
        By distance of the k-th code known: the largest distance of sketches at which a code is compared.
    start_distance : int
        Until k codes are known this stands for the distance of the k-th: the largest that the sample has.
    by_sketches : bool
        Whether cells are found by sketches of their centroids first.
    recall : float
        Share of the sample's `k` nearest codes that the search found.
    work : float
        Bytes that it read, those at random places counted `RANDOM_READ_COST` times, as a share of a scan's.
    """

    twice_slack: int
    sketch_limits: NDArray[np.int32] | None
    start_distance: int
    by_sketches: bool
    recall: float
    work: float

    @property
    def is_worth_it(self) -> bool:
        """Whether cells are searched at all; where this is False, a scan is exact and less work."""
        return self.work <= MOST_WORK


@dataclass(frozen=True, eq=False)
class _Sample:
    """Codes that serve as queries, and where their nearest other codes are.

    Attributes
    ----------
    codes : uint8 array of shape (n_sample, n_bytes)
    neighbors : int64 array of shape (n_sample, k)
        Rows, the nearest first.
    distances : int64 array of shape (n_sample, k)
        Theirs.
    reach : int64 array of shape (n_sample, k)
        Twice the distance of the centroid of each neighbor's cell, less that of the nearest centroid.
    sketch_excess : float64 array of shape (n_sample, k), or None
        Distances of sketches in standard deviations beyond what the distances of the codes let expect.
    """

    codes: Codes
    neighbors: NDArray[np.int64]
    distances: NDArray[np.int64]
    reach: NDArray[np.int64]
    sketch_excess: NDArray[np.float64] | None


@dataclass(eq=False)
class CodeCells:
    """The cells of a part, and the rules calibrated so far; shared by all threads."""

    native: _native.Cells
    codes: Codes
    n_bits: int
    rules: dict[tuple[int, float], Rule] = field(default_factory=dict)
    blocks: BlockSums | None = None
    _sample: _Sample | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rule(self, k: int, recall: float, n_threads: int) -> Rule:
        """Return the rule for `k` neighbors at a recall, calibrated on first use; the result is always the same."""
        found = self.rules.get((k, recall))
        if found is None:
            with self._lock:
                found = self.rules.get((k, recall))
                if found is None:
                    found = self.rules[k, recall] = self._calibrate(k, recall, n_threads)
        return found

    @property
    def has_copies(self) -> bool:
        """Whether codes are copied in the order of the cells."""
        return bool(_native.describe_cells(self.native)["sketch_bits"] == self.n_bits)

    def describe(self) -> dict[str, Any]:
        """Return the number, sketches and memory of the cells, and the calibrated rules."""
        calibrated = [
            {
                "k": k,
                "recall": recall,
                "sample_recall": rule.recall,
                "work": rule.work,
                "method": "cells" if rule.is_worth_it else "exact",
            }
            for (k, recall), rule in sorted(self.rules.items())
        ]
        return {**_native.describe_cells(self.native), "calibrated": calibrated}

    def rules_to_store(self) -> tuple[list[dict[str, Any]], NDArray[np.int32]]:
        """Return the rules as JSON, and the sketch limits of each as rows, (n_rules, n_bits + 1)."""
        rules = sorted(self.rules.items())
        limits = [rule.sketch_limits for _, rule in rules if rule.sketch_limits is not None]
        settings = [
            {
                "k": k,
                "recall": recall,
                "twice_slack": rule.twice_slack,
                "start": rule.start_distance,
                "by_sketches": rule.by_sketches,
                "sample_recall": rule.recall,
                "work": rule.work,
            }
            for (k, recall), rule in rules
        ]
        return settings, np.array(limits, np.int32).reshape(len(limits), self.n_bits + 1)

    def _calibrate(self, k: int, recall: float, n_threads: int) -> Rule:
        """Return the rule of least work whose recall on the sample exceeds the wanted recall by its error."""
        sample = self._sample
        if sample is None or sample.neighbors.shape[1] < k:
            if self.blocks is not None:
                self.blocks.require(self.codes)
            sample = self._sample = _draw_sample(self.native, self.codes, self.n_bits, max(k, CALIBRATED_K), n_threads)
        ways = (True, False) if sample.sketch_excess is not None else (False,)
        rules = [self._bisect(sample, k, recall, by_sketches, n_threads) for by_sketches in ways]
        enough = [rule for rule in rules if rule is not None]
        return min(enough, key=lambda rule: rule.work) if enough else self._try(sample, k, 1, False, n_threads)[0]

    def _bisect(self, sample: _Sample, k: int, recall: float, by_sketches: bool, n_threads: int) -> Rule | None:
        """Return the rule of least work that is enough; None if none of those tried is."""
        # The rule stops by the distance of the k-th code known so far, which is at least that of the k-th of all, so
        # that it finds more than the share it is made for: bisect for the smallest that is enough.
        too_small, share, best = max(0, 1 - MOST_OVERSHOOT * (1 - recall)), recall, None
        for _ in range(CALIBRATION_ROUNDS):
            rule, error = self._try(sample, k, share, by_sketches, n_threads)
            if rule.recall - STANDARD_ERRORS * error >= recall:
                best, enough = rule, share
            else:
                too_small = share
            share = (too_small + (1 if best is None else enough)) / 2
        return best

    def _try(self, sample: _Sample, k: int, share: float, by_sketches: bool, n_threads: int) -> tuple[Rule, float]:
        """Return the rule that finds this share of the sample's neighbors, and the standard error of its recall."""
        by_cells = 1 - (1 - share) * (CELL_SHARE if sample.sketch_excess is not None else 1)
        excess = sample.reach[:, :k] - sample.distances[:, k - 1 : k]
        slack = int(np.quantile(excess, by_cells, method="higher"))
        limits = None
        if sample.sketch_excess is not None:
            by_limits = 1 - (1 - share) * (1 - CELL_SHARE)
            deviations = float(np.quantile(sample.sketch_excess[:, :k], by_limits, method="higher"))
            limits = _sketch_limits(self.n_bits, _native.describe_cells(self.native)["sketch_bits"], deviations)
        start = int(sample.distances[:, k - 1].max())
        counts = np.empty((len(sample.codes), 3), np.int64)
        n_found = min(k + 1, len(self.codes))  # a code of the sample finds itself
        _, rows = _native.cells_k_nearest(
            self.native, self.codes, sample.codes, n_found, n_threads, slack, limits, start, by_sketches, counts=counts
        )
        # With as much added as there are codes, and more for each query, a row equals no row of another query.
        apart = (len(self.codes) + 1) * np.arange(len(rows))[:, None]
        hits = np.isin(sample.neighbors[:, :k] + apart, rows + apart).mean(axis=1)
        rule = Rule(slack, limits, start, by_sketches, float(hits.mean()), self._work(counts, by_sketches))
        return rule, float(hits.std() / math.sqrt(len(hits)))

    def _work(self, counts: NDArray[np.int64], by_sketches: bool) -> float:
        described = _native.describe_cells(self.native)
        n_bytes, sketch_bytes = self.codes.shape[1], described["sketch_bits"] / 8
        _, sketches, codes = counts.mean(axis=0)
        centroids = described["n_cells"] * (sketch_bytes if by_sketches else n_bytes)
        if sketch_bytes >= n_bytes - 1:  # copies
            return float((centroids + codes * n_bytes) / (len(self.codes) * n_bytes))
        read = centroids + sketches * sketch_bytes + RANDOM_READ_COST * codes * n_bytes
        return float(read / (len(self.codes) * n_bytes))


def can_have_cells(part: Part, n_bits: int) -> bool:
    """Whether a part is large enough, and its codes are long enough, to try cells."""
    return LEAST_CODES <= len(part.codes) < 2**32 and n_bits >= LEAST_BITS


def cells_of(part: Part, n_bits: int, compact: bool, n_threads: int) -> CodeCells:
    """Return the cells of a part; the first call makes them, in several seconds for a million codes."""
    found: CodeCells | None = part.derived.get("cells")
    if found is None:
        n_codes, n_bytes = part.codes.shape
        sketch_bytes = _sketch_bytes(n_bytes, compact)
        per_root = COPIED_CELLS_PER_ROOT if sketch_bytes == n_bytes else CELLS_PER_ROOT
        n_cells = max(1, min(int(per_root * math.sqrt(n_codes)), n_codes // LEAST_CODES_PER_CELL))
        native = _native.build_cells(part.codes, n_bits, n_cells, sketch_bytes, n_threads)
        found = part.derived.setdefault("cells", CodeCells(native, part.codes, n_bits))
    return found


def search_rule(
    part: Part, n_bits: int, k: int, recall: float, compact: bool, n_threads: int
) -> tuple[CodeCells, Rule] | None:
    """Return the cells of a part and the rule for searching them; None where an exact search is as fast."""
    if recall >= 1 or not can_have_cells(part, n_bits) or _tables_suffice(part, k, n_threads):
        return None
    cells = cells_of(part, n_bits, compact, n_threads)
    rule = cells.rule(k, recall, n_threads)
    return (cells, rule) if rule.is_worth_it else None


def _tables_suffice(part: Part, k: int, n_threads: int) -> bool:
    """Whether the tables of a part answer most queries, if these are like its codes, without a scan."""
    if part.tables is None:
        return False
    name = f"tables suffice for {k}"
    if name not in part.derived:
        rows = np.arange(0, len(part.codes), max(1, len(part.codes) // TABLE_QUERIES))
        part.require_codes(rows)
        queries = part.codes.take(rows, axis=0)
        counts = np.empty((len(queries), 5), np.int64)
        n_found = min(k + 1, len(part.codes))
        _native.mih_k_nearest(part.tables, part.codes, queries, n_found, n_threads, counts=counts)
        part.derived[name] = bool(counts[:, 3].mean() < 0.5)
    return bool(part.derived[name])


def _sketch_bytes(n_bytes: int, compact: bool) -> int:
    """Return the bytes of a sketch: with 4 bytes for the row at most a quarter of the code, or all of a short code."""
    if n_bytes < LEAST_SKETCHED_BYTES:
        return 0 if compact else n_bytes
    return min(8 * ((n_bytes // 4 - 5) // 8), MOST_SKETCH_BYTES)


def _draw_sample(cells: _native.Cells, codes: Codes, n_bits: int, k: int, n_threads: int) -> _Sample:
    rows = np.sort(np.random.default_rng(0).choice(len(codes), min(SAMPLE_SIZE, len(codes)), replace=False))
    queries = codes.take(rows, axis=0)
    k = min(k, len(codes) - 1)
    distances, neighbors = _without(rows, *_native.scan_k_nearest(codes, queries, k + 1, n_threads))
    centroids, flat = _native.cell_centroids(cells), codes.take(neighbors.ravel(), axis=0)
    nearest = _native.scan_k_nearest(centroids, queries, 1, n_threads)[0]
    arrays = _native.cell_arrays(cells)
    cell_of = np.empty(len(codes), np.int64)
    cell_of[arrays["rows"]] = np.repeat(np.arange(len(centroids)), np.diff(arrays["starts"].astype(np.int64)))
    reach = 2 * _distances(queries, centroids[cell_of[neighbors]]) - nearest
    excess = None
    n_sketch_bits = _native.describe_cells(cells)["sketch_bits"]
    if 0 < n_sketch_bits < n_bits:
        sketches = _native.cell_sketches(cells, flat).reshape(*neighbors.shape, -1)
        expected, deviation = _sketch_distance(distances, n_bits, n_sketch_bits)
        excess = (_distances(_native.cell_sketches(cells, queries), sketches) - expected) / deviation
    return _Sample(queries, neighbors, distances, reach, excess)


def _without(
    own: NDArray[np.int64], distances: NDArray[np.int32], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Drop each code's own row, or else the last, from distances and rows: (n_sample, k + 1) becomes (n_sample, k)."""
    others, shape = others_than(own, rows), (len(rows), rows.shape[1] - 1)
    return distances[others].reshape(shape).astype(np.int64), rows[others].reshape(shape)


def _distances(queries: Codes, codes: Codes) -> NDArray[np.int64]:
    """Return the distances between each query and its own codes, (n_queries, k, n_bytes)."""
    distances: NDArray[np.int64] = np.bitwise_count(queries[:, None] ^ codes).sum(axis=2, dtype=np.int64)
    return distances


def _sketch_distance(
    distances: NDArray[np.int64], n_bits: int, n_sketch_bits: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of the distances of sketches of codes at these distances."""
    share = np.clip(distances / n_bits, 1 / n_bits, 1 - 1 / n_bits)
    return n_sketch_bits * share, np.sqrt(n_sketch_bits * share * (1 - share))


def _sketch_limits(n_bits: int, n_sketch_bits: int, deviations: float) -> NDArray[np.int32]:
    expected, deviation = _sketch_distance(np.arange(n_bits + 1), n_bits, n_sketch_bits)
    limits = np.floor(expected + deviations * deviation)
    limits[-1] = n_sketch_bits  # nothing can be pruned before k candidates are known
    return np.maximum.accumulate(np.clip(limits, 0, n_sketch_bits)).astype(np.int32)
