"""Where to cut: chosen on held-out rows."""

import numpy as np
import pytest

import hashkit
from hashkit.hashers import Sign


def shifted(rng, n_rows=3000, n_dims=32):
    """Features that zero cuts badly: every dimension has a mean of several deviations."""
    centers = rng.standard_normal((60, n_dims))
    rows = centers[rng.integers(0, 60, n_rows)] + 0.5 * rng.standard_normal((n_rows, n_dims))
    return (rows + 4).astype(np.float32)


def test_zero_is_the_sign_of_the_features(rng):
    features = rng.standard_normal((200, 20)).astype(np.float32)
    hasher = Sign(16, threshold="zero", rotation="none", normalize=False).fit(features)
    np.testing.assert_array_equal(hasher.encode(features), hashkit.pack(features[:, :16].copy()))


def test_median_halves_every_bit(rng):
    features = np.exp(rng.standard_normal((2001, 16))).astype(np.float32)
    hasher = Sign(16, threshold="median", rotation="none", normalize=False).fit(features)
    assert (hashkit.unpack(hasher.encode(features)).sum(axis=0) == 1000).all()


@pytest.mark.parametrize("n_bits", [10, 32, 50])
def test_a_rotation_keeps_inner_products_where_it_can(rng, n_bits):
    weights = Sign(n_bits, rotation="random", random_state=0).fit(shifted(rng)).weights_
    product = weights @ weights.T if n_bits >= 32 else weights.T @ weights
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)


def test_the_choice_is_the_best_of_what_was_compared(rng):
    hasher = Sign(32, normalize=False, random_state=0).fit(shifted(rng))
    assert len(hasher.recalls_) == 6
    chosen = hasher.threshold_, hasher.rotation_
    assert hasher.recalls_[chosen] == max(hasher.recalls_.values())
    assert hasher.threshold_ != "zero"
    assert hasher.recalls_[chosen] > hasher.recalls_["zero", "none"] + 0.2


def test_more_bits_than_features_need_a_rotation(rng):
    hasher = Sign(64, random_state=0).fit(shifted(rng))
    assert hasher.rotation_ == "random"
    with pytest.raises(ValueError, match="n_bits must be at most the number of features without a rotation"):
        Sign(64, rotation="none").fit(shifted(rng))


def test_the_choice_is_saved(rng, tmp_path):
    features = shifted(rng)
    hasher = Sign(32, random_state=0).fit(features)
    hasher.save(tmp_path / "sign.safetensors")
    loaded = hashkit.load(tmp_path / "sign.safetensors")
    assert (loaded.threshold_, loaded.rotation_) == (hasher.threshold_, hasher.rotation_)
    np.testing.assert_array_equal(loaded.encode(features), hasher.encode(features))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": "mode"}, "threshold must be one of auto, zero, mean, median, got 'mode'"),
        ({"rotation": True}, "rotation must be one of auto, none, random, got True"),
        ({"max_rows": 5}, "max_rows must be at least 100"),
    ],
)
def test_refuses(rng, options, message):
    with pytest.raises(ValueError, match=message):
        Sign(8, **options).fit(shifted(rng))
