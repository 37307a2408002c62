"""Searches that nearly everything answers: the same as of small ones, in memory for the answer, or refused."""

import numpy as np
import pytest
import reference
from isas import forced_isa

import hashkit
from hashkit import _native
from hashkit.index import blocks, tables
from hashkit.index.snapshot import Part


def sets(rng, n_codes=9000, n_bytes=2):
    codes = rng.integers(0, 256, (n_codes, n_bytes), np.uint8)
    codes[: n_codes // 3] &= 0x3F  # not every distance is alike
    return codes, codes[rng.permutation(n_codes)[:40]].copy()


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("share", [1, 0.5, 1 / 31, 1 / 40])
def test_nearest_of_nearly_all(rng, isa, n_threads, share):
    codes, queries = sets(rng)
    k = int(len(codes) * share)
    expected = reference.k_nearest(codes, queries, k)
    with forced_isa(isa):
        for some in (slice(None), slice(1)):
            found = hashkit.Index(codes, method="scan").query(queries[some], k, n_threads=n_threads)
            for left, right in zip(found, expected, strict=True):
                np.testing.assert_array_equal(left, right[some])


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("radius", [16, 8, 4])
def test_within_a_radius_of_nearly_all(rng, isa, n_threads, radius):
    codes, queries = sets(rng)
    expected = reference.within_radius(codes, queries, radius)
    with forced_isa(isa):
        for some in (queries, queries[:15]):
            found = hashkit.Index(codes, method="scan").radius(some, radius, n_threads=n_threads)
            for (distances, ids), wanted in zip(found, expected[: len(some)], strict=True):
                np.testing.assert_array_equal(distances, wanted[0])
                np.testing.assert_array_equal(ids, wanted[1])


def test_many_rows_are_shared_among_threads(rng):
    codes, queries = sets(rng, 400_000, 4)
    index = hashkit.Index(codes, method="scan")
    one, three = (index.query(queries[0], len(codes), n_threads=n) for n in (1, 3))
    distances = np.bitwise_count(codes ^ queries[0]).sum(axis=1, dtype=np.int32)
    order = np.argsort(distances, kind="stable")
    for found in (one, three):
        np.testing.assert_array_equal(found[1], order)
        np.testing.assert_array_equal(found[0], distances[order])


def test_what_is_left_out_is_not_ranked(rng):
    codes, queries = sets(rng)
    index = hashkit.Index(codes, method="scan")
    index.remove(np.arange(0, 9000, 2))
    allowed = rng.random(len(index)) < 0.7
    kept = np.arange(1, 9000, 2)[allowed]
    found, ids = index.query(queries, 9000, filter=allowed)
    distances = np.bitwise_count(codes[kept] ^ queries[:, np.newaxis]).sum(axis=2, dtype=np.int32)
    order = np.argsort(distances, axis=1, kind="stable")
    np.testing.assert_array_equal(ids, kept[order])
    np.testing.assert_array_equal(found, np.take_along_axis(distances, order, axis=1))
    within = index.radius(queries, 16, filter=allowed)
    np.testing.assert_array_equal(within.ids.reshape(ids.shape), ids)


@pytest.mark.parametrize(("metric", "radius"), [("hamming", 16), ("hamming", 6), ("jaccard", 1.0), ("jaccard", 0.6)])
@pytest.mark.parametrize("entries", [1, 5000, 100_000])
def test_blocks_are_one_answer(rng, monkeypatch, metric, radius, entries):
    codes, queries = sets(rng)
    index = hashkit.Index(codes, metric=metric, ids=rng.permutation(20_000)[:9000])
    index.add(codes[:100])
    whole = index.radius(queries, radius)
    monkeypatch.setattr(blocks, "PAIRS_WITHOUT_ESTIMATE", 0)
    monkeypatch.setattr(blocks, "ENTRIES_PER_BLOCK", entries)
    monkeypatch.setattr(blocks, "GROWTH", 0)
    parts = index.radius(queries, radius)
    for name in ("offsets", "distances", "ids"):
        left, right = getattr(parts, name), getattr(whole, name)
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype


def test_an_answer_without_memory_is_refused_before_the_search(monkeypatch, rng):
    codes, _ = sets(rng)
    index = hashkit.Index(np.tile(codes, (112, 1)), method="scan")

    def never(*_):
        raise AssertionError("it has begun")

    monkeypatch.setattr("hashkit.index.search._within_radius", never)
    queries = np.zeros((10_000_000, 2), np.uint8)
    with pytest.raises(MemoryError, match=r"about [\d,]{17} codes are within the radius.* 11\d,\d+\.\d GiB"):
        index.radius(queries, 16)


def test_an_answer_that_grows_too_large_is_refused(monkeypatch, rng):
    codes, queries = sets(rng)
    monkeypatch.setattr(blocks, "PAIRS_WITHOUT_ESTIMATE", 0)
    monkeypatch.setattr(blocks, "ENTRIES_PER_BLOCK", 9000)
    monkeypatch.setattr(blocks, "free_memory", lambda: 12 * 9000 * 20)
    monkeypatch.setattr(blocks, "_sample", lambda *_: (0, 1))  # it misses all that there is
    index = hashkit.Index(codes)
    assert index.radius(queries[:10], 16).offsets[-1] == 90_000
    with pytest.raises(MemoryError, match="about 360,000 codes are within the radius"):
        index.radius(queries, 16)
    assert blocks.free_memory() > 0


PEAK = """
import resource, numpy as np, hashkit
codes = np.random.default_rng(0).integers(0, 256, (200_000, 8), np.uint8)
index = hashkit.Index(codes, method="scan")
index.radius(codes[:1], 64)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
found = index.radius(codes[:200], 64, n_threads=1)
print((peak() - before) / (found.ids.nbytes + found.distances.nbytes))
"""


def test_a_large_answer_takes_little_more_than_itself(run_python):
    assert float(run_python(PEAK).stdout) < 1.3


@pytest.mark.parametrize("n_codes", [2**32 - 1, 2**32, 2**40])
def test_more_codes_than_tables_can_hold_are_scanned(n_codes):
    codes = np.broadcast_to(np.zeros(8, np.uint8), (n_codes, 8))  # takes no memory
    part = Part(codes, None, None, n_codes)
    assert tables.TablePolicy("auto").applies_to(part, 64) == (n_codes < 2**32)
