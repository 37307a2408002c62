"""The stages, one by one: what decides between maps, and what networks are taught."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from hashkit.cosines import nearest_neighbors
from hashkit.hashers.itq import itq_rotation
from hashkit.hashers.pca import principal_rows
from hashkit.networks.temperature import temperature_of_perplexity
from hashkit.udhpl import Configuration, rotation
from hashkit.udhpl.evidence import excess_modularity, reliability
from hashkit.udhpl.graph import build_graph, graph_size, shared_neighbor_graph, shared_neighbors
from hashkit.udhpl.labels import cluster_means, without_gaps
from hashkit.udhpl.rotation import choose_power, evened_map
from hashkit.udhpl.selection import float_neighbor_recalls, judge, winner
from hashkit.udhpl.targets import Lesson, similarity_targets, walk_length

CONFIG = Configuration()


def classes(n=240, d=12):
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=n)
    return (4 * rng.normal(size=(4, d))[labels] + rng.normal(size=(n, d))).astype(np.float32), labels


def test_float_neighbor_recall_is_its_definition():
    X = classes()[0]
    projections = X @ np.random.default_rng(1).normal(size=(12, 8)).astype(np.float32)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    rows, shares = np.arange(0, 240, 7), []
    for row in rows:
        others = np.delete(np.arange(240), row)
        near = others[np.argsort(-unit[others] @ unit[row])[:5]]
        distances = ((projections[others] > 0) != (projections[row] > 0)).sum(axis=1)
        first = others[np.argsort(distances, kind="stable")[:24]]
        shares.append(np.isin(near, first).mean())
    lesson = Lesson("neighbors", X, 0.05)
    outputs = {"these": projections, "the features": X}
    found = float_neighbor_recalls(outputs, lesson, rows, Configuration(n_recalled=5, n_first=24))
    assert np.allclose(found["these"], shares)
    assert not np.allclose(found["the features"], shares)
    # The same of a sample of a third: 15 among 72 of all are 5 among 24 of the sample.
    of_more = replace(lesson, n_rows=720)
    same = float_neighbor_recalls(outputs, of_more, rows, Configuration(n_recalled=15, n_first=72))
    assert all(np.array_equal(found[name], same[name]) for name in outputs)


@pytest.mark.parametrize(("reliability", "weight"), [(0.0, 0.0), (0.2, 0.16), (0.5, 1.0), (0.75, 1.0)])
def test_walks_count_as_far_as_clusters_are_reliable(reliability, weight):
    X, _ = classes()
    graphs = [shared_neighbor_graph(nearest_neighbors(X, k), CONFIG) for k in (10, 20)]
    targets = similarity_targets(X, graphs, 4, reliability, CONFIG)
    assert np.allclose(np.square(targets[:, 12:]).sum(axis=1), weight, atol=1e-5)


@pytest.mark.parametrize(("reliability", "power"), [(0.0, 0.5), (0.2, 0.3), (0.5, 0.0), (0.9, 0.0)])
def test_directions_of_small_spread_count_less_the_less_reliable_clusters_are(reliability, power):
    X, _ = classes()
    spread = (X - X.mean(axis=0)) * np.linspace(1, 0.1, 12, dtype=np.float32)
    graphs = [shared_neighbor_graph(nearest_neighbors(X, 10), CONFIG)]
    found, plain = (
        similarity_targets(spread, graphs, 4, reliability, replace(CONFIG, emphasis=emphasis))[:, :12]
        for emphasis in (0.5, 0.0)
    )
    weights = spread.std(axis=0) ** power
    expected = plain * weights / np.linalg.norm(plain * weights, axis=1, keepdims=True)
    assert np.allclose(found, expected, atol=1e-5)


def rows_of(values):
    return principal_rows(values, values.shape[1], normalize=False, max_rows=len(values), rng=np.random.default_rng(0))


def test_components_are_divided_by_their_spread_to_a_power():
    values = rows_of(classes()[0]).values
    spread = values.std(axis=0)[:8]
    for power in (0.0, 0.5):
        linear = evened_map(values, power, 8, CONFIG, np.random.default_rng(3))
        rotation = linear[:8] * spread[:, None] ** power
        assert np.allclose(rotation @ rotation.T, np.eye(8), atol=1e-5)
        assert not linear[8:].any()
    plain = evened_map(values, 0.0, 8, CONFIG, np.random.default_rng(3))[:8]
    assert np.array_equal(plain, itq_rotation(values[:, :8], n_iterations=50, rng=np.random.default_rng(3)))


@pytest.mark.parametrize(
    ("gains", "power"), [((0.003, -0.1), 0.0), ((0.03, 0.02), 0.25), ((0.0, 0.1), 0.5), ((-0.1, -0.2), 0.0)]
)
def test_components_are_evened_only_where_that_finds_more_neighbors(gains, power, monkeypatch):
    rows = rows_of(classes(600, 32)[0])

    def recalls(outputs, lesson, judges, config):
        base = np.full(len(judges), 0.5)
        # Every other row finds .1 more than the mean, or less: the standard error of a gain is .004.
        noise = 0.1 * (-1.0) ** np.arange(len(judges))
        return dict(zip(outputs, (base, *(base + gain + noise for gain in gains)), strict=True))

    monkeypatch.setattr(rotation, "float_neighbor_recalls", recalls)
    config = replace(CONFIG, component_powers=(0.25, 0.5))
    assert choose_power(rows, 8, config, np.random.default_rng(1)) == power


def test_targets_are_alike_within_a_class():
    X, labels = classes()
    nearest = nearest_neighbors(X, 20)
    graphs = [shared_neighbor_graph(nearest[:, :k], CONFIG) for k in (10, 20)]
    targets = similarity_targets(X, graphs, 4, 0.5, CONFIG)
    assert targets.shape == (240, 12 + 2 * 64)
    # Projections and walks count alike, however many graphs there are.
    assert np.allclose(np.linalg.norm(targets[:, :12], axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(targets[:, 12:], axis=1), 1, atol=1e-5)
    unit = targets / np.linalg.norm(targets, axis=1, keepdims=True)
    same = labels[:, None] == labels
    assert (unit @ unit.T)[same].mean() > 0.7
    assert (unit @ unit.T)[~same].mean() < 0


def test_walks_are_shorter_where_there_are_more_clusters():
    lengths = [walk_length(2**i, CONFIG) for i in range(1, 12)]
    assert lengths == sorted(lengths, reverse=True)
    assert (lengths[0], lengths[-1]) == (32, 16)


def test_clusters_fit_the_graph_better_than_a_cloud_does():
    X = classes(600)[0]
    assert excess_modularity(X, X, 20, CONFIG, np.random.default_rng(0)) > 0.1
    cloud = (np.random.default_rng(1).normal(size=(600, 12)) / np.arange(1, 13)).astype(np.float32)
    assert abs(excess_modularity(cloud, cloud, 20, CONFIG, np.random.default_rng(0))) < 0.05


def test_few_rows_have_graphs_of_few_neighbors():
    sizes = [graph_size(n_rows, CONFIG) for n_rows in (4, 100, 800, 1600, 100_000)]
    assert sizes == [3, 5, 10, 20, 20]
    assert graph_size(100_000, Configuration(n_neighbors=3)) == 3


def test_reliability_grows_with_the_rows_that_were_not_compared():
    assert reliability(-0.1, 600, CONFIG) == 0
    assert reliability(0.3, 600, CONFIG) == 0.3
    # Twice as many rows as both halves had: 2 r / (1 + r).
    assert np.isclose(reliability(0.5, 8000, CONFIG), 2 / 3)
    assert np.isclose(reliability(1.0, 20_000, CONFIG), 1)


def test_a_rows_neighbors_are_a_twelfth_of_all_whatever_the_spread_of_cosines():
    for noise in (0.3, 1.0, 3.0):
        rng = np.random.default_rng(0)
        X = (rng.normal(size=(4, 12))[rng.integers(4, size=600)] + noise * rng.normal(size=(600, 12))).astype(
            np.float32
        )
        unit = X / np.linalg.norm(X, axis=1, keepdims=True)
        similar = unit @ unit.T / temperature_of_perplexity(X, CONFIG.perplexity)
        np.fill_diagonal(similar, -np.inf)
        shares = np.exp(similar - similar.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        entropies = -np.sum(np.where(shares > 0, shares * np.log(np.maximum(shares, 1e-30)), 0), axis=1)
        assert np.isclose(np.exp(entropies).mean(), 600 / 12, rtol=0.05)


def with_one_hub(n, d=256):
    """Rows around a direction that is nearer to each of them than any other row is, row 0."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)).astype(np.float32)
    X[:, 0] = np.linalg.norm(X, axis=1)
    X[0] = np.eye(1, d)
    return X


