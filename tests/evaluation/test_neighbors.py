"""True float neighbors, and how many of them the codes keep."""

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from hashkit import evaluation


@given(seed=st.integers(0, 2**32 - 1), n_items=st.integers(1, 40), n_neighbors=st.integers(1, 45))
def test_float_neighbors_are_the_most_similar_rows(seed, n_items, n_neighbors):
    rng = np.random.default_rng(seed)
    queries, features = rng.standard_normal((3, 5)), rng.standard_normal((n_items, 5))
    ids = evaluation.float_neighbors(queries, features, n_neighbors=n_neighbors)
    assert ids.dtype == np.int64
    expected = [reference.nearest_by_cosine(query, features, n_neighbors) for query in queries]
    np.testing.assert_array_equal(ids, expected)


def test_blocks_do_not_change_the_neighbors(rng, monkeypatch):
    features = rng.integers(-2, 3, (200, 3)).astype(np.float32)  # many equal similarities, and rows of zeros
    queries = np.concatenate([features[:30], np.zeros((1, 3), np.float32)])
    whole = evaluation.float_neighbors(queries, features, n_neighbors=17)
    monkeypatch.setattr("hashkit.evaluation.neighbors.QUERIES_PER_BLOCK", 4)
    monkeypatch.setattr("hashkit.evaluation.neighbors.FEATURES_PER_BLOCK", 11)
    np.testing.assert_array_equal(evaluation.float_neighbors(queries, features, n_neighbors=17), whole)
    np.testing.assert_array_equal(whole[-1], np.arange(17))


def test_memory_maps_of_float16_and_extreme_sizes_are_fine(rng, tmp_path):
    features = rng.standard_normal((50, 8)).astype(np.float16)
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    ids = evaluation.float_neighbors(mapped, mapped, n_neighbors=3)
    np.testing.assert_array_equal(ids[:, 0], np.arange(50))
    for scale in (1e-30, 1e30):
        scaled = features.astype(np.float64) * scale
        np.testing.assert_array_equal(evaluation.float_neighbors(scaled, features, n_neighbors=3), ids)


@pytest.mark.parametrize(
    ("queries", "features", "error", "message"),
    [
        (np.ones((2, 3), int), np.ones((2, 3)), TypeError, "queries must be a float16, float32 or float64 array"),
        (np.ones((2, 3)), np.ones(3), ValueError, r"features must have shape \(n, n_dims\)"),
        (np.ones((2, 3)), np.ones((2, 4)), ValueError, "queries must have features' 4 dimensions"),
        (np.ones((2, 3)), np.array([[1, 2, 3], [1, np.nan, 3]]), ValueError, "features must be finite, .* row 1"),
        (np.array([[1, 2, -np.inf]]), np.ones((2, 3)), ValueError, "queries must be finite, .* row 0"),
        (np.ones((2, 3)), np.full((1, 3), 1e300), ValueError, "features must be finite, .* row 0"),
    ],
)
def test_bad_features_are_refused(queries, features, error, message):
    with pytest.raises(error, match=message):
        evaluation.float_neighbors(queries, features)


@pytest.mark.parametrize("ties", ["id", "expectation"])
@given(seed=st.integers(0, 2**32 - 1), n_codes=st.integers(1, 6), k=st.integers(1, 8), data=st.data())
def test_neighbor_recall_is_its_definition(ties, seed, n_codes, k, data):
    rng = np.random.default_rng(seed)
    queries, codes = (rng.integers(0, 4, (n, 1), dtype=np.uint8) for n in (2, n_codes))
    n_neighbors = data.draw(st.integers(1, n_codes))
    neighbors = np.stack([rng.permutation(n_codes)[:n_neighbors] for _ in queries])
    score = evaluation.neighbor_recall(queries, codes, neighbors, k=k, ties=ties)
    found = reference.hamming_distances(queries, codes)
    for distances, row, recall in zip(found, neighbors, score.per_query, strict=True):
        relevant = [item in row for item in range(n_codes)]
        share = lambda flags: sum(flags[:k]) / n_neighbors  # noqa: E731
        assert recall == pytest.approx(reference.mean_over_rankings(share, distances, relevant, ties))


def test_no_neighbors_asked_is_nan():
    codes = np.zeros((2, 1), np.uint8)
    score = evaluation.neighbor_recall(codes, codes, np.zeros((2, 0), np.int64))
    assert np.isnan(score.value)
    assert score.n_without_relevant == 2


@pytest.mark.parametrize(
    ("neighbors", "error", "message"),
    [
        (np.zeros((2, 1)), TypeError, "must be an int64 array"),
        (np.full((2, 1), 5), ValueError, "must be row numbers from 0 to 1, got 5 to 5"),
        (np.zeros((3, 1), np.int64), ValueError, "neighbors must have one row for each of queries' 2"),
    ],
)
def test_bad_neighbors_are_refused(neighbors, error, message):
    codes = np.zeros((2, 1), np.uint8)
    with pytest.raises(error, match=message):
        evaluation.neighbor_recall(codes, codes, neighbors)
