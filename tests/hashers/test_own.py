"""A user's own method: two methods to write, and it is a hasher like any other."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import hashkit
from hashkit.datasets import Dataset
from hashkit.evaluation import comparison
from hashkit.hashers.own import OWN
from hashkit.storage import FormatError


class ShiftedSigns(hashkit.OwnHasher, method="shifted_signs"):
    """Real values, from random directions and a mean."""

    def learn(self, rows, rng):
        self.mean_ = rows.mean(axis=0)
        self.weights_ = rng.standard_normal((rows.shape[1], self.n_bits_))

    def apply(self, rows):
        return (rows - self.mean_) @ self.weights_


class AboveMedian(hashkit.OwnHasher, method="above_median"):
    """Packed codes, with an option of its own."""

    def __init__(self, n_bits=64, *, share=0.5, normalize=True, random_state=None):
        super().__init__(n_bits, normalize=normalize, random_state=random_state)
        self.share = share

    def learn(self, rows, rng):
        self.columns_ = np.arange(self.n_bits_) % rows.shape[1]
        self.cuts_ = np.quantile(rows[:, self.columns_], self.share, axis=0)

    def apply(self, rows):
        return np.packbits(rows[:, self.columns_] > self.cuts_, axis=1)


@parametrize_with_checks([ShiftedSigns(2, random_state=0), AboveMedian(2)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.fixture(autouse=True)
def _own_methods_of_a_test():
    before = dict(OWN)
    yield
    OWN.clear()
    OWN.update(before)


def define(method="rotated", *, packed=False):
    class Rotated(hashkit.OwnHasher, method=method):
        def __init__(self, n_bits=64, *, scale=1.0, normalize=True, random_state=None):
            super().__init__(n_bits, normalize=normalize, random_state=random_state)
            self.scale = scale

        def learn(self, rows, rng):
            self.weights_ = self.scale * rng.standard_normal((rows.shape[1], self.n_bits))
            self.center_ = rows.mean(axis=0)

        def apply(self, rows):
            values = (rows - self.center_) @ self.weights_
            return hashkit.pack(values) if packed else values

    return Rotated


@pytest.fixture
def rows(rng):
    return rng.standard_normal((300, 24)).astype(np.float32)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n_bits", [12, 40])
def test_codes_are_the_signs_of_the_map(rows, packed, n_bits):
    define(packed=packed)
    hasher = hashkit.fit(rows, n_bits=n_bits, method="rotated", random_state=3)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = np.packbits((unit - unit.mean(axis=0)) @ hasher.weights_ > 0, axis=1)
    assert (hasher.encode(rows) != expected).mean() < 0.001  # but for values within rounding of zero
    np.testing.assert_array_equal(np.packbits(hasher.project(rows) > 0, axis=1), hasher.encode(rows))
    for first in (0, 7, 299):
        np.testing.assert_array_equal(hasher.encode(rows[first : first + 1]), hasher.encode(rows)[first : first + 1])
    again = hashkit.fit(rows, n_bits=n_bits, method="rotated", random_state=3)
    np.testing.assert_array_equal(again.encode(rows), hasher.encode(rows))


def test_it_is_saved_loaded_compared_and_reported(rows, tmp_path):
    define()
    hasher = hashkit.fit(rows, n_bits=16, method="rotated", scale=2.0)
    hasher.save(tmp_path / "own")
    loaded = hashkit.load(tmp_path / "own")
    assert loaded.get_params() == hasher.get_params()
    np.testing.assert_array_equal(loaded.encode(rows), hasher.encode(rows))
    assert "codes of 16 bits" in str(loaded.report(rows))
    split = comparison.split_dataset(Dataset("mine", rows, np.arange(300) % 4), 50)
    trials = comparison.run_trials(split, ["rotated", "random_hyperplanes"], [16])
    assert "rotated" in comparison.report(split, trials)
    OWN.clear()
    with pytest.raises(FormatError, match="method 'rotated' is not hashkit's: define or import its OwnHasher"):
        hashkit.load(tmp_path / "own")


def test_what_does_not_fit_is_refused(rows, tmp_path):
    with pytest.raises(ValueError, match="method must be a name that no method of hashkit has, got 'itq'"):
        define("itq")
    with pytest.raises(TypeError, match="an OwnHasher with method=, to be saved, got Rotated"):
        define(None)(8).fit(rows).save(tmp_path / "own")

    class Wrong(hashkit.OwnHasher, method="wrong"):
        def learn(self, rows, rng):
            self.kept_ = "text" if self.n_bits == 9 else np.zeros(1)

        def apply(self, rows):
            if self.n_bits == 10:
                return np.full((len(rows), 10), np.nan)
            return np.zeros((len(rows), 3))

    for n_bits, error, message in [
        (9, TypeError, "learn must store arrays of numbers, got kept_: str 'text'"),
        (10, ValueError, "apply must give finite values"),
        (
            11,
            ValueError,
            r"must give floats of shape \(128, 11\) or packed uint8 of shape \(128, 2\), got an array",
        ),
    ]:
        with pytest.raises(error, match=message):
            Wrong(n_bits).fit(rows)
    with pytest.raises(ValueError, match=r"method must be one of .*bi_half, .*, wrong, got 'magic'"):
        hashkit.fit(rows, method="magic")
