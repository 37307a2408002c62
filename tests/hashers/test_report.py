import numpy as np
import pytest

import hashkit


class FixedBits(hashkit.RandomHyperplanes):
    """The first bits are the signs of the features themselves, the rest never change."""

    def _fit(self, X):
        weights = np.zeros((X.shape[1], self.n_bits))
        weights[: X.shape[1], : X.shape[1]] = np.eye(X.shape[1])
        self._set_map(weights, np.zeros(X.shape[1]))


def test_report_counts_what_codes_look_like():
    rng = np.random.default_rng(0)
    X = np.where(rng.normal(size=(300, 12)) > 0, 1.0, -1.0)
    X[:20] = X[0]
    report = FixedBits(14, normalize=False).fit(X).report(X)
    bits = X > 0
    assert report.n_rows == 300
    assert np.allclose(report.bit_balance[:12], bits.mean(axis=0))
    assert report.dead_bits.tolist() == [12, 13]
    assert report.n_distinct == len(np.unique(X, axis=0))
    expected = np.abs(np.corrcoef(bits.T))[~np.eye(12, dtype=bool)].mean()
    assert report.bit_correlation == pytest.approx(expected)
    distances = (bits[:, None] != bits[None]).sum(axis=2)[np.triu_indices(300, 1)]
    assert report.distance_quantiles[0.0] == 0
    assert report.distance_quantiles[1.0] == distances.max()
    assert report.distance_quantiles[0.5] == np.sort(distances)[(len(distances) - 1) // 2]
    # Corners of a cube: Hamming distance and cosine give one order, up to ties.
    assert report.neighbor_recall[100] > 0.95
    assert 0.5 < report.neighbor_recall[10] < report.neighbor_recall[100]
    assert "2" in str(report).split("dead bits")[1].splitlines()[0]
    assert "300: " in str(report)


def test_quantization_error_of_corners_is_zero_and_a_sample_is_drawn():
    X = np.where(np.random.default_rng(0).normal(size=(300, 12)) > 0, 1.0, -1.0)
    report = FixedBits(12, normalize=False).fit(X).report(X, n_rows=50)
    assert report.n_rows == 50
    assert report.quantization_error == pytest.approx(0)
    assert set(report.neighbor_recall) == {10, 100}
    assert set(FixedBits(12, normalize=False).fit(X).report(X[:50]).neighbor_recall) == {10}


def test_report_of_one_row_and_none():
    X = np.random.default_rng(0).normal(size=(40, 8))
    hasher = hashkit.ITQ(4, random_state=0).fit(X)
    one = hasher.report(X[:1])
    assert one.neighbor_recall == {}
    assert len(one.dead_bits) == 4
    assert isinstance(str(one), str)
    with pytest.raises(ValueError, match="at least one row"):
        hasher.report(X[:0])
    with pytest.raises(ValueError, match="n_rows must be at least 1"):
        hasher.report(X, n_rows=0)


@pytest.fixture(scope="module")
def collection():
    """30,000 rows of a smooth spread, a hasher that learned from some of them, and its true recall."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(30_000, 12)) @ rng.normal(size=(12, 64)) + 0.2 * rng.normal(size=(30_000, 64))).astype("f4")
    hasher = hashkit.ITQ(24, random_state=0).fit(X[:3000])
    queries = np.arange(0, 30_000, 100)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    similarities = unit[queries] @ unit.T
    codes = hasher.encode(X)
    distances = hashkit.hamming_distances(codes[queries], codes).astype(np.int64)
    similarities[np.arange(300), queries] = -2
    distances[np.arange(300), queries] = 999
    near = np.argsort(-similarities, axis=1)[:, :10]
    first = np.argsort(distances, axis=1, kind="stable")
    true = {k: np.mean([np.isin(a, b).mean() for a, b in zip(near, first[:, :k], strict=True)]) for k in (10, 100)}
    return X, hasher, true


@pytest.mark.parametrize(("n_rows", "tolerance"), [(30_000, 0.04), (10_000, 0.06), (6000, 0.06), (2500, 0.1)])
def test_recall_is_that_of_the_whole_collection(collection, n_rows, tolerance):
    X, hasher, true = collection
    part = X[np.random.default_rng(1).permutation(30_000)[:n_rows]]
    predicted = hasher.report(part, database_size=30_000)
    assert predicted.database_size == 30_000
    for k in (10, 100):
        assert predicted.neighbor_recall[k] == pytest.approx(true[k], abs=tolerance)
    assert "30,000 rows" in str(predicted)
    if n_rows < 10_000:  # what is found among so few rows says little about the collection
        assert hasher.report(part).neighbor_recall[100] > true[100] + 0.15


def test_recall_is_that_of_all_rows_though_few_are_looked_at(collection):
    X, hasher, true = collection
    report = hasher.report(X, n_rows=500)
    assert (report.n_rows, report.database_size) == (500, 30_000)
    assert report.neighbor_recall[100] == pytest.approx(true[100], abs=0.05)
    assert report.neighbor_recall[10] < report.neighbor_recall[100] < report.neighbor_recall[1000]


def test_what_cannot_be_predicted_is_left_out(collection):
    X, hasher, _ = collection
    for n_rows, cuts in ((200, {10}), (2500, {10, 100}), (30_000, {10, 100, 1000})):
        report = hasher.report(X[:n_rows], database_size=1_000_000)
        recalls = list(report.neighbor_recall.values())
        assert set(report.neighbor_recall) == cuts
        assert recalls == sorted(recalls)
        assert "1,000,000 rows (extrapolated)" in str(report)
    assert "extrapolated" not in str(hasher.report(X[:6000], database_size=30_000))


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (1e6, TypeError), (True, TypeError)])
def test_a_wrong_database_size_is_refused(size, error):
    X = np.random.default_rng(0).normal(size=(40, 8))
    with pytest.raises(error, match="database_size must be"):
        hashkit.ITQ(4, random_state=0).fit(X).report(X, database_size=size)
