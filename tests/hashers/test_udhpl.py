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


def test_a_loaded_hasher_tells_what_was_decided(tmp_path):
    X = np.random.default_rng(0).normal(size=(300, 24)).astype(np.float32)
    for network in ("always", "never"):
        hasher = hashkit.UDHPL(8, network=network, n_epochs=1, n_hidden=8, random_state=0).fit(X)
        hasher.save(tmp_path / "hasher.safetensors")
        loaded = hashkit.load(tmp_path / "hasher.safetensors")
        assert loaded.criterion_ == hasher.criterion_
        assert loaded.preserved_ == hasher.preserved_
        assert loaded.stability_ == hasher.stability_
        for name in ("pseudo_labels_", "sample_rows_", "objective_"):
            assert np.array_equal(getattr(loaded, name), getattr(hasher, name))
