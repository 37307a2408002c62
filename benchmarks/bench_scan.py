"""How near is the linear scan to the machine's limits, and how far ahead of faiss?

Each figure is a share of what the machine itself does in the same run: the bandwidth at which one core reads memory,
measured on as many bytes as the codes have, and the words per second that it xors and counts within the nearest cache.
Answers are checked before anything is timed. With ``--full`` every bar that the project promises is an assertion;
without, small sizes show that all of it runs.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import time
from functools import cache

import numpy as np
import pytest
from isas import forced_isa
from timing import median_seconds, medians_in_turn

import hashkit
from hashkit import _native
from hashkit.datasets import synthetic_codes

# n_bits, n_codes, and how many times faster than faiss a batch and one query must be
SMALL = [(64, 200_000, 1, 1), (256, 50_000, 1, 1)]
FULL = [
    (64, 1_000_000, 7, 2.5),
    (128, 1_000_000, 5.5, 1.9),
    (256, 1_000_000, 4.5, 4),
    (64, 10_000_000, 7, 4.5),
    (128, 10_000_000, 5, 3.4),
]
KS = (1, 10, 100)
K = 10
N_SINGLE = 20
SHARE_OF_BANDWIDTH = 0.85
NUMPY_QUERIES = 10
LEAST_TIMES_FAISS = 4


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        cases = FULL if metafunc.config.getoption("--full") else SMALL
        metafunc.parametrize("case", cases, ids=lambda case: f"{case[1] // 1000}k-{case[0]}")


@cache
def workload(n_bits, n_codes, n_queries):
    return synthetic_codes("clustered", n_codes=n_codes, n_queries=n_queries, n_bits=n_bits, random_state=7)


@pytest.fixture
def sets(case, full):
    """The codes of a case, and its queries."""
    return workload(case[0], case[1], 1000 if full else 100)


MACHINE = """
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t loop(const uint64_t* words, size_t n, uint64_t parameter);

uint64_t count_words(const uint64_t* words, size_t n, uint64_t n_queries) {
  uint64_t sum = 0;
  for (uint64_t query = 0; query < n_queries; ++query) {
    for (size_t i = 0; i < n; ++i) sum += __builtin_popcountll(words[i] ^ query);
  }
  return sum;
}
uint64_t read_words(const uint64_t* words, size_t n, uint64_t all) {
  for (size_t i = 0; i < n; ++i) all |= words[i];
  return all;
}

