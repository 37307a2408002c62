"""After any changes an index answers, bit for bit, like one that is freshly built from the codes it then has."""

import numpy as np
import pytest
import reference
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import hashkit
from hashkit.index import growth

N_BYTES = 2
QUERIES = np.random.default_rng(1).integers(0, 256, (5, N_BYTES), np.uint8)


def random_codes(n, seed=0, n_bytes=N_BYTES):
    return np.random.default_rng(seed).integers(0, 256, (n, n_bytes), np.uint8)


def assert_answers(index, live, filter=None, allowed=None, k=5, radius=5):
    """`live` maps ids to codes; `allowed` are the ids that `filter` lets through."""
    ids = np.array(sorted(live if allowed is None else set(live) & set(allowed)), np.int64)
    codes = np.array([live[id] for id in ids.tolist()], np.uint8).reshape(len(ids), -1 if len(ids) else N_BYTES)
    distances, found = index.query(QUERIES, k, filter=filter)
    expected = reference.k_nearest(codes, QUERIES, k, ids)
    np.testing.assert_array_equal(distances, expected[0], strict=True)
    np.testing.assert_array_equal(found, expected[1], strict=True)
    result = index.radius(QUERIES, radius, filter=filter)
    for (distances, found), expected in zip(result, reference.within_radius(codes, QUERIES, radius, ids), strict=True):
        np.testing.assert_array_equal(distances, expected[0], strict=True)
        np.testing.assert_array_equal(found, expected[1], strict=True)


class Growing(RuleBasedStateMachine):
    """Every change on an index and on a dict side by side."""

    def __init__(self):
        super().__init__()
        self.small_part, growth.SMALL_PART = growth.SMALL_PART, 4  # so that a few codes make several parts
        self.index = hashkit.Index(np.empty((0, N_BYTES), np.uint8))
        self.live = {}
        self.seed = 0

    def teardown(self):
        growth.SMALL_PART = self.small_part

    def new_codes(self, n):
        self.seed += 1
        return random_codes(n, self.seed)

    @rule(n=st.integers(0, 40))
    def add(self, n):
        codes = self.new_codes(n)
        ids = self.index.add(codes)
        self.live.update(zip(ids.tolist(), codes, strict=True))

    @rule(ids=st.lists(st.integers(-50, 200), unique=True, max_size=20))
    def add_with_ids(self, ids):
        taken = set(ids) & set(self.live)
        codes = self.new_codes(len(ids))
        if taken:
            with pytest.raises(ValueError, match="already in the index"):
                self.index.add(codes, ids)
        else:
            self.index.add(codes, ids)
            self.live.update(zip(ids, codes, strict=True))

    @rule(data=st.data(), fraction=st.sampled_from([0.05, 0.2, 0.9, 1]))
    def remove(self, data, fraction):
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        ids = rng.permutation(np.array(list(self.live), np.int64))[: int(np.ceil(fraction * len(self.live)))]
        self.index.remove(ids)
        for id in ids.tolist():
            del self.live[id]

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def replace(self, data):
        ids = data.draw(st.lists(st.sampled_from(sorted(self.live)), unique=True, max_size=10))
        codes = self.new_codes(len(ids))
        self.index.replace(codes, ids)
        self.live.update(zip(ids, codes, strict=True))

    @rule()
    def compact(self):
        self.index.compact()
        assert len(self.index._state.parts) == 1

    @rule(seed=st.integers(0, 9), fraction=st.sampled_from([0, 0.01, 0.1, 0.5, 1]))
    def filter_by_ids(self, seed, fraction):
        rng = np.random.default_rng(seed)
        ids = np.array([id for id in range(-50, 300) if rng.random() < fraction], np.int64)
        assert_answers(self.index, self.live, rng.permutation(ids), ids.tolist())

    @rule(seed=st.integers(0, 9), fraction=st.sampled_from([0, 0.01, 0.1, 0.5, 1]))
    def filter_by_row(self, seed, fraction):
        mask = np.random.default_rng(seed).random(len(self.live)) < fraction
        if self.index._state.arrived_in_order:
            assert_answers(self.index, self.live, mask, self.index.ids[mask].tolist())
        else:
            with pytest.raises(ValueError, match="filter cannot be a mask by row"):
                self.index.query(QUERIES, 1, filter=mask)

    @invariant()
    def holds_what_is_live(self):
        assert len(self.index) == len(self.live)
        assert list(self.index) == sorted(self.live)
        assert_answers(self.index, self.live)
        ids = list(self.live)
        np.testing.assert_array_equal(self.index.get(ids), np.array(list(self.live.values())).reshape(-1, N_BYTES))
        assert all((id in self.index) == (id in self.live) for id in range(-50, 200, 7))


Growing.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestGrowing = Growing.TestCase


