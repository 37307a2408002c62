"""The funnel: answers, changes, files, and the recall that it states."""

import copy
import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest

import hashkit
from hashkit import _native
from hashkit.storage import FormatError
from hashkit.vectors import VectorIndex
from hashkit.vectors.calibration import Recall
from hashkit.vectors.exact import exact_neighbors
from hashkit.vectors.funnel import best_estimates, read_best
from hashkit.vectors.rows import Vectors, as_vectors

METRICS = ["cosine", "ip", "l2"]
KEEPS = ["as_came", "float16", "int8", "none"]


def embeddings(n_rows, n_dims=64, seed=0):
    """Rows around centers of uneven spread, as embeddings lie, off the origin."""
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((24, n_dims)) / np.sqrt(np.arange(1, 25))[:, None]
    centers = rng.standard_normal((100, 24))
    rows = (centers[rng.integers(0, 100, n_rows)] + 0.7 * rng.standard_normal((n_rows, 24))) @ basis
    return (rows + 0.2 * rng.standard_normal((n_rows, n_dims)) + 0.3).astype(np.float32)


@pytest.fixture(scope="module")
def rows():
    return embeddings(5300)


@pytest.fixture(scope="module")
def vectors(rows):
    return rows[:5000]


@pytest.fixture(scope="module")
def queries(rows):
    return rows[5000:]


@pytest.fixture(scope="module")
def fitted(vectors):
    return VectorIndex.fit(vectors, recall=0.9, n_bits=64)


@pytest.fixture
def index(fitted):
    return copy.copy(fitted)


def exact(queries, vectors, k, metric, ids=None):
    """(scores, ids) by sorting everything."""
    every = np.broadcast_to(np.arange(len(vectors)), (len(queries), len(vectors)))
    scores, rows = hashkit.rescore(queries, vectors, np.ascontiguousarray(every), k, metric=metric)
    return scores, rows if ids is None else ids[rows]


def everything(index):
    """An index whose funnel lets all through, so that answers are exact."""
    index._plan = type(index._plan)("estimates", 0, 10**6)
    return index


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("target", [0.9, 0.95, 0.99])
def test_the_recall_is_the_one_that_was_asked_for_and_predicted(vectors, queries, metric, target):
    index = VectorIndex.fit(vectors, recall=target, metric=metric)
    predicted = index.describe()["recall"]
    true = index.measure_recall(queries)["recall"]
    assert predicted.target == target
    assert predicted.low <= predicted.mean <= predicted.high
    assert true.mean >= target - 0.01
    # 500 held-out rows predict, 300 queries measure: what lies between them is chance, of both.
    errors = [(recall.high - recall.low) / 3.92 for recall in (predicted, true)]
    assert abs(predicted.mean - true.mean) <= 3 * np.hypot(*errors) + 0.002


@pytest.mark.parametrize("metric", METRICS)
def test_easy_queries_read_fewer_vectors(vectors, queries, metric, tmp_path):
    index = VectorIndex.fit(vectors, recall=0.95, metric=metric, n_bits=64)
    if metric == "cosine":  # where a slack pays depends on the metric
        assert index._plan.slack is not None
        assert index._plan.mean_rescored < index._plan.n_rescored
        assert f"{index._plan.mean_rescored:.0f} on average" in index.describe()["stages"][1]
    slack = {"cosine": 0.1, "ip": 1.0, "l2": 0.4}[metric]
    plan = index._plan = replace(index._plan, n_rescored=100, slack=slack, mean_rescored=50.0)
    asked, store = index._encoder.prepare(queries, 1), index._state.store
    estimates, slots = best_estimates(index._state, plan, asked, plan.n_rescored, None, 1)
    n_read = np.empty(len(queries), np.int64)
    ids = read_best(index._state, plan, asked, estimates, slots, 10, 1, n_read)[1]
    assert n_read.min() < n_read.max() <= plan.n_rescored

    # The slow way: one candidate after the other, in the order of estimates.
    hoped = asked.to_scores(estimates).astype(np.float64)
    for query in range(len(queries)):
        first = store.rescore(queries[query : query + 1], slots[query : query + 1, :20], 10, metric, 1)[0][0]
        gap = first[-1] - hoped[query] if metric != "l2" else hoped[query] - first[-1]
        near = [slot for place, slot in enumerate(slots[query]) if place < 20 or gap[place] <= plan.slack]
        assert abs(len(near) - n_read[query]) <= 1  # a gap may be the slack up to rounding
        expected = store.rescore(queries[query : query + 1], np.array([near]), 10, metric, 1)[1][0]
        assert len(near) != n_read[query] or ids[query].tolist() == expected.tolist()

    index.save(tmp_path / "saved")
    assert VectorIndex.load(tmp_path / "saved")._plan == plan
    wide = replace(plan, slack=1e9)
    everything = read_best(index._state, replace(plan, slack=None), asked, estimates, slots, 10, 1)
    for read, whole in zip(read_best(index._state, wide, asked, estimates, slots, 10, 1), everything, strict=True):
        np.testing.assert_array_equal(read, whole)


