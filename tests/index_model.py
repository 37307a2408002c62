"""What an index holds and answers, in numpy alone: the slow, obvious twin of `Index`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Model:
    """Codes and ids, ascending by id, and what decides about the ids and masks to come."""

    codes: np.ndarray
    ids: np.ndarray
    n_bits: int
    metric: str
    next_id: int
    in_order: bool

    def __len__(self):
        return len(self.ids)

    def rows(self, ids):
        """The row of each id, all of them there."""
        return np.searchsorted(self.ids, ids)

    def only(self, chosen):
        """The same with these rows alone."""
        return replace(self, codes=self.codes[chosen], ids=self.ids[chosen])

    def distances(self, query):
        both = np.bitwise_count(self.codes & query).sum(axis=1, dtype=np.int64)
        either = np.bitwise_count(self.codes | query).sum(axis=1, dtype=np.int64)
        if self.metric == "hamming":
            return (either - both).astype(np.int32)
        return (either - both) / np.maximum(either, 1)

    def nearest(self, query, k):
        distances = self.distances(query)
        order = np.lexsort((self.ids, distances))[:k]
        return distances[order], self.ids[order]

    def within(self, query, radius):
        distances, ids = self.nearest(query, len(self))
        return distances[distances <= radius], ids[distances <= radius]

    def pairs(self, other, radius):
        """(left id, right id, distance) by ids; of the model with itself if `other` is None."""
        right = self if other is None else other
        found = []
        for row, id in enumerate(self.ids):
            distances = right.distances(self.codes[row])
            near = distances <= radius
            if other is None:
                near[: row + 1] = False
            found += [(id, partner, d) for partner, d in zip(right.ids[near], distances[near], strict=True)]
        return np.array(found, np.int64).reshape(-1, 3)

    def groups(self, radius):
        parents = {int(id): int(id) for id in self.ids}

        def root(id):
            while parents[id] != id:
                id = parents[id]
            return id

        for left, right, _ in self.pairs(None, radius):
            low, high = sorted((root(int(left)), root(int(right))))
            parents[high] = low
        return np.array([root(int(id)) for id in self.ids], np.int64)