def test_parts_stay_few_and_the_large_one_stays_whole():
    index = hashkit.Index(random_codes(100_000))
    large = index._state.parts[0].codes
    for batch in range(60):
        index.add(random_codes(200, batch))
        assert len(index._state.parts) <= 4
    assert index._state.parts[0].codes is large
    index.add(random_codes(1_000))
    assert len(index._state.parts) == 1


def test_removing_moves_nothing_until_a_quarter_is_gone():
    codes = random_codes(100_000)
    index = hashkit.Index(codes)
    index.remove(np.arange(25_000))
    assert index._state.parts[0].codes is codes
    index.remove(99_999)
    assert len(index._state.parts[0].codes) == len(index) == 74_999
    assert list(index)[:2] == [25_000, 25_001]


def test_readers_keep_their_state():
    index = hashkit.Index(random_codes(10))
    before = index._state
    index.remove([3])
    index.add(random_codes(5))
    assert len(before) == 10
    assert before.has(np.array([3])).all()


def test_the_callers_arrays_may_be_reused():
    index = hashkit.Index(random_codes(10))
    codes, ids = random_codes(3, 1), np.array([20, 21, 22])
    index.add(codes, ids)
    codes[:] = 0
    ids[:] = 0
    np.testing.assert_array_equal(index.get([20, 21, 22]), random_codes(3, 1))


def test_ids_are_never_given_twice():
    index = hashkit.Index(random_codes(3))
    index.remove(2)
    assert index.add(random_codes(2)).tolist() == [3, 4]
    index.add(random_codes(1), [100])
    index.remove([100])
    index.compact()
    assert index.add(random_codes(1)).tolist() == [101]


@pytest.mark.parametrize("extreme", [-(2**63), 2**63 - 1])
def test_ids_at_the_limits(extreme):
    index = hashkit.Index(random_codes(2), ids=np.array([extreme, 0]))
    assert extreme in index
    assert 2**63 not in index
    np.testing.assert_array_equal(index.get(extreme), random_codes(2)[0])
    assert index.query(random_codes(2)[0], 1)[1] == extreme
    index.remove(extreme)
    assert list(index) == [0]
    index.add(random_codes(1), [extreme])
    assert extreme in index


def test_no_id_is_left_above_the_largest():
    index = hashkit.Index(random_codes(1), ids=np.array([2**63 - 2]))
    with pytest.raises(ValueError, match="not 2 left"):
        index.add(random_codes(2))
    assert index.add(random_codes(1)).tolist() == [2**63 - 1]
    with pytest.raises(ValueError, match="ids must be given"):
        index.add(random_codes(1))
    index.add(random_codes(1), [5])


@pytest.mark.parametrize("dtype", [np.int8, np.uint32, np.int64, np.uint64])
def test_other_integers_are_taken_where_they_fit(dtype):
    index = hashkit.Index(random_codes(2), ids=np.array([100, 7], dtype))
    assert index.ids.dtype == np.int64
    assert list(index) == [7, 100]


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (np.array([1, 2**63], np.uint64), ValueError, "ids must fit int64, got 9223372036854775808"),
        ([1, 2**64], TypeError, "ids must be an int64 array, got an array .* object"),
        (np.array([1.0, 2.0]), TypeError, "ids must be an int64 array, got an array .* float64"),
        (np.array([True, False]), TypeError, "ids must be an int64 array, got an array .* bool"),
        (np.array([[1, 2]]), ValueError, r"ids must have shape \(2,\), one for each code"),
        (np.array([1]), ValueError, r"ids must have shape \(2,\), one for each code"),
        (np.array([5, 5]), ValueError, "ids must be different, 5 comes twice"),
        ("ab", TypeError, "ids must be an int64 array, got str 'ab'"),
        (True, TypeError, "ids must be an int64 array, got bool True"),
    ],
)
def test_unfit_ids_are_refused_everywhere(ids, error, message):
    codes = random_codes(2)
    index = hashkit.Index(codes)
    for call in (
        lambda: hashkit.Index(codes, ids=ids),
        lambda: index.add(codes, ids),
        lambda: index.replace(codes, ids),
    ):
        with pytest.raises(error, match=message):
            call()
    assert list(index) == [0, 1]


def test_unknown_ids_are_named():
    index = hashkit.Index(random_codes(3))
    for call in (index.remove, index.get, lambda ids: index.replace(random_codes(len(ids)), ids)):
        with pytest.raises(ValueError, match="ids must be in the index, not in it: -1, 7"):
            call([-1, 1, 7])
        with pytest.raises(ValueError, match="10, 11, 12, 13, 14 and 5 more"):
            call(list(range(10, 20)))
    index.remove([1, 7, -1], missing="ignore")
    assert list(index) == [0, 2]
    with pytest.raises(ValueError, match="missing must be one of raise, ignore"):
        index.remove([0], missing="maybe")