@pytest.mark.parametrize("metric", METRICS)
def test_answers_are_exact_where_all_pass(fitted, vectors, queries, metric):
    index = everything(VectorIndex.fit(vectors, recall=None, metric=metric, n_bits=64))
    np.testing.assert_equal(index.query(queries[:20], 10), exact(queries[:20], vectors, 10, metric))


def test_ties_go_by_id():
    vectors = np.repeat(embeddings(50), 20, axis=0)
    index = VectorIndex.fit(vectors, recall=None)
    scores, ids = index.query(vectors[0], 20)
    assert ids.tolist() == list(range(20))
    assert len(set(scores.tolist())) == 1


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("metric", METRICS)
def test_every_way_of_keeping_finds_the_neighbors(vectors, queries, keep, metric):
    index = VectorIndex.fit(vectors, recall=None, keep=keep, metric=metric, n_bits=256)
    scores, ids = index.query(queries, 10)
    true_scores, true = exact(queries, vectors, 10, metric)
    shares = [np.isin(a, b).mean() for a, b in zip(true, ids, strict=True)]
    assert np.mean(shares) > {"none": 0.6, "int8": 0.93}.get(keep, 0.97)
    spread = true_scores.std()
    assert np.abs(scores - true_scores).mean() < (0.4 if keep == "none" else 0.03) * spread
    assert index.describe()["bytes_per_vector"]["codes"] == 32
    assert (np.diff(scores) >= 0).all() if metric == "l2" else (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("n_threads", [2, 5])
def test_threads_do_not_change_the_answer(index, queries, n_threads):
    np.testing.assert_equal(index.query(queries, 10, n_threads=n_threads), index.query(queries, 10, n_threads=1))


def test_a_query_alone_is_answered_as_in_a_batch(index, queries):
    scores, ids = index.query(queries, 7)
    for row in (0, 13):
        np.testing.assert_equal(index.query(queries[row], 7), (scores[row], ids[row]))


@pytest.mark.parametrize("isa", _native.supported_isas())
def test_instruction_sets_do_not_change_the_answer(index, queries, isa, monkeypatch):
    expected = index.query(queries[:20], 10)
    monkeypatch.setenv("HASHKIT_ISA", isa)
    np.testing.assert_equal(index.query(queries[:20], 10), expected)


def test_rows_added_are_encoded_as_rows_fitted(index, vectors):
    segment = index._state.store.segments[0]
    for chosen in (slice(0, 1), slice(17, 300), slice(0, 5000)):
        added = Vectors(vectors[chosen], "float32")
        codes, factors = index._encoder.encode(added, 0, len(added), 1)
        np.testing.assert_array_equal(codes, segment.codes[chosen])
        np.testing.assert_array_equal(factors, segment.factors[chosen])


@pytest.mark.parametrize("keep", ["as_came", "int8", "none"])
def test_changes_answer_like_an_index_made_of_what_is_left(vectors, queries, keep):
    whole = VectorIndex.fit(vectors, recall=None, keep=keep, n_bits=64)
    index = whole.subset(np.arange(3000))
    index.remove(np.arange(100, 200))
    assert index.add(vectors[3000:3001]).tolist() == [5000]
    index.remove(5000)
    index.add(vectors[3000:3500], ids=np.arange(3000, 3500))
    index.add(vectors[100:150], ids=np.arange(100, 150))
    index.replace(vectors[4000:4010], np.arange(10))
    index.remove(3499)
    left = np.concatenate([np.arange(4000, 4010), np.arange(10, 150), np.arange(200, 3499)])
    ids = np.concatenate([np.arange(150), np.arange(200, 3499)])
    assert index.ids.tolist() == ids.tolist()
    expected = VectorIndex.fit(vectors, recall=None, keep=keep, n_bits=64).subset(np.sort(left))
    for plan in (index._plan, type(index._plan)("estimates", 0, 100)):
        index._plan = expected._plan = plan
        scores, found = index.query(queries[:50], 10)
        expected_scores, expected_found = expected.query(queries[:50], 10)
        np.testing.assert_array_equal(scores, expected_scores)
        name_of = dict(zip(left.tolist(), ids.tolist(), strict=True))
        assert [[name_of[id] for id in row] for row in expected_found.tolist()] == found.tolist()


def test_own_ids_and_a_filter(vectors, queries):
    ids = np.random.default_rng(0).permutation(10**6)[:5000]
    index = everything(VectorIndex.fit(vectors, recall=None, ids=ids, n_bits=64))
    np.testing.assert_equal(index.query(queries[:9], 10), exact(queries[:9], vectors, 10, "cosine", ids))
    allowed = ids[::7]
    expected = exact(queries[:9], vectors[::7].copy(), 10, "cosine", allowed)
    np.testing.assert_equal(index.query(queries[:9], 10, filter=allowed), expected)
    np.testing.assert_equal(index.subset(allowed).query(queries[:9], 10), expected)
    np.testing.assert_array_equal(index.get(ids[:3]), vectors[:3])
    assert ids[5] in index
    assert -5 not in index


def test_a_mask_filters_as_its_ids_do(index, queries):
    mask = np.arange(5000) % 3 == 0
    by_mask = index.query(queries[:5], 10, filter=mask)
    np.testing.assert_equal(by_mask, index.query(queries[:5], 10, filter=np.flatnonzero(mask)))
    assert (by_mask[1] % 3 == 0).all()


def test_more_than_there_are_gives_all(index, queries):
    assert index.query(queries[:2], 10**6)[1].shape == (2, 5000)
    assert index.query(queries[:2], 10, filter=np.array([4, 9]))[1].shape == (2, 2)
    assert index.query(queries[:2], 10, filter=np.empty(0, np.int64))[1].shape == (2, 0)
    assert index.query(queries[:0], 10)[0].shape == (0, 10)


def test_copies_go_their_own_way(index, queries):
    expected = index.query(queries[:5])
    for other in (copy.copy(index), copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        other.remove(np.arange(4000))
        assert len(other) == 1000
    np.testing.assert_equal(index.query(queries[:5]), expected)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("keep", KEEPS)
def test_a_saved_index_answers_alike(vectors, queries, tmp_path, keep, mmap):
    ids = np.arange(5000)[::-1] * 3
    index = VectorIndex.fit(vectors, recall=0.5 if keep == "none" else 0.9, keep=keep, ids=np.ascontiguousarray(ids))
    index.remove(ids[:50])
    index.save(tmp_path / "vectors.hashkit")
    loaded = VectorIndex.load(tmp_path / "vectors.hashkit", mmap=mmap)
    np.testing.assert_equal(loaded.query(queries, 10), index.query(queries, 10))
    described = loaded.describe()
    assert described["recall"] == index.describe()["recall"]
    assert described["vectors_on_disk"] == (mmap and keep != "none")
    loaded.add(queries[:5])
    assert loaded.query(queries[0], 1)[1][0] == max(ids) + 1 or keep == "none"


def test_bfloat16_is_kept_and_loaded(vectors, queries, tmp_path):
    tensor = pytest.importorskip("torch").from_numpy(vectors).bfloat16()
    index = VectorIndex.fit(tensor, recall=0.9)
    assert index.describe()["keep"] == "bfloat16"
    index.add(tensor[:10])
    index.save(tmp_path / "vectors.hashkit")
    loaded = VectorIndex.load(tmp_path / "vectors.hashkit")
    np.testing.assert_equal(loaded.query(queries, 10), index.query(queries, 10))
    np.testing.assert_array_equal(loaded.get(np.array([5000, 5009])), tensor[[0, 9]].float().numpy())


def test_int8_with_scales(vectors, queries):
    scales = np.abs(vectors).max(axis=1) / 127
    codes = np.rint(vectors / scales[:, None]).astype(np.int8)
    index = everything(VectorIndex.fit(codes, scales=scales, recall=None, metric="ip", n_bits=64))
    every = np.tile(np.arange(5000), (9, 1))
    expected = hashkit.rescore(queries[:9], codes, every, 10, metric="ip", scales=scales)
    np.testing.assert_equal(index.query(queries[:9], 10), expected)


def test_a_memory_map_is_kept_as_it_came(vectors, queries, tmp_path):
    np.save(tmp_path / "vectors.npy", vectors.astype(np.float16))
    index = VectorIndex.fit(np.load(tmp_path / "vectors.npy", mmap_mode="r"), recall=0.9)
    assert index.describe()["vectors_on_disk"]
    in_memory = VectorIndex.fit(vectors.astype(np.float16), recall=0.9)
    np.testing.assert_equal(index.query(queries, 10), in_memory.query(queries, 10))


@pytest.mark.parametrize("n_rows", [2, 40, 300])
def test_fewer_rows_than_bits(n_rows):
    rows = np.random.default_rng(0).standard_normal((n_rows, 1024)).astype(np.float32)
    index = VectorIndex.fit(rows, recall=0.9 if n_rows == 300 else None)
    assert index.query(rows[:2], k=1)[1][:, 0].tolist() == [0, 1]


def test_n_dims_uses_the_first_values(vectors, queries):
    index = VectorIndex.fit(vectors, n_dims=32, recall=0.8)
    other = VectorIndex.fit(np.ascontiguousarray(vectors[:, :32]), recall=0.8)
    cut = np.ascontiguousarray(queries[:, :32])
    np.testing.assert_equal(index.query(cut), other.query(cut))
    with pytest.raises(ValueError, match="queries must have 32 values"):
        index.query(queries)


def test_zero_vectors_have_cosine_0(vectors, queries):
    vectors = vectors.copy()
    vectors[7] = 0
    index = everything(VectorIndex.fit(vectors, recall=None))
    scores, ids = index.query(queries[0], 5000)
    assert scores[ids == 7] == [0]
    assert (index.query(np.zeros(64), 5)[0] == 0).all()


def test_cosine_does_not_depend_on_lengths(vectors, queries):
    lengths = np.float32(10.0) ** np.random.default_rng(0).integers(-25, 25, (5000, 1))
    index = VectorIndex.fit((vectors * lengths).astype(np.float32), recall=None, keep="none", n_bits=64)
    expected = VectorIndex.fit(vectors, recall=None, keep="none", n_bits=64)
    assert (index.query(queries, 1)[1] == expected.query(queries, 1)[1]).mean() > 0.98


def test_measure_recall_tells_the_losses_apart(vectors, queries):
    index = VectorIndex.fit(vectors, recall=0.9, keep="int8", n_bits=64)
    report = index.measure_recall(queries, vectors)
    lost = report["lost_to_candidates"] + report["lost_to_bits"] + report["lost_to_vectors"]
    assert report["recall"].mean == pytest.approx(1 - lost)
    assert report["lost_to_vectors"] > 0
    true = exact(queries, vectors, 10, "cosine")[1]
    found = index.query(queries, 10)[1]
    shares = [np.isin(a, b).mean() for a, b in zip(true, found, strict=True)]
    assert report["recall"].mean == pytest.approx(np.mean(shares))


def test_exact_neighbors_leave_out_their_own_row(fitted, vectors):
    own = np.array([3, 77])
    rows = exact_neighbors(as_vectors(vectors, "vectors"), vectors[own], 5, fitted.metric, 1, own)
    expected = exact(vectors[own], vectors, 6, "cosine")[1]
    assert rows.tolist() == [[id for id in row if id != self] for self, row in zip(own, expected.tolist(), strict=True)]


def test_readers_see_whole_states(index, vectors, queries):
    stop, failures = threading.Event(), []

    def read():
        while not stop.is_set():
            scores, ids = index.query(queries[:3], 5)
            if not (np.isin(ids, np.arange(6000)).all() and np.isfinite(scores).all()):
                failures.append(ids)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(15):
        index.add(vectors[number * 10 : number * 10 + 10])
        index.replace(vectors[:5], np.arange(number, number + 5))
        index.remove(np.arange(5000 + 10 * number, 5005 + 10 * number))
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures


def test_recall_of_an_answer():
    recall = Recall.of(np.array([[True, True], [True, False]]))
    assert (recall.mean, recall.k, recall.n_queries) == (0.75, 2, 2)
    assert recall.low < 0.75 < recall.high


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"recall": 1.0}, ValueError, "recall must be between 0 and 1"),
        ({"recall": "high"}, TypeError, "recall must be a number"),
        ({"k": 0}, ValueError, "k must be at least 1"),
        ({"metric": "dot"}, ValueError, "metric must be one of cosine, ip, l2, got 'dot'"),
        ({"keep": "int4"}, ValueError, "keep must be one of as_came, float16, int8, none, got 'int4'"),
        ({"n_bits": 0}, ValueError, "n_bits must be between 1 and 4096"),
        ({"n_dims": 65}, ValueError, "n_dims must be at most the 64 values of the vectors, got 65"),
        ({"ids": np.zeros(5000, np.int64)}, ValueError, "ids must be different"),
        ({"ids": np.arange(4)}, ValueError, r"ids must have shape \(5000,\)"),
        ({"queries": np.ones((5, 3))}, ValueError, "queries must have 64 values"),
        ({"max_rescored": 0}, ValueError, "max_rescored must be at least 1"),
        (
            {"n_bits": 8, "recall": 0.99, "max_rescored": 12},
            ValueError,
            r"recall of 0.99 cannot be met from 12 vectors",
        ),
        (
            {"keep": "none", "recall": 0.99},
            ValueError,
            r"cannot be met from bits alone.*0\.\d+ with 64 bits.*keep vectors",
        ),
    ],
)
def test_fit_refuses(vectors, options, error, message):
    with pytest.raises(error, match=message):
        VectorIndex.fit(vectors, **options)


