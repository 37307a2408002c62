"""Hashers side by side on one data set."""

import numpy as np
import pytest

from hashkit.datasets import Dataset
from hashkit.evaluation import comparison


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 4
    features = rng.standard_normal((4, 20))[labels] + 0.5 * rng.standard_normal((240, 20))
    return Dataset("blobs", features.astype(np.float32), labels, rng.integers(0, 256, (240, 6, 6), dtype=np.uint8))


@pytest.fixture(scope="module")
def split(dataset):
    return comparison.split_dataset(dataset, random_state=0)


@pytest.fixture(scope="module")
def trials(split):
    return comparison.run_trials(split, ["itq", "random_hyperplanes"], [8, 16, 32])


def test_split_takes_the_first_rows_without_a_copy_or_rows_by_seed(dataset):
    first = comparison.split_dataset(dataset, 50)
    assert np.shares_memory(first.items, dataset.features)
    np.testing.assert_array_equal(first.query_rows, np.arange(50))
    drawn = comparison.split_dataset(dataset, 50, random_state=1)
    for part in (first, drawn):
        np.testing.assert_array_equal(part.queries, dataset.features[part.query_rows])
        np.testing.assert_array_equal(part.items, dataset.features[part.item_rows])
        np.testing.assert_array_equal(part.query_labels, dataset.labels[part.query_rows])
        np.testing.assert_array_equal(part.labels, dataset.labels[part.item_rows])
        np.testing.assert_array_equal(np.sort(np.r_[part.query_rows, part.item_rows]), np.arange(240))


def test_split_takes_a_sixth_by_default(split):
    assert len(split.queries) == 40


@pytest.mark.parametrize("n_queries", [0, 240, -1])
def test_split_needs_queries_and_items(dataset, n_queries):
    with pytest.raises(ValueError, match=r"n_queries must be (between 1 and 239|at least 1)"):
        comparison.split_dataset(dataset, n_queries)


def test_split_refuses_what_are_no_labels(dataset):
    with pytest.raises(TypeError, match="labels must be an array of integers or strings"):
        comparison.split_dataset(Dataset("blobs", dataset.features, dataset.features))


def test_trials_leave_out_codes_longer_than_the_features(trials):
    assert [(trial.method, trial.n_bits) for trial in trials] == [
        ("itq", 8),
        ("random_hyperplanes", 8),
        ("itq", 16),
        ("random_hyperplanes", 16),
    ]
    assert {trial.codes.shape for trial in trials} == {(200, 1), (200, 2)}


def test_trials_need_dimensions_for_the_shortest_code(split):
    with pytest.raises(ValueError, match="features must have as many dimensions as the shortest code has bits, got 20"):
        comparison.run_trials(split, ["itq"], [32])


def test_report_has_a_row_for_each_trial_and_its_definitions(split, trials):
    lines = comparison.report(split, trials).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:7]]
    assert [row[:2] for row in cells[2:]] == [
        ["float features", ""],
        ["itq", "8"],
        ["random_hyperplanes", "8"],
        ["itq", "16"],
        ["random_hyperplanes", "16"],
    ]
    expected = comparison.score_labels(split, trials[2]).value
    assert cells[5][2] == f"{expected:.3f}"
    assert expected > 0.9
    assert cells[5][7] == "2 (1/40)"
    assert lines[8].startswith("40 queries, 200 items of 20 dimensions")


def test_report_without_labels_leaves_map_out(dataset, trials):
    split = comparison.split_dataset(Dataset("bare", dataset.features), random_state=0)
    assert comparison.score_labels(split, trials[0]) is None
    assert "mean average precision" not in comparison.report(split, trials)


def test_report_counts_queries_that_no_item_can_answer(dataset):
    labels = dataset.labels.copy()
    labels[3] = 99
    split = comparison.split_dataset(Dataset("lonely", dataset.features, labels), 40)
    trials = comparison.run_trials(split, ["random_hyperplanes"], [8])
    assert "1 queries have a label that no item has" in comparison.report(split, trials)


def test_float_features_are_not_ranked_when_it_would_take_too_long(split, monkeypatch):
    assert comparison.score_float_features(split).value > 0.9
    monkeypatch.setattr(comparison, "MAX_FLOAT_PAIRS", 7999)
    assert comparison.score_float_features(split) is None


def test_table_is_aligned():
    table = comparison.markdown_table(["name", "n"], [["a", "10"], ["longer", "2"]])
    assert table.splitlines() == [
        "| name   |  n |",
        "| ------ | -: |",
        "| a      | 10 |",
        "| longer |  2 |",
    ]


@pytest.mark.parametrize("known", ["labels", "images", "both"])
def test_picture_is_drawn_of_what_is_known(dataset, trials, tmp_path, known):
    pytest.importorskip("matplotlib")
    from hashkit.evaluation.plots import save_picture

    labels = None if known == "images" else dataset.labels
    split = comparison.split_dataset(Dataset("blobs", dataset.features, labels), random_state=0)
    save_picture(tmp_path / "picture.png", split, trials, None if known == "labels" else dataset.images)
    content = (tmp_path / "picture.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 10_000


def test_picture_of_nothing_is_refused(dataset, trials, tmp_path):
    pytest.importorskip("matplotlib")
    from hashkit.evaluation.plots import save_picture

    split = comparison.split_dataset(Dataset("bare", dataset.features), random_state=0)
    with pytest.raises(ValueError, match="there is nothing to draw"):
        save_picture(tmp_path / "picture.png", split, trials)


def test_pictures_show_a_miss_where_a_query_has_one():
    from hashkit.evaluation.plots import N_SHOWN_QUERIES, choose_queries

    same = np.ones((20, 5), dtype=bool)
    first = np.arange(N_SHOWN_QUERIES)
    np.testing.assert_array_equal(choose_queries(same), first)
    same[12, 3:] = False
    same[[15, 17], 4] = False
    np.testing.assert_array_equal(choose_queries(same), [*first[:-1], 15])
    same[2, 0] = False
    np.testing.assert_array_equal(choose_queries(same), first)
    np.testing.assert_array_equal(choose_queries(same[:2]), [0, 1])
