"""The metrics of given rankings agree with those of codes, and refuse what is no ranking."""

import numpy as np
import pytest

from hashkit import evaluation


@pytest.fixture
def task(rng):
    queries, codes = (rng.integers(0, 256, (n, 1), dtype=np.uint8) for n in (20, 90))
    return queries, codes, rng.integers(0, 6, 20), rng.integers(0, 5, 90)


@pytest.fixture
def ids(task):
    distances = np.bitwise_count(task[0] ^ task[1].T)
    return np.argsort(distances, axis=1, kind="stable")


@pytest.mark.parametrize("denominator", ["relevant_in_first_k", "relevant_in_database"])
@pytest.mark.parametrize("k", [None, 1, 13, 500])
def test_rankings_by_hamming_distance_score_as_the_codes(task, ids, k, denominator):
    k_ranked = None if k == 500 else k
    score = evaluation.mean_average_precision_of_rankings(ids, *task[2:], k=k_ranked, denominator=denominator)
    expected = evaluation.mean_average_precision(*task, k=k, denominator=denominator)
    np.testing.assert_array_equal(score.per_query, expected.per_query)
    assert score.n_without_relevant == expected.n_without_relevant > 0


def test_precision_and_recall_of_rankings_score_as_the_codes(task, ids):
    precision = evaluation.precision_of_rankings(ids[:, :9], *task[2:])
    recall = evaluation.recall_of_rankings(ids, *task[2:], k=9)
    np.testing.assert_array_equal(precision.per_query, evaluation.precision_at_k(*task, k=9).per_query)
    np.testing.assert_array_equal(recall.per_query, evaluation.recall_at_k(*task, k=9).per_query)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda ids: ids.astype(np.int32), TypeError, "ids must be an int64 array"),
        (lambda ids: ids[0], TypeError, "ids must be an int64 array"),
        (lambda ids: ids.tolist(), TypeError, "ids must be an int64 array"),
        (lambda ids: ids + 1, ValueError, "ids must be row numbers from 0 to 89, got 1 to 90"),
        (lambda ids: ids - 1, ValueError, "ids must be row numbers from 0 to 89, got -1 to 88"),
        (lambda ids: ids[1:], ValueError, "query_labels must have one row for each of ids' 19"),
    ],
)
def test_bad_rankings_are_refused(task, ids, change, error, message):
    with pytest.raises(error, match=message):
        evaluation.mean_average_precision_of_rankings(change(ids), *task[2:])


def test_k_beyond_the_ranks_given_is_refused(task, ids):
    with pytest.raises(ValueError, match="k must be at most the 10 ranks in ids, got 11"):
        evaluation.precision_of_rankings(ids[:, :10], *task[2:], k=11)
