"""A map of a collection: a place in the plane for every picture, clusters with a representative each, and outliers.

A few thousand pictures, drawn at random, are laid out by t-SNE; every other picture stands among the three of them that
are nearest to its code. So the map takes the same half minute for any number of pictures, and one search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes
from hashkit.codes import unpack
from hashkit.images.photos import Photo
from hashkit.index import Index
from hashkit.progress import Progress, ignore, part_of

N_LANDMARKS = 2000  # t-SNE of these takes about 10 s on a core
N_AROUND = 3
N_OUTLIERS = 24
_PICTURES_PER_CLUSTER, _MOST_CLUSTERS = 40, 30
_TSNE_PARTS = 4  # of 250 iterations, the fewest that scikit-learn takes
_BLOCK = 1 << 13


@dataclass(frozen=True, eq=False)
class Layout:
    """Where pictures stand, by rows of the gallery.

    Attributes
    ----------
    places : uint16 array of shape (n_pictures, 2)
        From 0 to 65,535.
    clusters : int64 array of shape (n_pictures,)
    representatives : int64 array of shape (n_clusters,)
        The picture of each cluster that is nearest to its middle.
    outliers : int64 array
        The pictures whose nearest neighbor is farthest, those first.
    """

    places: NDArray[np.uint16]
    clusters: NDArray[np.int64]
    representatives: NDArray[np.int64]
    outliers: NDArray[np.int64]


def lay_out(
    codes: Codes,
    n_bits: int,
    rows: NDArray[np.float32] | None = None,
    *,
    seed: int = 0,
    progress: Progress = ignore,
) -> Layout:
    """The map of codes.

    Parameters
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
    n_bits : int
    rows : float32 array of shape (n_landmarks, n_dims), optional
        Features of the :func:`landmarks`, for their places; by default their bits.
    seed : int
    progress : function
        Called with the share of the work that is done.
    """
    n = len(codes)
    chosen = landmarks(n, seed)
    if n < 4:
        spread = np.linspace(0, 65535, max(n, 1)).astype(np.uint16)[:n]
        zeros = np.zeros(n, np.int64)
        return Layout(np.column_stack([spread, spread]), zeros, zeros[:1], np.arange(n))
    values = unpack(codes[chosen], n_bits).astype(np.float32) if rows is None else rows
    plane = _embed(values, seed, part_of(progress, 0, 0.5))
    to_place = Index(codes[chosen], n_bits=n_bits)
    distances, near = _query(to_place, codes, min(N_AROUND, len(chosen)), part_of(progress, 0.5, 0.7))
    weights = 1 / (1 + distances.astype(np.float32)) ** 2
    places = (plane[near] * weights[:, :, None]).sum(1) / weights.sum(1, keepdims=True)
    places[chosen] = plane
    clusters, representatives = _cluster(places, seed)
    progress(0.8)
    outliers = _outliers(codes, n_bits, part_of(progress, 0.8, 1))
    return Layout(_as_uint16(places), clusters, representatives, outliers)


def _query(index: Index, codes: Codes, k: int, progress: Progress) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """What is nearest to each of many codes, some of them at a time."""
    parts = []
    for start in range(0, len(codes), _BLOCK):
        parts.append(index.query(codes[start : start + _BLOCK], k))
        progress(min(1, (start + _BLOCK) / len(codes)))
    distances, ids = zip(*parts, strict=True)
    return np.concatenate(distances), np.concatenate(ids)


def _embed(values: NDArray[np.float32], seed: int, progress: Progress) -> NDArray[np.float32]:
    """Places in the plane by t-SNE, in parts that each go on where the one before ended."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    reduced = PCA(min(50, *values.shape), random_state=seed).fit_transform(values).astype(np.float32)
    perplexity = min(30, (len(values) - 1) / 3)
    plane: Any = "pca"
    for part in range(_TSNE_PARTS):
        progress((part + 0.05) / _TSNE_PARTS)
        exaggeration = 12.0 if part == 0 else 1.0  # as scikit-learn has it for the first 250 iterations
        options = {"perplexity": perplexity, "early_exaggeration": exaggeration, "max_iter": 250, "n_jobs": 1}
        plane = TSNE(init=plane, random_state=seed, **options).fit_transform(reduced)
    done: NDArray[np.float32] = plane
    return done


def _cluster(places: NDArray[Any], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cluster of each place, and the place that is nearest to the middle of each."""
    from sklearn.cluster import MiniBatchKMeans

    n_clusters = min(_MOST_CLUSTERS, max(1, len(places) // _PICTURES_PER_CLUSTER))
    found = MiniBatchKMeans(n_clusters, random_state=seed, n_init=3, batch_size=4096).fit(places)
    clusters = found.labels_.astype(np.int64)
    to_middle = ((places - found.cluster_centers_[clusters]) ** 2).sum(1)
    order = np.lexsort((to_middle, clusters))
    _, firsts = np.unique(clusters[order], return_index=True)
    return clusters, order[firsts]


def landmarks(n: int, seed: int = 0) -> NDArray[np.int64]:
    """The rows that are laid out by t-SNE, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:N_LANDMARKS])


def layout_fits(arrays: dict[str, NDArray[Any]], n: int) -> bool:
    """Whether arrays from a file are the layout of `n` pictures."""
    places, clusters, chosen, lonely = (arrays[name] for name in Layout.__annotations__)
    rows = np.concatenate([chosen, lonely])
    return (
        len(arrays) == 4
        and places.dtype == np.uint16
        and places.shape == (n, 2)
        and clusters.shape == (n,)
        and all(values.dtype == np.int64 for values in (clusters, rows))
        and (n == 0 or bool(0 <= rows.min() <= rows.max() < n and 0 <= clusters.min() <= clusters.max() < len(chosen)))
    )


def folder_of(photos: Sequence[Photo]) -> str:
    """The folder that most of some pictures are in, and their share of it in words, as the name of a cluster."""
    folder, count = Counter(photo.path.rpartition("/")[0] for photo in photos).most_common(1)[0]
    return f"{folder or 'the top folder'} ({100 * count / len(photos):.0f} %)"


def _outliers(codes: Codes, n_bits: int, progress: Progress) -> NDArray[np.int64]:
    distances, _ = _query(Index(codes, n_bits=n_bits), codes, 2, progress)
    lonely = distances[:, 1]
    return np.lexsort((np.arange(len(codes)), -lonely))[:N_OUTLIERS]


def _as_uint16(places: NDArray[np.floating]) -> NDArray[np.uint16]:
    low, high = places.min(0), places.max(0)
    scaled: NDArray[np.uint16] = np.rint((places - low) / np.maximum(high - low, 1e-9) * 65535).astype(np.uint16)
    return scaled
