"""Codes for tests of search and joins by Jaccard distance: sparse, dense, equal, empty, and full of ties."""

import numpy as np


def fingerprints(n, seed=0, n_bytes=16, share=0.1):
    """Sparse bits, with popcounts that differ, some codes empty and some twice."""
    rng = np.random.default_rng(seed)
    shares = share * rng.uniform(0, 2, (n, 1))
    codes = np.packbits(rng.random((n, 8 * n_bytes)) < shares, axis=1)
    codes[n // 2 : n // 2 + n // 10] = codes[: n // 10]
    codes[::17] = 0
    return codes


def few_bits(n, seed=0, n_bytes=2, share=0.1):
    """At most three bits: ties everywhere, between fractions that are equal and not reduced alike."""
    rng = np.random.default_rng(seed)
    bits = np.zeros((n, 8 * n_bytes), np.uint8)
    for _ in range(3):
        bits[np.arange(n), rng.integers(0, 8 * n_bytes, n)] = rng.integers(0, 2, n)
    return np.packbits(bits, axis=1)


def dense_bits(n, seed=0, n_bytes=16, share=0.1):
    return np.random.default_rng(seed).integers(0, 256, (n, n_bytes), np.uint8)


def equal_codes(n, seed=0, n_bytes=16, share=0.1):
    return np.full((n, n_bytes), 0b1010_0000, np.uint8)


def empty_codes(n, seed=0, n_bytes=16, share=0.1):
    return np.zeros((n, n_bytes), np.uint8)


MAKERS = [fingerprints, few_bits, dense_bits, equal_codes, empty_codes]
