"""MTEB's backend, against a stand-in of how its wrapper of encoders uses one."""

import importlib.util

import numpy as np
import pytest
from harness_stand_ins import HARNESSES

N_DOCUMENTS, N_DIMS = 700, 32


@pytest.fixture(scope="module")
def backend():
    spec = importlib.util.spec_from_file_location("mteb_backend", HARNESSES / "mteb" / "backend.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def corpus():
    """Documents, their names, and a query near each of the first ten."""
    rng = np.random.default_rng(0)
    documents = rng.standard_normal((N_DOCUMENTS, N_DIMS)).astype(np.float32)
    queries = documents[:10] + 0.2 * rng.standard_normal((10, N_DIMS)).astype(np.float32)
    return documents, [f"d{i}" for i in range(N_DOCUMENTS)], queries


def search_corpus(index, documents, names, queries, top_k):
    """{query: {name: score}}: index the corpus, search all of it, forget it."""
    index.add_documents(documents, names)
    scores, rows = index.search(queries, top_k, similarity_fn=None, top_ranked=None, query_idx_to_id=None)
    index.clear()
    return [dict(zip((names[row] for row in r), s, strict=True)) for s, r in zip(scores, rows, strict=True)]


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("options", [{}, {"recall": 0.9, "keep": "float16"}], ids=["bits", "vectors"])
def test_the_best_document_is_found(backend, corpus, metric, options):
    documents, names, queries = corpus
    found = search_corpus(backend.HashkitSearchIndex(metric, **options), documents, names, queries, 50)
    for number, answer in enumerate(found):
        assert len(answer) == 50
        assert list(answer.values()) == sorted(answer.values(), reverse=True)
        assert max(answer, key=answer.get) == f"d{number}"


def test_documents_come_in_parts_and_as_tensors(backend, corpus):
    torch = pytest.importorskip("torch")
    documents, names, queries = corpus
    whole, parts = backend.HashkitSearchIndex(), backend.HashkitSearchIndex()
    whole.add_documents(documents, names)
    parts.add_documents(torch.from_numpy(documents[:300]), names[:300])
    parts.add_documents(torch.from_numpy(documents[300:]), names[300:])
    assert whole.search(queries, 5) == parts.search(torch.from_numpy(queries), 5)


def test_reranking_ranks_only_what_is_named(backend, corpus):
    """Numbers are places in the list of each query."""
    documents, names, queries = corpus
    index = backend.HashkitSearchIndex()
    index.add_documents(documents, names)
    lists = {"q0": ["d5", "d0", "d600"], "q1": [], "q2": ["d2"]}
    scores, places = index.search(queries[:3], 10, None, top_ranked=lists, query_idx_to_id={0: "q0", 1: "q1", 2: "q2"})
    assert places[0][0] == 1
    assert sorted(places[0]) == [0, 1, 2]
    assert (places[1], places[2]) == ([], [0])
    assert [len(s) for s in scores] == [3, 0, 1]


def test_more_than_there_are_and_nothing(backend, corpus):
    documents, names, queries = corpus
    index = backend.HashkitSearchIndex()
    index.add_documents(documents[:40], names[:40])
    assert [len(rows) for rows in index.search(queries, 1000)[1]] == [40] * 10
    with pytest.raises(ValueError, match="query_idx_to_id must be given"):
        index.search(queries, 5, top_ranked={"q0": ["d1"]})
    index.clear()
    with pytest.raises(ValueError, match="add_documents comes before search"):
        index.search(queries, 5)
