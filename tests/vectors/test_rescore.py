"""Re-ranking against its twin, bit for bit, on every instruction set; and what it refuses."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import hashkit
from hashkit import _native
from hashkit.vectors.rows import as_vectors, padded

ISAS = _native.supported_isas()
METRICS = ["cosine", "ip", "l2"]
TYPES = ["float32", "float16", "bfloat16", "int8", "int8 columns"]


def stored(kind, values, rng):
    """Vectors of a type, with scales where they are needed, as `rescore` takes them apart."""
    if kind == "bfloat16":
        return as_vectors(pytest.importorskip("torch").from_numpy(values).bfloat16(), "vectors")
    if kind.startswith("int8"):
        shape = (1, values.shape[1]) if kind == "int8 columns" else (len(values),)
        scales = rng.uniform(0.001, 2, shape).astype(np.float32)
        return as_vectors(rng.integers(-128, 128, values.shape, dtype=np.int8), "vectors", scales)
    return as_vectors(values.astype(kind), "vectors")


def answers(queries, vectors, candidates, k, metric, isa, n_threads=1):
    scores, ids, bad = _native.rescore(padded(queries), *vectors.native(), candidates, None, k, metric, n_threads, isa)
    assert bad == -1
    return scores, ids


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=10)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_equals_its_twin_bit_for_bit(isa, kind, data, seed):
    rng = np.random.default_rng(seed)
    n_dims = data.draw(st.sampled_from([1, 3, 8, 31, 32, 33, 64, 100, 257]))
    metric = data.draw(st.sampled_from(METRICS))
    vectors = stored(kind, rng.standard_normal((30, n_dims)).astype(np.float32), rng)
    queries = rng.standard_normal((3, n_dims)).astype(np.float32)
    candidates = rng.integers(-1, 30, (3, data.draw(st.integers(1, 40))))
    k = data.draw(st.integers(1, candidates.shape[1]))
    scores, ids = answers(queries, vectors, candidates, k, metric, isa)
    expected = reference.rescore(queries, vectors.to_float32(slice(None)), candidates, k, metric)
    for row, found in enumerate(expected):
        assert ids[row, : len(found)].tolist() == [id for _, id in found]
        np.testing.assert_array_equal(scores[row, : len(found)], np.array([score for score, _ in found], np.float32))
        assert (ids[row, len(found) :] == -1).all()
        assert (scores[row, len(found) :] == (np.inf if metric == "l2" else -np.inf)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_threads_and_batches_do_not_change_the_answer(rng, metric):
    vectors = as_vectors(rng.standard_normal((5000, 512)).astype(np.float16), "vectors")
    queries = rng.standard_normal((300, 512)).astype(np.float32)
    candidates = rng.integers(-1, 5000, (300, 60))
    whole = answers(queries, vectors, candidates, 10, metric, "", n_threads=1)
    for n_threads in (2, 5):
        np.testing.assert_equal(answers(queries, vectors, candidates, 10, metric, "", n_threads), whole)
    for row in (0, 299):
        single = hashkit.rescore(queries[row], vectors, candidates[row], 10, metric=metric)
        np.testing.assert_equal(single, (whole[0][row], whole[1][row]))


def test_every_float16_is_converted(rng):
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 1)
    vectors = as_vectors(halves, "vectors")
    for isa in ISAS:
        scores, ids = answers(
            np.ones((1, 1), np.float32), vectors, np.arange(len(halves))[np.newaxis], len(halves), "ip", isa
        )
        np.testing.assert_array_equal(scores[0], halves[ids[0], 0].astype(np.float32))


def test_ties_go_by_id_and_repeated_candidates_count_once():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    scores, ids = hashkit.rescore(np.array([1, 0], np.float32), vectors, np.array([3, 0, -1, 1, 3, 0]), 6)
    assert ids.tolist() == [0, 1, 3, -1, -1, -1]
    assert scores.tolist() == [1, 1, 1, -np.inf, -np.inf, -np.inf]


def test_negative_inner_products_are_ranked_from_the_largest():
    vectors = np.array([[-3], [-1], [-2]], np.float16)
    scores, ids = hashkit.rescore(np.array([[1.0]]), vectors, np.array([[0, 1, 2]]), 2, metric="ip")
    assert ids.tolist() == [[1, 2]]
    assert scores.tolist() == [[-1, -2]]


def test_scales_decide_the_order_of_int8():
    codes = np.array([[100, 0], [50, 0]], np.int8)
    scales = np.array([0.001, 0.1], np.float32)
    scores, ids = hashkit.rescore(np.array([1, 0], np.float32), codes, np.array([0, 1]), 2, metric="ip", scales=scales)
    assert ids.tolist() == [1, 0]
    assert scores == pytest.approx([5, 0.1])


def test_int8_of_columns_ranks_as_its_floats_do(rng):
    codes, scales = rng.integers(-128, 128, (50, 20), dtype=np.int8), rng.uniform(0.1, 3, (1, 20)).astype(np.float32)
    query, candidates = rng.standard_normal(20).astype(np.float32), np.arange(50)
    for metric in METRICS:
        found = hashkit.rescore(query, codes, candidates, 50, metric=metric, scales=scales)
        floats = hashkit.rescore(query, codes.astype(np.float32) * scales, candidates, 50, metric=metric)
        np.testing.assert_equal(found, floats)


def test_zero_vectors_have_cosine_0_and_huge_ones_their_own():
    vectors = np.array([[0, 0], [1e30, 1e30], [1e-30, 0], [-1, 0]], np.float32)
    scores, ids = hashkit.rescore(np.array([1, 0], np.float32), vectors, np.arange(4), 4)
    assert ids.tolist() == [2, 1, 0, 3]
    assert scores == pytest.approx([1, 0.5**0.5, 0, -1])
    assert hashkit.rescore(np.zeros(2, np.float32), vectors, np.arange(4), 4)[0].tolist() == [0, 0, 0, 0]


def test_reads_a_memory_map(rng, tmp_path):
    vectors = rng.standard_normal((100, 40)).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    queries, candidates = rng.standard_normal((4, 40)), rng.integers(0, 100, (4, 30))
    np.testing.assert_equal(
        hashkit.rescore(queries, mapped, candidates, 5), hashkit.rescore(queries, vectors, candidates, 5)
    )


def test_no_queries_and_no_candidates(rng):
    vectors = rng.standard_normal((10, 4)).astype(np.float32)
    scores, ids = hashkit.rescore(np.empty((0, 4), np.float32), vectors, np.empty((0, 5), np.int64), 3)
    assert scores.shape == ids.shape == (0, 3)
    scores, ids = hashkit.rescore(vectors[:2], vectors, np.empty((2, 0), np.int64), 3)
    assert scores.shape == ids.shape == (2, 0)


VECTORS = np.ones((10, 4), np.float32)
IDS = np.zeros((2, 3), np.int64)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"queries": np.ones((2, 5))}, ValueError, r"queries must have 4 values each.*shape \(2, 5\)"),
        ({"queries": np.ones((2, 4), np.int64)}, TypeError, "queries must be float16, bfloat16, float32 or float64"),
        ({"queries": [[1.0] * 4] * 2}, TypeError, "queries must be float16.*got list"),
        ({"queries": np.ma.masked_array(np.ones((2, 4)))}, TypeError, "queries must not be a masked array"),
        ({"queries": np.array([[1, 1, 1, 1], [1, np.nan, 1, 1]])}, ValueError, "queries must be finite, row 1 is not"),
        ({"queries": np.full((2, 4), 1e300)}, ValueError, "queries must be finite, row 0 is not"),
        ({"vectors": np.ones((10, 4))}, TypeError, "vectors must be float32, float16, bfloat16 or int8.*float64"),
        ({"vectors": np.ones((10, 4), np.uint16)}, TypeError, "vectors must be float32.*uint16"),
        ({"vectors": np.ones((10, 4), ">f4")}, TypeError, "vectors must be float32"),
        ({"vectors": np.ones((10, 8), np.float32)[:, ::2]}, ValueError, "vectors must be C-contiguous"),
        ({"vectors": np.ones(4, np.float32)}, ValueError, r"vectors must have shape \(n_rows, n_dims\)"),
        ({"vectors": np.ones((10, 4), np.int8)}, ValueError, "scales must be given for vectors of int8"),
        ({"vectors": np.full((10, 4), np.inf, np.float32)}, ValueError, "vectors must be finite.*row 0 does not"),
        ({"scales": np.ones(10)}, ValueError, "scales must be left out for vectors of float32"),
        ({"ids": IDS.astype(np.int32)}, TypeError, "ids must be an int64 array.*int32"),
        ({"ids": IDS[0]}, ValueError, r"ids must have shape \(2, n_candidates\)"),
        ({"ids": IDS + 10}, ValueError, "ids must be rows of the 10 vectors, or -1, got 10"),
        ({"ids": IDS - 2}, ValueError, "ids must be rows of the 10 vectors, or -1, got -2"),
        ({"k": 0}, ValueError, "k must be at least 1"),
        ({"k": 2.0}, TypeError, "k must be an int"),
        ({"metric": "hamming"}, ValueError, "metric must be one of cosine, ip, l2, got 'hamming'"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
    ],
)
def test_refuses(arguments, error, message):
    given = {"queries": np.ones((2, 4)), "vectors": VECTORS, "ids": IDS, "k": 2, **arguments}
    with pytest.raises(error, match=message):
        hashkit.rescore(**given)


@pytest.mark.parametrize(
    ("scales", "error", "message"),
    [
        (np.ones(3), ValueError, r"scales must have shape \(10,\) or \(10, 1\).*or \(1, 4\)"),
        (np.ones(10, int), TypeError, "scales must be floats"),
        (np.zeros(10), ValueError, "scales must be finite and positive"),
    ],
)
def test_refuses_scales(scales, error, message):
    with pytest.raises(error, match=message):
        hashkit.rescore(np.ones((2, 4)), np.ones((10, 4), np.int8), IDS, 2, scales=scales)