def test_ids_already_there_are_named():
    index = hashkit.Index(random_codes(3))
    with pytest.raises(ValueError, match="already in the index: 1; see replace"):
        index.add(random_codes(2), [1, 9])
    assert len(index) == 3


@pytest.mark.parametrize("change", ["add", "replace"])
def test_unfit_codes_are_refused(change):
    index = hashkit.Index(random_codes(3), n_bits=16)
    for codes in (random_codes(2, n_bytes=3), random_codes(2).astype(np.int8), random_codes(2).T.copy()[:1].T):
        with pytest.raises((TypeError, ValueError), match="codes must"):
            getattr(index, change)(codes, [0, 1])
    assert len(index) == 3


def test_padding_of_added_codes_must_be_zero():
    index = hashkit.Index(np.zeros((1, 2), np.uint8), n_bits=12)
    with pytest.raises(ValueError, match="zero padding after 12 bits, row 1 has not"):
        index.add(np.array([[0, 0], [0, 1]], np.uint8))


@pytest.mark.parametrize(
    ("filter", "error", "message"),
    [
        (np.ones(2, bool), ValueError, r"filter must have shape \(3,\)"),
        (np.ones((3, 1), bool), ValueError, r"filter must have shape \(3,\)"),
        (np.ones(2, bool).tolist(), ValueError, r"filter must have shape \(3,\)"),
        (np.ones(3), TypeError, "filter must be a mask of bool, or ids, got an array of .* float64"),
        (np.ones(3, object), TypeError, "filter must be a mask of bool, or ids, got an array of .* object"),
        ("all", TypeError, "filter must be a mask of bool, or ids, got str 'all'"),
        ({1, 2}, TypeError, "filter must be a mask of bool, or ids, got set"),
        ([True, 2, 1], TypeError, "filter must be all bool or all int, got a list with both"),
        ([[1, 2], [3]], TypeError, "filter must have rows of one length"),
        (np.ma.masked_array([True] * 3, mask=True), TypeError, "filter must not be a masked array"),
        (np.ma.masked_array([1, 2], mask=[True, False]), TypeError, "filter must not be a masked array"),
        (np.array([[1, 2]]), ValueError, "filter must have one dimension"),
        (np.array([2**63], np.uint64), ValueError, "filter must fit int64"),
    ],
)
def test_unfit_filters_are_refused(filter, error, message):
    index = hashkit.Index(random_codes(3))
    with pytest.raises(error, match=message):
        index.query(QUERIES, 1, filter=filter)
    with pytest.raises(error, match=message):
        index.radius(QUERIES, 1, filter=filter)


def test_ids_cannot_be_written_through():
    index = hashkit.Index(random_codes(3), ids=np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="read-only"):
        index.ids[0] = 5


def test_two_identical_thousands():
    codes = np.repeat(random_codes(1), 4_000, axis=0)
    index = hashkit.Index(codes[:2_000])
    index.add(codes[2_000:])
    index.remove(np.arange(0, 4_000, 2))
    distances, ids = index.query(codes[0], 1_000)
    assert not distances.any()
    np.testing.assert_array_equal(ids, np.arange(1, 2_000, 2))
    assert len(index.radius(codes[:1], 0)[0][1]) == 2_000


def test_the_widest_codes():
    codes = random_codes(50, n_bytes=512)
    index = hashkit.Index(codes)
    index.remove(np.arange(5))
    index.add(codes[:5], np.arange(5))
    distances, ids = index.query(codes, 1)
    assert not distances.any()
    np.testing.assert_array_equal(ids[:, 0], np.arange(50))


STRIDED = {
    "every second": lambda ids: np.repeat(ids, 2)[::2],
    "backwards": lambda ids: ids[::-1].copy()[::-1],
    "a column": lambda ids: np.stack([ids, ids + 9], axis=1)[:, 0],
    "a field": lambda ids: np.array([(1, id) for id in ids.tolist()], [("a", np.int8), ("id", np.int64)])["id"],
    "other bytes": lambda ids: ids.astype(">i8"),
    "unaligned": lambda ids: np.frombuffer(b"x" + ids.tobytes(), np.int64, offset=1),
    "read-only": lambda ids: np.frombuffer(ids.tobytes(), np.int64),
    "a list": lambda ids: ids.tolist(),
    "a tuple of numpy's": lambda ids: tuple(ids),
    "uint8": lambda ids: ids.astype(np.uint8),
}


