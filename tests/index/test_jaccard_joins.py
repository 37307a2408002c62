"""Pairs and groups by Jaccard distance against comparing fractions of every pair."""

import numpy as np
import pytest
import reference
from children import seconds_to_stop
from fingerprint_codes import MAKERS, fingerprints
from hypothesis import given, settings
from hypothesis import strategies as st

import hashkit
from hashkit import _native
from hashkit.index import jaccard_joins, joins

LIMITS = [{"radius": 0.0}, {"radius": 0.3}, {"radius": 1.0}, {"similarity": 0.7}, {"similarity": 0.5}]
LIMITS += [{"similarity": 0.0}, {"similarity": 1.0}]
MEASURES = ["jaccard", "dice", "containment", (0, 1), (0.9, 0.1), [1 / 3, 2], (3, 0.25)]


def index_of(codes, **options):
    return hashkit.Index(codes, metric="jaccard", **options)


def joined(blocks):
    blocks = list(blocks)
    assert all(len(block) for block in blocks)
    empty = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    columns = [empty, *((block.left, block.right, block.distances) for block in blocks)]
    return [np.concatenate(column) for column in zip(*columns, strict=True)]


def assert_pairs(found, expected):
    for column, expected_column in zip(found, expected, strict=True):
        np.testing.assert_array_equal(column, expected_column, strict=True)


