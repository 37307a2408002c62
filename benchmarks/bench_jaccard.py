"""How fast is exact search by Jaccard distance over fingerprints, against numpy and faiss, on one thread?

Fingerprints as of molecules: sparse, popcounts uneven, each a variant of one of many parents. Answers are checked
against numpy first. faiss has no Jaccard distance for bits; its IndexFlat with METRIC_Jaccard does the same on floats,
32 times the memory. The notes at the end say which share of the codes the bound by popcounts left to compare.

Bar at full size: the 1,000 nearest of 1,800,000 fingerprints of 2,048 bits within 27 ms, one query at a time.
"""

import time
from functools import cache

import numpy as np
import pytest

import hashkit
from hashkit import _native

SMALL = [(1024, 50_000, 50), (2048, 20_000, 50)]
FULL = [(1024, 1_000_000, 200), (2048, 1_000_000, 200)]
K, RADIUS = 10, 0.3
MANY = {False: 50_000, True: 1_800_000}
MANY_K = 1000
N_QUERIES_PEERS = 10


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        cases = FULL if metafunc.config.getoption("--full") else SMALL
        metafunc.parametrize("case", cases, ids=lambda case: "-".join(map(str, case)))


@cache
def workload(n_bits, n_codes, n_queries, share=0.05):
    """Codes and queries: each keeps most bits of a parent, one of 20 on average, and has a few of its own.

    Parents have a `share` of their bits set.
    """
    rng = np.random.default_rng(0)
    n, frequency = n_codes + n_queries, np.arange(1, n_bits + 1) ** -0.7
    parents = np.empty((n // 20, n_bits // 8), np.uint8)
    shares = share * n_bits * rng.lognormal(0, 0.35, (len(parents), 1)) / frequency.sum()
    for rows in np.array_split(np.arange(len(parents)), 1 + len(parents) // 10_000):
        parents[rows] = np.packbits(rng.random((len(rows), n_bits), np.float32) < frequency * shares[rows], axis=1)
    codes = parents[rng.integers(0, len(parents), n)]
    places, bits = rng.integers(0, n_bits // 8, (n, 12)), rng.integers(0, 8, (n, 12))
    for i in range(12):  # some bits taken away, some added
        column = codes[np.arange(n), places[:, i]]
        bit = (1 << bits[:, i]).astype(np.uint8)
        codes[np.arange(n), places[:, i]] = column | bit if i % 3 == 0 else column & ~bit
    return codes[:n_codes], codes[n_codes:]


def molecules(n_codes):
    """Fingerprints of 2,048 bits of scaffolds that have one of 100 substituents at each of three places.

    Scaffolds, substituents and the bonds between them set six bits each: 42 in all, as many as Morgan fingerprints of
    generated molecules have, whose 1,000th neighbors they resemble too.
    """
    rng = np.random.default_rng(0)

    def fragments(*shape):
        bits = np.zeros((*shape, 2048), np.uint8)
        np.put_along_axis(bits, rng.integers(0, 2048, (*shape, 6)), 1, axis=-1)
        return np.packbits(bits, axis=-1)

    scaffolds, substituents, bonds = fragments(26), fragments(3, 100), fragments(3, 26, 100)
    numbers = rng.permutation(26 * 100**3)[:n_codes]
    codes = scaffolds[numbers % 26]
    for place in range(3):
        chosen = numbers // (26 * 100**place) % 100
        codes |= substituents[place, chosen]
        codes |= bonds[place, numbers % 26, chosen]
    return codes


def numpy_distances(codes, popcounts, query):
    """Distances by counting the common bits of 64-bit words."""
    common = np.bitwise_count(codes.view(np.uint64) & query.view(np.uint64)).sum(axis=1, dtype=np.int64)
    either = popcounts + int(np.bitwise_count(query).sum()) - common
    return (either - common) / np.maximum(either, 1)


def numpy_query(codes, popcounts, queries, k):
    found = []
    for query in queries:
        distances = numpy_distances(codes, popcounts, query)
        last = np.partition(distances, k - 1)[k - 1]
        candidates = np.flatnonzero(distances <= last)
        ids = candidates[np.argsort(distances[candidates], kind="stable")[:k]]
        found.append((distances[ids], ids))
    return np.array([distances for distances, _ in found]), np.array([ids for _, ids in found])


def popcounts_of(codes):
    return np.bitwise_count(codes.view(np.uint64)).sum(axis=1, dtype=np.int64)


def title(case, what):
    n_bits, n_codes, _ = case
    return f"{n_codes:,} fingerprints of {n_bits} bits, {what}"


@pytest.fixture
def codes_and_queries(case):
    return workload(*case)


@pytest.fixture
def index(codes_and_queries):
    codes, queries = codes_and_queries
    index = hashkit.Index(codes, metric="jaccard")
    few = queries[:N_QUERIES_PEERS]
    distances, ids = index.query(few, K, n_threads=1)
    expected, expected_ids = numpy_query(codes, popcounts_of(codes), few, K)
    np.testing.assert_array_equal(distances, expected)
    np.testing.assert_array_equal(ids, expected_ids)
    return index


def test_batch(case, index, codes_and_queries, record, note):
    codes, queries = codes_and_queries
    record(title(case, f"batch, k = {K}"), "hashkit", lambda: index.query(queries, K, n_threads=1), len(queries))
    *_, n_compared = _native.jaccard_k_nearest(*_native.popcount_order(codes, 1), queries, K, 1)
    note(f"{title(case, f'k = {K}')}: {n_compared / len(codes) / len(queries):.1%} of the codes compared")


def test_one_query(case, index, codes_and_queries, record):
    _, queries = codes_and_queries

    def ask():
        for query in queries:
            index.query(query, K, n_threads=1)

    record(title(case, f"one query at a time, k = {K}"), "hashkit", ask, len(queries))


def test_radius(case, index, codes_and_queries, record, note):
    codes, queries = codes_and_queries
    for query, (distances, ids) in zip(queries[:3], index.radius(queries[:3], RADIUS), strict=True):
        expected = numpy_distances(codes, popcounts_of(codes), query)
        np.testing.assert_array_equal(np.sort(ids), np.flatnonzero(expected <= RADIUS))
        np.testing.assert_array_equal(distances, expected[ids])
    work = title(case, f"batch, radius {RADIUS}")
    record(work, "hashkit", lambda: index.radius(queries, RADIUS, n_threads=1), len(queries))
    *_, n_compared = _native.jaccard_within_radius(*_native.popcount_order(codes, 1), queries, RADIUS, 1)
    note(f"{title(case, f'radius {RADIUS}')}: {n_compared / len(codes) / len(queries):.1%} of the codes compared")


def test_many_neighbors(full, hold, pytestconfig):
    files = pytestconfig.getoption("--codes")
    all_codes = np.load(files[0]) if files else molecules(MANY[full])
    codes, queries = all_codes[50:], all_codes[:50]
    index = hashkit.Index(codes, metric="jaccard")
    distances, ids = index.query(queries[:3], MANY_K, n_threads=1)
    expected, expected_ids = numpy_query(codes, popcounts_of(codes), queries[:3], MANY_K)
    np.testing.assert_array_equal(distances, expected)
    np.testing.assert_array_equal(ids, expected_ids)
    times = []
    for query in queries:
        start = time.perf_counter()
        index.query(query, MANY_K, n_threads=1)
        times.append((time.perf_counter() - start) * 1e3)
    popcount = popcounts_of(codes[:10_000]).mean()
    title = f"{len(codes):,} fingerprints of 2,048 bits, {popcount:.0f} set, one query at a time, k = {MANY_K:,}"
    hold(title, float(np.mean(times)), 27 if full else None, "ms")


def test_hamming(case, codes_and_queries, record):
    """What the same batch costs without the bound and the fractions: the scan by Hamming distance."""
    codes, queries = codes_and_queries
    index = hashkit.Index(codes, method="scan")
    work = title(case, f"batch, k = {K}")
    record(work, "hashkit by Hamming distance", lambda: index.query(queries, K, n_threads=1), len(queries))


def test_numpy(case, codes_and_queries, record):
    codes, queries = codes_and_queries
    few, popcounts = queries[:N_QUERIES_PEERS], popcounts_of(codes)
    work = title(case, f"batch, k = {K}")
    record(work, "numpy", lambda: numpy_query(codes, popcounts, few, K), len(few))


def test_faiss(case, index, codes_and_queries, record, full):
    if full:
        pytest.skip("the codes as floats would take 4 to 8 GB")
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    codes, queries = codes_and_queries
    few = hashkit.unpack(queries[:N_QUERIES_PEERS]).astype(np.float32)
    peer = faiss.IndexFlat(few.shape[1], faiss.METRIC_Jaccard)
    peer.add(hashkit.unpack(codes).astype(np.float32))
    similarities, _ = peer.search(few, K)
    np.testing.assert_allclose(1 - similarities, index.query(queries[: len(few)], K)[0], atol=1e-6)
    record(title(case, f"batch, k = {K}"), "faiss IndexFlat, floats", lambda: peer.search(few, K), len(few))
