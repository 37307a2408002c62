"""Asymmetric scores against their twins, bit for bit, on every instruction set."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from hashkit import _native

ISAS = _native.supported_isas()


def random_codes(rng, n_codes, n_bits):
    codes = np.packbits(rng.integers(0, 2, (n_codes, n_bits), dtype=np.uint8), axis=1)
    return codes, rng.standard_normal((n_codes, 2)).astype(np.float32)


def twin(codes, n_bits, factors, values, n_planes):
    """Scores of every code for every query."""
    return np.array(
        [reference.plane_scores(codes, n_bits, factors, *reference.query_planes(query, n_planes)) for query in values]
    )


def best_of(scores, rows, k):
    order = np.lexsort((rows, -scores))[:k]
    return scores[order], rows[order]


@given(st.integers(1, 8), st.integers(1, 700), st.integers(0, 1000))
def test_planes_hold_the_nearest_odd_integers(n_planes, n_bits, seed):
    values = np.random.default_rng(seed).standard_normal((3, n_bits)).astype(np.float32)
    values[1] = 0
    planes, steps = _native.quantize_queries(values, n_planes)
    bits = np.unpackbits(planes, axis=2)
    assert not bits[:, :, n_bits:].any()
    integers = 2 * np.tensordot(2 ** np.arange(n_planes), bits[:, :, :n_bits].astype(int), (0, 1)) - 2**n_planes + 1
    for query in range(3):
        expected, step = reference.query_planes(values[query], n_planes)
        assert steps[query] == step
        np.testing.assert_array_equal(integers[query], expected)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=12)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_scores_equal_their_twin(isa, data, seed):
    rng = np.random.default_rng(seed)
    n_bits = data.draw(st.sampled_from([1, 7, 8, 60, 64, 65, 200, 256, 384, 511, 512, 513, 1024, 1100]))
    n_codes, n_planes = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 8))
    codes, factors = random_codes(rng, n_codes, n_bits)
    values = rng.standard_normal((3, n_bits)).astype(np.float32)
    planes = _native.quantize_queries(values, n_planes)
    expected = twin(codes, n_bits, factors, values, n_planes)
    k = data.draw(st.integers(1, n_codes))

    scores, rows = _native.scan_planes(codes, factors, *planes, n_bits, k, 1, isa=isa)
    candidates = rng.integers(0, n_codes, (3, data.draw(st.integers(k, 2 * n_codes))))
    listed, listed_rows = _native.score_planes(codes, factors, *planes, n_bits, candidates, k, 1, isa=isa)
    for query in range(3):
        best = best_of(expected[query], np.arange(n_codes), k)
        np.testing.assert_array_equal(scores[query], best[0])
        np.testing.assert_array_equal(rows[query], best[1])
        best = best_of(expected[query, candidates[query]], candidates[query], k)
        np.testing.assert_array_equal(listed[query], best[0])
        np.testing.assert_array_equal(listed_rows[query], best[1])


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_a_scan_of_many_rows_equals_its_twin(rng, n_threads):
    codes, factors = random_codes(rng, 40_000, 128)
    factors = np.round(factors, 1)  # ties
    values = rng.standard_normal((40, 128)).astype(np.float32)
    planes = _native.quantize_queries(values, 2)
    allowed = rng.random(40_000) < 0.3
    expected = twin(codes, 128, factors, values, 2)
    for mask in (np.ones(40_000, bool), allowed):
        scores, rows = _native.scan_planes(
            codes, factors, *planes, 128, 50, n_threads, np.packbits(mask, bitorder="little")
        )
        for query in range(40):
            best = best_of(expected[query, mask], np.flatnonzero(mask), 50)
            np.testing.assert_array_equal(scores[query], best[0])
            np.testing.assert_array_equal(rows[query], best[1])


def test_missing_candidates_are_passed_over(rng):
    codes, factors = random_codes(rng, 10, 64)
    planes = _native.quantize_queries(rng.standard_normal((1, 64)).astype(np.float32), 4)
    scores, rows = _native.score_planes(codes, factors, *planes, 64, np.array([[-1, 3, -1]]), 3, 1)
    assert rows.tolist() == [[3, -1, -1]]
    assert scores[0, 1:].tolist() == [-np.inf, -np.inf]
    nothing = np.zeros(2, np.uint8)
    scores, rows = _native.scan_planes(codes, factors, *planes, 64, 2, 1, nothing)
    assert rows.tolist() == [[-1, -1]]
