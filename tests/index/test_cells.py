"""Searches at a recall below 1."""

import math

import numpy as np
import pytest
import reference
from index_inputs import far_codes

import hashkit
from hashkit import _native
from hashkit.index import cells

N_CODES, N_QUERIES = 40_000, 300
SIZES = {"copies": 256, "sketches": 768}


@pytest.fixture(scope="module", params=SIZES)
def far(request):
    """Codes, queries, and an index of the codes that has cells."""
    codes = far_codes(N_CODES, SIZES[request.param], 1)
    return codes, far_codes(N_QUERIES, SIZES[request.param], 2), hashkit.Index(codes, method="cells")


def recall_of(found, expected):
    return np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, expected, strict=True)])


@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("recall", [0.1, 0.5, 0.8, 0.95, 0.99])
def test_the_recall_asked_for_is_met_with_less_work_than_a_scan(far, k, recall):
    _, queries, index = far
    _, expected = index.query(queries, k)
    distances, ids, stats = index.query_stats(queries, k, recall=recall)
    assert not stats.exact.any()
    assert not stats.scanned.any()
    assert stats.candidates.mean() < N_CODES / 3
    error = math.sqrt(recall * (1 - recall) / (N_QUERIES * k)) if k == 1 else 0.01
    assert recall_of(ids, expected) >= recall - 2 * error
    assert (np.diff(distances, axis=1) >= 0).all()
    assert (np.diff(ids, axis=1)[np.diff(distances, axis=1) == 0] > 0).all()
    (rule,) = [
        rule
        for rule in index.describe()["parts"][0]["cells"]["calibrated"]
        if (k, recall) == (rule["k"], rule["recall"])
    ]
    assert rule["sample_recall"] >= recall
    assert rule["method"] == "cells"


def test_distances_are_those_of_the_codes(far):
    codes, queries, index = far
    distances, ids = index.query(queries[:20], 10, recall=0.9)
    for query, found, row in zip(queries, distances, ids, strict=False):
        np.testing.assert_array_equal(reference.hamming_distances(query[None], codes[row])[0], found)


