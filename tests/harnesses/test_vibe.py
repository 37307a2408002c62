"""VIBE's entry and its data sets, against a stand-in of its loop."""

import copy
import importlib.util

import numpy as np
import pytest
import reference
from harness_stand_ins import HARNESSES, install, read_config, run_entry

import hashkit

K = 10
FOLDER = HARNESSES / "vibe"
VARIABLES = {"@metric": "hamming", "@count": K, "@dimension": 128}


@pytest.fixture
def module(monkeypatch, tmp_path):
    return install(monkeypatch, tmp_path, "vibe", FOLDER / "algorithms" / "hashkit", "hashkit")


@pytest.fixture(scope="module")
def entries():
    return read_config(FOLDER / "algorithms" / "hashkit" / "config.yml")["binary"]["hamming"]


def clustered_codes(n_bits, noise=0.15):
    """Enough codes for cells, and queries like them: centers with this share of their bits flipped."""
    rng = np.random.default_rng(0)
    centers = rng.random((200, n_bits)) < 0.5
    bits = centers[rng.integers(200, size=40_020)] ^ (rng.random((40_020, n_bits)) < noise)
    codes = hashkit.pack(bits)
    return codes[20:], codes[:20]


@pytest.fixture(scope="module")
def clustered():
    return clustered_codes(128, noise=0.25)  # with less, the neighbors of a query are in one cell


def test_exact_entries_find_the_nearest(module, entries, rng):
    codes = rng.integers(0, 256, (500, 16), dtype=np.uint8)
    queries = rng.integers(0, 256, (5, 16), dtype=np.uint8)
    results = run_entry(module, entries[0], codes, queries, K, VARIABLES)
    assert [name for name, *_ in results] == [f"hashkit(method={m}, recall=1)" for m in ("auto", "scan", "cells")]
    _, expected = reference.k_nearest(codes, queries, K)
    for _, _, found, _ in results:
        np.testing.assert_array_equal(found, expected)


def test_exact_entry_by_bounds_reads_a_part_of_long_codes(module):
    codes, queries = clustered_codes(512)
    algorithm = module.Hashkit("hamming", K, "cells")
    algorithm.fit(codes)
    algorithm.set_query_arguments(1)
    _, expected = hashkit.Index(codes, method="scan").query(queries, K)
    np.testing.assert_array_equal([algorithm.query(query, K) for query in queries], expected)
    assert algorithm.index.describe()["parts"][0]["bounds"]["memory"] > 0
    assert algorithm.index.query_stats(queries[:1], K)[2].candidates[0] < len(codes) / 10


def test_entries_at_a_recall_reach_it(module, entries, clustered):
    codes, queries = clustered
    _, expected = hashkit.Index(codes, method="scan").query(queries, K)
    entry = copy.deepcopy(entries[1])
    arguments = entry["run_groups"]["recall"]["query_args"]
    arguments["recall"] = [arguments["recall"][0], 0.95]
    low, high = run_entry(module, entry, codes, queries, K, VARIABLES)
    for name, (recall,), found, additional in (low, high):
        assert name == f"hashkit(method=cells, recall={recall})"
        assert additional["seconds_of_first_query"] > 0
        assert np.mean([len(set(f) & set(e)) / K for f, e in zip(found, expected, strict=True)]) >= recall - 0.05
    assert low[2] != high[2]  # reads less, finds less


def test_another_metric_is_refused(module):
    with pytest.raises(NotImplementedError, match="not by euclidean"):
        module.Hashkit("euclidean", K, "scan")


def test_data_set_is_what_vibe_reads(tmp_path, rng):
    h5py = pytest.importorskip("h5py")
    spec = importlib.util.spec_from_file_location("vibe_data", FOLDER / "data.py")
    data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data)
    codes = rng.integers(0, 256, (300, 8), dtype=np.uint8)
    queries = rng.integers(0, 256, (4, 8), dtype=np.uint8)
    np.savez(tmp_path / "codes.npz", codes=codes, query_codes=queries)
    data.write_dataset(tmp_path / "set.hdf5", *data.read_codes(tmp_path / "codes.npz"))
    distances, ids = reference.k_nearest(codes, queries, 100)
    with h5py.File(tmp_path / "set.hdf5") as file:
        assert dict(file.attrs) == {"distance": "hamming", "dimension": 64, "point_type": "binary"}
        np.testing.assert_array_equal(file["train"], codes)
        np.testing.assert_array_equal(file["test"], queries)
        np.testing.assert_array_equal(file["neighbors"], ids)
        np.testing.assert_array_equal(file["distances"], distances)
        means = reference.hamming_distances(queries, codes).mean(axis=1)
        np.testing.assert_allclose(file["avg_distances"], means)
