"""Whatever a filter lets through, and however it is looked at: the answer is that of an index of these codes alone."""

import numpy as np
import pytest
import reference

import hashkit
from hashkit import _native
from hashkit.index import filters

N_CODES = 2100
LAYOUTS = {
    "all": lambda rng, n: np.ones(n, np.bool_),
    "none": lambda rng, n: np.zeros(n, np.bool_),
    "one": lambda rng, n: np.arange(n) == n // 2,
    "some": lambda rng, n: rng.random(n) < 0.1,
    "few": lambda rng, n: rng.random(n) < 0.002,
    "most": lambda rng, n: rng.random(n) < 0.95,
    "at the end": lambda rng, n: np.arange(n) >= n - 40,
    "in the tail only": lambda rng, n: np.arange(n) >= 2000,
    "what a sample misses": lambda rng, n: np.arange(n) % (n // filters.N_SAMPLED + 1) != 0,
    "only what a sample sees": lambda rng, n: np.arange(n) % (n // filters.N_SAMPLED + 1) == 0,
}
CODES = {
    "spread": lambda rng, n: rng.integers(0, 256, (n, 3), np.uint8),
    "ties": lambda rng, n: rng.integers(0, 3, (n, 3), np.uint8),
}


def an_index(codes, method, changed):
    """An index of `codes` and what it holds by id; if `changed` with codes in a second part and some removed."""
    n_first = 2000 if changed else len(codes)
    index = hashkit.Index(codes[:n_first], ids=5 * np.arange(n_first), method=method)
    ids = 5 * np.arange(len(codes))
    if changed:
        index.add(codes[n_first:], ids[n_first:])
        gone = np.r_[0, 1, np.arange(500, 900, 2), 1999, 2000, 2099]
        index.remove(ids[gone])
        codes, ids = np.delete(codes, gone, axis=0), np.delete(ids, gone)
        assert len(index._state.parts) == 2
    return index, codes, ids


@pytest.fixture
def small_masks_are_asked(monkeypatch):
    monkeypatch.setattr(filters, "ALLOWED_FOR_EACH", 1)


@pytest.mark.usefixtures("small_masks_are_asked")
@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("method", ["scan", "mih"])
@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_found_is_what_is_allowed(rng, monkeypatch, layout, kind, method, changed):
    monkeypatch.setattr("hashkit.index.growth.SMALL_PART", 0)
    index, codes, ids = an_index(CODES[kind](rng, N_CODES), method, changed)
    mask = LAYOUTS[layout](rng, len(index))
    n_allowed = int(mask.sum())
    queries = np.concatenate([codes[:3], rng.integers(0, 256, (9, 3), np.uint8)])
    for some in (queries[:1], queries[:3], queries):
        for k in {1, 10, max(1, n_allowed - 1), max(1, n_allowed), n_allowed + 1, 3000}:
            expected = reference.k_nearest(codes[mask], some, k, ids[mask])
            for filter in (mask, ids[mask], rng.permutation(ids[mask])):
                for found, wanted in zip(index.query(some, k, filter=filter), expected, strict=True):
                    np.testing.assert_array_equal(found, wanted, strict=True)
    for found, wanted in zip(
        index.radius(queries, 4, filter=mask),
        reference.within_radius(codes[mask], queries, 4, ids[mask]),
        strict=True,
    ):
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.usefixtures("small_masks_are_asked")
@pytest.mark.parametrize("changed", [False, True])
def test_any_memory_layout_of_a_mask(rng, monkeypatch, changed):
    monkeypatch.setattr("hashkit.index.growth.SMALL_PART", 0)
    index, codes, _ = an_index(CODES["spread"](rng, N_CODES), "mih", changed)
    mask = rng.random(len(index)) < 0.3
    expected = index.query(codes[:2], 20, filter=mask)
    twice = np.repeat(mask, 2)[::2]
    backwards = mask[::-1].copy()[::-1]
    other_bytes = (7 * mask.astype(np.uint8)).view(np.bool_)  # true is what is not 0
    for same in (twice, backwards, other_bytes):
        for found, wanted in zip(index.query(codes[:2], 20, filter=same), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(
            index.radius(codes[:2], 5, filter=same).ids, index.radius(codes[:2], 5, filter=mask).ids
        )


@pytest.mark.usefixtures("small_masks_are_asked")
def test_a_mask_is_asked_row_by_row_for_few_queries_only(rng):
    state = hashkit.Index(CODES["spread"](rng, N_CODES))._state
    mask = rng.random(N_CODES) < 0.3
    assert np.shares_memory(filters.select(state, mask, 10)[0].mask, mask)
    assert filters.select(state, mask, 2000)[0].mask is None  # more than are allowed: they must be counted
    assert filters.select(state, mask)[0].mask is None
    assert filters.select(state, mask)[0].n_rows == np.count_nonzero(mask)


def test_a_mask_that_allows_few_for_each_to_be_found_is_read(rng):
    n = 3 * filters.ALLOWED_FOR_EACH
    state = hashkit.Index(CODES["spread"](rng, n))._state
    assert filters.select(state, np.ones(n, np.bool_), 3)[0].mask is not None
    assert filters.select(state, np.ones(n, np.bool_), 4)[0].mask is None


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("method", ["scan", "mih"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_subset_is_an_index_of_what_is_allowed(rng, monkeypatch, layout, method, changed):
    monkeypatch.setattr("hashkit.index.growth.SMALL_PART", 0)
    index, codes, ids = an_index(CODES["ties"](rng, N_CODES), method, changed)
    mask = LAYOUTS[layout](rng, len(index))
    for filter in (mask, rng.permutation(ids[mask])):
        subset = index.subset(filter)
        np.testing.assert_array_equal(subset.ids, ids[mask])
        np.testing.assert_array_equal(subset.get(subset.ids), codes[mask])
        for found, wanted in zip(
            subset.query(codes[:9], 50), reference.k_nearest(codes[mask], codes[:9], 50, ids[mask]), strict=True
        ):
            np.testing.assert_array_equal(found, wanted, strict=True)
        assert subset.describe()["parts"][0]["method"] == (method if mask.any() else "scan")


def test_a_subset_goes_its_own_way(rng):
    codes = CODES["spread"](rng, N_CODES)
    index = hashkit.Index(codes, metric="jaccard")
    subset = index.subset(np.arange(N_CODES) < 40)
    assert subset.metric == "jaccard"
    assert subset.add(codes[:1]).tolist() == [N_CODES]  # an id that the whole index never had either
    subset.remove(3)
    index.remove(4)
    assert 3 in index
    assert 4 in subset
    assert len(subset) == 40
    with pytest.raises(ValueError, match="filter must have shape"):
        index.subset(np.ones(3, np.bool_))


@pytest.mark.parametrize("n_ids", [0, 1, 2, 3, 1000])
def test_ids_are_found_in_any_order(rng, n_ids):
    some = np.unique(rng.integers(-3 * n_ids, 3 * n_ids + 1, n_ids))
    extremes = [-(2**63), 2**63 - 1, 0]
    for ids in (some, np.append(some, 2**63 - 1), np.insert(some, 0, -(2**63))):
        wanted = np.concatenate([ids, rng.permutation(ids), ids[::-1], extremes, rng.integers(-4000, 4000, 2000)])
        rows = {id: row for row, id in enumerate(ids.tolist())}
        expected = [rows.get(id, -1) for id in wanted.tolist()]
        for order in (np.arange(len(wanted)), np.argsort(wanted)):
            np.testing.assert_array_equal(_native.find_ids(ids, wanted[order]), np.array(expected)[order])


def test_native_masks_are_checked(rng):
    codes = rng.integers(0, 256, (20, 2), np.uint8)
    tables = _native.build_tables(codes, 16, False, 1)
    bitmap = np.packbits(np.arange(20) < 15, bitorder="little")
    for n in (14, 16, 20):
        mask = np.ones(n, np.bool_)
        with pytest.raises(ValueError, match="mask must have an entry for each row"):
            _native.scan_k_nearest(codes, codes[:1], 1, 1, bitmap, mask=mask)
        with pytest.raises(ValueError, match="mask must have an entry for each row"):
            _native.mih_k_nearest(tables, codes, codes[:1], 1, 1, bitmap, mask=mask)
        with pytest.raises(ValueError, match="mask must have an entry for each row"):
            _native.narrow_bitmap(bitmap, mask, 20)
    for search in (
        lambda mask: _native.scan_k_nearest(codes, codes[:1], 5, 1, bitmap, mask=mask),
        lambda mask: _native.mih_k_nearest(tables, codes, codes[:1], 5, 1, bitmap, mask=mask),
    ):
        distances, rows = search(np.arange(15) < 3)
        assert sorted(rows[0, :3]) == [0, 1, 2]
        assert (distances[0, 3:] == 2**31 - 1).all()
        assert (rows[0, 3:] == -1).all()
