"""Candidates from cells: what a large index does, on one that is just large enough to have them."""

import copy

import numpy as np
import pytest

import hashkit
from hashkit import _native
from hashkit.storage import FormatError
from hashkit.vectors import VectorIndex, calibration, changing
from hashkit.vectors.exact import exact_neighbors
from hashkit.vectors.funnel import nearest
from hashkit.vectors.rows import as_vectors

N_ROWS = 34_000


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((24, 64)) / np.sqrt(np.arange(1, 25))[:, None]
    centers = rng.standard_normal((300, 24))
    rows = (centers[rng.integers(0, 300, N_ROWS + 400)] + 0.5 * rng.standard_normal((N_ROWS + 400, 24))) @ basis
    return (rows + 0.1 * rng.standard_normal(rows.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors(rows):
    return rows[:N_ROWS]


@pytest.fixture(scope="module")
def queries(rows):
    return rows[N_ROWS:]


def fit(vectors):
    """As if scans were slow: of so few codes they are not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "CODE_COST", 1.0)
        patch.setattr(calibration, "ESTIMATE_COST", 2.0)
        return VectorIndex.fit(vectors, recall=0.9, n_bits=256, max_rescored=60)


@pytest.fixture(scope="module")
def fitted(vectors):
    return fit(vectors)


@pytest.fixture
def index(fitted):
    return copy.copy(fitted)


@pytest.fixture
def no_new_cells(monkeypatch):
    def fail(*_):
        raise AssertionError("cells are made anew")

    monkeypatch.setattr(_native, "build_cells", fail)


def recall(index, queries, vectors, ids=None):
    true = exact_neighbors(as_vectors(vectors, "vectors"), queries, 10, "cosine", 1)
    true = true if ids is None else ids[true]
    found = index.query(queries, 10)[1]
    return np.mean([np.isin(a, b).mean() for a, b in zip(true, found, strict=True)])


def test_the_recall_is_the_one_that_was_predicted(index, vectors, queries):
    described = index.describe()
    assert index._plan.code_recall < 1
    assert described["stages"][0].endswith("candidates by Hamming distance in the nearest cells")
    assert described["bytes_per_vector"]["cells"] > 4
    predicted, true = described["recall"], index.measure_recall(queries)
    assert predicted.mean >= 0.9
    assert true["recall"].mean == pytest.approx(recall(index, queries, vectors))
    errors = [(each.high - each.low) / 3.92 for each in (predicted, true["recall"])]
    assert abs(predicted.mean - true["recall"].mean) <= 3 * np.hypot(*errors) + 0.002
    assert true["lost_to_candidates"] > 0


def test_few_codes_are_scanned(vectors):
    index = VectorIndex.fit(vectors[:3000], recall=0.9, n_bits=128)
    assert index._plan.code_recall == 1
    assert index.describe()["bytes_per_vector"]["cells"] == 0


def test_answers_depend_on_neither_threads_nor_stages_nor_instruction_sets(index, queries, monkeypatch, no_new_cells):
    expected = index.query(queries, 10)
    np.testing.assert_equal(index.query(queries, 10, n_threads=3), expected)
    prepared = index._encoder.prepare(queries, 1)
    np.testing.assert_equal(nearest(index._state, index._plan, prepared, 10, None, 1), expected)
    np.testing.assert_equal(index.query(queries[3], 10), (expected[0][3], expected[1][3]))
    for isa in _native.supported_isas():
        monkeypatch.setenv("HASHKIT_ISA", isa)
        np.testing.assert_equal(index.query(queries[:50], 10), (expected[0][:50], expected[1][:50]))


def test_more_than_the_candidates_come_from_a_scan(index, queries, vectors, no_new_cells):
    k = index._plan.n_candidates + 1
    scores, ids = index.query(queries[:3], k)
    plan = index._plan
    index._plan = type(plan)("codes", plan.n_candidates, plan.n_rescored)
    np.testing.assert_equal(index.query(queries[:3], k), (scores, ids))


@pytest.fixture(scope="module")
def named(fitted):
    return renamed(fitted, np.arange(N_ROWS) * 3)


def renamed(index, ids):
    state = changing.renamed(index._state, ids)
    return VectorIndex._of(index._encoder, state, index._plan, index._recall, index._keep)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", ["fitted", "named"])
def test_a_file_has_the_cells(request, vectors, queries, tmp_path, mmap, name, no_new_cells):
    index = request.getfixturevalue(name)
    index.save(tmp_path / "saved")
    loaded = VectorIndex.load(tmp_path / "saved", mmap=mmap)
    assert loaded.describe()["bytes_per_vector"] == index.describe()["bytes_per_vector"]
    np.testing.assert_equal(loaded.query(queries, 10), index.query(queries, 10))
    assert recall(loaded, queries, vectors, index.ids) >= 0.88


def test_ids_in_another_order(index, vectors, queries):
    ids = np.random.default_rng(0).permutation(N_ROWS)
    assert recall(renamed(index, ids), queries, vectors, ids) >= 0.88


def test_changes_are_found(index, vectors, queries, tmp_path):
    gone, new = np.arange(0, 3000), np.arange(N_ROWS, N_ROWS + 400)
    index.remove(gone)
    assert index.add(queries).tolist() == new.tolist()
    assert (index.query(queries, 1)[1][:, 0] == new).mean() > 0.99
    index.replace(queries[:100], np.arange(3000, 3100))
    index.remove(new)
    left = np.concatenate([queries[:100], vectors[3100:]])
    asked = vectors[:200]
    assert recall(index, asked, left, np.arange(3000, N_ROWS)) >= 0.88
    index.save(tmp_path / "saved")
    loaded = VectorIndex.load(tmp_path / "saved", mmap=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_native, "build_cells", None)
        assert recall(loaded, asked, left, np.arange(3000, N_ROWS)) >= 0.88


@pytest.mark.parametrize("n_allowed", [50, 5000, 30_000])
def test_a_filter_lets_through_what_it_allows(index, vectors, queries, n_allowed, no_new_cells):
    allowed = np.sort(np.random.default_rng(1).choice(N_ROWS, n_allowed, replace=False))
    found = index.query(queries, 10, filter=allowed)[1]
    assert np.isin(found, allowed).all()
    true = allowed[exact_neighbors(as_vectors(vectors[allowed], "vectors"), queries, 10, "cosine", 1)]
    assert np.mean([np.isin(a, b).mean() for a, b in zip(true, found, strict=True)]) >= 0.88


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", ["cells/rows", "cells/centroids", "cells/limits"])
def test_damaged_cells_are_refused(fitted, queries, tmp_path, name, mmap):
    path = tmp_path / "saved"
    fitted.save(path)
    whole, file = path.read_bytes(), hashkit.storage.open_tensors(path, "vectors", mmap=False)
    at = whole.index(file.tensors[name].tobytes()) + 8
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(FormatError, match="damaged"):
        VectorIndex.load(path, mmap=mmap).query(queries, 10)
