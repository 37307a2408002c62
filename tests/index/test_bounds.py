"""Exact queries by bounds of distances: the answers of a scan, bit for bit."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from index_inputs import far_codes

import hashkit
from hashkit import _native
from hashkit.index import bounds

N_CODES, N_BITS = 33_000, 768
ISAS = _native.supported_isas()


def near_topics(n, seed, n_bits=N_BITS):
    return far_codes(n, n_bits, seed, noise=1.0)


@pytest.fixture(scope="module")
def far():
    """Codes, queries, an index of the codes that has bounds, and one that scans."""
    codes = near_topics(N_CODES, 1)
    scan, index = (hashkit.Index(codes, method=method) for method in ("scan", "cells"))
    assert index.describe()["parts"][0]["method"] == "cells"
    return codes, near_topics(30, 2), index, scan


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def search(codes, queries, k, n_cells, sketch_bytes, isa="", n_threads=1):
    """By bounds: distances, rows and counts."""
    n_bits = 8 * codes.shape[1]
    cells = _native.build_cells(codes, n_bits, n_cells, 0, 1)
    made = _native.build_bounds(cells, codes, sketch_bytes, 1, isa=isa)
    _native.check_bounds(made, cells, codes)
    counts = np.empty((len(queries), 4), np.int64)
    found = _native.bounded_k_nearest(made, cells, codes, queries, k, n_threads, counts=counts, isa=isa)
    return *found, counts


@st.composite
def cases(draw):
    """Few different codes, so that there are duplicates and many ties at the limit; or codes around few topics."""
    n_codes, n_words = draw(st.integers(1, 250)), draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    distinct = rng.integers(256, size=(draw(st.sampled_from([1, 2, 5, 300])), 8 * n_words), dtype=np.uint8)
    codes = distinct[rng.integers(len(distinct), size=n_codes)]
    codes = codes ^ (rng.random(codes.shape) < draw(st.sampled_from([0, 0.01, 0.3]))).astype(np.uint8)
    queries = np.concatenate([codes[:2], distinct[:2], ~codes[:1]]) ^ np.uint8(draw(st.sampled_from([0, 1, 85])))
    k, n_cells = draw(st.integers(1, n_codes)), draw(st.integers(1, min(n_codes, 12)))
    return codes, queries, k, n_cells, 8 * draw(st.integers(1, n_words))


@pytest.mark.parametrize("isa", ISAS)
@given(case=cases())
def test_the_answer_is_that_of_the_slow_twin(isa, case):
    codes, queries, k, _, _ = case
    distances, rows, _ = search(*case, isa=isa)
    expected = reference.hamming_distances(queries, codes)
    for query, (found, of) in enumerate(zip(rows, distances, strict=True)):
        order = np.lexsort((np.arange(len(codes)), expected[query]))[:k]
        np.testing.assert_array_equal(found, order)
        np.testing.assert_array_equal(of, expected[query][order])


@pytest.mark.parametrize("isa", ISAS)
def test_bounds_are_those_of_the_slow_twin_and_never_above_the_distance(isa):
    codes, queries = near_topics(1500, 1, 512), near_topics(10, 2, 512)
    cells = _native.build_cells(codes, 512, 30, 0, 1)
    made = _native.build_bounds(cells, codes, 16, 1, isa=isa)
    places, _, reaches, rows, distances, rests, _ = _native.bounds_arrays(made)
    twin = reference.BoundsTwin(codes, _native.cell_centroids(cells), 128)
    np.testing.assert_array_equal(places, twin.places)
    np.testing.assert_array_equal(rows, np.concatenate(twin.rows))
    np.testing.assert_array_equal(distances, np.concatenate(twin.distances))
    np.testing.assert_array_equal(rests, np.concatenate(twin.rests))
    np.testing.assert_array_equal(reaches, [max(each, default=0) for each in twin.distances])
    for query in queries:
        least, exact = twin.lower_bounds(query), reference.hamming_distances(query[None], codes)[0]
        assert (least <= exact).all()
        assert least.mean() > 0.6 * exact.mean(), "bounds must tell something"


def test_tight_bounds_rule_out_nothing_that_is_near_enough():
    """Codes on the way from the query to the centroid are as far as their bound says: the limit must include them."""
    centroid, far_away = np.zeros(64, np.uint8), np.full(64, 255, np.uint8)
    on_the_way = np.packbits(np.tri(512, dtype=np.uint8)[:200], axis=1)
    codes = np.concatenate([np.repeat(centroid[None], 300, axis=0), on_the_way, np.repeat(on_the_way[150:], 3, axis=0)])
    queries = np.concatenate(
        [far_away[None], on_the_way[60:61], np.packbits(np.tri(512, dtype=np.uint8)[-9:-8], axis=1)]
    )
    for n_cells in (1, 2, 7):
        for k in (1, 2, 3, 5, 160, 400):
            found = search(codes, queries, k, n_cells, 8)
            assert_same(found[:2], _native.scan_k_nearest(codes, queries, k, 1))


@pytest.mark.parametrize("k", [1, 10, 100])
def test_less_is_read_and_nothing_else_changes(far, k):
    _, queries, index, scan = far
    distances, ids, stats = index.query_stats(queries, k)
    assert_same((distances, ids), scan.query(queries, k))
    assert stats.exact.all()
    assert stats.scanned.mean() < (0.2 if k == 100 else 0.05)
    assert (stats.radius == -1).all()
    assert 0 < stats.candidates.mean() < N_CODES / 4
    assert 0 < stats.probes.mean() < index.describe()["parts"][0]["cells"]["n_cells"]
    for n_threads in (1, 2, 7):
        assert_same(index.query(queries, k, n_threads=n_threads), (distances, ids))
    assert_same(index.query(queries[3], k), (distances[3], ids[3]))
    assert_same(index.query(queries, k, max_candidates=5)[:2], (distances, ids))


def test_large_batches_and_many_neighbors_are_scanned(far):
    codes, _, index, scan = far
    many = codes[: bounds.MOST_QUERIES + 1] ^ np.uint8(1)
    assert not index.query_stats(many[:-1], 5)[2].scanned.any()
    assert index.query_stats(many, 5)[2].scanned.all()
    most = N_CODES // bounds.LEAST_CODES_PER_NEIGHBOR
    for k, scans in ((most, False), (most + 1, True), (N_CODES + 1, True)):
        assert_same(index.query(many[:2], k), scan.query(many[:2], k))
        assert index.query_stats(many[:2], k)[2].scanned.all() == scans


def changes(index, scan, queries):
    """Make the same changes to both indexes, and stop before the first and behind each of them."""
    for change in ("none", "remove", "add", "compact"):
        for each in (index, scan):
            if change == "remove":
                each.remove(np.unique(each.query(queries, 2)[1]))
            elif change == "add":
                each.add(queries[:9])
            elif change == "compact":
                each.compact()
        yield


def test_filters_ids_and_changes():
    codes, queries = near_topics(N_CODES, 1), near_topics(20, 2)
    ids = np.arange(N_CODES) * 3 + 7
    index, scan = (hashkit.Index(codes, ids=ids, method=method) for method in ("cells", "scan"))
    for _ in changes(index, scan, queries):
        mask = np.random.default_rng(0).random(len(index)) < 0.3
        for chosen in (None, ids[::2], ids[:300], ids[:3], mask, ids[:0]):
            for few in (queries, queries[0]):
                assert_same(index.query(few, 10, filter=chosen), scan.query(few, 10, filter=chosen))
        assert (index.query_stats(queries, 10)[2].candidates > 0).all()
    assert index.describe()["parts"][0]["method"] == "cells"


def test_queries_that_bounds_do_not_help_are_scanned(far):
    """Half of the codes lie around topics and half anywhere: the sample says that bounds pay, for most queries."""
    queries = far[1]
    rng = np.random.default_rng(4)
    anywhere = rng.integers(256, size=(5, N_BITS // 8), dtype=np.uint8)
    mixed = np.concatenate([near_topics(N_CODES, 3), rng.integers(256, size=(4000, N_BITS // 8), dtype=np.uint8)])
    mixed_index, scan = hashkit.Index(mixed, method="cells"), hashkit.Index(mixed, method="scan")
    assert mixed_index.describe()["parts"][0]["method"] == "cells"
    assert mixed_index.query_stats(anywhere, 10)[2].scanned.all()
    assert not mixed_index.query_stats(queries, 10)[2].scanned.all()
    both = np.concatenate([queries[:10], anywhere])
    for n_threads in (1, 3):
        assert_same(mixed_index.query(both, 10, n_threads=n_threads), scan.query(both, 10))
        assert_same(mixed_index.query(anywhere[0], 10, n_threads=n_threads), scan.query(anywhere[0], 10))
    # What was read until then is a small part of what the scan reads.
    assert (mixed_index.query_stats(anywhere, 10)[2].candidates < len(mixed) / 10).all()


def test_where_bounds_do_not_pay_there_are_none(rng):
    codes = rng.integers(256, size=(N_CODES, 64), dtype=np.uint8)
    index, queries = hashkit.Index(codes, method="cells"), codes[:5] ^ np.uint8(1)
    (part,) = index.describe()["parts"]
    assert part["method"] == "scan"
    assert part["bounds"]["memory"] == 0
    assert part["bounds"]["work"] > 1
    assert_same(index.query(queries, 10), hashkit.Index(codes, method="scan").query(queries, 10))
    assert index.query_stats(queries, 10)[2].scanned.all()


@pytest.mark.parametrize(
    ("n_bits", "options"), [(56, {}), (256, {"compact": True}), (768, {"compact": True}), (1024, {"method": "auto"})]
)
def test_bounds_are_made_for_long_codes_that_get_cells(n_bits, options):
    index = hashkit.Index(near_topics(N_CODES, 1, n_bits), **{"method": "cells", **options})
    (part,) = index.describe()["parts"]
    assert "bounds" not in part
    assert part["method"] == ("mih" if "method" in options and n_bits <= 512 else "scan")


@pytest.fixture(scope="module", params=[64, 250, 504])
def short(request):
    """Short codes, queries, an index that reads copies of codes in the order of its cells, and one that scans."""
    unused = np.uint8(0xFF << -request.param % 8 & 0xFF)
    codes, queries = near_topics(N_CODES, 1, 512), near_topics(30, 2, 512)
    codes, queries = (each[:, : -(-request.param // 8)].copy() for each in (codes, queries))
    for each in (codes, queries):
        each[:, -1] &= unused
    scan, index = (hashkit.Index(codes, n_bits=request.param, method=method) for method in ("scan", "cells"))
    (part,) = index.describe()["parts"]
    assert part["method"] == "cells"
    assert (part["bounds"]["sketch_bits"], part["bounds"]["memory"]) == (0, 0)
    return codes, queries, index, scan


@pytest.mark.parametrize("k", [1, 10, 100])
def test_short_codes_are_read_by_their_distance_from_centroids(short, k):
    _, queries, index, scan = short
    distances, ids, stats = index.query_stats(queries, k)
    assert_same((distances, ids), scan.query(queries, k))
    assert stats.exact.all()
    assert not stats.scanned.any()
    assert 0 < stats.candidates.mean() < N_CODES / 2
    assert 0 < stats.probes.mean() < index.describe()["parts"][0]["cells"]["n_cells"]
    assert_same(index.query(queries, k, n_threads=3), (distances, ids))
    far_from_all = ~queries if index.n_bits % 8 == 0 else np.ascontiguousarray(queries[::-1])
    assert_same(index.query(far_from_all, k), scan.query(far_from_all, k))


def test_short_codes_with_filters_and_changes(short):
    codes, queries, *_ = short
    ids = np.arange(N_CODES) * 3 + 7
    index, scan = (hashkit.Index(codes, ids=ids, n_bits=short[2].n_bits, method=method) for method in ("cells", "scan"))
    for _ in changes(index, scan, queries):
        for chosen in (None, ids[::2], ids[:300], np.random.default_rng(0).random(len(index)) < 0.3):
            assert_same(index.query(queries, 10, filter=chosen), scan.query(queries, 10, filter=chosen))
    assert index.describe()["parts"][0]["method"] == "cells"


@pytest.mark.parametrize("isa", ISAS)
@given(case=cases())
def test_copies_have_the_answer_of_the_slow_twin(isa, case):
    codes, queries, k, n_cells, _ = case
    n_bits = 8 * codes.shape[1]
    made = _native.build_cells(codes, n_bits, n_cells, codes.shape[1], 1)
    found = _native.cells_k_nearest(made, codes, queries, k, 1, 2 * n_bits, None, n_bits, isa=isa)
    assert_same(found, _native.scan_k_nearest(codes, queries, k, 1))


def test_short_uniform_codes_are_scanned(rng):
    index = hashkit.Index(rng.integers(256, size=(N_CODES, 16), dtype=np.uint8), method="cells")
    (part,) = index.describe()["parts"]
    assert (part["method"], part["bounds"]["memory"]) == ("scan", 0)
    assert part["bounds"]["work"] > 0.9


def test_memory(far):
    _, _, index, _ = far
    described = index.describe()
    (part,) = described["parts"]
    assert described["memory"] == part["cells"]["memory"] + part["bounds"]["memory"]
    assert part["bounds"]["sketch_bits"] == 128
    assert part["bounds"]["memory"] < 0.33 * N_CODES * N_BITS / 8


def test_bad_arguments_are_refused(far):
    codes, queries, _, _ = far
    cells = _native.build_cells(codes[:100], N_BITS, 5, 0, 1)
    made = _native.build_bounds(cells, codes[:100], 8, 1)
    others = _native.build_cells(codes[:90], N_BITS, 4, 0, 1)
    for sketch_bytes in (0, 7, N_BITS // 8 + 8):
        with pytest.raises(ValueError, match="sketch_bytes must be a multiple of 8 within the codes"):
            _native.build_bounds(cells, codes[:100], sketch_bytes, 1)
    with pytest.raises(ValueError, match="codes must be those of the cells"):
        _native.bounded_k_nearest(made, cells, codes[:90], queries, 3, 1)
    with pytest.raises(ValueError, match="bounds must be those of the cells"):
        _native.bounded_k_nearest(made, others, codes[:90], queries, 3, 1)
    for k in (0, 101):
        with pytest.raises(ValueError, match="k must be 1 to the number of codes"):
            _native.bounded_k_nearest(made, cells, codes[:100], queries, k, 1)
    with pytest.raises(ValueError, match="limits must have one for each query"):
        _native.bounded_k_nearest(made, cells, codes[:100], queries, 3, 1, limits=np.zeros(2, np.int32))
    with pytest.raises(ValueError, match="counts must have four columns"):
        _native.bounded_k_nearest(made, cells, codes[:100], queries, 3, 1, counts=np.zeros((30, 3), np.int64))
