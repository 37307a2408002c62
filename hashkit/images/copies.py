"""Finds pictures that are copies of each other, by their pixels alone: the model and codes of an index do not matter.

A copy is the same picture after another compression or size, a crop or a border of about a tenth, mirrored or turned by
right angles. Candidates share a DCT hash but for some bits, that of one picture's look against those of the eight
symmetries of the other's. Each candidate is verified by its pixels: see :mod:`hashkit.images.alignment`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes
from hashkit.images.alignment import align, correlate
from hashkit.images.phash import hash_of_grays
from hashkit.index import Index
from hashkit.progress import Progress, ignore, part_of

# Of planted copies the hashes differ by 6 bits of 64 at most, see benchmarks/bench_images.py; two random ones differ by
# 10 or fewer in one pair of 100 million.
CANDIDATE_RADIUS = 10
N_CANDIDATES = 16  # of each hash
N_VERIFIED = 12  # of each picture: the nearest of its candidates
_ALIKE = 0.995  # correlation above which two pictures need no alignment
_HOPELESS = 0.6  # correlation at 8 x 8 pixels below which an alignment cannot help

Grays = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of rows, `first` < `second`, and the similarity of each pair (at most 1)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def at_least(self, similarity: float) -> Pairs:
        """Return the pairs of at least this similarity."""
        kept = self.similarity >= np.float32(similarity)
        return Pairs(self.first[kept], self.second[kept], self.similarity[kept])


def find_copies(grays: Grays, *, n_threads: int | None = None, progress: Progress = ignore) -> Pairs:
    """Find pairs of pictures that may be copies, and the correlation of their pixels.

    Parameters
    ----------
    grays : uint8 array of shape (n_pictures, 3, 32, 32)
        See :class:`hashkit.images.looks.Look`.
    n_threads : int, optional
        Threads of the search.
    progress : function
        Called with the share of the work that is done.
    """
    first, second = _candidates(grays, n_threads, part_of(progress, 0, 0.4))
    return Pairs(first, second, verify(grays, first, second, part_of(progress, 0.4, 1)))


def symmetries(pictures: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the eight symmetries of each picture, shape (8, ..., side, side)."""
    turned = pictures.swapaxes(-1, -2)
    return np.stack([p for q in (pictures, turned) for p in (q, q[..., ::-1], q[..., ::-1, :], q[..., ::-1, ::-1])])


def _candidates(grays: Grays, n_threads: int | None, progress: Progress) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the pairs with near hashes, each once."""
    rows = np.arange(len(grays))
    inner = np.flatnonzero((grays[:, 0] != grays[:, 1]).any((1, 2)))  # those that have a border
    stored = np.concatenate([hash_of_grays(grays[:, 0]), hash_of_grays(grays[inner, 1])])
    owners = np.concatenate([rows, inner])
    index = Index(stored)
    found = [np.empty((0, 3), np.int64)]
    for kind, asking in ((0, rows), (1, inner), (2, rows)):
        for symmetry in symmetries(grays[asking, kind]):
            found.append(_near(index, owners, hash_of_grays(symmetry), asking, n_threads))
            progress((len(found) - 1) / 24)
    return _nearest_of_each(np.concatenate(found))


def _near(
    index: Index, owners: NDArray[np.int64], hashes: Codes, asking: NDArray[np.int64], n_threads: int | None
) -> NDArray[np.int64]:
    """Return (distance, first, second) of each query row and the owner of each hash near its own."""
    if len(hashes) == 0:
        return np.empty((0, 3), np.int64)
    distances, places = index.query(hashes, min(N_CANDIDATES, len(owners)), n_threads=n_threads)
    others = owners[places]
    own = np.broadcast_to(asking[:, None], others.shape)
    kept = (distances <= CANDIDATE_RADIUS) & (others != own)
    pair = np.stack([own[kept], others[kept]], axis=1)
    return np.column_stack([distances[kept], pair.min(1), pair.max(1)])


def _nearest_of_each(found: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keep, once each, the pairs that are among the nearest of at least one of their two pictures."""
    found = found[np.lexsort((found[:, 0], found[:, 2], found[:, 1]))]
    fresh = np.ones(len(found), np.bool_)
    fresh[1:] = (found[1:, 1:] != found[:-1, 1:]).any(1)
    found = found[fresh]
    kept = np.zeros(len(found), np.bool_)
    for side in (1, 2):
        order = np.lexsort((found[:, 3 - side], found[:, 0], found[:, side]))
        kept[order[_rank_in_run(found[order, side]) < N_VERIFIED]] = True
    return found[kept, 1], found[kept, 2]


def _rank_in_run(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the equal values before each of some sorted values."""
    places = np.arange(len(values))
    starts = np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
    result: NDArray[np.int64] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return result


def verify(
    grays: Grays, first: NDArray[np.int64], second: NDArray[np.int64], progress: Progress = ignore
) -> NDArray[np.float32]:
    """Return the pixel correlation of pairs: the best over symmetries, with and without borders, after alignment."""
    parts = []
    for start in range(0, len(first), 512):
        parts.append(_verify(grays, first[start : start + 512], second[start : start + 512]))
        progress(min(1, (start + 512) / len(first)))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _verify(grays: Grays, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
    best = np.full(len(first), -1, np.float32)
    for kind in (0, 1):
        # If neither picture has a border, both comparisons are the same.
        fresh = kind == 0 or (grays[first, 0] != grays[first, 1]).any((1, 2)) | (
            grays[second, 0] != grays[second, 1]
        ).any((1, 2))
        open_ = np.flatnonzero((best < _ALIKE) & fresh)
        fixed = grays[first[open_], kind].astype(np.float32)
        turned = symmetries(grays[second[open_], kind])
        coarse = correlate(_coarse(fixed), _coarse(turned))
        chosen, places = coarse.argmax(0), np.arange(len(open_))
        moving = turned[chosen, places].astype(np.float32)
        here = correlate(fixed, moving)
        for one, other in ((fixed, moving), (moving, fixed)):
            doubtful = (np.maximum(here, best[open_]) < _ALIKE) & (coarse[chosen, places] >= _HOPELESS)
            here[doubtful] = np.maximum(here[doubtful], align(one[doubtful], other[doubtful]))
        best[open_] = np.maximum(best[open_], here)
    return best


def _coarse(pictures: NDArray[np.generic]) -> NDArray[np.float32]:
    """Scale pictures of 32 x 32 pixels to 8 x 8."""
    side = pictures.shape[-1] // 4
    blocks = pictures.reshape(*pictures.shape[:-2], side, 4, side, 4)
    means: NDArray[np.float32] = blocks.mean((-3, -1), dtype=np.float32)
    return means
