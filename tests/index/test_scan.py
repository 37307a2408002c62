"""Exact search against sorting everything: every instruction set, any number of threads, any order of the codes."""

import hypothesis.strategies as st
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from isas import forced_isa

import hashkit
from hashkit import _native

ISAS = _native.supported_isas()
WIDTHS = [1, 2, 3, 4, 7, 8, 9, 12, 16, 24, 32, 33, 64, 100, 512]


@pytest.fixture(params=ISAS)
def isa(request):
    """Every instruction set in turn."""
    with forced_isa(request.param):
        yield request.param


def tied_codes(rng, n_codes, n_bytes):
    """Codes of which many are equal and many are near: ties decide every place."""
    centers = rng.integers(0, 256, (3, n_bytes), np.uint8)
    codes = centers[rng.integers(0, 3, n_codes)]
    rows = np.flatnonzero(rng.random(n_codes) < 0.5)
    codes[rows, rng.integers(0, n_bytes, len(rows))] ^= np.uint8(1) << rng.integers(0, 8, len(rows), np.uint8)
    return codes


def assert_same_nearest(index, codes, queries, k, ids=None, n_threads=None):
    distances, found = index.query(queries, k, n_threads=n_threads)
    expected_distances, expected_ids = reference.k_nearest(codes, queries, k, ids)
    assert distances.dtype == np.int32
    assert found.dtype == np.int64
    np.testing.assert_array_equal(distances, expected_distances)
    np.testing.assert_array_equal(found, expected_ids)


def assert_same_within(index, codes, queries, radius, ids=None, n_threads=None):
    result = index.radius(queries, radius, n_threads=n_threads)
    assert result.offsets.dtype == result.ids.dtype == np.int64
    assert result.distances.dtype == np.int32
    expected = reference.within_radius(codes, queries, radius, ids)
    assert len(result) == len(expected)
    for (distances, found), (expected_distances, expected_ids) in zip(result, expected, strict=True):
        np.testing.assert_array_equal(distances, expected_distances)
        np.testing.assert_array_equal(found, expected_ids)


@pytest.mark.parametrize("n_bytes", WIDTHS)
@pytest.mark.parametrize("n_queries", [1, 3, 4, 21])
def test_every_width(isa, rng, n_bytes, n_queries):
    codes = np.concatenate([tied_codes(rng, 400, n_bytes), rng.integers(0, 256, (300, n_bytes), np.uint8)])
    queries = codes[rng.integers(0, len(codes), n_queries)]
    index = hashkit.Index(codes)
    for k in (1, 10, 500):
        assert_same_nearest(index, codes, queries, k)
    for radius in (0, 2, 4 * n_bytes, 8 * n_bytes):
        assert_same_within(index, codes, queries, radius)


