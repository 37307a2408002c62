"""Random arguments for the methods of an index."""

from __future__ import annotations

import numpy as np

from hashkit.storage import open_tensors, write_tensors

LENGTHS = [1, 2, 7, 8, 9, 12, 16, 24, 32, 40, 63, 64, 65, 96, 128, 192, 200, 256, 384, 512, 520, 768, 1024, 1536, 2048]


class Inputs:
    """Draws codes of one length and kind, ids, filters, queries and radii that fit a model.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.n_bits = int(self.rng.choice(LENGTHS) if self.rng.random() < 0.7 else self.rng.integers(1, 2049))
        self.metric = str(self.rng.choice(["hamming", "hamming", "jaccard"]))
        self.kind = str(self.rng.choice(["uniform", "near", "ties", "sparse"]))
        self.pool = self.fresh_codes(8)

    def fresh_codes(self, n):
        bits = self.rng.random((n, self.n_bits)) < {"sparse": 0.05, "ties": 0.01}.get(self.kind, 0.5)
        return np.packbits(bits, axis=1)

    def some_codes(self, n):
        """Codes of this life's kind; half of the lives have many codes near each other."""
        codes = self.fresh_codes(n)
        if self.kind == "near":
            flips = np.packbits(self.rng.random((n, self.n_bits)) < 3 / self.n_bits, axis=1)
            codes = self.pool[self.rng.integers(len(self.pool), size=n)] ^ flips
        return codes

    def some_queries(self, model, single=True):
        n = int(self.rng.choice([1, 1, 2, 8, 9, 33, 70]))
        queries = self.some_codes(n)
        if len(model) and self.rng.random() < 0.5:
            queries[0] = model.codes[self.rng.integers(len(model))]
        return queries[0] if single and n == 1 and self.rng.random() < 0.5 else queries

    def n_new(self):
        if self.rng.random() < 0.03 and self.n_bits <= 128:
            return int(self.rng.integers(30_000, 40_000))
        return int(self.rng.choice([0, 1, 2, 5, 30, 200, 1500]))

    def new_ids(self, model, n):
        """Ids that the model does not have: far or near, ascending or not."""
        low, high = [(0, 3000), (-2000, 2000), (-(2**63), 2**63 - 1), (2**40, 2**40 + 5000)][self.rng.integers(4)]
        ids = np.setdiff1d(self.rng.integers(low, high, n, endpoint=True), model.ids)
        if self.rng.random() < 0.3:
            start = min(model.next_id + int(self.rng.integers(0, 9)), 2**63 - 1 - n)
            ids = np.setdiff1d(start + np.arange(n), model.ids)
        return self.rng.permutation(ids) if self.rng.random() < 0.5 else ids

    def some_ids(self, model, fraction=None):
        fraction = self.rng.choice([0.001, 0.1, 0.3, 1]) if fraction is None else fraction
        n = min(len(model), int(np.ceil(fraction * len(model))))
        return self.rng.permutation(model.ids)[:n]

    def laid_out(self, array):
        """The same values as a list, or in another layout."""
        way = self.rng.integers(5)
        if way == 0:
            return array.tolist()
        if way == 1:
            return np.repeat(array, 2)[::2]
        if way == 2:
            return array[::-1].copy()[::-1]
        return array

    def some_filter(self, model):
        """What is given as filter, and the rows that it lets through."""
        way = self.rng.integers(4)
        if way == 0 or (way == 1 and not model.in_order):
            return None, np.ones(len(model), bool)
        if way == 1:
            mask = self.rng.random(len(model)) < self.rng.choice([0, 0.01, 0.3, 0.97])
            return (self.laid_out(mask) if len(mask) else mask), mask
        ids = self.some_ids(model)
        unknown = self.new_ids(model, 3)
        given = self.rng.permutation(np.concatenate([ids, ids[:2], unknown]))
        if len(given) == len(model) and given.size and given.min() >= 0 and given.max() <= 1:
            return None, np.ones(len(model), bool)  # it would look like a mask
        return self.laid_out(given), np.isin(model.ids, ids)

    def some_radius(self):
        if self.metric == "jaccard":
            return float(self.rng.choice([0, 0.05, 0.3, 0.9, 1, 7]))
        return int(self.rng.choice([0, 1, 2, 3, self.n_bits // 8, self.n_bits // 2, self.n_bits, 5000]))

    def n_threads(self):
        return int(self.rng.integers(1, 9))


def far_codes(n, n_bits, seed, n_topics=200, noise=2.5):
    """Signs of noisy vectors around topics: the nearest codes are at a fifth of the bits, as for real embeddings."""
    shape, draw = np.random.default_rng(0), np.random.default_rng(seed)
    topics = shape.standard_normal((n_topics, 24), dtype=np.float32)
    basis = shape.standard_normal((24, n_bits), dtype=np.float32)
    inner = topics[draw.integers(n_topics, size=n)] + 0.6 * draw.standard_normal((n, 24), dtype=np.float32)
    return np.packbits(inner @ basis + noise * draw.standard_normal((n, n_bits), dtype=np.float32) > 0, axis=1)


def rewrite(path, change, tables="tables"):
    """The file with other arrays and settings, all checksums made anew."""
    file = open_tensors(path, mmap=False)
    tensors, settings = dict(file.tensors), dict(file.settings)
    settings[tables] = dict(settings[tables])
    change(tensors, settings)
    write_tensors(path, "index", tensors, settings, block_sums=True)
