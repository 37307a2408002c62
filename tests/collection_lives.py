"""Lives of a collection, as those of an index in `lives.py`: also closed and opened, and interrupted in that.

Run as a program, ``python tests/collection_lives.py SECONDS SEED``.
"""

from __future__ import annotations

import os
import sys

import numpy as np
from index_model import Model
from lives import Life, equal, main

import hashkit


class Handle:
    """A collection that is closed and opened again behind the same name."""

    def __init__(self, path, n_bits, sync, method):
        self.path, self.options = path, {"sync": sync, "method": method}
        self.collection = hashkit.Collection(path, n_bits, **self.options)

    def reopen(self):
        self.collection.close()
        self.collection = hashkit.Collection(self.path, **self.options)

    def __getattr__(self, name):
        return getattr(self.collection, name)

    def __len__(self):
        return len(self.collection)

    def __iter__(self):
        return iter(self.collection)

    def __contains__(self, id):
        return id in self.collection


class CollectionLife(Life):
    """Some collections, each beside its model, changed, searched and reopened at random."""

    def __init__(self, seed, folder, counts):
        super().__init__(seed, folder, counts)
        self.metric = "hamming"
        self.operations = {
            self.add: 5, self.remove: 4, self.replace: 3, self.refused: 0.5, self.compact: 1.5, self.query: 4,
            self.radius: 2, self.save: 0.5, self.look: 1, self.reopen: 3,
        }  # fmt: skip

    def build(self):
        path = os.path.join(self.folder, f"collection-{self.counts['build']}")
        sync, method = str(self.rng.choice(["always", "batch"])), str(self.rng.choice(["auto", "scan", "mih"]))
        handle, _ = self.call("build", lambda: Handle(path, self.n_bits, sync, method))
        if handle is None:  # as whoever interrupted it would, once more
            handle = Handle(path, self.n_bits, sync, method)
        self.done[-1] += f" {self.n_bits} bits, {sync}, {method}"
        empty = np.empty((0, (self.n_bits + 7) // 8), np.uint8)
        self.all.append((handle, Model(empty, np.empty(0, np.int64), self.n_bits, "hamming", 0, True)))

    def reopen(self, index, model):
        self.call("reopen", index.reopen)
        if self.done[-1] == "interrupted":
            index.reopen()
        self.check(index, model)
        return model

    def check(self, index, model):
        assert len(index) == len(model)
        assert index.n_bits == model.n_bits
        equal(index.ids, model.ids)
        equal(index.get(model.ids), model.codes)
        query, k = self.some_codes(1)[0], int(self.rng.integers(1, 12))
        for found, expected in zip(index.query(query, k), model.nearest(query, k), strict=True):
            equal(found, expected)

    def save(self, index, model):
        path = os.path.join(self.folder, "index.hashkit")
        self.call("save", lambda: index.save(path), model, model, index)
        if self.done[-1] != "interrupted":
            self.check(hashkit.Index.load(path), model)
        return model

    def look(self, index, model):
        self.counts["look"] += 1
        parts = index.describe()["parts"]
        assert sum(part["n_codes"] - part["n_removed"] for part in parts) == len(model)
        self.check(index, model)
        return model

    def drop(self, place):
        """What is not looked at any more can be opened by others."""
        handle, model = self.all.pop(place)
        handle.reopen()
        self.check(handle, model)
        handle.close()


if __name__ == "__main__":
    main(CollectionLife, float(sys.argv[1]), int(sys.argv[2]))
