"""Multi-index hashing gives what a scan gives, whatever the codes are like, and counts what it did."""

import pickle

import numpy as np
import pytest
from children import seconds_to_stop

import hashkit
from hashkit import _native
from hashkit.datasets import synthetic_codes


def clustered(rng, n_codes, n_bytes):
    centers = rng.integers(0, 256, (7, n_bytes), dtype=np.uint8)
    flips = np.packbits(rng.random((n_codes, 8 * n_bytes)) < 0.04, axis=1)
    return centers[rng.integers(0, 7, n_codes)] ^ flips


def near(rng, n_codes, n_bytes):
    codes = np.zeros((n_codes, n_bytes), np.uint8)
    codes[np.arange(n_codes), rng.integers(0, n_bytes, n_codes)] = 1 << rng.integers(0, 8, n_codes)
    return codes


KINDS = {
    "uniform": lambda rng, n, n_bytes: rng.integers(0, 256, (n, n_bytes), dtype=np.uint8),
    "clustered": clustered,
    "near": near,
    "equal": lambda rng, n, n_bytes: np.full((n, n_bytes), 0x5A, np.uint8),
    "two values": lambda rng, n, n_bytes: np.where(rng.random((n, 1)) < 0.5, np.uint8(0), np.uint8(255)).repeat(
        n_bytes, axis=1
    ),
    "one heavy bucket": lambda rng, n, n_bytes: np.where(
        rng.random((n, 1)) < 0.7, np.uint8(7), rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    ),
    "sorted": lambda rng, n, n_bytes: np.sort(rng.integers(0, 256, (n, n_bytes), dtype=np.uint8), axis=0),
}


def queries_for(rng, codes):
    return np.concatenate([codes[:6], rng.integers(0, 256, (4, codes.shape[1]), dtype=np.uint8)])


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_bytes", [2, 3, 8, 13, 16, 33, 80])
def test_answers_are_those_of_a_scan(rng, kind, n_bytes, compact):
    for n_codes in (1, 2, 700, 40_000 if n_bytes <= 16 else 5000):
        codes = KINDS[kind](rng, n_codes, n_bytes)
        queries = queries_for(rng, codes)
        tables = hashkit.Index(codes, method="mih", compact=compact)
        scan = hashkit.Index(codes, method="scan")
        for k in (1, 10, 300):
            # A maximum that is never reached: nothing is left to a scan from the outset.
            for got in (tables.query(queries, k=k), tables.query_stats(queries, k, max_candidates=2**60)[:2]):
                for a, b in zip(got, scan.query(queries, k=k), strict=True):
                    np.testing.assert_array_equal(a, b)
        for r in (0, 3, n_bytes, 8 * n_bytes if n_codes < 1000 else 9):
            got, expected = tables.radius(queries, r), scan.radius(queries, r)
            np.testing.assert_array_equal(got.offsets, expected.offsets)
            np.testing.assert_array_equal(got.distances, expected.distances)
            np.testing.assert_array_equal(got.ids, expected.ids)


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("n_bits", [16, 61, 64, 100, 128, 250])
def test_every_instruction_set_and_length(rng, isa, n_bits):
    codes = hashkit.pack(np.ascontiguousarray(hashkit.unpack(clustered(rng, 20_000, 32))[:, :n_bits]))
    queries = codes[:20]
    tables = _native.build_tables(codes, n_bits, False, 2)
    distances, rows = _native.mih_k_nearest(tables, codes, queries, 12, 2, isa=isa)
    expected = _native.scan_k_nearest(codes, queries, 12, 1)
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(rows, expected[1])


def test_most_queries_of_clustered_codes_end_in_the_tables():
    codes, queries = synthetic_codes("clustered", n_codes=200_000, n_queries=200, n_bits=64, random_state=1)
    index = hashkit.Index(codes)
    distances, ids, stats = index.query_stats(queries, k=1)
    expected = hashkit.Index(codes, method="scan").query(queries, k=1)
    np.testing.assert_array_equal(distances, expected[0])
    np.testing.assert_array_equal(ids, expected[1])
    assert stats.scanned.mean() < 0.1
    assert stats.exact.all()
    found_in_tables = ~stats.scanned
    assert (stats.radius[found_in_tables] >= distances[found_in_tables, -1]).all()
    assert 0 < stats.candidates[found_in_tables].mean() < 5000
    again = index.query_stats(queries, k=1, n_threads=1)[2]
    for name in ("probes", "candidates", "radius", "scanned", "exact"):
        np.testing.assert_array_equal(getattr(again, name), getattr(stats, name))


def test_queries_of_uniform_codes_are_left_to_a_scan(rng):
    codes = rng.integers(0, 256, (100_000, 8), dtype=np.uint8)
    stats = hashkit.Index(codes).query_stats(rng.integers(0, 256, (50, 8), dtype=np.uint8), k=10)[2]
    assert stats.scanned.all()
    assert (stats.probes == 0).all()


