"""What do all pairs within a radius, and the groups they connect, cost on one thread: by tables, and by scan?

Pairs are checked first: on a part of the codes against all distances, and the two ways against each other. Bars at
full size (`--full`, minutes, 6 GB):
- clustered 1,000,000 x 64 bits at r = 2 within 6 s; uniform 2,000,000 x 64 bits at r = 2 within 0.6 s; uniform
  10,000,000 x 128 bits at r = 4 within 20 s; by scan, half of what as many queries cost;
- 1,000,000 fingerprints of 2,048 bits at a similarity of 0.7 in a tenth of the time of FPSim2 by one worker, which is
  measured on rows drawn from all, with the same hits (`--codes FILE.npy` has other fingerprints than the seeded ones);
- 10,000,000 x 256 bits joined with 100,000 at r = 31 in a fifth of the time of a scan, and of faiss.s, both
  on a part of the 100,000.
"""

import resource
import time
from functools import cache

import numpy as np
import pytest
from bench_jaccard import workload as fingerprint_workload
from fpsim2 import FPSim2Join

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
SIMILARITY = 0.7
FINGERPRINTS = {False: 20_000, True: 1_000_000}
FAR = {False: (200_000, 2_000), True: (10_000_000, 100_000)}  # codes and others
FAR_RADIUS = 31
N_SAMPLED = 200


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


def timed_blocks(blocks, keep):
    """(left, right) of the kept pairs, how many there were, and the seconds that finding them took."""
    kept, n_pairs, seconds = [], 0, 0.0
    while True:
        start = time.perf_counter()
        block = next(blocks, None)
        seconds += time.perf_counter() - start
        if block is None:
            return kept, n_pairs, seconds
        n_pairs += len(block)
        here = keep[block.left] | keep[block.right]
        kept += zip(block.left[here].tolist(), block.right[here].tolist(), strict=True)


def test_fingerprints(full, hold, note, pytestconfig):
    """The hits of FPSim2, whose time is measured on rows drawn from all."""
    pytest.importorskip("FPSim2")
    files = pytestconfig.getoption("--codes")
    codes = np.load(files[0]) if files else fingerprint_workload(2048, FINGERPRINTS[full], 1, 0.022)[0]
    peer = FPSim2Join(codes)
    places = np.random.default_rng(0).permutation(len(codes))[:N_SAMPLED].tolist()
    expected, _ = peer.pairs(places, SIMILARITY, behind_only=False)
    _, by_peer = peer.pairs(places, SIMILARITY, behind_only=True)
    sampled = np.zeros(len(codes), np.bool_)
    sampled[peer.rows[places]] = True

    index = hashkit.Index(codes, metric="jaccard")
    kept, n_pairs, seconds = timed_blocks(index.pairs(similarity=SIMILARITY, n_threads=1), sampled)
    assert set(kept) == {(min(pair), max(pair)) for pair in expected}
    by_peer *= len(codes) / len(places)
    popcount = np.bitwise_count(codes[:10_000]).sum(axis=1, dtype=int).mean()
    note(f"{len(codes):,} fingerprints, {popcount:.0f} bits set: {n_pairs:,} pairs in {seconds:.1f} s")
    note(f"FPSim2, one worker: {by_peer:,.0f} s, from {len(places)} rows; {len(kept):,} hits of these compared")
    hold("fingerprints", by_peer / seconds, 10, "x as fast as FPSim2", at_least=True)


def far_codes(n_codes, n_others):
    """Uniform codes of 256 bits, and others: half of them some bits from one of these."""
    rng = np.random.default_rng(5)
    codes, others = (rng.integers(0, 256, (n, 32), np.uint8) for n in (n_codes, n_others))
    near = np.arange(0, n_others, 2)
    flips = rng.random((len(near), 256), np.float32) < rng.uniform(0, 0.16, (len(near), 1))
    others[near] = codes[rng.integers(0, n_codes, len(near))] ^ np.packbits(flips, axis=1)
    return codes, others


def test_a_far_radius(full, hold, note, scan_only):
    codes, others = far_codes(*FAR[full])
    few = others[: N_SAMPLED * 5]
    index, other = hashkit.Index(codes, method="scan"), hashkit.Index(others, method="scan")
    found, seconds = [], []
    for left, right in ((other, index), (index, other)):
        start = time.perf_counter()
        blocks = list(left.pairs(FAR_RADIUS, right, n_threads=1))
        seconds.append(time.perf_counter() - start)
        found.append(np.concatenate([np.column_stack([block.left, block.right]) for block in blocks]))
    assert len(found[0]) > len(others) // 4
    np.testing.assert_array_equal(found[0], np.unique(found[1][:, ::-1], axis=0))
    scan_only()
    start = time.perf_counter()
    blocks = list(hashkit.Index(few, method="scan").pairs(FAR_RADIUS, index, n_threads=1))
    by_scan = (time.perf_counter() - start) * len(others) / len(few)
    expected = np.concatenate([np.column_stack([block.left, block.right]) for block in blocks])
    np.testing.assert_array_equal(found[0][found[0][:, 0] < len(few)], expected)
    title = f"{len(codes):,} x 256 bits with {len(others):,}, r = {FAR_RADIUS}"
    note(f"{title}: {len(found[0]):,} pairs, {seconds[0]:.1f} s, {seconds[1]:.1f} s with the sides changed")
    note(f"by scan {by_scan:,.0f} s, from {len(few)} rows")
    best = min(by_scan, faiss_seconds(codes, others[:N_SAMPLED], found[0], note) * len(others) / N_SAMPLED)
    hold(title, best / seconds[0], 5, "x as fast as the best of a scan and faiss", at_least=True)


def faiss_seconds(codes, few, found, note):
    """What faiss's range_search takes for a few rows, whose pairs are those found; infinite where there is no faiss."""
    try:
        import faiss
    except ImportError:
        return np.inf
    faiss.omp_set_num_threads(1)
    peer = faiss.IndexBinaryFlat(256)
    peer.add(codes)
    start = time.perf_counter()
    offsets, _, rows = peer.range_search(few, FAR_RADIUS + 1)  # faiss's radius is not included
    seconds = time.perf_counter() - start
    pairs = np.column_stack([np.repeat(np.arange(len(few)), np.diff(offsets.astype(np.int64))), rows])
    np.testing.assert_array_equal(np.unique(pairs, axis=0), found[found[:, 0] < len(few)])
    note(f"faiss range_search: {seconds / len(few) * 1e3:.1f} ms a row")
    return seconds