@pytest.mark.parametrize("layout", STRIDED)
def test_ids_of_any_layout(layout):
    ids, codes = np.array([0, 2, 4, 60, 7, 200]), random_codes(6)
    given = STRIDED[layout](ids)
    live = dict(zip(ids.tolist(), codes, strict=True))
    for index in (hashkit.Index(codes, ids=given), hashkit.Index(codes[:0])):
        if not len(index):
            assert index.add(codes, given).tolist() == ids.tolist()
        assert 60 in index
        np.testing.assert_array_equal(index.get(given), codes)
        assert_answers(index, live)
        assert_answers(index, live, STRIDED[layout](ids[1:4]), ids[1:4].tolist())
        assert index.subset(STRIDED[layout](ids[:2])).ids.tolist() == [0, 2]
        index.replace(codes[::-1].copy(), given)
        np.testing.assert_array_equal(index.get(ids), codes[::-1])
        index.remove(STRIDED[layout](ids[2:]))
        assert index.ids.tolist() == [0, 2]


def test_ids_may_be_a_column():
    pandas = pytest.importorskip("pandas")
    codes = random_codes(3)
    for dtype in ("int64", "Int64", "uint8"):
        column = pandas.Series([5, 1, 9], index=[2, 0, 1], dtype=dtype)
        index = hashkit.Index(codes, ids=column)
        np.testing.assert_array_equal(index.get(column), codes)
        index.remove(column[:1])
        assert index.ids.tolist() == [1, 9]
        index.add(codes[:1], pandas.Index([5]))
    for values, dtype in (([5, None, 9], "Int64"), ([5.0, 1.0, 9.0], None), (["a", "b", "c"], None)):
        with pytest.raises(TypeError, match="ids must be an int64 array, got an array of"):
            hashkit.Index(codes, ids=pandas.Series(values, dtype=dtype))


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2]])
def test_an_index_does_not_share_the_ids_of_others(order):
    ids, codes = np.array(order), random_codes(4)
    index = hashkit.Index(codes, ids=ids)
    added = index.add(codes, ids + 10)
    own = index.add(codes)
    index.replace(codes, ids)
    known = index.ids.copy()
    for array in (ids, added, own):
        array[:] = -1
    np.testing.assert_array_equal(index.ids, known)
    with pytest.raises(ValueError, match="read-only"):
        index.ids[0] = 3


def test_codes_in_the_order_of_their_ids_are_not_copied():
    codes = random_codes(4)
    assert np.shares_memory(hashkit.Index(codes)._state.parts[0].codes, codes)
    assert np.shares_memory(hashkit.Index(codes, ids=[1, 3, 5, 7])._state.parts[0].codes, codes)
    index = hashkit.Index(codes[:0])
    for n_times in range(3):  # what is added is copied
        index.add(codes[n_times : n_times + 1])
        assert not any(np.shares_memory(part.codes, codes) for part in index._state.parts)


def test_a_mask_may_come_in_any_shape():
    codes = random_codes(6)
    index, live = hashkit.Index(codes), dict(enumerate(codes))
    mask = np.array([True, False, True, True, False, False])
    pandas = pytest.importorskip("pandas")
    columns = [pandas.Series(mask, index=range(6, 0, -1), dtype=dtype) for dtype in ("bool", "boolean")]
    for same in (mask.tolist(), tuple(mask), list(mask), *columns):
        assert_answers(index, live, same, [0, 2, 3])
        assert index.subset(same).ids.tolist() == [0, 2, 3]
    for same in ([0, 2, 3], (0, 2, 3), range(0, 4, 1), pandas.Series([3, 2, 0], index=[1, 1, 1])):
        assert_answers(index, live, same, list(same))


@pytest.mark.parametrize("empty", [[], (), np.array([]), np.array([], np.int64), np.array([], np.uint8)])
def test_no_ids_allow_nothing(empty):
    index = hashkit.Index(random_codes(6))
    assert_answers(index, dict(enumerate(random_codes(6))), empty, [])
    assert len(index.subset(empty)) == 0
    assert index.get(empty).shape == (0, N_BYTES)
    index.remove(empty)
    assert len(index) == 6


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64])
def test_integers_that_look_like_a_mask_are_refused(dtype):
    index = hashkit.Index(random_codes(6))
    for mask in (np.ones(6, dtype), np.zeros(6, dtype), np.array([0, 1, 0, 1, 1, 0], dtype)):
        for filter in (mask, mask.tolist()):
            with pytest.raises(ValueError, match=r"could mean two things.*filter\.astype\(bool\).*numpy\.unique"):
                index.query(QUERIES, filter=filter)
    # Not as many as there are codes, or others than 0 and 1: ids.
    for ids in ([0, 1], [1] * 5, [0, 1, 1, 1, 1, 2], [1, 0, 0, 0, 0, -1]):
        assert index.subset(np.array(ids).astype(dtype)).ids.tolist() == sorted(set(ids) - {-1})
    two = hashkit.Index(random_codes(2))
    assert two.subset(np.array([1, 0], np.int64)).ids.tolist() == [0, 1]
    with pytest.raises(ValueError, match="could mean two things"):
        two.subset(np.array([1, 0], np.uint8))
