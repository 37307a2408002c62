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
    assert set(report.neighbor_recall) == {10}


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