@given(
    make=st.sampled_from(MAKERS),
    n=st.sampled_from([0, 1, 2, 50]),
    n_others=st.sampled_from([None, 0, 1, 30]),
    n_bytes=st.sampled_from([1, 3, 9, 20]),
    limit=st.sampled_from(LIMITS),
    n_threads=st.sampled_from([1, 3]),
    seed=st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_pairs_are_all_that_are_near(make, n, n_others, n_bytes, limit, n_threads, seed):
    codes, ids = make(n, seed, n_bytes), np.random.default_rng(seed).permutation(3 * n)[:n] - n
    others = None if n_others is None else make(n_others, seed + 1, n_bytes)
    other = None if others is None else index_of(others)
    found = joined(index_of(codes, ids=ids).pairs(**limit, other=other, n_threads=n_threads))
    assert_pairs(found, reference.jaccard_pairs(codes, others, ids, **limit))


@given(
    make=st.sampled_from(MAKERS),
    n_others=st.sampled_from([None, 1, 30]),
    n_bytes=st.sampled_from([1, 9, 20]),
    measure=st.sampled_from(MEASURES),
    limit=st.sampled_from([*LIMITS, {"similarity": 2 / 3}, {"similarity": 0.9}]),
    seed=st.integers(0, 5),
)
@settings(deadline=None, max_examples=60)
def test_pairs_and_groups_by_other_measures(make, n_others, n_bytes, measure, limit, seed):
    codes, ids = make(40, seed, n_bytes), np.random.default_rng(seed).permutation(120)[:40] - 40
    others = None if n_others is None else make(n_others, seed + 1, n_bytes)
    measure = measure if isinstance(measure, str) else type(measure)(measure)
    limit, index = {**limit, "measure": measure}, index_of(codes, ids=ids)
    found = joined(index.pairs(**limit, other=None if others is None else index_of(others)))
    twin = {**limit, "measure": measure if isinstance(measure, str) else tuple(measure)}
    assert_pairs(found, reference.jaccard_pairs(codes, others, ids, **twin))
    np.testing.assert_array_equal(index.groups(**limit), reference.jaccard_groups(codes, ids, **twin), strict=True)


def test_the_default_measure_is_one_of_them():
    codes = fingerprints(60)
    expected = joined(index_of(codes).pairs(similarity=0.4))
    for measure in (None, "jaccard", (1, 1), [1.0, 1]):
        assert_pairs(joined(index_of(codes).pairs(similarity=0.4, measure=measure)), expected)


@given(
    make=st.sampled_from(MAKERS),
    n=st.sampled_from([0, 1, 40]),
    n_bytes=st.sampled_from([1, 9]),
    limit=st.sampled_from(LIMITS),
    seed=st.integers(0, 5),
)
@settings(deadline=None, max_examples=30)
def test_groups_are_what_floods_together(make, n, n_bytes, limit, seed):
    codes, ids = make(n, seed, n_bytes), np.random.default_rng(seed).permutation(3 * n)[:n] - n
    labels = index_of(codes, ids=ids).groups(**limit)
    np.testing.assert_array_equal(labels, reference.jaccard_groups(codes, ids, **limit), strict=True)


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("n_bytes", [8, 33, 256])
@pytest.mark.parametrize("n_sketch_bytes", [1, 8, 16, None])
def test_every_instruction_set_and_length_of_sketches(isa, n_bytes, n_sketch_bytes):
    codes, others = fingerprints(90, 0, n_bytes), fingerprints(70, 1, n_bytes)
    others[:20] = codes[30:50]
    n_sketch_bytes = None if n_sketch_bytes is None else min(n_sketch_bytes, n_bytes)
    for right, offset, first in ((codes, 0, 0), (codes, 30, 30), (others, None, 5)):
        order = _native.popcount_order(right[offset or 0 :], 1, isa)
        for value, is_similarity, measure in ((0.6, False, None), (0.4, True, None), (0.6, True, (0.9, 0.1))):
            weights = (1, 1, 1) if measure is None else (10, 9, 1)
            limits = _native.NearLimits(n_bytes, value, is_similarity, weights, right is others)
            sketches = _native.jaccard_sketches(*order, limits, n_sketch_bytes, 2, isa)
            assert n_sketch_bytes in (None, sketches.shape[1])
            found = _native.jaccard_pairs(codes, first, 80, *order, sketches, offset, limits, 10**9, 2, isa)
            limit = {"similarity" if is_similarity else "radius": value, "measure": measure}
            left, partners, distances = reference.jaccard_pairs(codes, None if right is codes else right, **limit)
            here = (left >= first) & (left < 80)
            assert_pairs(found, (left[here], partners[here], distances[here]))


def test_sketches_are_short_where_codes_are_sparse_and_none_where_they_are_dense():
    for share, similarity, longest in ((0.01, 0.7, 16), (0.5, 0.3, None)):
        codes = np.packbits(np.random.default_rng(0).random((2000, 2048)) < share, axis=1)
        order = _native.popcount_order(codes, 1)
        sketches = _native.jaccard_sketches(*order, _native.NearLimits(256, similarity, True), None, 1)
        assert sketches.shape[1] <= longest if longest else sketches is order[0]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_large_join_drops_what_it_has_passed(monkeypatch, n_threads):
    """In several blocks, with orders made anew on the way: the same as in one."""
    codes = fingerprints(3000, 3, 32, 0.05)
    expected = joined(index_of(codes).pairs(similarity=0.6))
    monkeypatch.setattr(jaccard_joins, "LEAST_REMADE", 16)
    monkeypatch.setattr(joins, "ROWS_PER_SCAN", 100)
    monkeypatch.setattr(joins, "MAX_PAIRS", 500)
    blocks = list(index_of(codes).pairs(similarity=0.6, n_threads=n_threads))
    assert all(len(block) <= 500 or len(np.unique(block.left)) == 1 for block in blocks)
    assert_pairs(joined(blocks), expected)
    sparse = codes.view(np.uint64)
    common = np.bitwise_count(sparse[:, None] & sparse).sum(axis=2, dtype=int)
    either = np.bitwise_count(sparse[:, None] | sparse).sum(axis=2, dtype=int)
    near = np.triu(np.where(either, common / np.maximum(either, 1), 1.0) >= 0.6, 1)
    np.testing.assert_array_equal(expected[:2], np.nonzero(near))


def test_empty_codes_are_alike():
    index = index_of(np.array([[0], [1], [0], [3]], np.uint8))
    assert [column.tolist() for column in joined(index.pairs(similarity=1))] == [[0], [2], [0.0]]
    assert index.groups(0.0).tolist() == [0, 1, 0, 3]
    assert len(joined(index.pairs(similarity=0))[0]) == 6


def test_a_threshold_takes_in_the_fraction_it_rounds_to():
    """7 of 10 bits in common: a similarity of 0.7, and a distance of 0.3, whose float64 is below 1 - 0.7."""
    index = index_of(np.packbits([[1] * 10 + [0] * 6, [1] * 7 + [0] * 9], axis=1))
    assert joined(index.pairs(similarity=0.7))[2].tolist() == [0.3]
    assert joined(index.pairs(radius=0.3))[2].tolist() == [0.3]
    assert not list(index.pairs(similarity=np.nextafter(0.7, 1)))
    assert not list(index.pairs(radius=np.nextafter(0.3, 0)))
    for value, measure in ((14 / 17, "dice"), (0.7, "containment"), (70 / 97, (0.9, 0.1)), (1.0, (0, 2))):
        found = joined(index.pairs(similarity=value, measure=measure, other=index))
        assert [0, 1] in np.transpose(found[:2]).tolist()
        if value < 1:
            found = joined(index.pairs(similarity=np.nextafter(value, 1), measure=measure, other=index))
            assert [0, 1] not in np.transpose(found[:2]).tolist()


def test_containment_has_a_direction_between_two_indexes_only():
    """The second code has all bits of the first, and one more."""
    small, large = (index_of(np.array([[byte]], np.uint8)) for byte in (0b1110, 0b1111))
    assert joined(small.pairs(similarity=1, measure="containment", other=large))[2].tolist() == [0.0]
    assert not list(large.pairs(similarity=1, measure="containment", other=small))
    assert joined(large.pairs(similarity=0.75, measure="containment", other=small))[2].tolist() == [0.25]
    both = index_of(np.array([[0b1111], [0b1110]], np.uint8))
    assert joined(both.pairs(similarity=1, measure="containment"))[2].tolist() == [0.0]
    assert both.groups(similarity=1, measure="containment").tolist() == [0, 0]


def test_a_grown_index_joins_what_is_live():
    codes, ids = fingerprints(9000, 2, 32, 0.05), np.random.default_rng(3).permutation(20_000)[:9000] - 500
    index = index_of(codes[:8000], ids=ids[:8000])
    index.add(codes[8000:], ids[8000:])
    index.remove(ids[::5])
    live = np.arange(9000) % 5 != 0
    fresh = index_of(codes[live], ids=ids[live])
    assert_pairs(joined(index.pairs(similarity=0.5)), joined(fresh.pairs(similarity=0.5)))
    np.testing.assert_array_equal(index.groups(similarity=0.5), fresh.groups(similarity=0.5))


def test_too_many_pairs_are_none():
    codes = np.full((50, 8), 7, np.uint8)
    order = _native.popcount_order(codes, 1)
    limits = _native.NearLimits(8, 0.5, True)
    sketches = _native.jaccard_sketches(*order, limits, 8, 1)
    arguments = codes, 0, 50, *order, sketches, 0, limits
    assert _native.jaccard_pairs(*arguments, 50 * 49 // 2 - 1, 1) is None
    assert len(_native.jaccard_pairs(*arguments, 50 * 49 // 2, 1)[0]) == 50 * 49 // 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "one of radius and similarity must be given, got none"),
        ({"radius": 0.3, "similarity": 0.7}, ValueError, "one of radius and similarity must be given, got both"),
        ({"radius": 1.5}, ValueError, r"radius must be from 0 to 1 for Jaccard distance, got 1\.5"),
        ({"radius": 2}, ValueError, "radius must be from 0 to 1 for Jaccard distance, got 2"),
        ({"similarity": -0.1}, ValueError, r"similarity must be from 0 to 1 for Jaccard distance, got -0\.1"),
        ({"similarity": float("nan")}, ValueError, "similarity must be .*, got nan"),
        ({"similarity": "0.7"}, TypeError, r"similarity must be a number, got str '0\.7'"),
        ({"radius": True}, TypeError, "radius must be a number, got bool True"),
        ({"radius": 0.3, "n_threads": 0}, ValueError, "n_threads must be at least 1"),
        ({"similarity": 1.1, "measure": "dice"}, ValueError, r"similarity must be from 0 to 1 .*, got 1\.1"),
        (
            {"similarity": 0.7, "measure": "cosine"},
            ValueError,
            "measure must be one of jaccard, dice, containment, or two weights, got 'cosine'",
        ),
        ({"similarity": 0.7, "measure": 0.5}, TypeError, r"measure must be .* or two weights, got float 0\.5"),
        ({"similarity": 0.7, "measure": (1, 1, 1)}, TypeError, r"measure must be .* or two weights, got tuple"),
        ({"similarity": 0.7, "measure": (0, 0)}, ValueError, r"measure must have a weight above 0, got \(0, 0\)"),
        ({"similarity": 0.7, "measure": (-1, 1)}, ValueError, "a weight of measure must be at least 0, got -1"),
        ({"similarity": 0.7, "measure": (1, 1001)}, ValueError, "a weight of measure must be .*, got 1001"),
        ({"similarity": 0.7, "measure": ("1", 1)}, TypeError, "a weight of measure must be a number, got str '1'"),
        (
            {"similarity": 0.7, "measure": (0.12345, 1)},
            ValueError,
            r"a weight of measure must be a fraction with a denominator of at most 1,000, such as .*, got 0\.12345",
        ),
    ],
)
def test_unfit_joins_are_refused_at_the_call(arguments, error, message):
    index = index_of(fingerprints(5))
    for call in (index.pairs, index.groups):
        with pytest.raises(error, match=message):
            call(**arguments)


def test_unfit_partners_are_refused_at_the_call():
    index, plain = index_of(fingerprints(5)), hashkit.Index(fingerprints(5))
    with pytest.raises(ValueError, match="other must go by jaccard distance like this index, got"):
        index.pairs(0.3, plain)
    with pytest.raises(ValueError, match="other must go by hamming distance like this index"):
        plain.pairs(3, index)
    with pytest.raises(ValueError, match="other must have codes of 128 bits"):
        index.pairs(0.3, index_of(fingerprints(5, n_bytes=8)))
    for call in (plain.pairs, plain.groups):
        with pytest.raises(ValueError, match="similarity must not be given for Hamming distance"):
            call(similarity=0.7)
        with pytest.raises(ValueError, match=r"measure must not be given for Hamming distance, .* got str 'dice'"):
            call(3, measure="dice")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"last": 6}, "rows must be in the codes"),
        ({"first": 3, "last": 2}, "rows must be in the codes"),
        ({"sketches": np.zeros((4, 8), np.uint8)}, "sketches must be of the order"),
        ({"sketches": np.zeros((5, 17), np.uint8)}, "sketches must be of the order"),
        ({"codes": np.zeros((5, 17), np.uint8)}, "the order must have the width of the codes"),
        ({"limits": _native.NearLimits(17, 0.5, False)}, "limits must be for the width of the codes"),
    ],
)
def test_the_border_refuses(change, message):
    order = _native.popcount_order(fingerprints(5), 1)
    what = {"codes": fingerprints(5), "first": 0, "last": 5, "sketches": order[0][:, :8].copy()}
    what |= {"sorted": order[0], "starts": order[1], "rows": order[2]}
    limits = _native.NearLimits(16, 0.5, False)
    what |= {"offset": 0, "limits": limits, "max_pairs": 9, "n_threads": 1}
    with pytest.raises(ValueError, match=message):
        _native.jaccard_pairs(**what | change)
    with pytest.raises(ValueError, match="n_sketch_bytes must be 1 to those of a code"):
        _native.jaccard_sketches(*order, limits, 17, 1)
    with pytest.raises(ValueError, match="starts must ascend"):
        _native.jaccard_sketches(order[0], order[1][:-1].copy(), order[2], limits, 8, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((16, -1.0, True), "threshold must be at least 0"),
        ((513, 0.5, True), "n_bytes must be those of a code"),
        ((16, 0.5, True, (0, 1, 1)), "weights must be 0 to 2"),
        ((16, 0.5, True, (1, 0, 0)), "weights must be 0 to 2"),
        ((16, 0.5, True, (1, 2**31, 0)), "weights must be 0 to 2"),
    ],
)
def test_limits_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        _native.NearLimits(*arguments)


def test_ctrl_c_stops_a_join():
    work = """
        bits = rng.random((300_000, 512), np.float32) < 0.1
        index = hashkit.Index(np.packbits(bits, axis=1), metric="jaccard")
        # begin
        list(index.pairs(similarity=0.5, n_threads=1))
    """
    assert seconds_to_stop(work, 0.5) < 5  # on a busy machine; 0.1 s on an idle one
