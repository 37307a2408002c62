"""Pairs and groups against comparing every code with every other."""

import time

import numpy as np
import pytest
import reference
from children import seconds_to_stop
from hypothesis import given, settings
from hypothesis import strategies as st

import hashkit
from hashkit import _native
from hashkit.index import joins


def random_codes(n, seed=0, n_bytes=2):
    return np.random.default_rng(seed).integers(0, 256, (n, n_bytes), np.uint8)


def near_codes(n, seed=0, n_bytes=2):
    """Many ties and duplicates: at most two bits from zero."""
    bits = np.zeros((n, 8 * n_bytes), np.uint8)
    rng = np.random.default_rng(seed)
    bits[np.arange(n), rng.integers(0, 8 * n_bytes, n)] ^= 1
    bits[np.arange(n), rng.integers(0, 8 * n_bytes, n)] ^= 1
    return np.packbits(bits, axis=1)


def joined(blocks):
    blocks = list(blocks)
    assert all(len(block) for block in blocks)
    empty = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32)
    columns = [empty, *((block.left, block.right, block.distances) for block in blocks)]
    return [np.concatenate(column) for column in zip(*columns, strict=True)]


def assert_pairs(blocks, expected):
    for column, expected_column in zip(joined(blocks), expected, strict=True):
        np.testing.assert_array_equal(column, expected_column, strict=True)


sets = st.tuples(st.sampled_from([0, 1, 2, 5, 40, 300]), st.sampled_from([random_codes, near_codes]))


@given(
    left=sets,
    right=st.none() | sets,
    n_bytes=st.sampled_from([1, 3, 8, 9, 16]),
    radius=st.sampled_from([0, 1, 2, 5, 20, 999]),
    n_threads=st.sampled_from([1, 3]),
)
@settings(deadline=None, max_examples=60)
def test_pairs_are_all_that_are_near(left, right, n_bytes, radius, n_threads):
    codes = left[1](left[0], n_bytes=n_bytes)
    others = None if right is None else right[1](right[0], 1, n_bytes)
    other = None if others is None else hashkit.Index(others)
    blocks = hashkit.Index(codes).pairs(radius, other, n_threads=n_threads)
    assert_pairs(blocks, reference.pairs_within(codes, others, radius))


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("n_bytes", [1, 8, 16, 24, 33])
@pytest.mark.parametrize("radius", [0, 2, 50])
def test_every_instruction_set(isa, n_bytes, radius):
    codes, others = near_codes(500, n_bytes=n_bytes), near_codes(270, 1, n_bytes)
    for right, last in ((None, 500), (others, 500), (others, 3)):
        found = _native.scan_pairs(codes, 0, last, right, radius, 10**9, 2, isa)
        expected = reference.pairs_within(codes[:last], right, radius)
        for column, expected_column in zip(found, expected, strict=True):
            np.testing.assert_array_equal(column, expected_column, strict=True)


def test_threads_share_a_large_join():
    codes = near_codes(6_000, n_bytes=8)
    one = joined(hashkit.Index(codes).pairs(2, n_threads=1))
    many = joined(hashkit.Index(codes).pairs(2, n_threads=3))
    distances = np.triu(hashkit.hamming_distances(codes, codes) <= 2, 1)
    np.testing.assert_array_equal(one[:2], np.nonzero(distances))
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("max_pairs", [1, 7, 100, 5_000])
def test_blocks_stay_bounded(monkeypatch, max_pairs):
    monkeypatch.setattr(joins, "MAX_PAIRS", max_pairs)
    codes = near_codes(200)
    codes[100:140] = codes[0]
    blocks = list(hashkit.Index(codes).pairs(3))
    assert len(blocks) > 1
    assert all(len(block) <= max_pairs or len(np.unique(block.left)) == 1 for block in blocks)
    assert_pairs(blocks, reference.pairs_within(codes, None, 3))


