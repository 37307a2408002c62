"""Bounds of distances beside the cells of a part, with which a few exact queries need not read all codes.

Shorter codes are copied in the order of the cells, in each by distance from the centroid. Then the triangle inequality
alone says which codes of a cell to read (csrc/far/search.hpp), and nothing else is kept.

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
from hashkit.index.cells import RANDOM_READ_COST, CodeCells, can_have_cells, cells_of
from hashkit.index.snapshot import Part, Selection

SKETCHED_SHARE = 3 / 16
"""Bits in a sketch. With 6 more bytes, bounds take a quarter of the memory of codes of 1,024 bits."""
MOST_WORK = 0.7
"""Bounds are kept if a search by them reads at most this share of the bytes that a scan reads."""
MOST_WORK_OF_COPIES = 0.5
"""The same where copies are read, which costs more than a scan for each byte: ranges of them are short."""
SAMPLE_SIZE, SAMPLE_K, SAMPLE_K_OF_COPIES = 64, 10, 100
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
        None if they did not pay, and where copies are read.
    cells : CodeCells
        The cells that they go with.
    sketch_bits : int
        0 where copies are read.
    work : float
        Bytes that exact queries for the sample read, those at random places counted `RANDOM_READ_COST` times, as a
        share of a scan's.
    """

    native: _native.Bounds | None
    cells: CodeCells
    sketch_bits: int
    work: float

    @property
    def pay(self) -> bool:
        """Whether searches go by them."""
        return self.native is not None or (self.sketch_bits == 0 and self.work <= MOST_WORK_OF_COPIES)

    def describe(self) -> dict[str, Any]:
        """Length of the sketches, memory, and the share of a scan's work that the sample needed."""
        memory = 0 if self.native is None else _native.bounds_memory(self.native)
        return {"sketch_bits": self.sketch_bits, "memory": memory, "work": self.work}


def can_have_bounds(part: Part, n_bits: int, compact: bool) -> bool:
    """Whether to try bounds for a part that will have cells."""
    return not compact and can_have_cells(part, n_bits)


def bounds_of(part: Part, n_bits: int, n_threads: int) -> CodeBounds:
    """Return the bounds of a part, which has or gets cells; the first call makes them."""
    found: CodeBounds | None = part.derived.get("bounds")
    if found is None:
        cells = cells_of(part, n_bits, False, n_threads)
        if cells.has_copies:
            found = CodeBounds(None, cells, 0, _work_of_copies(cells, n_threads))
        else:
            sketch_bytes = 8 * max(1, round(SKETCHED_SHARE * n_bits / 64))
            native = _native.build_bounds(cells.native, part.codes, sketch_bytes, n_threads)
            work = _work(native, cells.native, part.codes, sketch_bytes, n_threads)
            found = CodeBounds(native if work <= MOST_WORK else None, cells, 8 * sketch_bytes, work)
        found = part.derived.setdefault("bounds", found)
    return found


def bounds_for(selection: Selection, n_queries: int, k: int) -> CodeBounds | None:
    """Return the bounds for a nearest-neighbor search; None where a scan is as fast."""
    bounds: CodeBounds | None = selection.part.derived.get("bounds")
    if bounds is None or not bounds.pay or n_queries > MOST_QUERIES:
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
    read = np.empty((len(queries), 3 if bounds.native is None else 4), np.int64) if counting else None
    searched = selection.part.codes, queries, k, n_threads
    options = selection.bitmap, limits, selection.mask, read
    cells = bounds.cells
    if bounds.native is None:
        found = _native.cells_k_nearest(cells.native, *searched, *_endless(cells.n_bits), *options)
    else:
        found = _native.bounded_k_nearest(bounds.native, cells.native, *searched, *options)
    if read is None:
        return *found, None
    counts = np.ones((len(queries), 5), np.int64)
    counts[:, 0], counts[:, 1], counts[:, 2] = read[:, 0], read[:, 2], -1
    counts[:, 3] = 0 if bounds.native is None else read[:, 3]
    return *found, counts


def _work_of_copies(cells: CodeCells, n_threads: int) -> float:
    queries = _sample(cells.codes)
    counts, k = np.empty((len(queries), 3), np.int64), min(SAMPLE_K_OF_COPIES + 1, len(cells.codes))
    _native.cells_k_nearest(cells.native, cells.codes, queries, k, n_threads, *_endless(cells.n_bits), counts=counts)
    return float((_native.describe_cells(cells.native)["n_cells"] + counts[:, 2].mean()) / len(cells.codes))


def _endless(n_bits: int) -> tuple[int, None, int, bool]:
    """Return the values of a rule with which a search of cells is exact."""
    return 2 * n_bits, None, n_bits, False


def _sample(codes: Codes) -> Codes:
    rows = np.linspace(0, len(codes) - 1, min(SAMPLE_SIZE, len(codes))).astype(np.int64)
    return codes.take(rows, axis=0)


def _work(native: _native.Bounds, cells: _native.Cells, codes: Codes, sketch_bytes: int, n_threads: int) -> float:
    """Measure the work for a sample of the codes, each the nearest neighbor of itself."""
    queries = _sample(codes)
    counts = np.empty((len(queries), 4), np.int64)
    _native.bounded_k_nearest(native, cells, codes, queries, SAMPLE_K + 1, n_threads, counts=counts)
    n_cells, sketches, compared, scanned = counts.mean(axis=0)
    n_centroids, n_bytes = _native.describe_cells(cells)["n_cells"], codes.shape[1]
    places = n_cells * 8 * sketch_bytes * 2  # each a uint16
    read = n_centroids * n_bytes + places + sketches * (sketch_bytes + 2) + RANDOM_READ_COST * compared * n_bytes
    return float(read / codes.nbytes + scanned)
