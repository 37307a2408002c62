"""Rotations, codes and factors against their twins; whole searches against their stages."""

import pickle

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from hashkit import _native
from hashkit.vectors import VectorIndex
from hashkit.vectors.encoding import Encoder, learn
from hashkit.vectors.funnel import Plan, nearest
from hashkit.vectors.rows import Vectors
from hashkit.vectors.store import kept_as

ISAS = _native.supported_isas()
METRICS = ("cosine", "ip", "l2")


def encoder_of(n_dims, n_bits, metric, seed=0):
    rng = np.random.default_rng(seed)
    return learn(rng.standard_normal((50, n_dims)).astype(np.float32) + 0.3, n_bits, metric, seed)


def in_float64(encoder, rows):
    """Units, projections, codes and factors by the formulas of encoding.py."""
    units = rows.astype(np.float64)
    if encoder.metric == "cosine":
        lengths = np.linalg.norm(units, axis=1, keepdims=True)
        units = units / np.where(lengths > 0, lengths, 1)
    padding = np.zeros(encoder.n_bits - encoder.n_dims, np.float32)
    rotated = [reference.rotate(np.concatenate([row, padding]), encoder.signs) for row in np.eye(encoder.n_dims)]
    projected = (units - encoder.center) @ np.array(rotated, np.float64)
    centered = units - encoder.center
    offsets = -np.square(centered).sum(axis=1) / 2 if encoder.metric == "l2" else centered @ encoder.center
    return units, projected, np.stack([offsets, np.square(projected).sum(1) / np.abs(projected).sum(1)], axis=1)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=15)
@given(n_bits=st.sampled_from([256, 257, 260, 384, 511, 512, 768, 1000, 1024]), seed=st.integers(0, 1000))
def test_rotations_equal_their_twin(isa, n_bits, seed):
    rng = np.random.default_rng(seed)
    n_dims = int(rng.integers(1, n_bits + 1))
    encoder = encoder_of(n_dims, n_bits, "ip", seed)
    queries = rng.standard_normal((3, n_dims)).astype(np.float32)
    padding = np.zeros(n_bits - n_dims, np.float32)
    codes, values, terms = encoder.native.prepare(queries, 1, isa)
    center = reference.rotate(np.concatenate([encoder.center, padding]), encoder.signs)
    for query in range(3):
        expected = reference.rotate(np.concatenate([queries[query], padding]), encoder.signs) - center
        np.testing.assert_array_equal(values[query], expected)
        np.testing.assert_array_equal(codes[query], np.packbits(expected > 0))
        assert terms[query] == reference.add_in_lanes(encoder.center * queries[query])


@pytest.mark.parametrize("isa", ISAS)
def test_products_with_a_matrix_add_in_lanes(rng, isa):
    queries, matrix = rng.standard_normal((70, 70)).astype(np.float32), rng.standard_normal((9, 70)).astype(np.float32)
    offsets = rng.standard_normal(9).astype(np.float32)
    encoder = Encoder(9, np.zeros(70, np.float32), "ip", None, np.ascontiguousarray(matrix.T), offsets)
    expected = [[reference.add_in_lanes(query * row) for row in matrix] for query in queries] - offsets
    np.testing.assert_array_equal(encoder.native.prepare(queries, 2, isa)[1], expected)


@pytest.mark.parametrize("n_bits", [256, 384, 1000])
def test_a_rotation_keeps_lengths_and_spreads_values(n_bits):
    signs = encoder_of(n_bits, n_bits, "ip").signs
    matrix = np.array([reference.rotate(row, signs) for row in np.eye(n_bits)])
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(n_bits), atol=1e-5)
    # Entries of a rotation drawn from all are about normal, and the largest of n^2 some 5 deviations.
    assert np.abs(matrix).max() < 6 / np.sqrt(n_bits)
    np.testing.assert_allclose(np.square(matrix[::37]).sum(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "int8"])
