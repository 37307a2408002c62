"""What do all pairs within a radius, and the groups they connect, cost on one thread: by tables, and by scan?

Pairs are checked first: on a part of the codes against all distances, and the two ways against each other. Bars at
full size (`--full`, minutes, 3 GB): clustered 1,000,000 x 64 bits at r = 2 within 6 s; uniform 2,000,000 x 64 bits at
r = 2 within 0.6 s; uniform 10,000,000 x 128 bits at r = 4 within 20 s; by scan, half of what as many queries cost.
"""

import resource
import time
from functools import cache

import numpy as np
import pytest

import hashkit
from hashkit import _native
from hashkit.datasets import synthetic_codes
from hashkit.index import joins

SMALL = [("clustered", 64, 50_000, 2, None), ("uniform", 64, 100_000, 2, None), ("uniform", 128, 100_000, 4, None)]
FULL = [
    ("clustered", 64, 1_000_000, 2, 6.0),
    ("clustered", 128, 1_000_000, 2, None),
    ("uniform", 64, 2_000_000, 2, 0.6),
    ("uniform", 128, 10_000_000, 4, 20.0),
]
SCANNED = {False: 20_000, True: 1_000_000}  # codes of the join by scan
N_EQUAL = {False: 8_000, True: 20_000}
K = 10


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        cases = FULL if metafunc.config.getoption("--full") else SMALL
        metafunc.parametrize("case", cases, ids=lambda case: "-".join(map(str, case[:4])))


@cache
def workload(kind, n_bits, n_codes):
    return synthetic_codes(kind, n_codes=n_codes, n_queries=1000, n_bits=n_bits, random_state=7)


@pytest.fixture
def scan_only(monkeypatch):
    """A function that lets joins find no tables."""
    return lambda: monkeypatch.setattr(joins._native, "build_join_tables", lambda *_: None)


def seconds(work):
    """CPU time, the best of three where it is short."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
        if best > 2:
            break
    return best


def count(blocks):
    return sum(len(block) for block in blocks)


def assert_all_pairs(codes, radius):
    """On a few codes against every distance."""
    distances = hashkit.hamming_distances(codes, codes)
    left, right = np.nonzero(np.triu(distances <= radius, 1))
    blocks = list(hashkit.Index(codes, method="scan").pairs(radius, n_threads=1))
    found = [
        np.concatenate([getattr(block, name) for block in blocks] or [[]]) for name in ("left", "right", "distances")
    ]
    np.testing.assert_array_equal(found[0], left)
    np.testing.assert_array_equal(found[1], right)
    np.testing.assert_array_equal(found[2], distances[left, right])


def test_memory(full, hold):
    """Pairs are handed out in blocks: however many there are, the peak hardly grows. Comes before what needs more."""
    codes = np.zeros((N_EQUAL[full], 8), np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n_pairs = count(hashkit.Index(codes, method="scan").pairs(0, n_threads=1))
    assert n_pairs == len(codes) * (len(codes) - 1) // 2
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    in_all = n_pairs * 20 / 2**20
    hold(f"memory for {n_pairs:,} pairs, {in_all:,.0f} MiB in all, at its peak", grown, 200, "MiB")


def test_pairs(case, hold):
    kind, n_bits, n_codes, radius, bar = case
    codes, _ = workload(kind, n_bits, n_codes)
    assert_all_pairs(codes[:6000], radius)
    index, found = hashkit.Index(codes, method="scan"), []
    taken = seconds(lambda: found.append(count(index.pairs(radius, n_threads=1))))
    title = f"{kind}, {n_codes:,} x {n_bits} bits, r = {radius}"
    hold(f"pairs, {title}: {found[0]:,} pairs", taken, bar, "s")
    taken = seconds(lambda: index.groups(radius, n_threads=1))
    hold(f"groups, {title}", taken, None, "s")


def test_pairs_of_two_sets(case, hold):
    kind, n_bits, n_codes, radius, _ = case
    codes, _ = workload(kind, n_bits, n_codes)
    one, other, found = (
        hashkit.Index(codes[::2].copy(), method="scan"),
        hashkit.Index(codes[1::2].copy(), method="scan"),
        [],
    )
    taken = seconds(lambda: found.append(count(one.pairs(radius, other, n_threads=1))))
    hold(f"pairs of {len(one):,} and {len(other):,}, {kind}, {n_bits} bits: {found[0]:,} pairs", taken, None, "s")


@pytest.mark.parametrize("n_bits", [64, 128])
def test_by_scan(n_bits, full, scan_only, hold):
    """Each pair once: half of what it costs to ask for the nearest of every code."""
    n = SCANNED[full] if n_bits == 64 else SCANNED[full] // 5
    codes, queries = (part[:n] for part in workload("clustered", n_bits, max(n, SMALL[0][2])))
    index, found = hashkit.Index(codes, method="scan"), []
    expected = count(index.pairs(2, n_threads=1))
    per_query = seconds(lambda: index.query(queries, K, n_threads=1)) / len(queries)
    scan_only()
    taken = seconds(lambda: found.append(count(index.pairs(2, n_threads=1))))
    assert found[0] == expected
    hold(f"by scan, {n:,} x {n_bits} bits, {expected:,} pairs", taken / (n * per_query / 2), 1, "x half the queries")


def test_equal_codes_cost_no_more_than_a_scan(full, scan_only, hold):
    index = hashkit.Index(np.zeros((N_EQUAL[full], 8), np.uint8), method="scan")
    taken = seconds(lambda: count(index.pairs(2, n_threads=1)))
    scan_only()
    hold("all codes equal", taken / seconds(lambda: count(index.pairs(2, n_threads=1))), 1.15, "x by scan")


def test_tables(case, hold):
    kind, n_bits, n_codes, radius, _ = case
    codes, _ = workload(kind, n_bits, n_codes)
    tables = _native.build_join_tables(codes, n_bits, 0, radius, 1)
    size = _native.describe_join_tables(tables)["memory"] / n_codes
    hold(f"tables of {kind}, {n_codes:,} x {n_bits} bits, r = {radius}", size, None, "bytes per code")
