"""How good the codes of a gallery are: do their bits separate pictures, and do near codes mean one class?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.codes import hamming_distances, unpack
from hashkit.evaluation import mean_average_precision, precision_recall_curve
from hashkit.images.gallery import Gallery
from hashkit.progress import Progress, ignore

N_QUERIES, N_CODES = 500, 20_000
CUT = 1000
N_NEAR = 10
# Folders whose names say nothing of what their pictures show, the top folder among them.
NO_KINDS = {"", "copies", "copy", "duplicates", "backup", "thumbnails", "edited", "export", "misc", "new", "unsorted"}
N_SEEN = 20  # pictures that one looks through at a glance


@dataclass(frozen=True, eq=False)
class Folders:
    """How well near codes mean pictures of one folder.

    Attributes
    ----------
    n_folders : int
    n_near : int
        Number of nearest pictures compared: 10, or all others if there are fewer.
    near, possible, chance : float
        Share of a picture's nearest that are in its folder, the most that could be, as folders may hold fewer
        pictures, and the share among pictures drawn at random.
    precision, recall : float arrays of shape (n_bits + 1,)
        Within each radius, over pairs of a sampled picture and one of the others; NaN where there are none.
    mean_average_precision : float
        mAP@1000, divided by the relevant pictures among the first 1,000.
    """

    n_folders: int
    n_near: int
    near: float
    possible: float
    chance: float
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    mean_average_precision: float


@dataclass(frozen=True, eq=False)
class Quality:
    """Figures of a sample of the pictures.

    Attributes
    ----------
    n_pictures, n_bits : int
    bit_balance : float array of shape (n_bits,)
        Share of the pictures in which each bit is 1; .5 is most informative.
    distances : float array of shape (n_bits + 1,)
        Share of the pairs of different pictures at each Hamming distance.
    shared : float
        Share of the pictures whose code another picture has, too.
    folders : Folders or None
        Over the pictures in folders whose names may mean a kind; None if there are fewer than two such folders, or too
        many to mean anything.
    """

    n_pictures: int
    n_bits: int
    bit_balance: NDArray[np.float64]
    distances: NDArray[np.float64]
    shared: float
    folders: Folders | None = None

    @property
    def typical_distance(self) -> int:
        """The median distance of two pictures."""
        return int(np.searchsorted(np.cumsum(self.distances), 0.5))

    @property
    def reach(self) -> int:
        """The greatest radius with at most 20 other pictures in it on average; -1 if more of them have equal codes."""
        return int(np.searchsorted(np.cumsum(self.distances) * (self.n_pictures - 1), N_SEEN, side="right")) - 1

    def n_within(self, radius: int) -> float:
        """How many other pictures are within a radius of a picture, on average."""
        return float(self.distances[: radius + 1].sum() * (self.n_pictures - 1))


def measure_quality(gallery: Gallery, progress: Progress = ignore) -> Quality:
    """Measure the codes of a gallery; the same sample every time."""
    order = np.random.default_rng(0).permutation(len(gallery))
    n_queries = min(N_QUERIES, max(1, len(order) // 5))
    asked, others = order[:n_queries], order[n_queries : n_queries + N_CODES]
    codes = gallery.codes
    pairs = hamming_distances(codes[asked], codes[others])
    counts = np.bincount(pairs.ravel(), minlength=gallery.n_bits + 1)
    progress(0.2)
    found, first, times = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    progress(0.4)
    return Quality(
        len(gallery),
        gallery.n_bits,
        unpack(codes, gallery.n_bits).mean(axis=0),
        counts / max(1, pairs.size),
        float((times[first.ravel()] > 1).mean()) if len(found) else 0.0,
        _by_folders(gallery, asked, others, pairs),
    )


def _by_folders(
    gallery: Gallery, asked: NDArray[np.int64], others: NDArray[np.int64], pairs: NDArray[np.integer[Any]]
) -> Folders | None:
    names = np.array([os.path.dirname(photo.path) for photo in gallery.photos.values()])
    means = np.array([os.path.basename(name).lower() not in NO_KINDS for name in names], np.bool_)
    pairs, asked, others = pairs[means[asked]][:, means[others]], asked[means[asked]], others[means[others]]
    _, labels = np.unique(names, return_inverse=True)
    sizes = np.bincount(labels[means], minlength=1)
    n_folders = int((sizes > 0).sum())
    if len(asked) == 0 or len(others) == 0 or not 2 <= n_folders <= means.sum() / 2:
        return None
    codes, n_near = gallery.codes, min(N_NEAR, len(others))
    nearest = np.argsort(pairs, axis=1, kind="stable")[:, :n_near]
    judged = codes[asked], codes[others], labels[asked], labels[others]
    curve = precision_recall_curve(*judged)
    return Folders(
        n_folders,
        n_near,
        float((labels[others][nearest] == labels[asked][:, None]).mean()),
        float(np.minimum(n_near, np.bincount(labels[others], minlength=len(sizes))[labels[asked]]).mean() / n_near),
        float(((sizes / means.sum()) ** 2).sum()),
        curve.precision,
        curve.recall,
        float(mean_average_precision(*judged, k=CUT).value),
    )