def test_too_many_pairs_are_none():
    codes = np.zeros((50, 8), np.uint8)
    assert _native.scan_pairs(codes, 0, 50, None, 0, 50 * 49 // 2 - 1, 1) is None
    assert len(_native.scan_pairs(codes, 0, 50, None, 0, 50 * 49 // 2, 1)[0]) == 50 * 49 // 2


def grown_index():
    """An index of several parts with ids in no order and some codes removed, and what it holds."""
    rng = np.random.default_rng(3)
    ids, codes = rng.permutation(20_000)[:9_000].astype(np.int64) - 500, near_codes(9_000, n_bytes=8)
    index = hashkit.Index(codes[:8_000], ids=ids[:8_000])
    index.add(codes[8_000:], ids[8_000:])
    index.remove(ids[::5])
    assert len(index._state.parts) > 1
    live = np.arange(9_000) % 5 != 0
    return index, codes[live], ids[live]


def test_a_grown_index_joins_what_is_live():
    index, codes, ids = grown_index()
    rows = np.argsort(ids)
    fresh = hashkit.Index(codes[rows])
    left, right, distances = joined(fresh.pairs(1))
    assert len(left) > 1000
    assert_pairs(index.pairs(1), (ids[rows][left], ids[rows][right], distances))
    np.testing.assert_array_equal(index.groups(1), ids[rows][fresh.groups(1)])
    few = hashkit.Index(codes[:4], ids=ids[:4])
    for a, b in ((index, few), (few, index)):
        pairs = joined(a.pairs(2, b))
        sides = [(codes, ids), (codes[:4], ids[:4])] if a is index else [(codes[:4], ids[:4]), (codes, ids)]
        near = hashkit.hamming_distances(sides[0][0], sides[1][0])
        rows, columns = np.nonzero(near <= 2)
        order = np.lexsort((sides[1][1][columns], sides[0][1][rows]))
        np.testing.assert_array_equal(pairs[0], sides[0][1][rows][order])
        np.testing.assert_array_equal(pairs[1], sides[1][1][columns][order])
        np.testing.assert_array_equal(pairs[2], near[rows, columns][order])


def test_pairs_are_those_of_the_moment_of_the_call():
    index = hashkit.Index(np.zeros((3, 2), np.uint8))
    pairs = index.pairs(0)
    index.remove([0])
    assert joined(pairs)[0].tolist() == [0, 0, 1]
    assert joined(index.pairs(0))[0].tolist() == [1]


def test_with_itself_as_the_other():
    index = hashkit.Index(np.zeros((2, 2), np.uint8))
    assert [column.tolist() for column in joined(index.pairs(0, index))] == [[0, 0, 1, 1], [0, 1, 0, 1], [0] * 4]


@given(
    n=st.sampled_from([0, 1, 2, 30, 200]),
    make=st.sampled_from([random_codes, near_codes]),
    n_bytes=st.sampled_from([1, 2, 3, 8, 12]),
    radius=st.integers(0, 6),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_groups_are_what_floods_together(n, make, n_bytes, radius, seed):
    codes, ids = make(n, seed, n_bytes), np.random.default_rng(seed).permutation(2 * n)[:n] - n
    labels = hashkit.Index(codes, ids=ids).groups(radius)
    np.testing.assert_array_equal(labels, reference.groups(codes, radius, ids), strict=True)


def test_a_long_chain_is_one_group():
    """Each code differs by one bit from the one before: the ends by 64 bits."""
    chain = np.packbits(np.tri(65, 64, -1, dtype=np.uint8), axis=1)
    order = np.random.default_rng(0).permutation(65)
    assert not hashkit.Index(chain[order]).groups(1).any()
    np.testing.assert_array_equal(hashkit.Index(chain).groups(0), np.arange(65))


def test_equal_codes_are_grouped_without_comparing_them():
    codes = np.repeat(random_codes(3, n_bytes=8), 100_000, axis=0)
    np.testing.assert_array_equal(hashkit.Index(codes).groups(0), np.repeat([0, 100_000, 200_000], 100_000))


def test_progress_counts_the_codes(capsys):
    index = hashkit.Index(random_codes(100))
    list(index.pairs(1))
    index.groups(1)
    assert capsys.readouterr().err == ""
    list(index.pairs(1, progress=True))
    assert "100/100" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1,), ValueError, "radius must be at least 0, got -1"),
        ((1.5,), TypeError, "radius must be an int, got float 1.5"),
        ((True,), TypeError, "radius must be an int, got bool True"),
        ((1, random_codes(3)), TypeError, "other must be an Index or None, got an array"),
        ((1, hashkit.Index(random_codes(3, n_bytes=3))), ValueError, "other must have codes of 16 bits"),
    ],
)
def test_unfit_joins_are_refused_at_the_call(arguments, error, message):
    index = hashkit.Index(random_codes(3))
    with pytest.raises(error, match=message):
        index.pairs(*arguments)
    if len(arguments) == 1:
        with pytest.raises(error, match=message):
            index.groups(*arguments)


