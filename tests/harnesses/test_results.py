"""Tables and pictures of result files, from small files of the harnesses' formats."""

import importlib.util
import sys

import numpy as np
import pytest
from harness_stand_ins import HARNESSES

h5py = pytest.importorskip("h5py")
TRUE = np.array([[1.0, 2.0, 2.0, 5.0], [0.0, 1.0, 3.0, 4.0]])


@pytest.fixture(scope="module")
def results():
    spec = importlib.util.spec_from_file_location("harness_results", HARNESSES / "results.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_run(group, entry, seconds, distances):
    group.attrs.update({"algo": entry, "name": f"{entry}(1)", "best_search_time": seconds})
    group.attrs.update({"build_time": 2.5, "index_size": 2048.0})
    group["distances"] = distances
    group["times"] = [seconds, seconds / 4, 1.0]


@pytest.fixture
def harness(tmp_path):
    """Two entries: one as VIBE writes it, a group for each set of arguments, and one as ann-benchmarks does."""
    (tmp_path / "data").mkdir()
    with h5py.File(tmp_path / "data" / "tiny.hdf5", "w") as file:
        file["distances"] = TRUE
    for entry in ("exact", "graph"):
        (tmp_path / "results" / "tiny" / "3" / entry).mkdir(parents=True)
    with h5py.File(tmp_path / "results" / "tiny" / "3" / "graph" / "a.hdf5", "w") as file:
        write_run(file.create_group("few"), "graph", 0.001, [[1, 5, np.inf], [0, 4, 4]])
        write_run(file.create_group("more"), "graph", 0.002, [[1, 2, 2], [0, 1, 4]])
    with h5py.File(tmp_path / "results" / "tiny" / "3" / "exact" / "b.hdf5", "w") as file:
        write_run(file, "exact", 0.004, TRUE[:, :3])
    return tmp_path


def test_recall_counts_what_is_as_near_as_the_last_true_neighbor(results):
    found = np.array([[2.0, 2.0, 2.0005], [3.1, 9.0, np.inf]])
    assert results.recall_of(TRUE, found, 3) == 0.5


def test_runs_are_read_from_both_formats(results, harness):
    runs = {(run.entry, run.recall): run.queries_per_second for run in results.read_runs(harness, "tiny", 3)}
    expected = {("exact", 1.0): 250, ("graph", 2 / 6): 1000, ("graph", 5 / 6): 500}
    assert runs == {key: pytest.approx(value) for key, value in expected.items()}


def test_interrupted_queries_do_not_count_for_undisturbed_speed(results, harness):
    assert results.undisturbed_seconds(np.array([1.0, 2.0, 3.0, 18.0, 19.0])) == 6.0  # the median is 3
    speeds = sorted(run.queries_per_second for run in results.read_runs(harness, "tiny", 3, undisturbed=True))
    assert speeds == [pytest.approx(speed / 0.625) for speed in (250, 500, 1000)]


def test_table_has_the_fastest_run_at_each_recall(results, harness):
    lines = results.table(results.read_runs(harness, "tiny", 3)).splitlines()
    assert lines[2:] == [
        "| exact | 250 | 250 | 250 | 250 | 1.000 | 2.5 | 2 |",
        "| graph | - | - | - | - | 0.833 | 2.5 | 2 |",
    ]


def test_the_frontier_leaves_out_what_is_slower_and_no_better(results):
    runs = [results.Run("a", "", recall, speed, 0, 0) for recall, speed in [(0.9, 10), (0.95, 20), (1, 5), (0.8, 30)]]
    assert [run.recall for run in results.frontier(runs)] == [1, 0.95, 0.8]


def test_picture_is_small(results, harness, tmp_path):
    pytest.importorskip("matplotlib")
    results.draw(results.read_runs(harness, "tiny", 3), tmp_path / "tiny.png", "a title")
    assert 5_000 < (tmp_path / "tiny.png").stat().st_size < 150_000
