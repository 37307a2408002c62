"""The metrics of codes against their definitions."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from hashkit import evaluation

DENOMINATORS = ["relevant_in_first_k", "relevant_in_database"]
TIES = ["id", "expectation"]


@st.composite
def tasks(draw, max_codes=6):
    """Few codes of few bits, so that ties are the rule, with labels that some queries share with no code."""
    n_queries, n_codes, n_bytes = draw(st.integers(1, 3)), draw(st.integers(1, max_codes)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    high = draw(st.sampled_from([2, 4, 256]))
    queries, codes = (rng.integers(0, high, (n, n_bytes), dtype=np.uint8) for n in (n_queries, n_codes))
    return queries, codes, rng.integers(0, 3, n_queries), rng.integers(0, 2, n_codes)


def twin(task, metric, ties):
    """Mean of a metric of (flags in ranked order, number of relevant codes), one value per query, nan without any."""
    queries, codes, query_labels, labels = task
    values = []
    for distances, label in zip(reference.hamming_distances(queries, codes), query_labels, strict=True):
        relevant = [bool(label == other) for other in labels]
        n_relevant = sum(relevant)
        measure = lambda flags, n=n_relevant: metric(flags, n)  # noqa: E731
        values.append(reference.mean_over_rankings(measure, distances, relevant, ties) if n_relevant else np.nan)
    return values


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("denominator", DENOMINATORS)
@settings(max_examples=60)
@given(task=tasks(), k=st.one_of(st.none(), st.integers(1, 8)))
def test_average_precision_is_its_definition(task, k, denominator, ties):
    score = evaluation.mean_average_precision(*task, k=k, denominator=denominator, ties=ties)
    n_ranks = len(task[1]) if k is None else k
    expected = twin(task, lambda flags, n: reference.average_precision(flags, n, n_ranks, denominator), ties)
    np.testing.assert_allclose(score.per_query, expected, rtol=1e-9)


@pytest.mark.parametrize("ties", TIES)
@settings(max_examples=40)
@given(task=tasks(), k=st.integers(1, 8))
def test_precision_and_recall_at_k_are_their_definitions(task, k, ties):
    depth = min(k, len(task[1]))
    precision = evaluation.precision_at_k(*task, k=k, ties=ties)
    recall = evaluation.recall_at_k(*task, k=k, ties=ties)
    np.testing.assert_allclose(precision.per_query, twin(task, lambda flags, n: sum(flags[:k]) / depth, ties))
    np.testing.assert_allclose(recall.per_query, twin(task, lambda flags, n: sum(flags[:k]) / n, ties))


@given(task=tasks(max_codes=30), radius=st.integers(0, 20))
def test_precision_within_radius_is_its_definition(task, radius):
    score = evaluation.precision_within_radius(*task, radius=radius)
    expected, n_empty = [], 0
    for distances, label in zip(reference.hamming_distances(*task[:2]), task[2], strict=True):
        within = distances <= radius
        hits = sum(inside and label == other for inside, other in zip(within, task[3], strict=True))
        known = label in task[3]
        expected.append(hits / max(within.sum(), 1) if known else np.nan)
        n_empty += known and not within.any()
    np.testing.assert_allclose(score.per_query, expected)
    assert score.n_empty == n_empty


@given(task=tasks(max_codes=30))
def test_precision_recall_curve_pools_pairs_within_each_radius(task):
    curve = evaluation.precision_recall_curve(*task)
    known = [i for i, label in enumerate(task[2]) if label in task[3]]
    distances = reference.hamming_distances(*task[:2])
    pairs = [(distances[i, j], task[2][i] == label) for i in known for j, label in enumerate(task[3])]
    assert (curve.n_queries, curve.n_without_relevant) == (len(task[0]), len(task[0]) - len(known))
    n_relevant = sum(relevant for _, relevant in pairs)
    for radius, (precision, recall) in enumerate(zip(curve.precision, curve.recall, strict=True)):
        within = [relevant for distance, relevant in pairs if distance <= radius]
        assert precision == (pytest.approx(np.mean(within)) if within else pytest.approx(np.nan, nan_ok=True))
        assert recall == (pytest.approx(sum(within) / n_relevant) if pairs else pytest.approx(np.nan, nan_ok=True))


@pytest.mark.parametrize("denominator", DENOMINATORS)
@pytest.mark.parametrize("k", [7, 300, 1500])
def test_expectation_is_the_mean_over_shuffles_of_large_ties(rng, denominator, k):
    queries, codes = (rng.integers(0, 16, (n, 1), dtype=np.uint8) for n in (4, 1500))
    query_labels, labels = rng.integers(0, 3, 4), rng.integers(0, 3, 1500)
    expected = evaluation.mean_average_precision(
        queries, codes, query_labels, labels, k=k, denominator=denominator, ties="expectation"
    )
    shuffles = [rng.permutation(1500) for _ in range(400)]
    by_id = [
        evaluation.mean_average_precision(
            queries, codes[order], query_labels, labels[order], k=k, denominator=denominator
        ).per_query
        for order in shuffles
    ]
    error = 5 * np.std(by_id, axis=0) / np.sqrt(len(by_id)) + 1e-12
    assert (np.abs(np.mean(by_id, axis=0) - expected.per_query) < error).all()


def test_blocks_do_not_change_a_score(rng, monkeypatch):
    task = (
        *(rng.integers(0, 256, (n, 2), dtype=np.uint8) for n in (50, 200)),
        *(rng.integers(0, 4, n) for n in (50, 200)),
    )
    whole = evaluation.mean_average_precision(*task, k=20)
    monkeypatch.setattr("hashkit.evaluation.relevance.PAIRS_PER_BLOCK", 700)
    np.testing.assert_array_equal(evaluation.mean_average_precision(*task, k=20).per_query, whole.per_query)


def test_queries_without_relevant_items_are_counted():
    codes = np.array([[0], [1]], np.uint8)
    labels, query_labels = np.array([0, 1]), np.array([0, 7])
    for score in (
        evaluation.mean_average_precision(codes, codes, query_labels, labels),
        evaluation.mean_average_precision(codes, codes, query_labels, labels, ties="expectation"),
        evaluation.precision_at_k(codes, codes, query_labels, labels, k=1),
        evaluation.recall_at_k(codes, codes, query_labels, labels, k=1),
        evaluation.precision_within_radius(codes, codes, query_labels, labels, radius=0),
    ):
        assert (score.value, score.n_queries, score.n_without_relevant) == (1.0, 2, 1)
        assert np.isnan(score.per_query[1])


def test_nothing_to_average_is_nan():
    codes, labels = np.zeros((3, 1), np.uint8), np.zeros(3, int)
    for n_queries, n_codes, label in ((0, 3, 0), (3, 0, 0), (3, 3, 1)):
        score = evaluation.mean_average_precision(
            codes[:n_queries], codes[:n_codes], labels[:n_queries] + label, labels[:n_codes]
        )
        assert np.isnan(score.value)
        assert score.n_without_relevant == n_queries


def test_several_labels_match_when_one_is_shared():
    codes = np.array([[0], [1], [3]], np.uint8)
    labels = np.array([[1, 1, 0], [0, 0, 1], [0, 1, 0]], bool)
    score = evaluation.precision_at_k(codes[:1], codes, labels[2:], labels, k=3)
    assert score.value == pytest.approx(2 / 3)


def test_labels_may_be_strings():
    codes = np.array([[0], [1]], np.uint8)
    score = evaluation.precision_at_k(codes[:1], codes, np.array(["cat"]), np.array(["cat", "dog"]), k=2)
    assert score.value == 0.5


CODES, LABELS = np.zeros((4, 2), np.uint8), np.zeros(4, int)


@pytest.mark.parametrize(
    ("task", "options", "error", "message"),
    [
        ((CODES.astype(int), CODES, LABELS, LABELS), {}, TypeError, "queries must be a uint8"),
        ((CODES, CODES.tolist(), LABELS, LABELS), {}, TypeError, "codes must be a uint8"),
        ((CODES[:, :1].copy(), CODES, LABELS, LABELS), {}, ValueError, r"queries must have shape \(n_queries, 2\)"),
        ((CODES, CODES, LABELS[:3], LABELS), {}, ValueError, "query_labels must have one row for each of queries' 4"),
        ((CODES, CODES, LABELS, LABELS[:3]), {}, ValueError, "labels must have one row for each of codes' 4"),
        ((CODES, CODES, LABELS, LABELS * 0.5), {}, TypeError, "labels must be an array of integers or strings"),
        ((CODES, CODES, LABELS.tolist(), LABELS), {}, TypeError, "query_labels must be an array"),
        ((CODES, CODES, np.ones((4, 2), bool), LABELS), {}, ValueError, "must be alike"),
        ((CODES, CODES, np.ones((4, 2), bool), np.ones((4, 3), bool)), {}, ValueError, "must be alike"),
        ((CODES, CODES, LABELS.astype(str), LABELS), {}, ValueError, "must be alike"),
        ((CODES, CODES, LABELS, LABELS), {"k": 0}, ValueError, "k must be at least 1, got 0"),
        ((CODES, CODES, LABELS, LABELS), {"k": 1.5}, TypeError, "k must be an int or None"),
        ((CODES, CODES, LABELS, LABELS), {"k": True}, TypeError, "k must be an int or None"),
        ((CODES, CODES, LABELS, LABELS), {"ties": "random"}, ValueError, "ties must be one of id, expectation"),
        ((CODES, CODES, LABELS, LABELS), {"denominator": "k"}, ValueError, "denominator must be one of relevant_in"),
    ],
)
def test_bad_input_is_refused(task, options, error, message):
    with pytest.raises(error, match=message):
        evaluation.mean_average_precision(*task, **options)


@pytest.mark.parametrize(("radius", "error"), [(-1, ValueError), (1.0, TypeError), (None, TypeError)])
def test_bad_radius_is_refused(radius, error):
    with pytest.raises(error, match="radius must"):
        evaluation.precision_within_radius(CODES, CODES, LABELS, LABELS, radius=radius)