def test_unfit_threads_are_refused_at_the_call():
    index = hashkit.Index(random_codes(3))
    for call in (index.pairs, index.groups):
        with pytest.raises(ValueError, match="n_threads must be at least 1"):
            call(1, n_threads=0)


def test_the_border_refuses_rows_that_are_not_there():
    codes, rows = random_codes(3), np.arange(3)
    for first, last in ((0, 4), (2, 1)):
        with pytest.raises(ValueError, match="rows must be in the codes"):
            _native.scan_pairs(codes, first, last, None, 1, 9, 1)
    forest = _native.Forest(3)
    for bad in (np.array([3]), np.array([-1])):
        with pytest.raises(ValueError, match="rows must be in the forest"):
            forest.unite(bad, np.array([0]))
        with pytest.raises(ValueError, match="rows must be in the forest"):
            forest.unite(np.array([0]), bad)
    with pytest.raises(ValueError, match="one length"):
        forest.unite(rows, rows[:2])
    assert forest.firsts().tolist() == [0, 1, 2]


def test_uniting_takes_a_time_that_grows_with_the_pairs_alone():
    """Blocks of one pair: in a forest a thousand times as large they took hundreds of times as long."""
    pair = np.array([0]), np.array([1])

    def seconds(n_rows):
        forest, times = _native.Forest(n_rows), []
        for _ in range(5):
            begin = time.perf_counter()
            for _ in range(300):
                forest.unite(*pair)
            times.append(time.perf_counter() - begin)
        return min(times)

    assert seconds(1_000_000) < 30 * seconds(1000)


@pytest.mark.parametrize("n_bytes", [1, 3, 8, 9, 128])
def test_distinct_codes_are_those_of_numpy(n_bytes):
    codes = np.random.default_rng(0).integers(0, 3, (2000, n_bytes), np.uint8)
    codes[:, n_bytes // 2 + 1 :] = 7
    _, firsts, inverse = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    found, places = _native.distinct_codes(codes)
    np.testing.assert_array_equal(found, np.sort(firsts))
    np.testing.assert_array_equal(found[places], firsts[inverse.ravel()])
    assert [len(array) for array in _native.distinct_codes(codes[:0])] == [0, 0]


def test_no_thread_is_started_unless_progress_is_asked_for(run_python):
    program = """
import threading, numpy as np, hashkit
index = hashkit.Index(np.zeros((5, 8), np.uint8))
index.groups(1, n_threads=1), list(index.pairs(1, n_threads=1))
print(threading.active_count())
index.groups(2, n_threads=1, progress=True)
"""
    done = run_python(program)
    assert done.stdout == "1\n"
    assert "codes" in done.stderr


@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_stops_a_join(n_threads):
    """Within a second of the signal, in the middle of a call that takes far longer."""
    work = f"""
        codes = rng.integers(0, 256, (3_000_000, 32), np.uint8)
        pairs = hashkit.Index(codes, method="scan").pairs(2, n_threads={n_threads})
        # begin
        list(pairs)
    """
    assert seconds_to_stop(work, 0.5) < 5  # on a busy machine; 0.1 s on an idle one


@pytest.mark.parametrize(("progress", "n_threads"), [(False, 1), (True, 2)])
def test_only_a_bar_that_is_shown_starts_a_thread(run_python, progress, n_threads):
    done = run_python(
        f"""import threading, numpy as np, hashkit
index = hashkit.Index(np.random.default_rng(0).integers(0, 256, (500, 2), np.uint8))
assert sum(len(block) for block in index.pairs(2, progress={progress})) and len(index.groups(1, progress={progress}))
print(threading.active_count())"""
    )
    assert done.stdout.strip() == str(n_threads), done.stderr
    assert ("500/500" in done.stderr) == progress
