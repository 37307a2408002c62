"""BitBudget's entries, against a stand-in of its registration and of what it computes from them."""

import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest
from harness_stand_ins import HARNESSES

N_DOCUMENTS, N_DIMS, K = 600, 32, 10


@pytest.fixture(scope="module")
def registered():
    """The decorated functions of each registry, by name."""
    found = {"method": {}, "index": {}}

    def registry(which):
        def register(name, **facts):
            return lambda function: found[which].setdefault(name, function)

        return register

    stand_in = ModuleType("bitbudget")
    stand_in.method, stand_in.index = registry("method"), registry("index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "bitbudget", stand_in)
        spec = importlib.util.spec_from_file_location("entries", HARNESSES / "bitbudget" / "entries.py")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return found


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((N_DOCUMENTS + 20, 8)) @ rng.standard_normal((8, N_DIMS))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return rows[20:], rows[:20]


def recall(found, documents, queries):
    nearest = np.argsort(-(queries @ documents.T), axis=1)[:, :K]
    return np.mean([len(set(f) & set(n)) / K for f, n in zip(found[:, :K], nearest, strict=True)])


def signs_recall(documents, queries):
    return recall(np.argsort(-(np.sign(queries) @ np.sign(documents).T), axis=1), documents, queries)


@pytest.mark.parametrize(("name", "least"), [("hashkit", 0.5), ("hashkit+rerank", 0.97)])
def test_methods_score_every_document(registered, vectors, name, least):
    documents, queries = vectors
    scores, n_bytes = registered["method"][name](documents, queries)
    assert scores.shape == (len(queries), N_DOCUMENTS)
    assert n_bytes == N_DIMS / 8 + 8
    found = recall(np.argsort(-scores, axis=1), documents, queries)
    assert found >= max(least, signs_recall(documents, queries))


def test_indexes_give_ids_bytes_and_speed(registered, vectors):
    documents, queries = vectors
    results = {name: function(documents, queries, K) for name, function in registered["index"].items()}
    assert set(results) == {"hashkit", "hashkit-bits"}
    for ids, n_bytes, queries_per_second in results.values():
        assert ids.shape == (len(queries), K)
        assert queries_per_second > 0
        assert n_bytes >= N_DIMS / 8 + 8
    assert results["hashkit-bits"][1] == N_DIMS / 8 + 8
    assert results["hashkit"][1] >= 4 * N_DIMS
    assert recall(results["hashkit"][0], documents, queries) >= 0.88  # .95 in the mean; here are 20 queries
