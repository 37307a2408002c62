"""Bounds of distances beside the cells of a part, with which a few exact queries need not read all codes.

The triangle inequality with the centroid of a cell, and a sketch of the bits in which the codes of the cell differ
most, rule out most codes before they are read (csrc/far/bounds.hpp has the inequality). Where the nearest codes are
hardly nearer than others, little is ruled out: a sample of the part's own codes says once whether bounds pay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import Codes
from hashkit.index.cells import RANDOM_READ_COST, can_have_cells, cells_of
from hashkit.index.snapshot import Part, Selection

LEAST_BITS = 512
"""For shorter codes a sketch and its bounds take half as much memory as the code. On 59,000 codes of sentence
embeddings, of 384 bits, sketches of 96 and 128 bits left 72 and 52 % to be read."""
SKETCHED_SHARE = 3 / 16
"""Bits in a sketch. With 6 more bytes, bounds take a quarter of the memory of codes of 1,024 bits."""
MOST_WORK = 0.7
"""Bounds are kept if a search by them reads at most this share of the bytes that a scan reads."""
SAMPLE_SIZE, SAMPLE_K = 64, 10
MOST_QUERIES = 32
"""More queries are scanned together: over 1,000,000 x 1,024 bits, 32 took 1.7 times as long so, and 60 as long as by
bounds."""
LEAST_CODES_PER_NEIGHBOR = 300
"""With more neighbors, the distance of the last one rules out too few codes."""


@dataclass(frozen=True, eq=False)
class CodeBounds:
    """The bounds of a part.

    Attributes
    ----------
    native : _native.Bounds, or None
        None if they did not pay.
    cells : _native.Cells
        The cells that they go with.
    sketch_bits : int
    work : float
        Bytes that exact queries for the sample read, those at random places counted `RANDOM_READ_COST` times, as a
        share of a scan's.
    """

    native: _native.Bounds | None
    cells: _native.Cells
    sketch_bits: int
    work: float

    def describe(self) -> dict[str, Any]:
        """Length of the sketches, memory, and the share of a scan's work that the sample needed."""
        memory = 0 if self.native is None else _native.bounds_memory(self.native)
        return {"sketch_bits": self.sketch_bits, "memory": memory, "work": self.work}


def can_have_bounds(part: Part, n_bits: int, compact: bool) -> bool:
    """Whether to try bounds for a part that will have cells."""
    return not compact and n_bits >= LEAST_BITS and can_have_cells(part, n_bits)


def bounds_of(part: Part, n_bits: int, n_threads: int) -> CodeBounds:
    """Return the bounds of a part, which has or gets cells; the first call makes them."""
    found: CodeBounds | None = part.derived.get("bounds")
    if found is None:
        cells = cells_of(part, n_bits, False, n_threads).native
        sketch_bytes = 8 * max(1, round(SKETCHED_SHARE * n_bits / 64))
        native = _native.build_bounds(cells, part.codes, sketch_bytes, n_threads)
        work = _work(native, cells, part.codes, sketch_bytes, n_threads)
        kept = native if work <= MOST_WORK else None
        found = part.derived.setdefault("bounds", CodeBounds(kept, cells, 8 * sketch_bytes, work))
    return found


def bounds_for(selection: Selection, n_queries: int, k: int) -> CodeBounds | None:
    """Return the bounds for a nearest-neighbor search; None where a scan is as fast."""
    bounds: CodeBounds | None = selection.part.derived.get("bounds")
    if bounds is None or bounds.native is None or n_queries > MOST_QUERIES:
        return None
    return bounds if LEAST_CODES_PER_NEIGHBOR * k <= selection.n_rows else None


def k_nearest(
    bounds: CodeBounds,
    selection: Selection,
    queries: Codes,
    k: int,
    n_threads: int,
    limits: NDArray[np.int32] | None,
    counting: bool,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64] | None]:
    """Find the `k` nearest selected codes: distances and rows, and with `counting` the attributes of QueryStats."""
    if bounds.native is None:
        raise ValueError("bounds must be those that are kept")
    read = np.empty((len(queries), 4), np.int64) if counting else None
    distances, rows = _native.bounded_k_nearest(
        bounds.native,
        bounds.cells,
        selection.part.codes,
        queries,
        k,
        n_threads,
        selection.bitmap,
        limits,
        selection.mask,
        read,
    )
    if read is None:
        return distances, rows, None
    counts = np.ones((len(queries), 5), np.int64)
    counts[:, 0], counts[:, 1], counts[:, 2], counts[:, 3] = read[:, 0], read[:, 2], -1, read[:, 3]
    return distances, rows, counts


def _work(native: _native.Bounds, cells: _native.Cells, codes: Codes, sketch_bytes: int, n_threads: int) -> float:
    """Measure the work for a sample of the codes, each the nearest neighbor of itself."""
    queries = codes.take(np.linspace(0, len(codes) - 1, min(SAMPLE_SIZE, len(codes))).astype(np.int64), axis=0)
    counts = np.empty((len(queries), 4), np.int64)
    _native.bounded_k_nearest(native, cells, codes, queries, SAMPLE_K + 1, n_threads, counts=counts)
    n_cells, sketches, compared, scanned = counts.mean(axis=0)
    n_centroids, n_bytes = _native.describe_cells(cells)["n_cells"], codes.shape[1]
    places = n_cells * 8 * sketch_bytes * 2  # each a uint16
    read = n_centroids * n_bytes + places + sketches * (sketch_bytes + 2) + RANDOM_READ_COST * compared * n_bytes
    return float(read / codes.nbytes + scanned)