def test_the_description_says_for_which_k_tables_pay(rng):
    clustered_codes, _ = synthetic_codes("clustered", n_codes=200_000, n_queries=1, n_bits=64, random_state=1)
    (part,) = hashkit.Index(clustered_codes).describe()["parts"]
    assert part["share_by_tables"][1] > 0.9
    assert set(part["nanoseconds"]) == {"key", "bucket", "code", "scan", "trial"}
    assert 0 < part["nanoseconds"]["trial"] < part["nanoseconds"]["scan"]
    (part,) = hashkit.Index(rng.integers(0, 256, (100_000, 32), np.uint8)).describe()["parts"]
    assert part["share_by_tables"] == {1: 0, 10: 0, 100: 0}


@pytest.mark.parametrize("isa", _native.supported_isas())
def test_a_single_query_with_far_neighbors_is_scanned_at_once(rng, isa):
    """Half of the codes lie in one tight cloud: the mean of all distances says little of either half."""
    codes = rng.integers(0, 256, (60_000, 16), np.uint8)
    codes[::2] = codes[0] ^ (rng.random((30_000, 16)) < 0.2).astype(np.uint8)
    tables = _native.build_tables(codes, 128, False, 1, isa=isa)
    queries = np.concatenate([rng.integers(0, 256, (20, 16), np.uint8), codes[:20]])
    counts = np.empty((1, 5), np.int64)
    for query in queries[:, None]:
        found = _native.mih_k_nearest(tables, codes, query, 10, 1, None, None, None, counts, isa=isa)
        for got, expected in zip(found, _native.scan_k_nearest(codes, query, 10, 1), strict=True):
            np.testing.assert_array_equal(got, expected)
        assert counts[0, 3] or counts[0, 1] < len(codes) / 2


def test_search_cut_short_says_so():
    codes, queries = synthetic_codes("clustered", n_codes=100_000, n_queries=100, n_bits=64, random_state=1)
    index = hashkit.Index(codes)
    expected = index.query(queries, k=10)
    distances, ids, stats = index.query_stats(queries, k=10, max_candidates=50)
    assert 0 < np.count_nonzero(~stats.exact) < len(queries)
    np.testing.assert_array_equal(distances[stats.exact], expected[0][stats.exact])
    np.testing.assert_array_equal(ids[stats.exact], expected[1][stats.exact])
    assert (distances >= expected[0]).all()
    assert not stats.scanned.any()
    for found, of_stats in zip(
        index.query(queries, k=10, max_candidates=50), (distances, ids, stats.exact), strict=True
    ):
        np.testing.assert_array_equal(found, of_stats)
    single = index.query(queries[0], k=10, max_candidates=50)
    np.testing.assert_array_equal(single[1], ids[0])
    assert single[2] == stats.exact[0]


@pytest.mark.parametrize("n_queries", [1, 20])
def test_places_that_a_search_cut_short_leaves_empty(rng, n_queries):
    codes = rng.integers(0, 256, (3000, 8), np.uint8)
    index = hashkit.Index(codes, ids=3 * np.arange(3000), method="mih")
    for filter in (None, rng.random(3000) < 0.5):
        distances, ids, stats = index.query_stats(codes[:n_queries], 700, filter=filter, max_candidates=1)
        is_empty = distances == 2**31 - 1
        assert is_empty.any(axis=1).all()
        assert not stats.exact.any()
        np.testing.assert_array_equal(ids == -1, is_empty)


@pytest.mark.parametrize("max_candidates", [0, -1, 2.5, True, "all"])
def test_max_candidates_is_checked(max_candidates):
    index = hashkit.Index(np.zeros((3, 2), np.uint8))
    with pytest.raises((TypeError, ValueError), match="max_candidates must be"):
        index.query(np.zeros((1, 2), np.uint8), max_candidates=max_candidates)


def test_filters_removals_and_additions(rng):
    codes = clustered(rng, 60_000, 8)
    queries = queries_for(rng, codes)
    index, twin = hashkit.Index(codes, method="mih"), hashkit.Index(codes, method="scan")
    mask = rng.random(len(codes)) < 0.4
    listed = np.flatnonzero(rng.random(len(codes)) < 0.001)
    for change in (
        lambda index: None,
        lambda index: index.remove(np.arange(0, 9000, 3)),
        lambda index: index.add(codes[:5000] ^ 1),
        lambda index: index.replace(codes[30_000:30_050] ^ 3, np.arange(30_000, 30_050)),
        lambda index: index.compact(),
    ):
        change(index)
        change(twin)
        rows = np.resize(mask, len(index))
        for chosen in (None, rows, listed):
            if chosen is rows and not index._state.arrived_in_order:
                continue
            for a, b in zip(
                index.query(queries, k=50, filter=chosen), twin.query(queries, k=50, filter=chosen), strict=True
            ):
                np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(
                index.radius(queries, 5, filter=chosen).ids, twin.radius(queries, 5, filter=chosen).ids
            )
    assert [part["method"] for part in twin.describe()["parts"]] == ["scan"]
    assert [part["method"] for part in index.describe()["parts"]] == ["mih"]