def test_fit_refuses_vectors(vectors):
    with pytest.raises(ValueError, match="at least 200 rows to hold some out and state a recall, got 150"):
        VectorIndex.fit(vectors[:150])
    assert VectorIndex.fit(vectors[:150], recall=None).describe()["recall"] is None
    bad = vectors.copy()
    bad[4321, 5] = np.nan
    with pytest.raises(ValueError, match="vectors must be finite, row 4321 is not"):
        VectorIndex.fit(bad)
    with pytest.raises(ValueError, match="scales must be given for vectors of int8"):
        VectorIndex.fit(vectors.astype(np.int8))
    with pytest.raises(TypeError, match=r"VectorIndex\.fit or VectorIndex\.load"):
        VectorIndex()
    with pytest.raises(ValueError, match="vectors must fit float16"):
        VectorIndex.fit(vectors * np.float32(1e6), metric="l2", keep="float16", recall=None)


def test_queries_and_rows_are_refused(index, vectors):
    with pytest.raises(ValueError, match="queries must be finite, row 1 is not"):
        index.query(np.array([[0.0] * 64, [np.inf] * 64]))
    with pytest.raises(ValueError, match="queries must have 64 values"):
        index.query(np.ones((2, 63)))
    with pytest.raises(TypeError, match="queries must be float16"):
        index.query(np.ones((2, 64), np.uint8))
    with pytest.raises(ValueError, match="vectors must have 64 values"):
        index.add(np.ones((2, 8)))
    with pytest.raises(ValueError, match=r"vectors must have shape \(n_rows, 64\)"):
        index.add(np.ones(64))
    with pytest.raises(ValueError, match="vectors must be finite, row 0 is not"):
        index.add(np.full((1, 64), np.nan))
    with pytest.raises(ValueError, match="9999"):
        index.replace(vectors[:1], np.array([9999]))
    with pytest.raises(ValueError, match="9999"):
        index.get(9999)
    with pytest.raises(ValueError, match=r"filter must have shape"):
        index.query(vectors[0], filter=np.ones(3, bool))
    assert len(index) == 5000


