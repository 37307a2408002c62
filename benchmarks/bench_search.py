"""How fast is exact search by linear scan, against numpy and faiss, on one thread? Answers are checked first."""

from functools import cache

import numpy as np
import pytest

import hashkit
from hashkit.datasets import synthetic_codes

SMALL = [("clustered", 64, 200_000, 200), ("clustered", 256, 50_000, 100)]
FULL = [
    ("clustered", 64, 1_000_000, 1000),
    ("clustered", 128, 1_000_000, 1000),
    ("clustered", 256, 1_000_000, 1000),
    ("uniform", 64, 1_000_000, 1000),
]
K = 10
N_QUERIES_NUMPY = 10


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        cases = FULL if metafunc.config.getoption("--full") else SMALL
        metafunc.parametrize("case", cases, ids=lambda case: "-".join(map(str, case)))


@cache
def workload(kind, n_bits, n_codes, n_queries):
    return synthetic_codes(kind, n_codes=n_codes, n_queries=n_queries, n_bits=n_bits, random_state=7)


def numpy_query(codes, queries, k):
    """Distances to everything, a selection, and a sort by (distance, id): what a careful user of numpy writes."""
    words, found = codes.view(np.uint64), []
    for query in queries.view(np.uint64):
        distances = sum(np.bitwise_count(column ^ word) for column, word in zip(words.T, query, strict=True))
        last = np.partition(distances, k - 1)[k - 1]
        candidates = np.flatnonzero(distances <= last)
        ids = candidates[np.argsort(distances[candidates], kind="stable")[:k]]
        found.append((distances[ids], ids))
    return np.array([distances for distances, _ in found]), np.array([ids for _, ids in found])


def title(case):
    kind, n_bits, n_codes, n_queries = case
    return f"{kind}, {n_codes:,} x {n_bits} bits, {n_queries:,} queries, k = {K}"


@pytest.fixture
def codes_and_queries(case):
    return workload(*case)


def test_hashkit(case, codes_and_queries, record):
    codes, queries = codes_and_queries
    index = hashkit.Index(codes)
    distances, ids = index.query(queries, k=K, n_threads=1)
    expected = numpy_query(codes, queries[:N_QUERIES_NUMPY], K)
    np.testing.assert_array_equal(distances[:N_QUERIES_NUMPY], expected[0])
    np.testing.assert_array_equal(ids[:N_QUERIES_NUMPY], expected[1])
    record(title(case), "hashkit", lambda: index.query(queries, k=K, n_threads=1), len(queries))


def test_faiss(case, codes_and_queries, record):
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    codes, queries = codes_and_queries
    peer = faiss.IndexBinaryFlat(8 * codes.shape[1])
    peer.add(codes)
    distances, _ = peer.search(queries, K)
    np.testing.assert_array_equal(distances, hashkit.Index(codes).query(queries, k=K)[0])
    record(title(case), "faiss IndexBinaryFlat", lambda: peer.search(queries, K), len(queries))


def test_numpy(case, codes_and_queries, record):
    codes, queries = codes_and_queries
    few = queries[:N_QUERIES_NUMPY]
    record(title(case), "numpy", lambda: numpy_query(codes, few, K), len(few))