@pytest.mark.parametrize(("sketch_bytes", "n_cells"), [(0, 30), (8, 30), (8, 200), (64, 30)])
def test_it_is_the_slow_twin(sketch_bytes, n_cells):
    codes, queries = far_codes(1500, 512, 1), far_codes(20, 512, 2)
    made = _native.build_cells(codes, 512, n_cells, sketch_bytes, 1)
    twin = reference.CellsTwin(codes, _native.cell_centroids(made))
    limits, sketches = None, [None] * len(queries)
    if sketch_bytes == 8:
        limits = np.minimum(np.arange(513) // 8 + 3, 64).astype(np.int32)
        limits[-1] = 64
        of_codes, of_queries, of_centroids = (
            _native.cell_sketches(made, some) for some in (codes, queries, twin.centroids)
        )
        sketches = [(of_codes, sketch, of_centroids) for sketch in of_queries]
    for slack in (20, 1024):
        counts = np.empty((len(queries), 3), np.int64)
        _, found = _native.cells_k_nearest(made, codes, queries, 10, 1, slack, limits, 512, counts=counts)
        for number, query in enumerate(queries):
            pending = 0 if sketch_bytes == 64 else 32
            rows, cells_read, compared = twin.k_nearest(query, 10, slack, limits, sketches[number], pending)
            assert found[number].tolist() == rows
            if sketch_bytes == 64:  # distances from centroids rule out cells, and codes in them
                assert counts[number, 0] <= cells_read
                assert counts[number, 2] <= compared
            else:
                assert (counts[number, 0], counts[number, 2]) == (cells_read, compared)
        if slack == 20:
            assert 1 < counts[:, 0].mean() < 0.8 * n_cells, "the rule must have ended the searches"


def test_copies_of_a_cell_are_in_order_of_their_distance(far):
    codes, _, index = far
    made = cells.cells_of(index._state.parts[0], index.n_bits, False, 1)
    arrays, centroids = _native.cell_arrays(made.native), _native.cell_centroids(made.native)
    assert made.has_copies == bool(arrays["steps"].size)
    for cell, (begin, end) in enumerate(zip(arrays["starts"], arrays["starts"][1:], strict=False)):
        rows = arrays["rows"][begin:end]
        if made.has_copies:
            distances = reference.hamming_distances(centroids[cell : cell + 1], codes[rows])[0]
            np.testing.assert_array_equal(np.lexsort((rows, distances)), range(len(rows)))
            ends = len(rows) * np.arange(1, 17) // 16
            np.testing.assert_array_equal(
                arrays["steps"].reshape(-1, 16)[cell], np.append(0, np.maximum.accumulate(distances))[ends]
            )
        else:
            assert (np.diff(rows) > 0).all()


def test_all_centroids_are_compared_where_their_sketches_do_not_show_the_near_ones():
    """Sketches of 64 bits, in which noise is as large as what the bits have in common."""
    rng = np.random.default_rng(5)
    inner = rng.standard_normal((500, 64))[rng.integers(500, size=N_CODES + 300)]
    basis = rng.standard_normal((64, 512)) / np.sqrt(np.arange(1, 65))[:, None]
    values = (inner + rng.standard_normal(inner.shape)) @ basis
    codes = np.packbits(values + 0.5 * values.std() * rng.standard_normal(values.shape) > 0, axis=1)
    queries, index = codes[:300], hashkit.Index(codes[300:], method="cells")
    _, found = index.query(queries, 10, recall=0.9)
    assert recall_of(found, index.query(queries, 10)[1]) >= 0.89
    made = cells.cells_of(index._state.parts[0], index.n_bits, False, 1)
    rule = made.rules[10, 0.9]
    assert (rule.by_sketches, rule.is_worth_it) == (False, True)
    by_sketches = made._bisect(made._sample, 10, 0.9, True, 1)
    assert by_sketches is None or by_sketches.work > rule.work


def test_threads_and_instruction_sets_change_nothing(far, monkeypatch):
    codes, queries, index = far
    expected = index.query(queries, 10, recall=0.9, n_threads=1)
    for n_threads in (2, 7):
        for found, wanted in zip(index.query(queries, 10, recall=0.9, n_threads=n_threads), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    made = cells.cells_of(index._living.state.parts[0], index.n_bits, False, 1)
    rule = made.rule(10, 0.9, 1)
    for isa in _native.supported_isas():
        found = _native.cells_k_nearest(
            made.native,
            codes,
            queries,
            10,
            1,
            rule.twice_slack,
            rule.sketch_limits,
            rule.start_distance,
            rule.by_sketches,
            isa=isa,
        )
        np.testing.assert_array_equal(found[1], expected[1])


def test_one_query_is_one_row_of_many(far):
    _, queries, index = far
    many = index.query(queries, 5, recall=0.9)
    for row in (0, 17):
        for found, wanted in zip(index.query(queries[row], 5, recall=0.9), many, strict=True):
            np.testing.assert_array_equal(found, wanted[row])


def test_auto_makes_cells_when_they_are_first_needed(far):
    codes, queries, index = far
    lazy = hashkit.Index(codes)
    lazy.query(queries, 5)
    assert "cells" not in lazy.describe()["parts"][0]
    found = lazy.query(queries, 5, recall=0.9)
    for answer, wanted in zip(found, index.query(queries, 5, recall=0.9), strict=True):
        np.testing.assert_array_equal(answer, wanted)
    assert lazy.describe()["parts"][0]["cells"]["n_cells"] > 100
    built, made = (each.describe()["parts"][0]["cells"]["memory"] for each in (index, lazy))
    assert made == built


def test_queries_far_from_all_codes_get_k_answers(far):
    _, queries, index = far
    opposite = np.ascontiguousarray(~queries[:20])
    distances, ids = index.query(opposite, 10, recall=0.9)
    assert (ids >= 0).all()
    assert (distances <= index.n_bits).all()
    assert recall_of(ids, index.query(opposite, 10)[1]) > 0


def test_sketches_take_at_most_a_quarter_of_the_codes():
    for n_bytes in range(64, 513):
        assert (cells._sketch_bytes(n_bytes, False) + 4) / n_bytes <= 0.25
    assert cells._sketch_bytes(32, True) == 0


def test_filters_ids_and_changes(far):
    codes, queries, _ = far
    ids = np.arange(N_CODES) * 3 + 7
    index = hashkit.Index(codes, ids=ids)
    allowed = ids[::2]
    _, expected = index.query(queries, 10, filter=allowed)
    _, found, stats = index.query_stats(queries, 10, filter=allowed, recall=0.95)
    assert np.isin(found, allowed).all()
    assert not stats.exact.any()
    assert recall_of(found, expected) >= 0.93
    mask = np.zeros(N_CODES, bool)
    mask[1::2] = True
    _, found = index.query(queries[:3], 10, filter=mask, recall=0.95)
    assert np.isin(found, ids[1::2]).all()
    nearest = index.query(queries, 1)[1][:, 0]
    index.remove(np.unique(nearest))
    added = index.add(queries)
    distances, found = index.query(queries, 3, recall=0.95)
    assert not np.isin(found, nearest).any()
    np.testing.assert_array_equal(found[:, 0], added)
    assert not distances[:, 0].any()


def test_the_recall_holds_after_codes_of_another_distribution_came(far):
    codes, queries, _ = far
    index = hashkit.Index(codes)
    index.query(queries, 10, recall=0.95)
    other = np.ascontiguousarray(~far_codes(N_CODES // 5, index.n_bits, 3, n_topics=20))
    index.add(other)
    asked = np.concatenate([queries, np.ascontiguousarray(~far_codes(60, index.n_bits, 4, n_topics=20))])
    for compacted in (False, True):
        if compacted:
            index.compact()
        _, expected = index.query(asked, 10)
        _, found = index.query(asked, 10, recall=0.95)
        assert recall_of(found, expected) >= 0.94


def test_uniform_codes_are_scanned(rng):
    codes = rng.integers(256, size=(33_000, 32), dtype=np.uint8)
    index, queries = hashkit.Index(codes, method="cells"), codes[:5] ^ np.uint8(1)
    for found, wanted in zip(index.query(queries, 10, recall=0.9), index.query(queries, 10), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert index.query_stats(queries, 10, recall=0.9)[2].exact.all()
    assert index.describe()["parts"][0]["cells"]["calibrated"][0]["method"] == "exact"


def test_tables_that_suffice_are_used_instead():
    codes, queries = hashkit.datasets.synthetic_codes(n_codes=60_000, n_queries=64, n_bits=128)
    index = hashkit.Index(codes)
    for found, wanted in zip(index.query(queries, 3, recall=0.9), index.query(queries, 3), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert index.query_stats(queries, 3, recall=0.9)[2].exact.all()
    assert "cells" not in index.describe()["parts"][0]


@pytest.mark.parametrize(("n_codes", "n_bytes"), [(0, 32), (3, 32), (cells.LEAST_CODES - 1, 16), (33_000, 7)])
def test_few_or_short_codes_are_searched_exactly(rng, n_codes, n_bytes):
    codes = rng.integers(256, size=(n_codes, n_bytes), dtype=np.uint8)
    index = hashkit.Index(codes, method="cells")
    queries = rng.integers(256, size=(4, n_bytes), dtype=np.uint8)
    for found, wanted in zip(index.query(queries, 6, recall=0.5), index.query(queries, 6), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert "cells" not in index.describe()["parts"][0]


def test_equal_codes_are_one_cell(rng):
    codes = np.zeros((33_000, 32), np.uint8)
    distances, ids = hashkit.Index(codes).query(codes[:2], 5, recall=0.9)
    np.testing.assert_array_equal(ids, [range(5)] * 2)
    assert not distances.any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"recall": 0}, ValueError, "recall must be above 0 and at most 1, got 0"),
        ({"recall": -0.1}, ValueError, "recall must be finite and at least 0, got -0.1"),
        ({"recall": 1.01}, ValueError, r"recall must be above 0 and at most 1, got 1\.01"),
        ({"recall": math.nan}, ValueError, "recall must be finite"),
        ({"recall": "high"}, TypeError, "recall must be a number, got str 'high'"),
        ({"recall": True}, TypeError, "recall must be a number, got bool True"),
        ({"recall": 0.9, "max_candidates": 5}, ValueError, "max_candidates must not be given with a recall below 1"),
    ],
)
def test_bad_recalls_are_refused(rng, options, error, message):
    index = hashkit.Index(rng.integers(256, size=(10, 32), dtype=np.uint8))
    for search in (index.query, index.query_stats):
        with pytest.raises(error, match=message):
            search(np.zeros(32, np.uint8), 3, **options)


def test_jaccard_distance_has_no_recall(rng):
    index = hashkit.Index(rng.integers(256, size=(10, 32), dtype=np.uint8), metric="jaccard")
    with pytest.raises(ValueError, match="recall below 1 go by Hamming distance only"):
        index.query(np.zeros(32, np.uint8), 3, recall=0.9)
