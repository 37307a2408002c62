"""What does living with an index cost: saving, opening, adding, removing, and searching after all that?

Answers are checked before anything is timed. With --full, at 10,000,000 codes of 64 bits, every bar is held.
"""

import copy
import itertools
import os
import time

import numpy as np
import pytest
from timing import median_wall_seconds

import hashkit

K = 10
N_QUERIES = 100
SMALL, FULL = 300_000, 10_000_000
TAIL, REMOVED = 0.05, 0.05


@pytest.fixture(scope="module")
def n_codes(full):
    return FULL if full else SMALL


@pytest.fixture(scope="module")
def codes(n_codes):
    return np.random.default_rng(0).integers(0, 256, (n_codes, 8), np.uint8)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(1).integers(0, 256, (N_QUERIES, 8), np.uint8)


@pytest.fixture(scope="module")
def index(codes):
    return hashkit.Index(codes, ids=3 * np.arange(len(codes)))


def seconds_of_query(index, queries, n_queries, filter=None, k=K):
    """The median time of a call with `n_queries`, others in every call: what a query needs is not in the caches."""
    some = itertools.cycle(np.split(queries, len(queries) // n_queries))
    return median_wall_seconds(lambda: index.query(next(some), k, filter=filter), 9 if n_queries > 1 else 99)


def assert_same_answers(index, expected, queries):
    for found, wanted in zip(index.query(queries[:5], K), expected.query(queries[:5], K), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_save(index, codes, queries, tmp_path, hold):
    def write_with_numpy():
        with open(tmp_path / "raw", "wb") as file:
            codes.tofile(file)
            index.ids.tofile(file)
            file.flush()
            os.fsync(file.fileno())

    index.save(tmp_path / "index")
    assert_same_answers(hashkit.Index.load(tmp_path / "index"), index, queries)
    numpy_seconds = median_wall_seconds(write_with_numpy)
    hold("save", median_wall_seconds(lambda: index.save(tmp_path / "index")) / numpy_seconds, 2, "x numpy and fsync")


def test_load(index, queries, tmp_path, hold):
    index.save(tmp_path / "index")
    assert_same_answers(hashkit.Index.load(tmp_path / "index", mmap=True), index, queries)
    seconds = median_wall_seconds(lambda: hashkit.Index.load(tmp_path / "index", mmap=True), 9)
    hold("load, mapped", 1e3 * seconds, 50, "ms")


def test_add(index, hold):
    grown, rng, times = copy.copy(index), np.random.default_rng(2), []
    for _ in range(50):
        new = rng.integers(0, 256, (1000, 8), np.uint8)
        start = time.perf_counter()
        ids = grown.add(new)
        times.append(time.perf_counter() - start)
    np.testing.assert_array_equal(grown.get(ids), new)
    hold("add 1,000 (median of 50)", 1e3 * float(np.median(times)), 20, "ms")
    hold("add 1,000 (slowest of 50, with what it folds)", 1e3 * max(times), None, "ms")


def test_remove(index, hold):
    shrunk, times = copy.copy(index), []
    for id in np.random.default_rng(3).choice(index.ids, 50, replace=False).tolist():
        start = time.perf_counter()
        shrunk.remove(id)
        times.append(time.perf_counter() - start)
        assert id not in shrunk
    hold("remove 1 (median of 50)", 1e3 * float(np.median(times)), 1, "ms")


@pytest.mark.parametrize("n_queries", [1, N_QUERIES])
def test_query_after_changes(index, queries, n_queries, hold):
    changed, rng = copy.copy(index), np.random.default_rng(4)
    n_new = int(TAIL * len(index))
    for start in range(0, n_new, 5000):
        changed.add(rng.integers(0, 256, (min(5000, n_new - start), 8), np.uint8))
    changed.remove(rng.choice(index.ids, int(REMOVED * len(index)), replace=False))
    assert len(changed._state.parts) > 1
    fresh = hashkit.Index(changed.get(changed.ids), ids=changed.ids)
    assert_same_answers(changed, fresh, queries)
    ratio = seconds_of_query(changed, queries, n_queries) / seconds_of_query(fresh, queries, n_queries)
    hold(f"query of {n_queries}, 5 % in the tail, 5 % removed", ratio, 1.3, "x fresh")


@pytest.mark.parametrize("fraction", [0.001, 0.1])
@pytest.mark.parametrize("n_queries", [1, N_QUERIES])
def test_filter(index, queries, n_queries, fraction, hold):
    """Of a tenth of the codes the k nearest are the work of ten times as many: a single query is held to that."""
    mask = np.random.default_rng(5).random(len(index)) < fraction
    subset, some = index.subset(mask), queries[:n_queries]
    np.testing.assert_array_equal(subset.ids, index.ids[mask])
    for found, wanted in zip(index.query(some, K, filter=mask), subset.query(some, K), strict=True):
        np.testing.assert_array_equal(found, wanted)
    filtered, whole = (seconds_of_query(index, queries, n_queries, allowed) for allowed in (mask, None))
    what = f"query of {n_queries}, {fraction:.1%} allowed by a mask"
    hold(what, filtered / whole, 1 if n_queries > 1 else None, "x unfiltered")
    if n_queries == 1 and fraction == 0.1:
        as_many = seconds_of_query(index, queries, 1, k=10 * K)
        hold(what, filtered / as_many, 1.3, f"x the {10 * K} nearest unfiltered")
    alone = seconds_of_query(subset, queries, n_queries)
    hold(f"query of {n_queries}, {fraction:.1%} as a subset", alone / whole, 1, "x unfiltered")