def test_damage_is_refused(fitted, queries, tmp_path):
    path = tmp_path / "vectors.hashkit"
    fitted.save(path)
    whole = path.read_bytes()
    file = hashkit.storage.open_tensors(path, "vectors")
    row = fitted.query(queries[0], 1)[1][0]
    code_at = whole.index(file.tensors["codes"][100].tobytes())
    row_at = whole.index(file.tensors["vectors"][row].tobytes())
    for at, mmap in ((code_at, True), (row_at, True), (row_at, False)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(FormatError, match="damaged"):
            VectorIndex.load(path, mmap=mmap).query(queries[0], 1)
    path.write_bytes(whole[:-100])
    for mmap in (False, True):
        with pytest.raises(FormatError, match="cannot be read"):
            VectorIndex.load(path, mmap=mmap)
    hashkit.Index(np.zeros((3, 8), np.uint8)).save(path)
    with pytest.raises(FormatError):
        VectorIndex.load(path)


def test_what_was_learned_must_fit_the_codes(fitted, tmp_path):
    fitted.save(tmp_path / "vectors.hashkit")
    file = hashkit.storage.open_tensors(tmp_path / "vectors.hashkit", "vectors", mmap=False)
    for name, tensor in (
        ("weights", file.tensors["weights"][:, :8].copy()),
        ("center", np.full(64, np.nan, np.float32)),
        ("factors", file.tensors["factors"][:5]),
        ("codes", file.tensors["codes"][:, :4].copy()),
        ("vectors", file.tensors["vectors"][:, :8].copy()),
    ):
        hashkit.storage.write_tensors(
            tmp_path / "other.hashkit", "vectors", {**file.tensors, name: tensor}, file.settings
        )
        with pytest.raises(FormatError, match="holds no vector index"):
            VectorIndex.load(tmp_path / "other.hashkit")