def peak_bytes(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_hub_does_not_make_the_graph_dense():
    n_rows = 8000
    X = with_one_hub(n_rows)
    found = []
    # All pairs as float32 would take 256 MB.
    assert peak_bytes(lambda: found.append(build_graph(X, CONFIG))) < 120e6
    (graph,) = found
    assert (graph.neighbors[1:, 0] == 0).all()
    assert graph.weights.nnz <= n_rows * (2 * 20 + 1)
    outputs, rows = {"linear": X[:, :16]}, np.arange(2000)
    assert peak_bytes(lambda: judge(outputs, Lesson("clusters", X, 0.1), rows, CONFIG)) < 120e6
    assert peak_bytes(lambda: judge(outputs, Lesson("neighbors", X, 0.1), rows, CONFIG)) < 120e6


def test_shared_neighbors_are_counted_edge_by_edge():
    nearest = nearest_neighbors(classes()[0], 7)
    own = [{row, *near} for row, near in enumerate(nearest.tolist())]
    expected = [[len(own[row] & own[other]) for other in near] for row, near in enumerate(nearest.tolist())]
    assert np.array_equal(shared_neighbors(nearest), expected)


@pytest.mark.parametrize(
    ("preserved", "network", "expected"),
    [("clusters", 4.04, "network"), ("clusters", 4.09, "linear"), ("neighbors", 4.04, "linear")],
)
def test_a_network_for_clusters_may_lose_a_trial_by_a_little(preserved, network, expected):
    judged = {"linear": np.full(9, 4.0), "network": np.full(9, network)}
    assert winner(judged, preserved, CONFIG) == expected


@pytest.mark.parametrize(("gain", "expected"), [(0.03, "linear"), (0.04, "refined"), (-0.1, "linear")])
def test_a_map_for_neighbors_must_win_by_a_standard_error(gain, expected):
    noise = 0.1 * (-1.0) ** np.arange(8)  # a standard error of .035
    judged = {"linear": np.full(8, 0.5), "refined": 0.5 - gain + noise, "network": np.full(8, 0.52)}
    assert winner(judged, "neighbors", CONFIG) == expected


def test_means_of_clusters_are_those_of_their_rows():
    rng = np.random.default_rng(0)
    labels = without_gaps(rng.choice([0, 3, 4, 9], size=60).astype(np.int32))
    assert set(labels.tolist()) == {0, 1, 2, 3}
    values = rng.normal(size=(60, 5)).astype(np.float32)
    expected = [values[labels == number].mean(axis=0) for number in range(4)]
    np.testing.assert_allclose(cluster_means(labels, values), expected, rtol=1e-5, atol=1e-6)
