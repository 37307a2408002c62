"""Indexes of binary codes that VIBE's own binary track lacks. Not to be handed in: they run beside hashkit's entry."""

import faiss
import numpy as np
import pynear
from usearch.index import Index, MetricKind, ScalarKind

from ..base.module import BaseANN


class FaissExhaustive(BaseANN):
    name = "IndexBinaryFlat"

    def __init__(self, metric):
        pass

    def set_query_arguments(self, n_threads):
        faiss.omp_set_num_threads(n_threads)

    def fit(self, X):
        self.index = faiss.IndexBinaryFlat(8 * X.shape[1])
        self.index.add(X)

    def query(self, v, n):
        return self.index.search(v[np.newaxis], n)[1][0]


class FaissMultiHash(BaseANN):
    """Keys of consecutive bits; `n_flips` of them are flipped at a query."""

    def __init__(self, metric, n_hashes, key_bits):
        self.n_hashes, self.key_bits = n_hashes, key_bits

    def fit(self, X):
        faiss.omp_set_num_threads(1)
        self.index = faiss.IndexBinaryMultiHash(8 * X.shape[1], self.n_hashes, self.key_bits)
        self.index.add(X)

    def set_query_arguments(self, n_flips):
        self.index.nflip = self.n_flips = n_flips

    def query(self, v, n):
        ids = self.index.search(v[np.newaxis], n)[1][0]
        return ids[ids >= 0]

    def __str__(self):
        return f"IndexBinaryMultiHash(n_hashes={self.n_hashes}, key_bits={self.key_bits}, n_flips={self.n_flips})"


class Pynear(BaseANN):
    """Exact search in a vantage-point tree."""

    name = "VPTreeBinaryIndex"

    def __init__(self, metric):
        pass

    def fit(self, X):
        self.index = pynear.VPTreeBinaryIndex()
        self.index.set(X)

    def set_query_arguments(self, n_threads):
        pass  # VIBE names results by these arguments: there must be one

    def query(self, v, n):
        return np.asarray(self.index.searchKNN(v[np.newaxis], n)[0][0])


class Usearch(BaseANN):
    """A graph (HNSW)."""

    def __init__(self, metric, connectivity, expansion_add):
        self.connectivity, self.expansion_add = connectivity, expansion_add

    def fit(self, X):
        self.index = Index(
            ndim=8 * X.shape[1],
            metric=MetricKind.Hamming,
            dtype=ScalarKind.B1,
            connectivity=self.connectivity,
            expansion_add=self.expansion_add,
        )
        self.index.add(np.arange(len(X)), X, threads=1)

    def set_query_arguments(self, expansion):
        self.index.expansion_search = self.expansion = expansion

    def query(self, v, n):
        return self.index.search(v, n, threads=1).keys

    def __str__(self):
        return f"usearch(connectivity={self.connectivity}, expansion={self.expansion})"