struct half { loop* work; const uint64_t* words; size_t n; uint64_t parameter, result; };
static void* run(void* p) {
  struct half* half = p;
  half->result = half->work(half->words, half->n, half->parameter);
  return NULL;
}
static uint64_t by_two(struct half first, struct half second) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, run, &second) != 0) return 0;
  run(&first);
  pthread_join(thread, NULL);
  return first.result | second.result;
}
uint64_t count_words_by_two(const uint64_t* words, size_t n, uint64_t n_queries) {
  struct half half = {count_words, words, n, n_queries / 2, 0};
  return by_two(half, half);
}
uint64_t read_words_by_two(const uint64_t* words, size_t n, uint64_t all) {
  struct half first = {read_words, words, n / 2, all, 0}, second = {read_words, words + n / 2, n - n / 2, all, 0};
  return by_two(first, second);
}
"""


@pytest.fixture(scope="session")
def machine(tmp_path_factory):
    """Plain loops, compiled for this very machine: what it can do, by one thread and by two, to compare with."""
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        pytest.skip("no C compiler to measure the machine with")
    folder = tmp_path_factory.mktemp("machine")
    (folder / "machine.c").write_text(MACHINE)
    options = ["-O3", "-march=native", "-funroll-loops", "-shared", "-fPIC", "-pthread"]
    subprocess.run([compiler, *options, "machine.c", "-o", "machine.so"], cwd=folder, check=True)
    library = ctypes.CDLL(folder / "machine.so")
    for loop in (library.count_words, library.read_words, library.count_words_by_two, library.read_words_by_two):
        loop.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64]
    return library


def bandwidth(machine, n_bytes):
    """Bytes per second at which one core reads so many."""
    words = np.ones(n_bytes // 8, np.uint64)
    return n_bytes / median_seconds(lambda: machine.read_words(words.ctypes.data, len(words), 0), 15)


def words_per_second(machine):
    """Words of 64 bits that one core xors and counts in its nearest cache."""
    words = np.ones(2048, np.uint64)
    return 10_000 * len(words) / median_seconds(lambda: machine.count_words(words.ctypes.data, len(words), 10_000))


def numpy_query(codes, query, k):
    """Distances to everything, a selection, and a sort by (distance, id): what a careful user of numpy writes."""
    words = codes.view(np.uint64)
    distances = np.bitwise_count(words ^ query.view(np.uint64)).sum(axis=1, dtype=np.int32)
    candidates = np.flatnonzero(distances <= np.partition(distances, k - 1)[k - 1])
    ids = candidates[np.argsort(distances[candidates], kind="stable")[:k]]
    return distances[ids], ids


def check_answers(index, codes, queries):
    """Batches and single queries give what numpy finds."""
    for k in KS:
        found = index.query(queries, k=k)
        for number in range(NUMPY_QUERIES):
            expected = numpy_query(codes, queries[number], k)
            for answer in ([part[number] for part in found], index.query(queries[number], k=k)):
                np.testing.assert_array_equal(answer[0], expected[0])
                np.testing.assert_array_equal(answer[1], expected[1])


def one_by_one(search, queries):
    return lambda: [search(queries[i : i + 1]) for i in range(N_SINGLE)]


def faiss_times(codes, queries):
    """Seconds per query of faiss by k, in a batch and alone; its distances are compared with hashkit's."""
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    peer = faiss.IndexBinaryFlat(8 * codes.shape[1])
    peer.add(codes)
    np.testing.assert_array_equal(
        peer.search(queries[:20], K)[0], hashkit.Index(codes, method="scan").query(queries[:20], k=K)[0]
    )
    few = queries[: 2_000_000_000 // len(codes)]  # 200 of 10,000,000 codes: a query takes as long among fewer
    batch = {k: median_seconds(lambda k=k: peer.search(few, k), 1) / len(few) for k in KS}
    return batch, median_seconds(one_by_one(lambda q: peer.search(q, K), queries), 3) / N_SINGLE


def test_against_faiss(case, sets, machine, full, note):
    n_bits, n_codes, batch_bar, one_bar = case
    codes, queries = sets
    index = hashkit.Index(codes, method="scan")
    check_answers(index, codes, queries)
    batch = {k: median_seconds(lambda k=k: index.query(queries, k=k, n_threads=1), 3) / len(queries) for k in KS}
    tiny = hashkit.Index(codes[:K], method="scan")
    one, call = (
        median_seconds(one_by_one(lambda q, of=of: of.query(q, k=K, n_threads=1), queries)) / N_SINGLE
        for of in (index, tiny)
    )
    limit = codes.nbytes / bandwidth(machine, codes.nbytes)
    share = limit / (one - call)
    counted = codes.nbytes / 8 / batch[K] / words_per_second(machine)
    note(
        f"{n_codes:,} x {n_bits}, µs per query: batch "
        + ", ".join(f"{batch[k] * 1e6:.0f} (k = {k})" for k in KS)
        + f", {counted:.2f} of xor and count in cache; alone {one * 1e6:.0f}, "
        f"{limit / one:.2f} of the bandwidth, {share:.2f} without the {call * 1e6:.0f} of any call"
    )
    peer_batch, peer_one = faiss_times(codes, queries)
    ratios = {k: peer_batch[k] / batch[k] for k in KS}
    note(
        f"{n_codes:,} x {n_bits}, times faster than faiss IndexBinaryFlat: batch "
        + ", ".join(f"{ratios[k]:.1f} (k = {k})" for k in KS)
        + f"; alone {peer_one / one:.1f}"
    )
    if full:
        assert counted >= 0.65
        assert ratios[K] >= batch_bar
        assert min(ratios.values()) >= 0.8 * batch_bar
        assert share >= SHARE_OF_BANDWIDTH
        # Where faiss itself comes near to reading memory as fast as it goes, no scan can be so many times faster.
        assert peer_one / one >= one_bar or limit * one_bar > peer_one


def test_a_batch_is_at_least_four_times_as_fast_as_faiss(note):
    """At every size of a run: a guard under the speed that the README promises. Both in turn, the median of ratios."""
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(5)
    codes, queries = (rng.integers(0, 256, (n, 8), np.uint8) for n in (1_000_000, 256))
    peer = faiss.IndexBinaryFlat(64)
    peer.add(codes)
    found, expected = hashkit._native.scan_k_nearest(codes, queries, 10, 1)[0], peer.search(queries, 10)[0]
    np.testing.assert_array_equal(found, expected)
    ratios = []
    for _ in range(5):
        started = time.process_time()
        hashkit._native.scan_k_nearest(codes, queries, 10, 1)
        between = time.process_time()
        peer.search(queries, 10)
        ratios.append((time.process_time() - between) / (between - started))
    note(f"1,000,000 x 64, batch of 256, k = 10: faiss IndexBinaryFlat {np.median(ratios):.1f} x as long")
    assert np.median(ratios) >= LEAST_TIMES_FAISS


def test_small_batches(full, note):
    """Eight queries pass over the codes together, piece by piece: of many codes these are read from memory once."""
    codes, queries = workload(64, 10_000_000 if full else 200_000, 1000 if full else 100)
    index, few = hashkit.Index(codes, method="scan"), queries[:8]
    alone = [index.query(query, k=K, n_threads=1) for query in few]
    np.testing.assert_array_equal(index.query(few, k=K)[1], np.stack([ids for _, ids in alone]))
    one, eight = medians_in_turn(
        [lambda: [index.query(q, k=K, n_threads=1) for q in few], lambda: index.query(few, k=K, n_threads=1)], 5
    )
    by_radius = gain(lambda n: index.radius(few, 10, n_threads=n), 5)
    note(
        f"{len(codes):,} x 64: eight queries in one call take {eight / one:.2f} of the time of eight calls; "
        f"by radius two threads are {by_radius:.2f} times as fast as one"
    )
    if full:
        assert eight < one


def test_radius_takes_as_long_as_nearest(full, note):
    """Against as many nearest neighbors as the radius finds on average, at least ten."""
    codes, queries = workload(64, 1_000_000 if full else 100_000, 1000 if full else 100)
    index, shares = hashkit.Index(codes, method="scan"), {}
    for r in (2, 5, 10):
        n_hits = len(index.radius(queries, r).ids) // len(queries)
        nearest = median_seconds(lambda n=n_hits: index.query(queries, k=max(n, K), n_threads=1), 3)
        shares[f"r = {r}, {n_hits} hits"] = (
            median_seconds(lambda r=r: index.radius(queries, r, n_threads=1), 3) / nearest
        )
    note("radius, of the time for as many neighbors: " + ", ".join(f"{t:.2f} ({r})" for r, t in shares.items()))
    if full:
        assert max(shares.values()) <= 1.1


RANKED, RANKED_WITHIN = 32, 6  # from these shares of the codes on all are ranked: csrc/scan/linear_scan.cpp


def radius_of_share(distances, share):
    """The largest radius that fewer than this share of the codes are within."""
    return int(np.sort(distances)[int(share * len(distances))]) - 1


@pytest.mark.parametrize("n_bits", [64, 1024])
def test_ranking_most_codes(n_bits, full, note):
    """Beside numpy's sort of distances that it is given, and around the shares from which on all codes are ranked."""
    n_codes = 1_000_000 if full else 50_000
    codes = np.random.default_rng(7).integers(0, 256, (n_codes, n_bits // 8), np.uint8)
    index, query = hashkit.Index(codes, method="scan"), codes[0]
    distances = hashkit.hamming_distances(query[None], codes)[0]
    expected, wide = np.argsort(distances, kind="stable"), distances.astype(np.int32)
    narrow = radius_of_share(distances, 1 / RANKED_WITHIN)
    for found in (index.query(query, k=n_codes), index.radius(query, n_bits)[0]):
        np.testing.assert_array_equal(found[0], distances[expected])
        np.testing.assert_array_equal(found[1], expected)
    works = {
        "numpy.argsort of uint16": lambda: np.argsort(distances, kind="stable"),
        "numpy.argsort of int32": lambda: np.argsort(wide, kind="stable"),
        "k = n": lambda: index.query(query, k=n_codes, n_threads=1),
        "radius of all": lambda: index.radius(query, n_bits, n_threads=1),
        "k just below a 32nd": lambda: index.query(query, k=n_codes // RANKED - 1, n_threads=1),
        "k a 32nd": lambda: index.query(query, k=n_codes // RANKED, n_threads=1),
        "radius of a 6th or less": lambda: index.radius(query, narrow, n_threads=1),
        "radius one wider": lambda: index.radius(query, narrow + 1, n_threads=1),
    }
    times = dict(zip(works, medians_in_turn(works.values(), 7), strict=True))
    shares = [(distances <= r).mean() for r in (narrow, narrow + 1)]
    note(
        f"{n_codes:,} x {n_bits}, ms for one query: "
        + ", ".join(f"{1e3 * t:.1f} ({name})" for name, t in times.items())
        + f"; within the two radii {shares[0]:.3f} and {shares[1]:.3f} of the codes"
    )
    if full:
        assert max(times["k = n"], times["radius of all"]) <= times["numpy.argsort of int32"]


def test_instruction_sets(full, note):
    codes, queries = workload(64, 1_000_000 if full else 100_000, 1000 if full else 100)
    index, times = hashkit.Index(codes, method="scan"), {}
    expected = index.query(queries, k=K)
    for isa in _native.supported_isas():
        with forced_isa(isa):
            np.testing.assert_array_equal(index.query(queries, k=K), expected)
            times[isa] = median_seconds(lambda: index.query(queries, k=K, n_threads=1), 3)
    best = min(times.values())
    note("instruction sets, times the fastest: " + ", ".join(f"{isa} {t / best:.1f}" for isa, t in times.items()))
    if full:
        assert times["portable"] <= 12 * best
        assert times.get("avx2", 0) <= 2.5 * best


def test_pack(machine, full, note):
    n_rows = 1_000_000 if full else 10_000
    values = np.empty((n_rows, 1024), np.float32)
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, 10_000):
        values[start : start + 10_000] = rng.random((10_000, 1024), np.float32) - 0.5
    codes = hashkit.pack(values, n_threads=1)
    np.testing.assert_array_equal(codes[:100], np.packbits(values[:100] > 0, axis=1))
    speed = values.nbytes / median_seconds(lambda: hashkit.pack(values, n_threads=1), 3)
    share = speed / (
        values.nbytes / median_seconds(lambda: machine.read_words(values.ctypes.data, values.size // 2, 0))
    )
    note(f"pack, {n_rows:,} x 1024 float32: {speed / 1e9:.1f} GB/s, {share:.2f} of the bandwidth")
    if full:
        assert share >= 0.8


def test_unpack_and_distances(machine, full, note):
    """Beside what bounds them: writing a byte for each bit; xor and count for each word, and writing two bytes."""
    codes, queries = workload(64, 1_000_000 if full else 100_000, 100)
    bits = hashkit.unpack(codes, n_threads=1)
    np.testing.assert_array_equal(bits[:1000], np.unpackbits(codes[:1000], axis=1))
    filled = median_seconds(lambda: np.ones_like(bits), 3)
    unpacked = median_seconds(lambda: hashkit.unpack(codes, n_threads=1), 3)
    packed = median_seconds(lambda: hashkit.pack(bits, n_threads=1), 3)
    with_numpy = median_seconds(lambda: np.unpackbits(codes, axis=1), 3)
    note(
        f"unpack, {len(codes):,} x 64: {1e3 * unpacked:.1f} ms, {filled / unpacked:.2f} of the speed of filling "
        f"as much memory, numpy.unpackbits {with_numpy / unpacked:.1f} x as long; packed again in {1e3 * packed:.1f} ms"
    )
    for n_bits in (64, 256):
        codes, queries = workload(n_bits, 100_000 if full else 10_000, 100)
        found = hashkit.hamming_distances(queries, codes, n_threads=1)
        expected = np.bitwise_count(queries[:3, None].view(np.uint64) ^ codes.view(np.uint64)).sum(axis=2)
        np.testing.assert_array_equal(found[:3], expected)
        each = median_seconds(lambda q=queries, c=codes: hashkit.hamming_distances(q, c, n_threads=1)) / found.size
        filled = median_seconds(lambda found=found: np.ones_like(found)) / found.size
        note(
            f"hamming_distances, {len(queries)} x {len(codes):,} of {n_bits} bits: {1e9 * each:.2f} ns each, filling "
            f"as much memory {1e9 * filled:.2f}, xor and count {1e9 * n_bits / 64 / words_per_second(machine):.2f}"
        )


def gain(work, rounds):
    """How many times as fast work(2) is as work(1)."""
    one, two = by_threads(work, rounds)
    return one / two


def by_threads(work, rounds):
    """Seconds of work(1) and of work(2), called in turn."""
    return medians_in_turn([lambda: work(1), lambda: work(2)], rounds)


def test_two_threads(machine, full, note):
    """The machine's own gain by a second thread stands beside each: no scan can gain much more than plain loops do."""
    codes, queries = workload(64, 10_000_000 if full else 200_000, 1000 if full else 100)
    index, words, cached = hashkit.Index(codes, method="scan"), codes.view(np.uint64), np.ones(2048, np.uint64)
    read, count = (machine.read_words, machine.read_words_by_two), (machine.count_words, machine.count_words_by_two)
    counting = gain(lambda n: count[n - 1](cached.ctypes.data, len(cached), 200_000), 5)
    batch = gain(lambda n: index.query(queries, k=K, n_threads=n), 3)
    reading = by_threads(lambda n: read[n - 1](words.ctypes.data, len(words), 0), 25)
    one = by_threads(lambda n: index.query(queries[0], k=K, n_threads=n), 25)
    share = reading[1] / one[1]
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            beside = gain(lambda n: index.query(queries[0], k=K, n_threads=n), 25)
            batch_beside = gain(lambda n: index.query(queries, k=K, n_threads=n), 3)
        finally:
            busy.kill()
    note(
        f"two threads, {len(codes):,} x 64, times as fast as one: batch {batch:.2f} (counting {counting:.2f}), "
        f"one query {one[0] / one[1]:.2f} (reading {reading[0] / reading[1]:.2f}), {share:.2f} of their bandwidth; "
        f"beside a busy process batch {batch_beside:.2f}, one query {beside:.2f}"
    )
    if full:
        assert batch >= min(1.8, 0.95 * counting)
        # Where one core reads nearly as fast as memory gives, a second adds little: then by the bandwidth of both.
        assert one[0] / one[1] >= 1.6 or share >= SHARE_OF_BANDWIDTH
        assert min(beside, batch_beside) >= 1 / 1.2


def test_where_a_second_thread_pays(machine, full, note):
    """One query by one thread and by two: the sizes around which hashkit begins to share it, and what reading gains."""
    codes, queries = workload(64, 10_000_000 if full else 200_000, 100)
    read, gains = (machine.read_words, machine.read_words_by_two), []
    for n_codes in (1_000_000, 2_000_000, 3_000_000, 4_000_000, 10_000_000) if full else (100_000, 200_000):
        index = hashkit.Index(codes[:n_codes], method="scan")
        scanning = gain(lambda n, index=index: index.query(queries[0], k=K, n_threads=n), 25)
        reading = gain(lambda n, n_codes=n_codes: read[n - 1](codes.ctypes.data, n_codes, 0), 25)
        gains.append(f"{8 * n_codes / 1e6:.0f} MB {scanning:.2f} (reading {reading:.2f})")
    note("a second thread for one query, times as fast: " + ", ".join(gains))
