import numpy as np

from hashkit.hashers.features import distinct_rows, moments, sample_rows


def test_moments_are_those_of_numpy():
    rng = np.random.default_rng(0)
    X = (100 + 1e-2 * rng.normal(size=(700, 5))).astype(np.float32)
    mean, covariance = moments(X, normalize=False)
    assert np.allclose(mean, X.mean(axis=0, dtype=np.float64), rtol=1e-7)
    assert np.allclose(covariance, np.cov(X.T.astype(np.float64), bias=True), rtol=1e-3, atol=1e-9)


def test_sample_is_sorted_and_without_repeats():
    rows = sample_rows(1000, 100, np.random.default_rng(0))
    assert len(np.unique(rows)) == 100
    assert np.array_equal(rows, np.sort(rows))
    assert np.array_equal(sample_rows(5, 100, np.random.default_rng(0)), np.arange(5))


def test_distinct_rows_are_the_first_of_their_kind():
    rows = np.float32([[1, 2], [0, 0], [1, 2], [2, 1], [0, 0]])
    assert np.array_equal(distinct_rows(rows), [0, 1, 3])