def test_auto_makes_tables_where_they_pay(rng, tmp_path):
    small = hashkit.Index(rng.integers(0, 256, (1000, 8), dtype=np.uint8))
    large = hashkit.Index(rng.integers(0, 256, (40_000, 8), dtype=np.uint8))
    long = hashkit.Index(rng.integers(0, 256, (40_000, 128), dtype=np.uint8))
    assert [index.describe()["parts"][0]["method"] for index in (small, large, long)] == ["scan", "mih", "scan"]
    large.save(tmp_path / "index")
    methods = {}
    for mmap in (False, True):
        for method in ("auto", "scan", "mih"):
            loaded = hashkit.Index.load(tmp_path / "index", mmap=mmap, method=method)
            methods[mmap, method] = loaded.describe()["parts"][0]["method"]
    assert methods == {
        (False, "auto"): "mih",
        (False, "scan"): "scan",
        (False, "mih"): "mih",
        (True, "auto"): "scan",
        (True, "scan"): "scan",
        (True, "mih"): "mih",
    }


def test_description(rng):
    index = hashkit.Index(rng.integers(0, 256, (100_000, 8), dtype=np.uint8))
    described = index.describe()
    (part,) = described["parts"]
    assert (described["n_codes"], described["n_bits"], described["metric"]) == (100_000, 64, "hamming")
    assert sum(part["widths"]) == 64
    assert np.bincount(part["substring_of_bit"]).tolist() == part["widths"]
    # A row and a code in each table, and besides an offset and a bit for each key.
    keys = sum(2**width for width in part["widths"])
    assert described["memory"] == pytest.approx(len(part["widths"]) * 100_000 * 12 + 4.125 * keys, rel=0.01)
    compact = hashkit.Index(rng.integers(0, 256, (100_000, 8), dtype=np.uint8), compact=True).describe()
    assert compact["memory"] == pytest.approx(len(part["widths"]) * 100_000 * 4 + 4.125 * keys, rel=0.01)


def test_bits_that_always_agree_go_to_different_substrings(rng):
    bits = rng.random((40_000, 32)) < 0.5
    doubled = hashkit.pack(np.repeat(bits, 2, axis=1))
    (part,) = hashkit.Index(doubled).describe()["parts"]
    substring = np.array(part["substring_of_bit"])
    assert (substring[::2] != substring[1::2]).mean() > 0.9  # the last bits go where there is room


def test_copies_have_their_own_tables(rng):
    index = hashkit.Index(rng.integers(0, 256, (40_000, 8), dtype=np.uint8))
    twin = pickle.loads(pickle.dumps(index))
    described = [one.describe() for one in (twin, index)]
    for one in described:  # what was measured differs from run to run
        del one["parts"][0]["nanoseconds"], one["parts"][0]["share_by_tables"]
    assert described[0] == described[1]
    twin.remove(0)
    assert len(index) == 40_000


@pytest.mark.parametrize("option", [{"method": "flat"}, {"method": None}, {"compact": 1}])
def test_options_are_checked(option):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(option))} must be"):
        hashkit.Index(np.zeros((3, 2), np.uint8), **option)


def test_native_tables_refuse_other_codes(rng):
    codes = rng.integers(0, 256, (100, 8), dtype=np.uint8)
    tables = _native.build_tables(codes, 64, False, 1)
    with pytest.raises(ValueError, match="those of the tables"):
        _native.mih_k_nearest(tables, codes[:50].copy(), codes[:1], 1, 1)
    with pytest.raises(ValueError, match="n_bits"):
        _native.build_tables(codes, 65, False, 1)
    with pytest.raises(ValueError, match="k must not exceed"):
        _native.mih_k_nearest(tables, codes, codes[:1], 101, 1)


def test_ctrl_c_stops_a_build():
    work = """
        codes = rng.integers(0, 256, (6_000_000, 32), np.uint8)
        # begin
        for _ in range(10):
            hashkit.Index(codes)
    """
    assert seconds_to_stop(work, 0.3) < 5  # on a busy machine; 0.2 s on an idle one


def test_no_memory_for_tables_is_an_error_that_leaves_nothing_behind(run_python):
    program = """
import resource, numpy as np, hashkit
codes = np.random.default_rng(0).integers(0, 256, (3_000_000, 8), np.uint8)
index = hashkit.Index(codes[:40_000])
def address_space():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
used = address_space()
resource.setrlimit(resource.RLIMIT_AS, (used + (30 << 20), resource.RLIM_INFINITY))
try:
    hashkit.Index(codes)
except MemoryError:
    print("refused", address_space() - used < 2 << 20)
print(*index.query(codes[7], k=1))
print(*hashkit.Index(codes, method="scan").query(codes[7], k=1))
"""
    done = run_python(program)
    assert (done.stdout, done.stderr) == ("refused True\n[0] [7]\n[0] [7]\n", "")
