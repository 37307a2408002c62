"""A data set of VIBE's binary track from codes of one's own.

    python data.py CODES.npz OUT.hdf5

CODES.npz holds `codes` and either `queries` or `query_codes`: packed bits, uint8. OUT.hdf5 gets what VIBE reads: train,
test, the 100 nearest of each query and their distances, and the mean distance of each query from all codes.
"""

import argparse
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

import hashkit

N_NEIGHBORS = 100


def read_codes(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Codes and queries, uint8 arrays of shapes (n_codes, n_bytes) and (n_queries, n_bytes)."""
    with np.load(path) as arrays:
        queries = arrays["query_codes"] if "query_codes" in arrays else arrays["queries"]
        return arrays["codes"], queries


def mean_distances(codes: NDArray[np.uint8], queries: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean Hamming distance of each query from all codes, shape (n_queries,)."""
    ones = np.unpackbits(codes, axis=1).mean(axis=0)
    bits = np.unpackbits(queries, axis=1)
    means: NDArray[np.float64] = np.where(bits == 1, 1 - ones, ones).sum(axis=1)
    return means


def write_dataset(out: Path, codes: NDArray[np.uint8], queries: NDArray[np.uint8]) -> None:
    """Write one HDF5 file, with the true neighbors by an exact scan."""
    distances, ids = hashkit.Index(codes, method="scan").query(queries, N_NEIGHBORS)
    with h5py.File(out, "w") as file:
        file.attrs.update({"distance": "hamming", "dimension": 8 * codes.shape[1], "point_type": "binary"})
        file["train"], file["test"] = codes, queries
        file["neighbors"], file["distances"] = ids, distances.astype(np.float64)
        file["avg_distances"] = mean_distances(codes, queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codes", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    write_dataset(args.out, *read_codes(args.codes))


if __name__ == "__main__":
    main()
