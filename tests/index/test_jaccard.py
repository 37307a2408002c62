"""Search by Jaccard distance against sorting fractions."""

import copy
import pickle
from fractions import Fraction

import numpy as np
import pytest
import reference
from fingerprint_codes import MAKERS, dense_bits, fingerprints
from hypothesis import given, settings
from hypothesis import strategies as st

import hashkit
from hashkit import _native
from hashkit.index import snapshot
from hashkit.storage import FormatError, write_tensors

ORDERS = {}


def orders(codes, queries, ids):
    """The twin's answer, computed once however often it is asked for."""
    key = codes.tobytes(), queries.tobytes(), codes.shape, None if ids is None else ids.tobytes()
    if key not in ORDERS:
        ORDERS[key] = [
            [(float(distance), id) for distance, id in order] for order in reference.jaccard_order(codes, queries, ids)
        ]
    return ORDERS[key]


def assert_nearest(found, codes, queries, k, ids=None):
    distances, found_ids = found
    k = min(k, len(codes))
    assert distances.dtype == np.float64
    assert found_ids.dtype == np.int64
    assert distances.shape == found_ids.shape == (len(queries), k)
    for row, order in enumerate(orders(codes, queries, ids)):
        assert list(zip(distances[row].tolist(), found_ids[row].tolist(), strict=True)) == order[:k]


