"""What decides between maps: rows that took no part, of which all rows say what is similar."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import hashkit
from hashkit.hashers.sign import choose_map
from hashkit.networks import loop
from hashkit.udhpl import Configuration, method, network
from hashkit.udhpl.findings import Task
from hashkit.udhpl.network import sign_map
from hashkit.udhpl.reduce import reduce_features
from hashkit.udhpl.selection import split_rows
from hashkit.udhpl.targets import make_lesson

CONFIG = Configuration(n_epochs=4, n_hidden=32, batch_size=64)


def classes(n=600, d=24):
    rng = np.random.default_rng(0)
    return (2 * rng.normal(size=(6, d))[rng.integers(6, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


def test_rows_that_judge_take_no_part_in_what_is_judged(monkeypatch):
    rows = reduce_features(classes(), 8, CONFIG, np.random.default_rng(0), normalize=True, max_rows=600)
    clusters = method.find_clusters(rows, 8, CONFIG, np.random.default_rng(0), with_targets=True)
    lesson = make_lesson(clusters, rows, CONFIG)
    seen = []

    def judge(outputs, lesson, unseen, config):
        seen[-1][0].update(outputs)
        assert np.array_equal(seen[-1][1], unseen)
        return dict.fromkeys(outputs, np.zeros(len(unseen)))

    monkeypatch.setattr(method, "judge", judge)
    part, unseen = split_rows(600, CONFIG, np.random.default_rng(5))
    other_values, other_rows = rows.values.copy(), rows.rows.copy()
    other_values[unseen], other_rows[unseen] = 9.0, -3.0
    for same in (rows, replace(rows, values=other_values, rows=other_rows)):
        seen.append(({}, unseen))
        method.try_maps(same, clusters, lesson, Task(8, config=CONFIG), np.random.default_rng(5))
    (first, _), (second, _) = seen
    assert set(first) == set(second) == {"linear", "network"}
    assert not np.intersect1d(part, unseen).size
    assert len(part) + len(unseen) == 600
    for name in first:
        assert np.array_equal(first[name][part], second[name][part])
        assert not np.array_equal(first[name][unseen], second[name][unseen])


@pytest.mark.parametrize(("preserve", "n_trained"), [("clusters", [480, 600]), ("neighbors", [480, 480, 600])])
def test_the_best_map_is_learned_again_from_all_rows(preserve, n_trained, monkeypatch):
    n_rows = []
    train = loop.train

    def counted(network, inputs, *more, **options):
        n_rows.append(len(inputs))
        return train(network, inputs, *more, **options)

    monkeypatch.setattr(loop, "train", counted)
    hasher = hashkit.UDHPL(8, preserve=preserve, config=CONFIG, random_state=0).fit(classes())
    best = min(hasher.criterion_, key=hasher.criterion_.get)
    if preserve == "neighbors" and "network" not in hasher.criterion_:
        n_trained.remove(480)
    assert n_rows == (n_trained if best in ("refined", "network") else n_trained[:-1])
    assert (hasher.hidden_weights_.size > 0) == (best == "network")


def test_a_trial_is_of_few_rows_where_there_are_many():
    part, unseen = split_rows(20_000, CONFIG, np.random.default_rng(0))
    assert (len(part), len(unseen)) == (4000, 2000)


def test_a_worse_network_does_not_encode():
    """A rate at which nothing is learned leaves the linear map in place."""
    hasher = hashkit.UDHPL(8, config=replace(CONFIG, learning_rate=0.0), random_state=0).fit(classes())
    assert hasher.criterion_["linear"] < hasher.criterion_["network"]
    assert hasher.hidden_weights_.size == 0
    linear = hashkit.UDHPL(8, network="never", config=CONFIG, random_state=0).fit(classes())
    assert np.array_equal(hasher.encode(classes()), linear.encode(classes()))


@pytest.mark.parametrize(("best", "n_tried"), [("linear", 3), ("sign", 3), ("refined", 4)])
def test_a_network_competes_for_neighbors_only_where_refining_helps(best, n_tried, monkeypatch, tmp_path):
    X = classes() + 3
    monkeypatch.setattr(
        method, "judge", lambda outputs, *_: {name: np.full(9, float(name != best)) for name in outputs}
    )
    signs = ("mean", "none"), np.eye(24, 8, dtype=np.float32), np.full(8, 0.1, dtype=np.float32), {}
    monkeypatch.setattr(network, "choose_map", lambda *_: signs)
    hasher = hashkit.UDHPL(8, preserve="neighbors", config=CONFIG, random_state=0).fit(X)
    assert list(hasher.criterion_) == ["linear", "sign", "refined", "network"][:n_tried]
    assert hasher.hidden_weights_.size == 0
    assert (best == "sign") == np.array_equal(hasher.weights_, np.eye(24, 8))
    assert (best == "sign") == np.array_equal(hasher.offsets_, np.full(8, 0.1, dtype=np.float32))
    hasher.save(tmp_path / "hasher")
    loaded = hashkit.load(tmp_path / "hasher")
    assert loaded.criterion_ == hasher.criterion_
    assert np.array_equal(loaded.encode(X), hasher.encode(X))


def test_the_map_of_signs_is_the_one_that_sign_would_choose():
    rows = reduce_features(classes() + 3, 8, CONFIG, np.random.default_rng(0), normalize=True, max_rows=600)
    found = sign_map(rows, 8, np.random.default_rng(2))
    _, weights, offsets, recalls = choose_map(rows.rows, rows.mean, 8, np.random.default_rng(2))
    assert len(recalls) == 6
    assert np.array_equal(found.outputs(rows), rows.rows @ weights - offsets)
