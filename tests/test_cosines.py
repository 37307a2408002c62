"""Rows of length 1, and the nearest of them, ties by row number."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from hashkit import cosines
from hashkit.cosines import largest_columns, nearest_neighbors, nearest_rows, row_norms, row_squares, unit_rows


def test_rows_of_any_size_get_length_one():
    block = np.ones((4, 3), dtype=np.float32)
    block *= np.array([[0], [1e-40], [1e38], [3]], dtype=np.float32)
    before = block.copy()
    lengths = np.linalg.norm(unit_rows(block), axis=1)
    assert np.allclose(lengths, [0, 1, 1, 1])
    assert np.array_equal(block, before)
    assert np.array_equal(row_norms(block[:1])[1], [1])


@pytest.mark.parametrize("values_at_once", [2**22, 500])
def test_neighbors_come_nearest_first_and_ties_by_row_number(monkeypatch, values_at_once):
    monkeypatch.setattr(cosines, "_SIMILARITY_VALUES", values_at_once)
    X = np.random.default_rng(0).integers(-2, 3, size=(240, 3)).astype(np.float32)  # many rows of one direction
    unit = unit_rows(X)
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, -np.inf)
    expected = np.argsort(-similarities, axis=1, kind="stable")[:, :9]
    near = nearest_neighbors(X, 9)
    # Equal cosines may be rounded differently in products of different shapes.
    assert np.allclose(np.take_along_axis(similarities, near, 1), np.take_along_axis(similarities, expected, 1))
    assert not (near == np.arange(240)[:, None]).any()
    queries = np.arange(240)
    assert np.array_equal(nearest_rows(unit, 9, queries), expected)


def test_largest_columns():
    values = np.float32([[1, 3, 3, 2], [0, 0, 0, 0], [-np.inf, 5, -1, 5]])
    assert largest_columns(values, 3).tolist() == [[1, 2, 3], [0, 1, 2], [1, 3, 2]]
    assert largest_columns(values, 9).shape == (3, 4)
    assert largest_columns(values, 0).shape == (3, 0)


@pytest.mark.parametrize("n_features", [1, 100, 20_000])
def test_the_squares_of_a_row_depend_on_that_row_alone(n_features):
    rows = np.random.default_rng(0).normal(size=(7, n_features)).astype(np.float32)
    squares = row_squares(rows)
    np.testing.assert_allclose(squares, np.square(rows.astype(np.float64)).sum(axis=1), rtol=1e-5)
    assert all(np.array_equal(row_squares(rows[i : i + 1]), squares[i : i + 1]) for i in range(7))
    with threadpool_limits(1):
        assert np.array_equal(row_squares(rows), squares)
