"""The pairs of a gallery: copies, by pixels, and similar pictures, by features; computed once and stored."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes
from hashkit.images.cache import Arrays, kept_arrays
from hashkit.images.copies import Pairs, find_copies
from hashkit.images.extraction import extract_batches
from hashkit.images.models import LEAST_SIDE, Model
from hashkit.images.photos import Photo
from hashkit.images.row_store import RowStore
from hashkit.index import Index
from hashkit.progress import Progress, ignore, part_of

Way = Literal["copies", "similar"]

# Default and least similarity. Of copies: correlation of pixels; all 200 planted ones among 1,200 pictures have .98 or
# more, 9 other pairs .95 or more, 4 of them the same picture under two names (benchmarks/bench_images.py). Of similar
# pictures: cosine of features; .85 leaves 30 other pairs of these.
THRESHOLDS: dict[Way, tuple[float, float]] = {"copies": (0.97, 0.80), "similar": (0.85, 0.60)}
N_SIMILAR = 24  # nearest codes of each picture whose features are compared
_BLOCK = 1 << 13
VERSION = 1


@dataclass(frozen=True, eq=False)
class Measures:
    """What is known of a gallery's pictures, in its order.

    Attributes
    ----------
    width, height : int64 arrays
    sharpness : float64 array
        Zero, as width and height are, where a file could not be read again.
    n_bytes, mtime_ns : int64 arrays
        Of the files.
    """

    width: NDArray[np.int64]
    height: NDArray[np.int64]
    sharpness: NDArray[np.float64]
    n_bytes: NDArray[np.int64]
    mtime_ns: NDArray[np.int64]

    def of(self, rows: NDArray[np.int64]) -> Measures:
        """Those of some pictures."""
        return Measures(*(getattr(self, name)[rows] for name in Measures.__annotations__))


def read_measures(store: RowStore, folder: str, photos: Sequence[Photo], progress: Progress = ignore) -> Measures:
    """What is known of pictures; for those of which an older index kept no look, one is made now."""
    kept = store.measures()
    missing = [photo.path for photo in photos if photo.path not in kept or kept[photo.path][0] != photo.stamp]
    if missing:
        n_done = 0
        for batch in extract_batches(missing, _LOOK_ONLY, folder=folder, with_looks=True):
            store.put_looks(batch)
            n_done += len(batch.paths) + len(batch.skipped)
            progress(n_done / len(missing))
        kept = store.measures()
    nothing = (None, 0, 0, 0.0)
    found = [kept.get(photo.path, nothing) for photo in photos]
    rows = [row[1:] if row[0] == photo.stamp else nothing[1:] for row, photo in zip(found, photos, strict=True)]
    return Measures(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        np.array([photo.stamp.size for photo in photos], np.int64),
        np.array([photo.stamp.mtime_ns for photo in photos], np.int64),
    )


# Decodes a JPEG at a fraction of its size, as long as what is measured on it stays.
_LOOK_ONLY = Model(
    "look", lambda image: None, lambda none: np.empty((len(none), 0)), least_side=LEAST_SIDE, alone=False
)


def copy_pairs(store: RowStore, photos: Sequence[Photo], measures: Measures, progress: Progress = ignore) -> Pairs:
    """Find the pairs of pictures that may be copies by their pixels."""
    known = np.flatnonzero(measures.width > 0)
    grays = store.grays([photos[row].path for row in known.tolist()])
    progress(0.1)
    found = find_copies(grays, progress=part_of(progress, 0.1, 1))
    return Pairs(known[found.first], known[found.second], found.similarity).at_least(THRESHOLDS["copies"][1])


def similar_pairs(
    codes: Codes,
    n_bits: int,
    features: Callable[[NDArray[np.int64]], NDArray[Any]] | None,
    progress: Progress = ignore,
) -> Pairs:
    """Find the pairs of pictures with near codes, and the similarity of their features.

    Parameters
    ----------
    codes : uint8 array of shape (n_pictures, n_bytes)
    n_bits : int
    features : function or None
        From row numbers to their features; without them similarity is the share of bits that agree.
    progress : function
        Called with the share of the work that is done.
    """
    n = len(codes)
    if n < 2:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    distances, ids = Index(codes, n_bits=n_bits).query(codes, min(N_SIMILAR + 1, n))
    rows = np.broadcast_to(np.arange(n)[:, None], ids.shape)
    kept = ids != rows
    found = np.column_stack([np.minimum(rows, ids)[kept], np.maximum(rows, ids)[kept], distances[kept]])
    found = np.unique(found, axis=0)
    progress(0.3)
    first, second = found[:, 0], found[:, 1]
    rest = part_of(progress, 0.3, 1)
    similarity = 1 - found[:, 2] / n_bits if features is None else _cosines(features, n, first, second, rest)
    return Pairs(first, second, similarity.astype(np.float32)).at_least(THRESHOLDS["similar"][1])


def _cosines(
    features: Callable[[NDArray[np.int64]], NDArray[Any]],
    n: int,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    progress: Progress,
) -> NDArray[np.float64]:
    units = []
    for start in range(0, n, _BLOCK):
        units.append(_units(features(np.arange(start, min(n, start + _BLOCK)))))
        progress(0.8 * min(n, start + _BLOCK) / n)
    rows = np.concatenate(units)
    cosines = np.empty(len(first))
    for start in range(0, len(first), _BLOCK):
        part = slice(start, start + _BLOCK)
        cosines[part] = np.einsum("ij,ij->i", rows[first[part]], rows[second[part]], dtype=np.float32)
    return cosines


def _units(rows: NDArray[Any]) -> NDArray[np.float16]:
    rows = rows.astype(np.float32)
    units: NDArray[np.float16] = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(
        np.float16
    )
    return units


def kept_pairs(path: str, key: str, n: int, make: Callable[[], Pairs]) -> Pairs:
    """The pairs of `n` rows in a file, if they were made for `key`; else they are made; see :func:`kept_arrays`."""

    def arrays() -> Arrays:
        pairs = make()
        return {"first": pairs.first, "second": pairs.second, "similarity": pairs.similarity}

    return Pairs(**kept_arrays(path, key, arrays, lambda found: _fit(found, n)))


def key_of(photos: Sequence[Photo], codes: Codes) -> str:
    """Return a digest of everything that the pairs depend on."""
    digest = hashlib.sha256(f"{VERSION} {THRESHOLDS} {N_SIMILAR}".encode())
    for photo in photos:
        digest.update(f"{photo.id} {photo.stamp.size} {photo.stamp.mtime_ns} ".encode() + os.fsencode(photo.path))
    digest.update(codes.tobytes())
    return digest.hexdigest()


def _fit(arrays: Arrays, n: int) -> bool:
    first, second, similarity = (arrays[name] for name in ("first", "second", "similarity"))
    dtypes = [array.dtype for array in (first, second, similarity)]
    if len(arrays) != 3 or dtypes != [np.int64, np.int64, np.float32] or similarity.ndim != 1:
        return False
    if not first.shape == second.shape == similarity.shape:
        return False
    return len(first) == 0 or bool(min(first.min(), second.min()) >= 0 and max(first.max(), second.max()) < n)
