"""Answers of shards, put together: the arrays that one index gives."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

import hashkit
from hashkit.index.search import NO_DISTANCE


def few_codes(rng, n_codes):
    """Codes with many duplicates and ties."""
    return rng.integers(0, 4, (n_codes, 2), np.uint8)


def split(rng, codes, ids, n_shards, **options):
    """Indexes of disjoint random parts, some of them empty."""
    shard_of = rng.integers(0, n_shards, len(codes))
    return [hashkit.Index(codes[shard_of == i], ids=ids[shard_of == i], **options) for i in range(n_shards)]


SHARDED = {
    "seed": st.integers(0, 2**32),
    "n_codes": st.integers(0, 60),
    "n_queries": st.integers(0, 4),
    "n_shards": st.integers(1, 9),
    "k": st.integers(1, 80),
}


@settings(deadline=None, max_examples=60)
@given(**SHARDED)
def test_shards_answer_like_one_index(seed, n_codes, n_queries, n_shards, k):
    rng = np.random.default_rng(seed)
    codes, queries = few_codes(rng, n_codes), few_codes(rng, n_queries)
    ids = rng.permutation(200)[:n_codes] - 100
    shards = split(rng, codes, ids, n_shards)

    distances, found = hashkit.merge([shard.query(queries, k) for shard in shards], k)
    expected_distances, expected = reference.k_nearest(codes, queries, k, ids)
    assert distances.dtype == np.int32
    assert found.dtype == np.int64
    np.testing.assert_array_equal(distances, expected_distances)
    np.testing.assert_array_equal(found, expected)

    result = hashkit.merge_radius([shard.radius(queries, 3) for shard in shards])
    assert len(result) == n_queries
    for answer, wanted in zip(result, reference.within_radius(codes, queries, 3, ids), strict=True):
        np.testing.assert_array_equal(answer, wanted)


@settings(deadline=None, max_examples=40)
@given(**SHARDED)
def test_shards_answer_like_one_index_by_jaccard_distance(seed, n_codes, n_queries, n_shards, k):
    rng = np.random.default_rng(seed)
    codes, queries = few_codes(rng, n_codes), few_codes(rng, n_queries)
    ids = rng.permutation(200)[:n_codes] - 100
    shards = split(rng, codes, ids, n_shards, metric="jaccard")
    orders = [order[:k] for order in reference.jaccard_order(codes, queries, ids)]

    distances, found = hashkit.merge([shard.query(queries, k) for shard in shards], k)
    assert distances.dtype == np.float64
    assert distances.tolist() == [[float(distance) for distance, _ in order] for order in orders]
    assert found.tolist() == [[id for _, id in order] for order in orders]

    result = hashkit.merge_radius([shard.radius(queries, 0.6) for shard in shards])
    assert result.distances.dtype == np.float64
    for (near, ids_near), order in zip(result, reference.jaccard_order(codes, queries, ids), strict=True):
        within = [(float(distance), id) for distance, id in order if float(distance) <= 0.6]
        assert list(zip(near.tolist(), ids_near.tolist(), strict=True)) == within


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_large_merge_is_cut_into_tasks(rng, n_threads):
    lists = [[np.sort(rng.integers(0, 65, 40)).astype(np.int32) for _ in range(500)] for _ in range(50)]
    ids = [np.sort(rng.permutation(10**6)[:40]) for _ in range(50)]
    results = [(np.stack(rows), np.tile(of_shard, (500, 1))) for rows, of_shard in zip(lists, ids, strict=True)]
    distances, found = hashkit.merge(results, 300, n_threads=n_threads)
    for query in (0, 250, 499):
        wanted = reference.merge_lists([(distances[query], ids[query]) for distances, ids in results])
        np.testing.assert_array_equal(distances[query], wanted[0][:300])
        np.testing.assert_array_equal(found[query], wanted[1][:300])

    offsets = np.arange(501) * 40
    rounds = [hashkit.RadiusResult(offsets, distances.ravel(), ids.ravel()) for distances, ids in results]
    together = hashkit.merge_radius(rounds, n_threads=n_threads)
    np.testing.assert_array_equal(together.offsets, offsets * 50)
    for query in (0, 250, 499):
        np.testing.assert_array_equal(
            together[query], reference.merge_lists([(distances[query], ids[query]) for distances, ids in results])
        )


def test_one_query_stays_one_dimensional():
    a = np.array([1, 3], np.int32), np.array([10, 11])
    b = np.array([1, 2, 9], np.int32), np.array([7, 8, -5])
    distances, ids = hashkit.merge([a, b], 4)
    np.testing.assert_array_equal(distances, [1, 1, 2, 3])
    np.testing.assert_array_equal(ids, [7, 10, 8, 11])
    assert hashkit.merge([a, b], 100)[1].shape == (5,)


def test_extreme_ids_and_strided_arrays():
    ids = np.array([[np.iinfo(np.int64).min, 0, np.iinfo(np.int64).max]])
    distances = np.zeros((1, 3), np.int32)
    strided = np.repeat(distances, 2, axis=1)[:, ::2], np.repeat(ids, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(hashkit.merge([strided, (distances, ids)], 6)[1], np.sort(np.tile(ids, 2)))


GOOD = np.zeros((2, 3), np.int32), np.tile(np.arange(3), (2, 1))


@pytest.mark.parametrize(
    ("results", "k", "error", "message"),
    [
        (GOOD[0], 1, TypeError, "results must be a sequence of one result for each shard"),
        ([], 1, ValueError, "results must not be empty"),
        ([GOOD[0]], 1, TypeError, r"results\[0\] must be a pair"),
        (
            [GOOD, (GOOD[1], GOOD[1])],
            1,
            TypeError,
            r"distances of results\[1\] must be an array of int32 or float64, got .*int64",
        ),
        (
            [GOOD, (GOOD[0].astype(float), GOOD[1])],
            1,
            TypeError,
            r"distances of results\[1\] must be of dtype int32 like those of results\[0\], got .* float64",
        ),
        ([(GOOD[0], GOOD[0])], 1, TypeError, r"ids of results\[0\] must be an array of int64"),
        ([(GOOD[0], GOOD[1][:, :2])], 1, ValueError, r"results\[0\] must be two arrays of one shape"),
        ([GOOD, (GOOD[0][:1], GOOD[1][:1])], 1, ValueError, r"results\[1\] must answer the same queries"),
        ([GOOD, (GOOD[0][0], GOOD[1][0])], 1, ValueError, r"results\[1\] must answer the same queries"),
        ([GOOD, (GOOD[0], GOOD[1][:, ::-1])], 1, ValueError, r"results\[1\] must be ordered .*query 0 is not"),
        ([GOOD], 0, ValueError, "k must be at least 1"),
        ([GOOD], 1.0, TypeError, "k must be an int"),
    ],
)
def test_bad_input_is_explained(results, k, error, message):
    with pytest.raises(error, match=message):
        hashkit.merge(results, k)


def test_order_is_checked_in_every_query():
    distances = np.tile(np.arange(4, dtype=np.int32), (3, 1))
    ids = np.tile(np.arange(4), (3, 1))
    distances[2, 3] = 2
    ids[2, 3] = 1
    with pytest.raises(ValueError, match=r"results\[0\] must be ordered by \(distance, id\), that of query 2 is not"):
        hashkit.merge([(distances, ids)], 2)


@pytest.mark.parametrize(
    ("offsets", "distances", "ids", "error", "message"),
    [
        ([0, 2, 1], [1, 1], [1, 2], ValueError, r"offsets of results\[0\] must ascend"),
        ([0, 1, 3], [1, 1], [1, 2], ValueError, r"offsets of results\[0\] must ascend"),
        ([], [], [], ValueError, r"offsets of results\[0\] must ascend"),
        ([0, 2], [1, 1], [1], ValueError, r"offsets of results\[0\] must ascend"),
        ([0, 2], [2, 1], [1, 2], ValueError, r"results\[0\] must be ordered"),
        ([0.0, 2.0], [1, 1], [1, 2], TypeError, r"offsets of results\[0\] must be an array of int64"),
    ],
)
def test_bad_radius_results_are_explained(offsets, distances, ids, error, message):
    as_integers = np.array(offsets, None if 0.0 in offsets and isinstance(offsets[0], float) else np.int64)
    result = hashkit.RadiusResult(as_integers, np.array(distances, np.int32), np.array(ids, np.int64))
    with pytest.raises(error, match=message):
        hashkit.merge_radius([result])


def test_radius_results_must_fit_each_other():
    one = hashkit.RadiusResult(np.array([0, 0]), np.empty(0, np.int32), np.empty(0, np.int64))
    two = hashkit.RadiusResult(np.array([0, 0, 0]), np.empty(0, np.int32), np.empty(0, np.int64))
    with pytest.raises(ValueError, match=r"results\[1\] must answer 1 queries"):
        hashkit.merge_radius([one, two])
    jaccard = hashkit.RadiusResult(np.array([0, 0]), np.empty(0), np.empty(0, np.int64))
    with pytest.raises(TypeError, match=r"distances of results\[1\] must be of dtype int32 like those of results\[0\]"):
        hashkit.merge_radius([one, jaccard])
    with pytest.raises(TypeError, match=r"results\[0\] must be a RadiusResult"):
        hashkit.merge_radius([GOOD])


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    n_codes=st.integers(1, 60),
    n_queries=st.sampled_from([1, 3, 8, 40]),
    k=st.integers(1, 70),
)
def test_known_limits_leave_the_answer_as_it_is(seed, n_codes, n_queries, k):
    rng = np.random.default_rng(seed)
    codes, queries = few_codes(rng, n_codes), few_codes(rng, n_queries)
    ids = rng.permutation(200)[:n_codes]
    first, second = split(rng, codes, ids, 2)
    answer = first.query(queries, k)
    limits = answer[0][:, -1] if answer[0].shape[1] == k else np.full(n_queries, 16, np.int32)
    within = second._query_within(queries, k, np.ascontiguousarray(limits), 1)
    beyond = within[0] > limits[:, None]
    assert np.all(within[0][beyond] == NO_DISTANCE)
    together = hashkit.merge([answer, within], k)
    for found, expected in zip(together, reference.k_nearest(codes, queries, k, ids), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_limits_hold_for_one_query_over_many_codes(rng, n_threads):
    codes, query = few_codes(rng, 500_000), few_codes(rng, 1)
    distances, _ = hashkit.Index(codes)._query_within(query, 500_000, np.array([1], np.int32), n_threads)
    n_within = np.count_nonzero(reference.hamming_distances(query, codes) <= 1)
    assert np.all(distances[0, :n_within] <= 1)
    assert np.all(distances[0, n_within:] == NO_DISTANCE)