@pytest.mark.parametrize("isa", ISAS)
@given(data=st.data())
@settings(max_examples=60)
def test_anything(isa, data):
    n_codes, n_bytes = data.draw(st.integers(0, 300)), data.draw(st.integers(1, 20))
    n_queries, k = data.draw(st.integers(0, 8)), data.draw(st.integers(1, 320))
    radius, n_threads = data.draw(st.integers(0, 8 * n_bytes + 5)), data.draw(st.sampled_from([None, 1, 2, 5]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    codes, queries = tied_codes(rng, n_codes, n_bytes), tied_codes(rng, n_queries, n_bytes)
    ids = rng.permutation(3 * n_codes)[:n_codes] - n_codes if data.draw(st.booleans()) else None
    index = hashkit.Index(codes, ids=ids)
    with forced_isa(isa):
        assert_same_nearest(index, codes, queries, k, ids, n_threads)
        assert_same_within(index, codes, queries, radius, ids, n_threads)


@pytest.mark.parametrize("n_bits", [1, 5, 13, 63, 65, 100])
def test_padding_does_not_count(isa, rng, n_bits):
    codes = hashkit.pack(rng.random((300, n_bits)) < 0.5)
    queries = hashkit.pack(rng.random((9, n_bits)) < 0.5)
    index = hashkit.Index(codes, n_bits=n_bits)
    assert index.n_bits == n_bits
    assert_same_nearest(index, codes, queries, 50)
    assert len(index.radius(queries, n_bits).ids) == 9 * 300


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_one_query_over_many_codes(isa, rng, n_threads):
    codes = rng.integers(0, 4, (450_000, 40), np.uint8)  # enough to be shared among threads; ties everywhere
    query = codes[:1]
    order = np.argsort(np.bitwise_count(codes ^ query).sum(axis=1, dtype=np.int32), kind="stable")[:1000]
    distances, ids = hashkit.Index(codes).query(query, 1000, n_threads=n_threads)
    np.testing.assert_array_equal(ids[0], order)
    np.testing.assert_array_equal(distances[0], np.bitwise_count(codes[order] ^ query).sum(axis=1))


def test_a_single_query_is_answered_in_one_dimension(isa, rng):
    codes = tied_codes(rng, 50, 8)
    index = hashkit.Index(codes)
    distances, ids = index.query(codes[7], 5)
    assert distances.shape == ids.shape == (5,)
    np.testing.assert_array_equal((distances, ids), [part[0] for part in index.query(codes[7:8], 5)])
    result = index.radius(codes[7], 3)
    assert len(result) == 1
    np.testing.assert_array_equal(result[0], index.radius(codes[7:8], 3)[0])


def test_more_than_there_are(isa, rng):
    codes = tied_codes(rng, 5, 8)
    index = hashkit.Index(codes)
    assert index.query(codes, 100)[0].shape == (5, 5)
    assert_same_nearest(index, codes, codes, 6)
    assert_same_nearest(index, codes, codes, 2**62)
    assert_same_within(index, codes, codes, 10**6)


def test_an_empty_index(isa):
    index = hashkit.Index(np.zeros((0, 8), np.uint8))
    assert len(index) == 0
    for n_queries in (0, 1, 9):
        distances, ids = index.query(np.zeros((n_queries, 8), np.uint8), 3)
        assert distances.shape == ids.shape == (n_queries, 0)
        result = index.radius(np.zeros((n_queries, 8), np.uint8), 64)
        np.testing.assert_array_equal(result.offsets, np.zeros(n_queries + 1))
    assert index.query(np.zeros(8, np.uint8))[0].shape == (0,)


def test_no_queries(isa, rng):
    index = hashkit.Index(tied_codes(rng, 50, 8))
    distances, ids = index.query(np.zeros((0, 8), np.uint8), 3)
    assert distances.shape == ids.shape == (0, 3)
    assert len(index.radius(np.zeros((0, 8), np.uint8), 64)) == 0


@pytest.mark.parametrize("extreme", [[-(2**63), 2**63 - 1, 0], [5, -5, 2**62]])
def test_ids_of_any_size_break_ties(isa, extreme):
    codes = np.zeros((3, 4), np.uint8)
    distances, ids = hashkit.Index(codes, ids=np.array(extreme)).query(codes[0], 3)
    np.testing.assert_array_equal(distances, [0, 0, 0])
    np.testing.assert_array_equal(ids, sorted(extreme))


def test_the_order_of_the_codes_does_not_matter(isa, rng):
    codes, queries = tied_codes(rng, 500, 8), tied_codes(rng, 6, 8)
    ids = rng.permutation(500)
    one, other = hashkit.Index(codes[np.argsort(ids)]), hashkit.Index(codes, ids=ids)
    for a, b in zip(one.query(queries, 77), other.query(queries, 77), strict=True):
        np.testing.assert_array_equal(a, b)


# --- bad input

CODES = np.zeros((4, 8), np.uint8)


@pytest.mark.parametrize(
    ("queries", "error", "message"),
    [
        ([[0] * 8], TypeError, "q must be a uint8 array of packed bits, got list"),
        (None, TypeError, "q must be a uint8 array of packed bits, got NoneType"),
        (CODES.view(np.int8), TypeError, r"got an array of shape \(4, 8\) and dtype int8"),
        (CODES.view(np.uint64), TypeError, r"got an array of shape \(4, 1\) and dtype uint64"),
        (CODES.astype(np.float32), TypeError, "and dtype float32"),
        (CODES[:, :7].copy(), ValueError, r"q must have 8 bytes per row for 64 bits, got an array of shape \(4, 7\)"),
        (np.zeros((4, 9), np.uint8), ValueError, "q must have 8 bytes per row for 64 bits"),
        (np.zeros(9, np.uint8), ValueError, "q must have 8 bytes per row for 64 bits"),
        (CODES[np.newaxis], ValueError, "q must have two dimensions"),
        (np.uint8(3), TypeError, "q must be a uint8 array of packed bits, got uint8"),
        (np.array(3, np.uint8), ValueError, "q must have two dimensions"),
        (np.zeros((4, 16), np.uint8)[:, ::2], ValueError, "q must be C-contiguous"),
        (np.zeros((8, 8), np.uint8, order="F"), ValueError, "q must be C-contiguous"),
        (np.zeros((8, 16), np.uint8)[0, ::2], ValueError, "q must be C-contiguous"),
    ],
)
def test_unfit_queries_are_refused(queries, error, message):
    index = hashkit.Index(CODES)
    for search in (lambda: index.query(queries), lambda: index.radius(queries, 3)):
        with pytest.raises(error, match=message):
            search()


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, ValueError, "at least {least}, got -1"),
        (2.0, TypeError, "must be an int, got float 2.0"),
        ("2", TypeError, "must be an int, got str '2'"),
        (True, TypeError, "must be an int, got bool True"),
        (None, TypeError, "must be an int, got NoneType"),
        (np.array([1]), TypeError, r"must be an int, got an array of shape \(1,\)"),
    ],
)
def test_unfit_k_and_radius_are_refused(value, error, message):
    index = hashkit.Index(CODES)
    with pytest.raises(error, match=f"^k .*{message.format(least=1)}"):
        index.query(CODES, value)
    with pytest.raises(error, match=f"^r .*{message.format(least=0)}"):
        index.radius(CODES, value)


