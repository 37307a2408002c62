"""hashkit in VIBE's binary track: exact search, and search at a recall below 1."""

import time

import hashkit

from ..base.module import BaseANN


class Hashkit(BaseANN):
    """`method` is hashkit's: "auto", "scan", "mih", or "cells" for a recall below 1 and for bounds of exact search."""

    def __init__(self, metric, count, method):
        if metric != "hamming":
            raise NotImplementedError(f"hashkit's binary entry searches by Hamming distance, not by {metric}")
        self.count, self.method = count, method

    def fit(self, X):
        self.index = hashkit.Index(X, method=self.method)
        self.first = X[0].copy()

    def set_query_arguments(self, recall):
        self.recall = recall
        start = time.perf_counter()
        self.query(self.first, self.count)  # the first query at a recall below 1 calibrates for it
        self.seconds_of_first_query = time.perf_counter() - start

    def query(self, v, n):
        _, ids = self.index.query(v, n, recall=self.recall, n_threads=1)
        return ids

    def get_additional(self):
        return {"seconds_of_first_query": self.seconds_of_first_query}

    def __str__(self):
        return f"hashkit(method={self.method}, recall={self.recall})"
