"""Where clusters help and where they do not."""

import numpy as np
import pytest

import hashkit
from hashkit.datasets import digits
from hashkit.hashers.bi_half import BiHalf
from hashkit.udhpl import Configuration
from hashkit.udhpl.network import training_config


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


def test_one_stretched_cloud_is_no_set_of_clusters():
    rng = np.random.default_rng(0)
    X = (2 + rng.normal(size=(1500, 48)) / np.arange(1, 49) ** 0.9).astype(np.float32)
    hasher = hashkit.UDHPL(16, network="never", random_state=0).fit(X)
    assert hasher.stability_ > 0.1
    assert abs(hasher.excess_modularity_) < 0.05
    assert hasher.preserved_ == "neighbors"


def test_neighbors_are_kept_better_than_by_the_map_it_starts_from():
    Q, X = np.split(digits().features, [300])
    near = np.argsort(-unit(Q) @ unit(X).T, axis=1)[:, :10]
    shares = []
    for hasher in (hashkit.ITQ(32), hashkit.UDHPL(32, preserve="neighbors", n_hidden=64)):
        hasher.set_params(random_state=0).fit(X)
        distances = hashkit.hamming_distances(hasher.encode(Q), hasher.encode(X))
        first = np.argsort(distances, axis=1, kind="stable")[:, :50]
        shares.append((near[:, :, None] == first[:, None, :]).any(axis=2).mean())
    assert {"linear", "sign", "refined"} <= set(hasher.criterion_)
    assert shares[1] > shares[0] + 0.01


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_clusters_are_followed_where_two_halves_agree_on_them():
    rng = np.random.default_rng(0)
    centers = 2 * rng.normal(size=(6, 48))
    X = (centers[rng.integers(6, size=600)] + rng.normal(size=(600, 48))).astype(np.float32)
    hasher = hashkit.UDHPL(16, network="never", random_state=0).fit(X)
    assert hasher.preserved_ == "clusters"
    assert hasher.stability_ > 0.5


@pytest.mark.parametrize("n_bits", [16, 32])
def test_kinds_of_few_rows_are_found_no_worse_than_by_itq(n_bits):
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(80), 6))
    scale = 1 / np.sqrt(np.arange(1, 65))
    X = (rng.normal(size=(80, 64))[labels] * scale + 0.7 * rng.normal(size=(480, 64)) * scale).astype(np.float32)
    precisions = []
    for hasher in (hashkit.ITQ(n_bits), hashkit.UDHPL(n_bits, network="never")):
        codes = hasher.set_params(random_state=0).fit(X).encode(X)
        nearest = np.argsort(hashkit.hamming_distances(codes, codes), axis=1, kind="stable")[:, :6]
        precisions.append((labels[nearest] == labels[:, None]).mean())
    assert hasher.preserved_ == "clusters"
    assert precisions[1] > precisions[0]


def test_without_clusters_to_trust_the_map_is_that_of_itq():
    X = np.random.default_rng(0).normal(size=(600, 32)).astype(np.float32)
    own = hashkit.UDHPL(16, network="never", random_state=0).fit(X)
    assert own.preserved_ == "neighbors"
    assert np.array_equal(own.encode(X), hashkit.ITQ(16, random_state=0).fit(X).encode(X))


def test_a_loaded_hasher_tells_what_was_decided(tmp_path):
    X = np.random.default_rng(0).normal(size=(300, 24)).astype(np.float32)
    for network in ("always", "never"):
        hasher = hashkit.UDHPL(8, network=network, n_epochs=1, n_hidden=8, random_state=0).fit(X)
        hasher.save(tmp_path / "hasher.safetensors")
        loaded = hashkit.load(tmp_path / "hasher.safetensors")
        assert loaded.criterion_ == hasher.criterion_
        assert loaded.preserved_ == hasher.preserved_
        assert loaded.stability_ == hasher.stability_
        assert loaded.excess_modularity_ == hasher.excess_modularity_
        for name in ("pseudo_labels_", "sample_rows_", "objective_"):
            assert np.array_equal(getattr(loaded, name), getattr(hasher, name))


def test_copies_of_a_few_rows_change_nothing():
    X = digits().features[:400]
    copies = np.concatenate([X, np.repeat(X[:5], 80, axis=0)])
    alone, hasher = (hashkit.UDHPL(16, network="never", random_state=0).fit(rows) for rows in (X, copies))
    assert np.array_equal(hasher.sample_rows_, np.arange(400))
    assert np.array_equal(hasher.pseudo_labels_, alone.pseudo_labels_)
    assert np.array_equal(hasher.encode(X), alone.encode(X))


def test_few_rows_are_passed_over_more_often():
    # 600 rows are 3 batches of 256, 5 of 128.
    for n_rows, own, other in ((600, 134, 200), (20_000, 24, 30)):
        assert training_config(n_rows, 0, Configuration(), "cpu").n_epochs == own
        assert BiHalf(16)._count_epochs(n_rows) == other
    assert training_config(600, 0, Configuration(n_epochs=3), "cpu").n_epochs == 3
    assert BiHalf(16, n_epochs=3)._count_epochs(600) == 3


def test_the_configuration_is_reachable_and_its_constants_take_effect():
    X = digits().features[:600]
    plain = hashkit.UDHPL(8, network="never", random_state=0).fit(X)
    same = hashkit.UDHPL(8, network="never", random_state=0, config=Configuration()).fit(X)
    other = hashkit.UDHPL(8, network="never", random_state=0, config=Configuration(granularities=(1, 3)))
    assert np.array_equal(plain.project(X), same.project(X))
    assert other.fit(X).pseudo_labels_.shape == (600, 2)
    assert other.set_params(n_smoothing=2, n_neighbors=5)._configuration() == Configuration(
        granularities=(1, 3), n_smoothing=2, n_neighbors=5
    )
    with pytest.raises(TypeError, match=r"config must be a hashkit\.udhpl\.Configuration or None, got dict"):
        hashkit.UDHPL(8, config={"n_smoothing": 2}).fit(X)


@pytest.mark.parametrize(
    ("constant", "error"),
    [
        ({"n_components": 0}, ValueError),
        ({"n_smoothing": 1.5}, TypeError),
        ({"ridge": -1.0}, ValueError),
        ({"perplexity": np.nan}, ValueError),
        ({"granularities": ()}, TypeError),
        ({"granularities": 4}, TypeError),
        ({"term_weights": (1, 1)}, TypeError),
        ({"n_epochs": 0}, ValueError),
    ],
)
def test_wrong_constants_are_refused(constant, error):
    (name,) = constant
    with pytest.raises(error, match=f"{name} must be"):
        Configuration(**constant)


@pytest.mark.parametrize(("shift", "n_graphs"), [(0, 2), (30, 3)])
def test_roots_of_features_without_a_sign_give_the_teacher_one_more_graph(shift, n_graphs):
    rng = np.random.default_rng(0)
    X = 2 * rng.normal(size=(6, 16))[rng.integers(6, size=600)] + rng.normal(size=(600, 16)) + shift
    hasher = hashkit.UDHPL(8, network="always", n_epochs=1, n_hidden=8, random_state=0).fit(X)
    assert hasher.preserved_ == "clusters"
    # Directions of the linear map, 64 eigenvectors of each graph.
    assert hasher.targets_.shape == (600, 16 + n_graphs * 64)
