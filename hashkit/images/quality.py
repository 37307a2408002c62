"""How good a gallery's codes are: do their bits tell pictures apart, and do near codes mean pictures of one kind?"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashkit.codes import hamming_distances, unpack
from hashkit.evaluation import mean_average_precision, precision_recall_curve
from hashkit.images.gallery import Gallery

N_QUERIES, N_CODES = 500, 20_000
CUT = 1000


@dataclass(frozen=True, eq=False)
class Quality:
    """Figures of a sample of the pictures.

    Attributes
    ----------
    bit_balance : float array of shape (n_bits,)
        Share of the pictures in which each bit is 1; .5 tells most.
    distances : float array of shape (n_bits + 1,)
        Share of the pairs of different pictures at each Hamming distance.
    n_labels : int
        Folders that hold pictures; their names are the labels. 0 if there are fewer than two, or too many to mean
        anything.
    precision, recall : float arrays of shape (n_bits + 1,), or None without labels
        Within each radius, over pairs of a sampled picture and one of the others; NaN where there are none.
    mean_average_precision : float, or None without labels
        mAP@1000, divided by the relevant pictures among the first 1,000.
    """

    bit_balance: NDArray[np.float64]
    distances: NDArray[np.float64]
    n_labels: int = 0
    precision: NDArray[np.float64] | None = None
    recall: NDArray[np.float64] | None = None
    mean_average_precision: float | None = None


def measure_quality(gallery: Gallery) -> Quality:
    """Measure the codes of a gallery; the same sample every time."""
    order = np.random.default_rng(0).permutation(len(gallery))
    n_queries = min(N_QUERIES, max(1, len(order) // 5))
    asked, others = order[:n_queries], order[n_queries : n_queries + N_CODES]
    codes = gallery.codes
    pairs = hamming_distances(codes[asked], codes[others])
    counts = np.bincount(pairs.ravel(), minlength=gallery.n_bits + 1)
    balance = unpack(codes, gallery.n_bits).mean(axis=0)
    shares = counts / max(1, pairs.size)
    _, labels = np.unique([os.path.dirname(photo.path) for photo in gallery.photos.values()], return_inverse=True)
    n_labels = int(labels.max()) + 1
    if len(others) == 0 or not 2 <= n_labels <= len(gallery) / 2:
        return Quality(balance, shares)
    judged = codes[asked], codes[others], labels[asked], labels[others]
    curve, score = precision_recall_curve(*judged), mean_average_precision(*judged, k=CUT)
    return Quality(balance, shares, n_labels, curve.precision, curve.recall, score.value)
