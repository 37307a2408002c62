"""hashkit in ann-benchmarks: search by Hamming distance over bits, and by Jaccard distance over sets."""

import numpy as np

import hashkit

from ..base.module import BaseANN


class Hashkit(BaseANN):
    """`method` is hashkit's: "auto", "scan", "mih", or "cells" for a recall below 1."""

    def __init__(self, metric, dimension, count, method):
        if metric not in ("hamming", "jaccard"):
            raise NotImplementedError(f"hashkit searches by Hamming or Jaccard distance, not by {metric}")
        self.metric, self.dimension, self.count, self.method = metric, dimension, count, method

    def fit(self, X):
        codes = np.stack([self.pack(v) for v in X]) if self.metric == "jaccard" else np.packbits(X, axis=1)
        self.index = hashkit.Index(codes, metric=self.metric, method=self.method)
        self.first = X[0]

    def pack(self, v):
        """A code of a vector of bool, or of a set as the numbers of its members: a bit for each of the universe."""
        if self.metric == "jaccard":
            members, v = v, np.zeros(self.dimension, np.bool_)
            v[members] = True
        return np.packbits(v)

    def set_query_arguments(self, recall):
        self.recall = recall
        self.query(self.first, self.count)  # the first query at a recall below 1 calibrates for it

    def query(self, v, n):
        _, ids = self.index.query(self.pack(v), n, recall=self.recall, n_threads=1)
        return ids

    def __str__(self):
        return f"hashkit(method={self.method}, recall={self.recall})"
