"""Where clusters help and where they do not."""

import numpy as np

import hashkit


def test_noise_is_encoded_by_the_map_of_itq():
    X = np.random.default_rng(0).normal(size=(1200, 48)).astype(np.float32)
    hasher = hashkit.UDHPL(16, network="never", random_state=0).fit(X)
    assert hasher.preserved_ == "neighbors"
    assert abs(hasher.stability_) < 0.1
    asked = hashkit.UDHPL(16, network="never", preserve="neighbors", random_state=0).fit(X)
    assert np.isnan(asked.stability_)
    error = hashkit.ITQ(16, random_state=0).fit(X).report(X).quantization_error
    for own in (hasher, asked):
        assert own.report(X).quantization_error < 1.05 * error


def test_clusters_are_followed_where_two_halves_agree_on_them():
    rng = np.random.default_rng(0)
    centers = 2 * rng.normal(size=(6, 48))
    X = (centers[rng.integers(6, size=600)] + rng.normal(size=(600, 48))).astype(np.float32)
    hasher = hashkit.UDHPL(16, network="never", random_state=0).fit(X)
    assert hasher.preserved_ == "clusters"
    assert hasher.stability_ > 0.5
    assert hasher.pseudo_labels_.shape[1] >= 1
