"""FPSim2's own loop over a set of fingerprints, as its symmetric_distance_matrix runs it with one worker."""

import time

import numpy as np


class FPSim2Join:
    """Fingerprints in the order and form that FPSim2 keeps them in.

    Parameters
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
        Of whole 64-bit words.
    """

    def __init__(self, codes):
        from FPSim2.FPSim2 import METRICS, GenericSearch, get_bounds_range

        self._search, self._metric, self._bounds = GenericSearch, METRICS["tanimoto"], get_bounds_range
        words = codes.view(np.uint64)
        popcounts = np.bitwise_count(words).sum(axis=1, dtype=np.uint64)
        order = np.argsort(popcounts, kind="stable")
        self.rows = order
        self._codes = np.column_stack([np.arange(len(codes), dtype=np.uint64), words[order], popcounts[order]])
        counts, starts = np.unique(popcounts[order], return_index=True)
        ends = [*starts[1:].tolist(), len(codes)]
        self._bins = [(int(c), (int(a), int(b))) for c, a, b in zip(counts, starts, ends, strict=True)]

    def pairs(self, places, similarity, *, behind_only):
        """(row, row) of the pairs of these places, with those behind each or with all others; and seconds taken."""
        found, seconds = [], 0.0
        for place in places:
            query, start = self._codes[place], time.perf_counter()
            first, last = self._bounds(query, similarity, 0, 0, self._bins, "tanimoto")
            first = max(place + 1, first) if behind_only else first
            hits = self._search(query, self._codes, similarity, 0, self._metric, first, last)
            seconds += time.perf_counter() - start
            found += [(int(self.rows[place]), int(self.rows[i])) for i in hits["idx"] if i != place]
        return found, seconds
