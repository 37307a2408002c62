"""Fitting on a sample: uniform, seeded, and the same however the data set is cut into blocks."""

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("ray")

import hashkit  # noqa: E402
import hashkit.scale  # noqa: E402
from hashkit.scale.sampling import Reservoir, draw_sample, id_keys, row_keys  # noqa: E402


def dataset_of(ray, ids, features, cuts):
    pieces = zip(np.split(ids, cuts), np.split(features, cuts), strict=True)
    return ray.data.from_arrow([pa.table({"id": i, "features": list(x)}) for i, x in pieces])


def test_a_reservoir_keeps_the_smallest_keys_in_any_order_of_offers(rng):
    keys = rng.permutation(1000).astype(np.uint64)
    rows = np.stack([keys, keys * 2], axis=1)
    for order in (np.arange(1000), rng.permutation(1000)):
        reservoir = Reservoir(50)
        for piece in np.array_split(order, 30):
            wanted = piece[keys[piece] < reservoir.limit()]
            reservoir.offer(keys[wanted], rows[wanted])
            reservoir.offer(keys[wanted], rows[wanted])  # a task that Ray repeats changes nothing
        np.testing.assert_array_equal(reservoir.rows()[:, 0], np.arange(50))
        assert reservoir.limit() == 49


def test_a_small_data_set_is_taken_whole():
    reservoir = Reservoir(50)
    reservoir.offer(np.array([3, 1], np.uint64), np.array([[3.0], [1.0]]))
    np.testing.assert_array_equal(reservoir.rows(), [[1.0], [3.0]])


def test_vectors_of_two_lengths_are_refused():
    reservoir = Reservoir(50)
    reservoir.offer(np.array([1], np.uint64), np.ones((1, 3)))
    with pytest.raises(ValueError, match="vectors of one length, got 3 and 4 features"):
        reservoir.offer(np.array([2], np.uint64), np.ones((1, 4)))


def test_keys_are_uniform_and_different():
    ids = np.concatenate([np.arange(-1000, 100_000), [np.iinfo(np.int64).min, np.iinfo(np.int64).max]])
    for seed in (0, 1, -5):
        keys = id_keys(ids, seed)
        assert len(np.unique(keys)) == len(ids)
        counts = np.bincount((keys >> np.uint64(60)).astype(int), minlength=16)
        expected = len(ids) / 16
        assert np.sum((counts - expected) ** 2 / expected) < 45  # chi-squared, 15 degrees of freedom: p > 1e-4
    assert not np.array_equal(id_keys(ids, 0), id_keys(ids, 1))


def test_keys_of_rows_depend_on_the_row_and_the_seed_alone(rng):
    features = rng.standard_normal((6, 4)).astype(np.float32)
    features[3] = features[0]
    keys = row_keys(features, 0)
    assert keys[0] == keys[3]
    assert len(np.unique(keys)) == 5
    np.testing.assert_array_equal(row_keys(np.asfortranarray(features)[::-1], 0), keys[::-1])
    assert not np.intersect1d(keys, row_keys(features, 1)).size


def test_fit_is_the_same_whatever_the_blocks(ray_cluster, rng):
    ids, features = rng.permutation(3000) - 50, rng.standard_normal((3000, 12)).astype(np.float32)
    sampled = np.argsort(id_keys(ids, 7))[:400]
    expected = hashkit.fit(features[sampled], n_bits=8, method="itq", random_state=7).encode(features)
    order = rng.permutation(3000)
    for some_ids, some_features, cuts in [(ids, features, [2999]), (ids[order], features[order], [10, 500, 501, 1700])]:
        dataset = dataset_of(ray_cluster, some_ids, some_features, cuts)
        hasher = hashkit.scale.fit(dataset, ids="id", n_bits=8, sample=400, method="itq", random_state=7)
        np.testing.assert_array_equal(hasher.encode(features), expected)


def test_without_ids_different_rows_count_once(ray_cluster, rng):
    features = rng.standard_normal((300, 3))
    features[100:] = 0  # as many copies as would fill any sample
    dataset = dataset_of(ray_cluster, np.arange(300), features, [120, 150])
    rows = draw_sample(dataset, "features", None, 1000, 0)
    np.testing.assert_array_equal(np.unique(rows, axis=0), np.unique(features, axis=0))
    assert len(rows) == 101


def test_bad_arguments_are_explained(ray_cluster):
    dataset = ray_cluster.data.from_arrow(pa.table({"id": [1]}))
    with pytest.raises(ValueError, match="sample must be at least 1"):
        hashkit.scale.fit(dataset, sample=0)
    with pytest.raises(TypeError, match="random_state must be an int"):
        hashkit.scale.fit(dataset, random_state=None)
    with pytest.raises(Exception, match="dataset must have a column 'features', it has"):
        hashkit.scale.fit(dataset)
