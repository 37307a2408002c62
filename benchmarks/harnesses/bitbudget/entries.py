"""hashkit's rows in BitBudget: two methods (quality for each byte) and two indexes (recall, speed and bytes).

import entries  # registers them, beside BitBudget's own
"""

# mypy: disallow-untyped-decorators=False
import time
from typing import Literal

import numpy as np
from bitbudget import index, method
from numpy.typing import NDArray

import hashkit

Vectors = NDArray[np.float32]
Keep = Literal["none", "as_came"]
N_SCORED = 100
REPEATS = 3


def _score(demb: Vectors, qemb: Vectors, keep: Keep, n_read: int) -> tuple[Vectors, float]:
    """A score of each document for each query, shape (n_queries, n_documents), and bytes of a document."""
    n_dims = demb.shape[1]
    built = hashkit.VectorIndex.fit(
        demb, recall=None, metric="ip", n_bits=n_dims, keep=keep, max_rescored=n_read, n_threads=1
    )
    scores, ids = built.query(qemb, min(N_SCORED, len(demb)), n_threads=1)
    everything = np.full((len(qemb), len(demb)), -1e9, np.float32)  # as BitBudget's own re-ranking does
    np.put_along_axis(everything, ids, scores, axis=1)
    kept = built.describe()["bytes_per_vector"]
    return everything, kept["codes"] + kept["factors"]


@method("hashkit", bits=1)
def from_bits(demb: Vectors, qemb: Vectors) -> tuple[Vectors, float]:
    """Estimates from the bits and the query's own values; no vector is kept."""
    return _score(demb, qemb, "none", 1)


@method("hashkit+rerank", bits=1)
def reranked(demb: Vectors, qemb: Vectors) -> tuple[Vectors, float]:
    """The first 100 by estimates, ordered by their vectors: like binary+rerank, these are not counted."""
    return _score(demb, qemb, "as_came", N_SCORED)


def _search(xb: Vectors, xq: Vectors, k: int, keep: Keep) -> tuple[NDArray[np.int64], float, float]:
    recall = None if keep == "none" else 0.95
    n_bits = xb.shape[1] if keep == "none" else None
    built = hashkit.VectorIndex.fit(xb, recall=recall, k=k, metric="ip", n_bits=n_bits, keep=keep, n_threads=1)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        _, ids = built.query(xq, k, n_threads=1)
        seconds.append(time.perf_counter() - start)
    return ids, sum(built.describe()["bytes_per_vector"].values()), len(xq) / min(seconds)


@index("hashkit-bits", axis="quantisation")
def index_of_bits(xb: Vectors, xq: Vectors, k: int) -> tuple[NDArray[np.int64], float, float]:
    """One bit a dimension; no vector is kept."""
    return _search(xb, xq, k, "none")


@index("hashkit")
def index_of_vectors(xb: Vectors, xq: Vectors, k: int) -> tuple[NDArray[np.int64], float, float]:
    """The funnel that is chosen for a recall of .95; the float vectors are counted."""
    return _search(xb, xq, k, "as_came")
