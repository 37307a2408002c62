"""Rows as nobody wants them: copies and constant rows in any share, one hub, few rows, one enormous column."""

import tracemalloc

import numpy as np
import pytest

import hashkit
from hashkit.udhpl import Configuration

SMALL = {"n_epochs": 10, "n_hidden": 32, "batch_size": 64, "network": "always", "random_state": 0}


@pytest.fixture(scope="module", autouse=True)
def _needs_torch():
    pytest.importorskip("torch")


def classes(n=600, d=32, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(6, size=n)
    return (2 * rng.normal(size=(6, d))[labels] + rng.normal(size=(n, d))).astype(np.float32), labels


def same_class_share(hasher, X, labels):
    """Share of the 10 nearest rows by code that are of a row's class."""
    distances = hashkit.hamming_distances(hasher.encode(X), hasher.encode(X)).astype(int)
    np.fill_diagonal(distances, 999)
    return (labels[distances.argsort(axis=1, kind="stable")[:, :10]] == labels[:, None]).mean()


def fit(X, n_bits=16, **options):
    hasher = hashkit.UDHPL(n_bits, **(SMALL | options)).fit(X)
    assert np.isfinite(hasher.project(X)).all()
    return hasher


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("of", ["one row", "five rows", "zeros", "a constant"])
def test_copies_in_any_share_do_not_hide_the_classes(share, of):
    """What is not a copy is told apart as without copies, unless hardly anything else is left."""
    X, labels = classes(1200)
    n_copies = round(share * len(X))
    rows = np.random.default_rng(1).permutation(len(X))
    copies, others = rows[:n_copies], rows[n_copies:]
    sources = {"one row": X[:1], "five rows": X[:5], "zeros": np.zeros((1, 32)), "a constant": np.full((1, 32), 3)}[of]
    X[copies] = sources[np.arange(n_copies) % len(sources)]
    hasher = fit(X)
    assert len(np.unique(np.c_[X[copies], hasher.encode(X[copies])], axis=0)) <= len(sources)
    if share <= 0.5:
        assert same_class_share(hasher, X[others], labels[others]) > 0.8
    assert len(np.unique(hasher.encode(X[others]), axis=0)) >= 3


def test_one_hub_neither_takes_memory_nor_hides_the_classes():
    X, labels = classes(3000, 64)
    # Nearer to each row than other rows are: each has this direction with half of its length.
    X = np.c_[np.linalg.norm(X, axis=1), X].astype(np.float32)
    X[0] = 10 * np.eye(1, 65)
    tracemalloc.start()
    try:
        hasher = fit(X, network="never")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 120e6
    assert same_class_share(hasher, X[1:1000], labels[1:1000]) > 0.9


@pytest.mark.parametrize("n_rows", [5, 9, 17, 40])
def test_fewer_rows_than_clusters_at_every_granularity(n_rows):
    X, _ = classes(n_rows)
    hasher = fit(X, 4, config=Configuration(granularities=(64, 128, 512)))
    assert hasher.encode(X).shape == (n_rows, 1)
    assert hasher.pseudo_labels_.max() < n_rows


@pytest.mark.parametrize("size", [1e3, 1e6, 1e12, 1e30])
@pytest.mark.parametrize("varies", [False, True])
def test_one_enormous_column(size, varies):
    """
    The other columns are told apart as far as float32 can hold them beside it, and the code of a row stays its own.

    Scaled to length 1, a row is that column and, where it varies, its sign.
    """
    X, labels = classes()
    X[:, 7] = size * (np.random.default_rng(1).normal(size=len(X)) if varies else 1)
    hasher = fit(X)
    codes = hasher.encode(X)
    assert np.array_equal(codes, np.concatenate([hasher.encode(row[None]) for row in X]))
    if not varies and size <= 1e6:
        assert same_class_share(hasher, X, labels) > 0.9


def test_a_float16_column_at_its_largest():
    X, labels = classes()
    X[:, 3] = 60_000
    hasher = fit(X.astype(np.float16))
    assert same_class_share(hasher, X.astype(np.float16), labels) > 0.9
    with np.errstate(over="ignore"):
        too_large = (X * 2).astype(np.float16)
    with pytest.raises(ValueError, match="X must be finite, but row 0 holds"):
        fit(too_large)
