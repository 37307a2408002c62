"""The slow, obvious twins of what hashkit does fast."""

from __future__ import annotations

import numpy as np


def hamming_distances(a, b):
    """(n_a, n_b) by unpacking every bit."""
    left, right = np.unpackbits(a, axis=1), np.unpackbits(b, axis=1)
    return np.array([(row != right).sum(axis=1) for row in left], dtype=np.uint16).reshape(len(a), len(b))


def k_nearest(codes, queries, k, ids=None):
    """Distances and ids of the k nearest by (distance, id), by sorting everything."""
    ids = np.arange(len(codes)) if ids is None else ids
    k = min(k, len(codes))
    distances = hamming_distances(queries, codes).astype(np.int32)
    orders = [np.lexsort((ids, row))[:k] for row in distances]
    found = np.array([row[order] for row, order in zip(distances, orders, strict=True)], np.int32)
    return found.reshape(-1, k), np.array([ids[order] for order in orders], np.int64).reshape(-1, k)


def within_radius(codes, queries, radius, ids=None):
    """A list of (distances, ids), one for each query, by (distance, id)."""
    ids = np.arange(len(codes)) if ids is None else ids
    found = []
    for row in hamming_distances(queries, codes).astype(np.int32):
        order = np.lexsort((ids, row))
        order = order[row[order] <= radius]
        found.append((row[order], ids[order]))
    return found