def test_k_of_zero_is_refused():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        hashkit.Index(CODES).query(CODES, 0)


@pytest.mark.parametrize(
    ("n_threads", "error"), [(0, ValueError), (-2, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_unfit_n_threads_are_refused(n_threads, error):
    index = hashkit.Index(CODES)
    for search in (
        lambda: index.query(CODES, n_threads=n_threads),
        lambda: index.radius(CODES, 3, n_threads=n_threads),
    ):
        with pytest.raises(error, match="n_threads must be"):
            search()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"codes": CODES[0]}, ValueError, "codes must have two dimensions"),
        ({"codes": CODES.tolist()}, TypeError, "codes must be a uint8 array of packed bits, got list"),
        ({"codes": CODES.astype(bool)}, TypeError, "codes must be a uint8 array of packed bits"),
        ({"codes": CODES[:, ::2]}, ValueError, "codes must be C-contiguous"),
        ({"codes": np.zeros((3, 0), np.uint8)}, ValueError, "codes must have 1 to 512 bytes per row"),
        ({"codes": np.zeros((3, 513), np.uint8)}, ValueError, "codes must have 1 to 512 bytes per row"),
        ({"codes": CODES, "n_bits": 56}, ValueError, "codes must have 7 bytes per row for 56 bits"),
        ({"codes": CODES, "n_bits": 0}, ValueError, "n_bits must be between 1 and 4096, got 0"),
        ({"codes": CODES, "n_bits": 64.0}, TypeError, "n_bits must be an int"),
        ({"codes": CODES + np.uint8(1), "n_bits": 60}, ValueError, "codes must have zero padding after 60 bits, row 0"),
        ({"codes": CODES, "ids": np.arange(3)}, ValueError, r"ids must have shape \(4,\), one for each code"),
        ({"codes": CODES, "ids": np.zeros((4, 1), int)}, ValueError, r"ids must have shape \(4,\)"),
        ({"codes": CODES, "ids": np.arange(4.0)}, TypeError, "ids must be an int64 array"),
        ({"codes": CODES, "ids": "abcd"}, TypeError, "ids must be an int64 array, got str 'abcd'"),
        ({"codes": CODES, "ids": np.array([3, 1, 3, 2])}, ValueError, "ids must be different, .*3"),
        (
            {"codes": CODES, "ids": np.array([0, 1, 2, 2**63], np.uint64)},
            ValueError,
            f"ids must fit int64, got {2**63}",
        ),
    ],
)
def test_unfit_codes_and_ids_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        hashkit.Index(**arguments)


def test_unsigned_ids_that_fit_are_taken():
    ids = np.array([2**63 - 1, 0, 7, 5], np.uint64)
    np.testing.assert_array_equal(hashkit.Index(CODES, ids=ids).query(CODES[0])[1], [0, 5, 7, 2**63 - 1])


def test_padding_of_queries_must_be_zero():
    index = hashkit.Index(np.zeros((2, 2), np.uint8), n_bits=12)
    with pytest.raises(ValueError, match="q must have zero padding after 12 bits, row 0 has not"):
        index.query(np.array([0, 1], np.uint8))


# --- results by radius


def test_radius_results_are_read_by_row(rng):
    codes = tied_codes(rng, 60, 2)
    result = hashkit.Index(codes).radius(codes[:4], 3)
    np.testing.assert_array_equal(result.counts, np.diff(result.offsets))
    for number in range(4):
        for row in (result[number], result[number - 4], list(result)[number]):
            np.testing.assert_array_equal(row[0], result.distances[result.offsets[number] : result.offsets[number + 1]])
            np.testing.assert_array_equal(row[1], result.ids[result.offsets[number] : result.offsets[number + 1]])
    for number in (4, -5):
        with pytest.raises(IndexError, match=f"query must be between -4 and 3, got {number}"):
            result[number]