def test_rows_are_encoded_as_their_twin(metric, kind):
    rng = np.random.default_rng(1)
    encoder = encoder_of(300, 300, metric)
    rows = kept_as(rng.standard_normal((700, 300)).astype(np.float32) + 0.3, kind)
    units, projected, factors = in_float64(encoder, rows.to_float32(slice(None)))
    expected = None
    for n_threads, isa in [(1, isa) for isa in ISAS] + [(3, "")]:
        codes, found = np.empty((699, 38), np.uint8), np.empty((699, 2), np.float32)
        passed = np.empty((699, 300), np.float32)
        assert encoder.native.encode(*rows.native(), 1, codes, found, passed, n_threads, isa) == -1
        bits = np.unpackbits(codes, axis=1, count=300).astype(bool)
        sure = np.abs(projected[1:]) > 1e-4
        np.testing.assert_array_equal(bits[sure], projected[1:][sure] > 0)
        np.testing.assert_allclose(found, factors[1:], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(passed, units[1:], rtol=1e-5, atol=1e-6)
        expected = expected or (codes.tobytes(), found.tobytes(), passed.tobytes())
        assert (codes.tobytes(), found.tobytes(), passed.tobytes()) == expected


def test_rows_of_extreme_lengths():
    encoder = encoder_of(300, 300, "cosine")
    row = np.random.default_rng(2).standard_normal(300).astype(np.float32)
    rows = np.array([row, row * 1e-30, row * 1e30, 0 * row])
    codes, factors = encoder.encode(Vectors(rows, "float32"), 0, 4, 1)
    np.testing.assert_array_equal(codes[1:3], codes[[0, 0]])
    np.testing.assert_allclose(factors[1:3], factors[[0, 0]], rtol=1e-4)
    zeros = in_float64(encoder, rows[3:])
    np.testing.assert_allclose(factors[3], zeros[2][0], rtol=1e-4)
    for bad in (np.nan, np.inf):
        rows[2, 299] = bad
        with pytest.raises(ValueError, match="vectors must be finite, row 2 is not"):
            encoder.encode(Vectors(rows, "float32"), 1, 4, 1)


def test_a_row_is_encoded_alike_in_any_company():
    for n_bits in (128, 300):  # by a matrix product, and by a rotation
        encoder = encoder_of(300, n_bits, "cosine")
        rows = Vectors(np.random.default_rng(3).standard_normal((600, 300)).astype(np.float32), "float32")
        codes = encoder.encode(rows, 0, 600, 1)[0]
        for first, last in ((0, 1), (255, 258), (599, 600)):
            np.testing.assert_array_equal(encoder.encode(rows, first, last, 2)[0], codes[first:last])
        again = pickle.loads(pickle.dumps(encoder))
        np.testing.assert_array_equal(again.encode(rows, 0, 600, 1)[0], codes)
        assert isinstance(again, Encoder)


@pytest.fixture(scope="module", params=[(64, None), (300, 300)], ids=["matrix", "rotation"])
def vectors(request):
    n_dims, _ = request.param
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((2000, 20)) @ rng.standard_normal((20, n_dims)) + rng.standard_normal((2000, n_dims))
    rows[100:400] = rows[:300]  # ties
    return rows.astype(np.float16)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("keep", ["as_came", "int8", "none"])
def test_a_search_in_one_call_equals_its_stages(vectors, keep, metric, monkeypatch):
    queries = vectors[::80].astype(np.float32) * 1.5
    for ids in (None, np.arange(2000) * 3 + 7):
        index = VectorIndex.fit(vectors, recall=None, keep=keep, metric=metric, ids=ids)
        for plan in (Plan("codes", 200, 40), Plan("codes", 5, 50, 0.01, 20.0), Plan("estimates", 0, 60, 0.05, 30.0)):
            index._plan = plan
            for k in (1, 10, 7000):
                ready = index._encoder.prepare(queries, 1)
                expected = nearest(index._state, plan, ready, k, None, 1)
                np.testing.assert_equal(index.query(queries, k, n_threads=2), expected)
                for number in (0, 17):
                    alone = index.query(queries[number], k)
                    np.testing.assert_equal(alone, (expected[0][number], expected[1][number]))
    for isa in ISAS:
        monkeypatch.setattr(_native, "default_isa", lambda isa=isa: isa)
        _native.force_isa(isa)
        try:
            np.testing.assert_equal(index.query(queries[:3], 7000), (expected[0][:3], expected[1][:3]))
        finally:
            _native.force_isa(None)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("order", ["any", "sorted", "few", "misleading"])
@pytest.mark.parametrize("n_codes", [40, 4096, 30_000])
def test_a_query_alone_has_the_nearest_codes(rng, n_codes, order, isa):
    """The candidates are those of a sort by (distance, row), also where the sample misleads."""
    encoder = encoder_of(256, 256, "ip")
    codes = rng.integers(0, 256, (n_codes, 32), dtype=np.uint8)
    query = rng.standard_normal((1, 256)).astype(np.float32)
    own = encoder.native.prepare(query, 1)[0]
    if order == "few":
        codes[:] = codes[rng.integers(0, 5, n_codes)]
    if order == "misleading":  # the sample takes runs of 16 rows, evenly spread, for typical
        codes[((n_codes - 16) * np.arange(128) // 127)[:, None] + np.arange(16)] = own
    distances = np.bitwise_count(codes ^ own).sum(axis=1)
    if order == "sorted":
        codes = codes[np.argsort(distances, kind="stable")]
        distances = np.sort(distances)
    funnel = _native.VectorFunnel(
        encoder.native, codes, np.ones((n_codes, 2), np.float32), None, "", None, None, None, None
    )
    for k in (1, 30, n_codes // 2, n_codes):
        expected = np.sort(np.argsort(distances, kind="stable")[:k])
        for n_threads in (1, 2):
            found = funnel.query(query, k, True, k, 0, np.inf, None, n_threads, isa)[1]
            np.testing.assert_array_equal(np.sort(found[0]), expected)


def test_queries_that_are_not_finite_are_named(vectors):
    index = VectorIndex.fit(vectors, recall=None)
    queries = vectors[:3].astype(np.float32)
    queries[1, 5] = np.nan
    for asked, row in ((queries, 1), (queries[1], 0)):
        with pytest.raises(ValueError, match=f"queries must be finite, row {row} is not"):
            index.query(asked)
