"""ann-benchmarks' entry, against a stand-in of its loop."""

from fractions import Fraction

import numpy as np
import pytest
import reference
from harness_stand_ins import HARNESSES, install, read_config, run_entry

K, N_BITS = 7, 45
FOLDER = HARNESSES / "ann_benchmarks" / "algorithms" / "hashkit"


@pytest.fixture
def module(monkeypatch, tmp_path):
    return install(monkeypatch, tmp_path, "ann_benchmarks", FOLDER, "hashkit")


@pytest.fixture(scope="module")
def config():
    return read_config(FOLDER / "config.yml")["bit"]


def variables(metric):
    return {"@metric": metric, "@count": K, "@dimension": N_BITS}


@pytest.mark.parametrize("number", [0, 1], ids=["exact", "at a recall"])
def test_bits_are_searched_by_hamming_distance(module, config, rng, number):
    bits = rng.random((400, N_BITS)) < 0.5
    queries = rng.random((5, N_BITS)) < 0.5
    results = run_entry(module, config["hamming"][number], bits, queries, K, variables("hamming"))
    assert len(results) == [2, 7][number]
    _, expected = reference.k_nearest(np.packbits(bits, axis=1), np.packbits(queries, axis=1), K)
    for name, (recall,), found, _ in results:  # so few codes are always searched exactly
        assert f"recall={recall})" in name
        np.testing.assert_array_equal(found, expected)


def jaccard(left, right):
    return 1 - Fraction(len(left & right), len(left | right))


def test_sets_are_searched_by_jaccard_distance(module, config, rng):
    """Members as numbers; the last of the universe is in the query alone."""
    sets = [rng.choice(N_BITS - 1, size, replace=False) for size in rng.integers(3, 20, 200)]
    queries = [np.append(rng.choice(N_BITS - 1, 9, replace=False), N_BITS - 1) for _ in range(4)]
    ((name, _, found, _),) = run_entry(module, config["jaccard"][0], sets, queries, K, variables("jaccard"))
    assert name == "hashkit(method=auto, recall=1)"
    for query, ids in zip(queries, found, strict=True):
        order = sorted(range(len(sets)), key=lambda i: (jaccard(set(query), set(sets[i])), i))
        assert ids == order[:K]


def test_another_metric_is_refused(module):
    with pytest.raises(NotImplementedError, match="not by angular"):
        module.Hashkit("angular", N_BITS, K, "auto")
