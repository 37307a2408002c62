"""What learning and encoding cost: encoding against the bare matrix product, fitting against the clock and memory.

`--full` fits 50,000 and 1,000,000 rows, the latter from a memory map.
"""

import resource
import subprocess
import sys
import time

import numpy as np
import pytest

import hashkit

N_BITS = 64


def kinds(n_rows, n_features, path=None):
    """Noisy rows of 50 kinds, written a block at a time if there is a path."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(50, n_features)).astype(np.float32)
    shape = (n_rows, n_features)
    rows = np.empty(shape, np.float32) if path is None else np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for start in range(0, n_rows, 10_000):
        block = rows[start : start + 10_000]
        block[:] = centers[rng.integers(50, size=len(block))] + 2 * rng.normal(size=block.shape)
    return rows


def best_times(first, second, n_rounds=9):
    """Shortest times of two pieces of work that take turns, so that both meet the same machine."""
    times = np.empty((n_rounds, 2))
    for i in range(n_rounds):
        for j, work in enumerate((first, second)):
            start = time.perf_counter()
            work()
            times[i, j] = time.perf_counter() - start
    return times.min(axis=0)


def test_encoding_against_the_bare_product(full, hold):
    X = kinds(50_000 if full else 5_000, 512)
    hasher = hashkit.ITQ(N_BITS, random_state=0).fit(X[:5_000])
    centered = X - X.mean(axis=0)

    def bare():
        return np.packbits(centered @ hasher.weights_ > 0, axis=1)

    expected = np.packbits(hasher.project(X) > 0, axis=1)
    assert np.array_equal(hasher.encode(X), expected)
    seconds, bare_seconds = best_times(lambda: hasher.encode(X), bare)
    what = f"encode {len(X):,} x 512 to {N_BITS} bits, {seconds * 1e3:.1f} ms"
    hold(what, seconds / bare_seconds, 1.3, "x the product and packbits")


def test_encoding_by_a_network_against_its_bare_products(full, hold):
    X = kinds(50_000 if full else 5_000, 512)
    hasher = hashkit.UDHPL(N_BITS, network="always", n_epochs=1, random_state=0).fit(X[:5_000])
    centered = X - X.mean(axis=0)

    def bare():
        hidden = np.maximum(centered @ hasher.weights_ @ hasher.hidden_weights_, 0)
        return np.packbits(hidden @ hasher.output_weights_ > 0, axis=1)

    assert np.array_equal(hasher.encode(X), np.packbits(hasher.project(X) > 0, axis=1))
    seconds, bare_seconds = best_times(lambda: hasher.encode(X), bare)
    what = f"encode {len(X):,} x 512 to {N_BITS} bits by a network, {seconds * 1e3:.1f} ms"
    hold(what, seconds / bare_seconds, 1.3, "x the products and packbits")


# Rows, and the most seconds and gigabytes that a fit may take.
SIZES = [(2_000, "small", None, None), (50_000, "full", 60, 2), (1_000_000, "full", 600, None)]


@pytest.mark.parametrize(("n_rows", "size", "most_seconds", "most_gigabytes"), SIZES)
def test_fitting(n_rows, size, most_seconds, most_gigabytes, full, hold, tmp_path):
    if (size == "full") != full:
        pytest.skip("the other sizes are measured")
    kinds(n_rows, 512, tmp_path / "X.npy").flush()
    # In a process of its own, whose peak memory is that of the fit.
    command = [sys.executable, __file__, str(tmp_path / "X.npy")]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    seconds, gigabytes, n_distinct = map(float, answer)
    assert n_distinct > 1
    what = f"fit {n_rows:,} x 512 at {N_BITS} bits from a map"
    hold(what, seconds, most_seconds, "s")
    hold(f"{what}, peak memory", gigabytes, most_gigabytes, "GB")


def main(path):
    X = np.load(path, mmap_mode="r")
    start = time.perf_counter()
    hasher = hashkit.fit(X, n_bits=N_BITS)
    seconds = time.perf_counter() - start
    # The peak holds the pages of the map that were read, which the system may drop.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n_distinct = len(np.unique(hasher.encode(X[:1000]), axis=0))
    sys.stdout.write(f"{seconds} {peak / 2**20} {n_distinct}\n")


if __name__ == "__main__":
    main(sys.argv[1])
