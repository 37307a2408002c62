"""How many bits a recall needs."""

import numpy as np
import pytest

import hashkit


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((50, 64))
    return (centers[rng.integers(0, 50, 3000)] + 0.6 * rng.standard_normal((3000, 64))).astype(np.float32)


def test_more_candidates_need_fewer_bits(vectors):
    few = hashkit.suggest_bits(vectors, recall=0.9, candidates=40)
    many = hashkit.suggest_bits(vectors, recall=0.9, candidates=200)
    assert many.n_bits < few.n_bits
    assert many.recalls[many.n_bits].mean >= 0.9
    assert all(recall.mean < 0.9 for n_bits, recall in few.recalls.items() if n_bits != few.n_bits)
    assert f"{few.n_bits} bits suffice" in str(few)


def test_what_cannot_be_reached_is_said(vectors):
    suggestion = hashkit.suggest_bits(vectors, recall=0.9999, candidates=10)
    assert suggestion.n_bits is None
    assert list(suggestion.recalls) == [16, 32, 64, 128, 256]
    assert "none suffices" in str(suggestion)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"recall": 2}, ValueError, "recall must be between 0 and 1"),
        ({"recall": None}, TypeError, "recall must be a number"),
        ({"candidates": 5}, ValueError, "candidates must be at least 10, got 5"),
        ({"metric": "x"}, ValueError, "metric must be one of"),
    ],
)
def test_refuses(vectors, options, error, message):
    with pytest.raises(error, match=message):
        hashkit.suggest_bits(vectors, **options)


def test_refuses_few_rows(vectors):
    with pytest.raises(ValueError, match="at least 200 rows"):
        hashkit.suggest_bits(vectors[:100])
