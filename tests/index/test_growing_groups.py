"""Groups that are updated with what has changed: the same as those found anew."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hashkit
from hashkit.index import groups as growing
from hashkit.index import snapshot


def some_codes(rng, n, n_bytes):
    """Few bits differ: groups of all sizes, and equal codes."""
    bits = np.zeros((n, 8 * n_bytes), np.uint8)
    for _ in range(4):
        bits[np.arange(n), rng.integers(0, 8 * n_bytes, n)] ^= 1
    return np.packbits(bits, axis=1)


def change(rng, index, n_bytes):
    """One change of any sort, of a few codes."""
    ids, n = index.ids, int(rng.integers(1, 12))
    some = rng.permutation(ids.copy())[:n]
    match int(rng.integers(0, 6)):
        case 0 | 1:
            index.add(some_codes(rng, n, n_bytes))
        case 2:
            new = np.setdiff1d(rng.integers(-500, 500, n), ids)
            index.add(some_codes(rng, len(new), n_bytes), new)
        case 3:
            index.remove(some)
        case 4:
            index.replace(some_codes(rng, len(some), n_bytes), some)
        case 5:
            codes = index.get(some)
            index.remove(some)
            index.add(codes, some)


@given(
    seed=st.integers(0, 2**32),
    n=st.sampled_from([0, 1, 30, 200]),
    n_bytes=st.sampled_from([2, 8]),
    limit=st.sampled_from([{"radius": 0}, {"radius": 2}, {"radius": 5}, {"similarity": 0.5}, {"radius": 0.4}]),
)
@settings(deadline=None, max_examples=60)
def test_groups_after_any_changes_are_those_from_scratch(seed, n, n_bytes, limit):
    rng = np.random.default_rng(seed)
    is_jaccard = not isinstance(limit.get("radius"), int)
    index = hashkit.Index(some_codes(rng, n, n_bytes), metric="jaccard" if is_jaccard else "hamming")
    for _ in range(6):
        labels = index.groups(**limit, n_threads=1)
        fresh = hashkit.Index(index.get(index.ids), ids=index.ids, metric=index.metric)
        np.testing.assert_array_equal(labels, fresh.groups(**limit, n_threads=1), strict=True)
        labels[:] = -1  # the caller's own
        for _ in range(int(rng.integers(0, 5))):
            change(rng, index, n_bytes)


@pytest.fixture
def joined(monkeypatch):
    """The numbers of codes on both sides of each join that groups asked for."""
    sizes, join = [], growing.row_pairs

    def join_and_tell(codes, others, *arguments):
        sizes.append((len(codes), None if others is None else len(others)))
        return join(codes, others, *arguments)

    monkeypatch.setattr(growing, "row_pairs", join_and_tell)
    return sizes


def test_only_what_is_new_is_joined(rng, joined):
    codes = rng.integers(0, 256, (6000, 8), np.uint8)
    index = hashkit.Index(codes[:5000])
    index.groups(3)
    assert joined == [(5000, None)]
    index.groups(3)
    assert len(joined) == 1
    index.add(codes[5000:5010])
    index.add(codes[5010:5020])
    index.groups(3)
    assert joined[1:]
    assert {others for _, others in joined[1:]} == {20}
    joined.clear()
    index.groups(2)  # another radius: from scratch
    assert joined == [(5020, None)]
    joined.clear()
    index.remove(np.arange(3))
    index.groups(2)
    assert joined == []  # they were alone
    index.add(codes[[7, 8]])
    index.groups(2)
    index.remove([7])  # one of a group of two: the other is looked at alone
    joined.clear()
    index.groups(2)
    assert joined == [(1, None)]


def test_a_group_falls_apart_without_the_code_between():
    chain = np.packbits(np.tri(9, 8, -1, dtype=np.uint8), axis=1)
    index = hashkit.Index(chain)
    assert not index.groups(1).any()
    index.remove([4])
    assert index.groups(1).tolist() == [0] * 4 + [5] * 4
    index.add(chain[4:5])
    assert not index.groups(1).any()


def test_many_changes_are_forgotten(rng, monkeypatch, joined):
    monkeypatch.setattr(snapshot, "LEAST_TOUCHED", 10)
    index = hashkit.Index(some_codes(rng, 100, 8))
    index.groups(2)
    for _ in range(11):
        index.add(some_codes(rng, 5, 8))
    assert index._state.groups is None
    joined.clear()
    fresh = hashkit.Index(index.get(index.ids))
    np.testing.assert_array_equal(index.groups(2), fresh.groups(2))
    assert joined[0][1] is None


def test_copies_and_subsets_know_nothing_of_another_index(rng):
    index = hashkit.Index(some_codes(rng, 100, 8))
    index.groups(2)
    assert pickle.loads(pickle.dumps(index))._state.groups is None
    assert copy.copy(index)._state.groups is None
    part = index.subset(np.arange(50))
    assert part._state.groups is None
    np.testing.assert_array_equal(part.groups(2), hashkit.Index(index.get(np.arange(50))).groups(2))


def test_collections_have_pairs_and_groups(tmp_path, rng, joined):
    codes = some_codes(rng, 300, 8)
    with hashkit.Collection(tmp_path / "one", 64) as one, hashkit.Collection(tmp_path / "other", 64) as other:
        one.add(codes[:200])
        other.add(codes[200:])
        index, partner = hashkit.Index(codes[:200]), hashkit.Index(codes[200:])
        for mine, theirs in ((None, None), (other, partner), (partner, partner)):
            found, expected = list(one.pairs(3, mine)), list(index.pairs(3, theirs))
            assert len(found) == len(expected) == 1
            for name in ("left", "right", "distances"):
                np.testing.assert_array_equal(getattr(found[0], name), getattr(expected[0], name))
        np.testing.assert_array_equal(one.groups(2), index.groups(2))
        one.add(codes[200:])
        one.remove([5, 7])
        one.compact()
        joined.clear()
        labels = one.groups(2)
        assert all(others is not None or mine < 150 for mine, others in joined)
        np.testing.assert_array_equal(labels, hashkit.Index(one.get(one.ids), ids=one.ids).groups(2))
        with pytest.raises(TypeError, match="other must be an Index, a Collection or None, got an array"):
            one.pairs(2, codes)
        with pytest.raises(ValueError, match="one of radius and similarity must be given, got none"):
            one.groups()