def assert_within(result, codes, queries, radius, ids=None):
    """Fractions are within a float if the float nearest to them is at most that."""
    assert result.distances.dtype == np.float64
    assert len(result) == len(queries)
    for (distances, found_ids), order in zip(result, orders(codes, queries, ids), strict=True):
        within = [pair for pair in order if pair[0] <= radius]
        assert list(zip(distances.tolist(), found_ids.tolist(), strict=True)) == within


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("n_bytes", [1, 3, 8, 16, 33])
@pytest.mark.parametrize("make", MAKERS)
def test_every_instruction_set(isa, n_bytes, make):
    codes = make(700, 0, n_bytes)
    order = _native.popcount_order(codes, 2, isa)
    for n_queries in (1, 2, 9):
        queries = make(n_queries + 1, 1, n_bytes)[1:]
        for k in (1, 10, 700):
            for n_sketch_bytes in (None, 1, (n_bytes + 1) // 2):
                sketches = n_sketch_bytes and _native.jaccard_sketches(*order, None, n_sketch_bytes, 1, isa)
                *found, _ = _native.jaccard_k_nearest(*order, queries, k, 1, sketches=sketches, isa=isa)
                assert_nearest(found, codes, queries, k)
        for radius in (0.0, 0.3, 0.75):
            *found, _ = _native.jaccard_within_radius(*order, queries, radius, 2, isa=isa)
            assert_within(hashkit.RadiusResult(*found), codes, queries, radius)


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("n_bits", [1024, 2048, 4096])
def test_long_fingerprints(isa, n_bits):
    codes, queries = fingerprints(1500, n_bytes=n_bits // 8, share=0.04), fingerprints(5, 1, n_bits // 8, 0.04)
    order = _native.popcount_order(codes, 1, isa)
    for some in (queries, queries[1:2]):
        for n_sketch_bytes in (None, 8, 64):
            sketches = n_sketch_bytes and _native.jaccard_sketches(*order, None, n_sketch_bytes, 1, isa)
            *found, _ = _native.jaccard_k_nearest(*order, some, 20, 1, sketches=sketches, isa=isa)
            assert_nearest(found, codes, some, 20)
        *found, _ = _native.jaccard_within_radius(*order, some, 0.9, 1, isa=isa)
        assert_within(hashkit.RadiusResult(*found), codes, some, 0.9)


@given(
    n=st.sampled_from([0, 1, 2, 50, 300]),
    n_queries=st.sampled_from([0, 1, 3, 4, 40]),
    make=st.sampled_from(MAKERS),
    make_queries=st.sampled_from(MAKERS),
    n_bytes=st.sampled_from([1, 2, 9, 16]),
    k=st.sampled_from([1, 7, 1000]),
    radius=st.sampled_from([0, 0.1, 0.3, 0.5, 2 / 3, 0.999, 1, 1.5, 7]),
    n_threads=st.sampled_from([1, 3]),
)
@settings(deadline=None, max_examples=60)
def test_an_index_finds_what_sorting_fractions_finds(n, n_queries, make, make_queries, n_bytes, k, radius, n_threads):
    codes, queries = make(n, n_bytes=n_bytes), make_queries(n_queries, 1, n_bytes)
    index = hashkit.Index(codes, metric="jaccard")
    assert_nearest(index.query(queries, k, n_threads=n_threads), codes, queries, k)
    assert_within(index.radius(queries, radius, n_threads=n_threads), codes, queries, radius)


def test_two_empty_codes_are_at_distance_0_and_an_empty_one_at_1_from_others():
    index = hashkit.Index(np.array([[0b11], [0], [0b1]], np.uint8), metric="jaccard")
    distances, ids = index.query(np.zeros(1, np.uint8), 3)
    assert (distances.tolist(), ids.tolist()) == ([0.0, 1.0, 1.0], [1, 0, 2])
    assert index.radius(np.zeros(1, np.uint8), 0)[0][1].tolist() == [1]
    assert index.radius(np.zeros(1, np.uint8), 0.999999)[0][1].tolist() == [1]
    assert index.query(np.array([0b1], np.uint8), 3)[0].tolist() == [0.0, 0.5, 1.0]


def test_fractions_that_hardly_differ_are_told_apart():
    """4,094/4,095 and 4,095/4,096, and equal fractions of different popcounts."""
    bits = np.zeros((4, 4096), np.uint8)
    bits[0, :] = 1  # of 4,096 one in common with the query: 1 - 1/4096
    bits[1, :4095] = 1  # 1 - 1/4095
    bits[2, [0, 1]] = bits[3, [0, 1]] = 1  # 1 - 1/2
    codes = np.packbits(bits, axis=1)
    query = np.zeros(4096, np.uint8)
    query[0] = 1
    distances, ids = hashkit.Index(codes, metric="jaccard").query(np.packbits(query), 4)
    assert ids.tolist() == [2, 3, 1, 0]
    assert distances.tolist() == [0.5, 0.5, 4094 / 4095, 4095 / 4096]


@pytest.mark.parametrize("union", [3, 10, 49, 1000])
def test_a_float_radius_takes_in_the_fraction_that_it_is_nearest_to(union):
    """Also where the float lies below the fraction, as 0.3 does below 3/10; the float before does not."""
    n_bytes = (union + 7) // 8
    everything = np.zeros((1, 8 * n_bytes), np.uint8)
    everything[0, :union] = 1
    codes = np.packbits(everything * (np.arange(8 * n_bytes) < np.arange(1, union + 1)[:, None]), axis=1)
    index, query = hashkit.Index(codes, metric="jaccard"), np.packbits(everything[0])
    for differ in range(0, union, max(1, union // 50)):
        radius = float(Fraction(differ, union))
        assert len(index.radius(query, radius).ids) == differ + 1
        assert len(index.radius(query, np.nextafter(radius, -1)).ids) == differ if differ else True


def test_many_queries_over_many_tiles():
    """Queries of all popcounts in one batch, popcounts spread so that pruning matters; threads and single queries."""
    codes, queries = fingerprints(30_000, n_bytes=16, share=0.2), fingerprints(50, 1, 16, 0.2)
    index = hashkit.Index(codes, metric="jaccard")
    expected = index.query(queries, 15, n_threads=1)
    assert_nearest([column[:5] for column in expected], codes, queries[:5], 15)
    for found in (
        index.query(queries, 15, n_threads=3),
        [np.stack(column) for column in zip(*(index.query(query, 15) for query in queries), strict=True)],
    ):
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
    within = index.radius(queries, float(np.median(expected[0])))
    assert_within(
        hashkit.RadiusResult(within.offsets[:6], within.distances, within.ids),
        codes,
        queries[:5],
        float(np.median(expected[0])),
    )


def test_one_query_by_many_threads():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (130_000, 128), np.uint8) & rng.integers(0, 256, (130_000, 1), np.uint8)
    index, query = hashkit.Index(codes, metric="jaccard"), codes[5]
    for one, many in zip(index.query(query, 30, n_threads=1), index.query(query, 30, n_threads=2), strict=True):
        np.testing.assert_array_equal(one, many)


def test_pruning_leaves_most_codes_out():
    codes = fingerprints(20_000, n_bytes=32, share=0.2)
    order = _native.popcount_order(codes, 1)
    *_, n_compared = _native.jaccard_within_radius(*order, codes[1:9], 0.2, 1)
    assert n_compared < 0.4 * 8 * len(codes)
    *_, n_compared = _native.jaccard_k_nearest(*order, codes[1:2], 1, 1)
    assert n_compared < 0.4 * len(codes)


def grown(metric="jaccard"):
    """An index of several parts with ids in no order and some codes removed, and what it holds."""
    rng = np.random.default_rng(3)
    ids, codes = rng.permutation(20_000)[:9000].astype(np.int64) - 500, fingerprints(9000)
    index = hashkit.Index(codes[:8000], ids=ids[:8000], metric=metric)
    index.query(codes[0], 1)
    index.add(codes[8000:], ids[8000:])
    index.remove(ids[::5])
    assert len(index._state.parts) > 1
    live = np.arange(9000) % 5 != 0
    return index, codes[live], ids[live]


@pytest.mark.parametrize("n_queries", [1, 6])
def test_a_grown_index_and_filters(n_queries):
    index, codes, ids = grown()
    queries = fingerprints(n_queries + 1, 9)[1:]
    assert_nearest(index.query(queries, 40), codes, queries, 40, ids)
    assert_within(index.radius(queries, 0.8), codes, queries, 0.8, ids)
    for some in (ids[::2], ids[::400], ids[:1], ids[:0]):
        allowed = np.isin(ids, some)
        assert_nearest(index.query(queries, 40, filter=some), codes[allowed], queries, 40, ids[allowed])
        assert_within(index.radius(queries, 0.8, filter=some), codes[allowed], queries, 0.8, ids[allowed])


def test_a_filter_by_mask():
    codes, queries = fingerprints(500), fingerprints(5, 2)
    mask = np.random.default_rng(0).random(500) < 0.7
    found = hashkit.Index(codes, metric="jaccard").query(queries, 9, filter=mask)
    assert_nearest(found, codes[mask], queries, 9, np.flatnonzero(mask))


@pytest.mark.parametrize("mmap", [False, True])
def test_saved_loaded_copied(tmp_path, mmap):
    index, codes, ids = grown()
    index.save(tmp_path / "index")
    queries = codes[:3]
    for other in (
        hashkit.Index.load(tmp_path / "index", mmap=mmap),
        copy.copy(index),
        pickle.loads(pickle.dumps(index)),
    ):
        assert other.metric == "jaccard"
        assert repr(other) == "<hashkit.Index of 7200 codes of 128 bits by jaccard distance>"
        assert_nearest(other.query(queries, 5), codes, queries, 5, ids)


def test_a_pickle_has_the_codes_once():
    codes = dense_bits(5000)
    index = hashkit.Index(codes, metric="jaccard")
    index.query(codes[0], 1)
    assert len(pickle.dumps(index)) < 1.1 * codes.nbytes


def test_a_removal_sorts_nothing_anew():
    index = hashkit.Index(fingerprints(5000), metric="jaccard")
    index.query(index.get(0), 1)
    before = index._state.parts[0].popcount_order(1)
    index.remove([0])
    assert index._state.parts[0].popcount_order(1) is before


@pytest.mark.parametrize("n_threads", [1, 3])
def test_sketches_are_made_where_they_pay_and_change_no_answer(monkeypatch, n_threads):
    rng = np.random.default_rng(0)
    parents = np.packbits(rng.permuted(np.tile(np.arange(2048) < 40, (40, 1)), axis=1), axis=1)
    codes = parents[rng.integers(40, size=4040)]
    codes[np.arange(4040), rng.integers(256, size=4040)] ^= np.uint8(1) << rng.integers(8, size=4040).astype(np.uint8)
    codes, queries = codes[40:], codes[:40]
    mask = np.arange(len(codes)) % 7 != 0

    def answers(index):
        found = [index.query(some, k, n_threads=n_threads) for some in (queries, queries[1:2]) for k in (1, 500, 4000)]
        return [*found, index.query(queries, 5, filter=mask, n_threads=n_threads)]

    plain = hashkit.Index(codes, metric="jaccard")
    expected = answers(plain)
    assert plain._state.parts[0].jaccard_sketches(1) is None
    monkeypatch.setattr(snapshot, "LEAST_SKETCHED", 1)
    sparse = hashkit.Index(codes, metric="jaccard")
    for found, wanted in zip(answers(sparse), expected, strict=True):
        for column, wanted_column in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(column, wanted_column)
    assert sparse._state.parts[0].jaccard_sketches(1).shape[1] in (8, 16, 32, 64)
    dense = hashkit.Index(dense_bits(4000, 0, 128), metric="jaccard")
    dense.query(dense.get(0), 3)
    assert dense._state.parts[0].jaccard_sketches(1) is None


def test_files_of_an_unknown_metric_are_refused(tmp_path):
    write_tensors(
        tmp_path / "index",
        "index",
        {"codes": fingerprints(3)},
        {"n_bits": 128, "next_id": 3, "arrived_in_order": True, "metric": "cosine"},
    )
    with pytest.raises(FormatError, match="an unknown metric: 'cosine'"):
        hashkit.Index.load(tmp_path / "index")


def test_unfit_arguments_are_refused():
    codes = fingerprints(5)
    with pytest.raises(ValueError, match="metric must be one of hamming, jaccard, got 'cosine'"):
        hashkit.Index(codes, metric="cosine")
    index = hashkit.Index(codes, metric="jaccard")
    for radius, error, message in (
        (-0.1, ValueError, "r must be at least 0, got -0.1"),
        (float("nan"), ValueError, "r must be at least 0, got nan"),
        ("0.5", TypeError, "r must be a number, got str '0.5'"),
        (True, TypeError, "r must be a number, got bool True"),
    ):
        with pytest.raises(error, match=message):
            index.radius(codes, radius)
    with pytest.raises(TypeError, match=r"r must be an int, got float 0\.5"):
        hashkit.Index(codes).radius(codes, 0.5)
    with pytest.raises(ValueError, match="k must be at least 1"):
        index.query(codes, 0)
    with pytest.raises(ValueError, match="q must have 16 bytes"):
        index.query(fingerprints(2, n_bytes=8), 1)
    with pytest.raises(ValueError, match=r"go by Hamming distance only, not by that of <.* by jaccard distance>"):
        index.query(codes, 1, recall=0.9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"starts": np.zeros(3, np.int64)}, "starts must have one entry for each popcount"),
        ({"starts": np.arange(130)}, "starts must ascend from 0 to the end"),
        ({"rows": np.arange(3)}, "rows must have one entry for each code"),
        ({"rows": np.array([0, 1, 2, 3, 5]), "allowed": np.array([31], np.uint8)}, "rows must be in the codes"),
        ({"rows": np.array([0, 1, 2, 3, -1]), "allowed": np.array([31], np.uint8)}, "rows must be in the codes"),
        ({"queries": np.zeros((1, 3), np.uint8)}, "queries must have the width of the codes"),
        ({"k": 6}, "k must not exceed the number of allowed codes"),
        ({"k": 5, "allowed": np.array([1], np.uint8)}, "k must not exceed the number of allowed codes"),
        ({"sketches": np.zeros((4, 8), np.uint8)}, "sketches must be of the order"),
        ({"sketches": np.zeros((5, 17), np.uint8)}, "sketches must be of the order"),
        ({"radius": -1.0}, "radius must be at least 0"),
    ],
)
def test_the_border_refuses(change, message):
    codes, starts, rows = _native.popcount_order(fingerprints(5), 1)
    what = {"codes": codes, "starts": starts, "rows": rows, "queries": codes, "n_threads": 1}
    call = _native.jaccard_within_radius if "radius" in change else _native.jaccard_k_nearest
    with pytest.raises(ValueError, match=message):
        call(**({} if "radius" in change else {"k": 1}) | what | change)


def test_out_of_memory_leaves_the_index_as_it_was(run_python):
    program = """
import resource, numpy as np, hashkit
codes = np.zeros((400_000, 512), np.uint8)
index = hashkit.Index(codes, metric="jaccard")
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), resource.RLIM_INFINITY))
try:
    index.query(codes[0], 1, n_threads=1)
except MemoryError:
    print("refused")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
print(*index.query(codes[0], 1))
"""
    done = run_python(program)
    assert (done.stdout, done.stderr) == ("refused\n[0.] [0]\n", "")
