"""Data to try things on: real sets that need no download, a user's own files, and seeded synthetic codes."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_choice, check_int, check_n_bits, check_seed
from hashkit.tables import open_rows
from hashkit.tables.rows import choose_array, read_archive

# Where Debian's package dataset-fashion-mnist puts its files.
FASHION_MNIST = "/usr/share/datasets/fashion-mnist"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Features, and what is known about their rows.

    Attributes
    ----------
    name : str
    features : float array of shape (n, n_dims)
    labels : array of shape (n,), of bool and shape (n, n_labels), or None
    images : uint8 array of shape (n, height, width) or None
        What the rows look like, for pictures of results.
    """

    name: str
    features: NDArray[np.floating]
    labels: NDArray[Any] | None = None
    images: NDArray[np.uint8] | None = None


def digits() -> Dataset:
    """Load scikit-learn's 1,797 handwritten digits, in a shuffled order that never changes.

    The features are the 8 x 8 pixels themselves, 64 values from 0 to 16.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    images = (bunch.images[order] * (255 / 16)).astype(np.uint8)
    return Dataset("digits", bunch.data[order].astype(np.float32), bunch.target[order], images)


def fashion_mnist(folder: str | os.PathLike[str] = FASHION_MNIST) -> Dataset:
    """Load Fashion-MNIST, 70,000 images of 28 x 28 pixels: the 10,000 test images first, then the 60,000 others.

    The features are the pixels, 784 values from 0 to 1.

    Parameters
    ----------
    folder : path
        Holds the four original files; the Debian package dataset-fashion-mnist puts them in the default place.

    Raises
    ------
    FileNotFoundError
        When the files are not there.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"no Fashion-MNIST in {os.fspath(folder)}: install Debian's dataset-fashion-mnist")
    parts = ("t10k", "train")
    images = np.concatenate([_read_idx(Path(folder, f"{part}-images-idx3-ubyte.gz"), 3) for part in parts])
    labels = np.concatenate([_read_idx(Path(folder, f"{part}-labels-idx1-ubyte.gz"), 1) for part in parts])
    features = images.reshape(len(images), -1).astype(np.float32) / 255
    return Dataset("fashion-mnist", features, labels.astype(np.int64), images)


def read_dataset(
    features: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None = None,
    *,
    column: str | None = None,
    label_column: str | None = None,
) -> Dataset:
    """Read a user's features, and labels if there are any.

    Parameters
    ----------
    features : path
        A ``.npy`` or ``.safetensors`` file, which is memory-mapped; a Parquet, Arrow or text file, which is read into
        memory (see `hashkit.tables.open_rows`); or an ``.npz`` file with the arrays ``features`` and, if known,
        ``labels``.
    labels : path, optional
        A file of these with one label for each row of features, or a ``.npy`` file with one row of bool for each.
    column, label_column : str, optional
        The tensor or column of each, where there are several that fit.

    Raises
    ------
    FileNotFoundError, ValueError
        When a file is not there or cannot be read, lacks an array, or has another number of rows.
    """
    path = Path(features)
    if path.suffix == ".npz":
        arrays = read_archive(path)
        rows, known = choose_array(arrays, path, "features", column), arrays.get("labels")
    else:
        rows, known = open_rows(features, holds="features", column=column).whole().values, None
    if labels is not None:
        known = open_rows(labels, holds="column", column=label_column).whole().values
    if rows.ndim != 2:
        raise ValueError(f"{path} must hold features of shape (n, n_dims), got shape {rows.shape}")
    if rows.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(f"{path} must hold float16, float32 or float64, got {rows.dtype}")
    if known is not None and known.shape[:1] != rows.shape[:1]:
        raise ValueError(f"labels must have one row for each of {path}'s {len(rows)}, got shape {known.shape}")
    return Dataset(path.stem, rows, known)


def _read_idx(path: Path, n_dims: int) -> NDArray[np.uint8]:
    """Read the format of MNIST: 0, 0, 8 for bytes, the number of dimensions, big-endian sizes, then the values."""
    with gzip.open(path) as file:
        data = file.read()
    start = 4 + 4 * n_dims
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], ">u4")) if len(data) >= start else ()
    if data[:4] != bytes([0, 0, 8, n_dims]) or len(data) - start != np.prod(shape, dtype=np.int64):
        raise ValueError(f"{path} is no IDX file of bytes with {n_dims} dimensions")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


# The synthetic mixture: clusters of uneven weight and spread around centers that fill a subspace, each cluster
# stretched along a few directions of its own, with spectra that decay as those of image features do.
N_DIMS, N_CLUSTERS, N_CENTER_DIMS, N_INNER_DIMS, N_SHAPES = 128, 2000, 40, 20, 16
ROWS_PER_BLOCK = 1 << 16
N_SAMPLE = 100_000

Kind = Literal["clustered", "rotated", "uniform"]
# Draws bits of shape (n, n_bits), as numbers or bool.
DrawBits = Callable[[int, np.random.Generator], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class _Mixture:
    """The parameters: one row per cluster, except ``axes`` of shape (N_SHAPES, N_INNER_DIMS, N_DIMS)."""

    centers: NDArray[np.float32]
    spreads: NDArray[np.float32]
    cumulative_weights: NDArray[np.float64]
    axes: NDArray[np.float32]


def synthetic_codes(
    kind: Kind = "clustered", *, n_codes: int, n_queries: int = 1000, n_bits: int = 64, random_state: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw codes and queries of one distribution; no query is taken from the codes.

    Parameters
    ----------
    kind : {"clustered", "rotated", "uniform"}
        ``clustered``: features of an uneven mixture, centered, hashed by random hyperplanes. ``rotated``: the same
        features, their ``n_bits`` principal components under a random rotation, for 128 bits at most.
        ``uniform``: independent fair bits.
    n_codes, n_queries, n_bits : int
    random_state : int
        The same seed gives the same arrays.

    Returns
    -------
    codes, queries : uint8 arrays of shape (n_codes, ceil(n_bits / 8)) and (n_queries, ceil(n_bits / 8))
    """
    check_choice(kind, "kind", ("clustered", "rotated", "uniform"))
    check_int(n_codes, "n_codes", 0)
    check_int(n_queries, "n_queries", 0)
    check_n_bits(n_bits)
    if kind == "rotated" and n_bits > N_DIMS:
        raise ValueError(f"n_bits must be at most {N_DIMS} for rotated codes, got {n_bits}")
    seeds = np.random.SeedSequence(check_seed(random_state)).spawn(3)
    setup, *streams = (np.random.default_rng(seed) for seed in seeds)
    draw = _fair_bits(n_bits) if kind == "uniform" else _hashed_mixture(kind, n_bits, setup)
    codes, queries = (_pack_blocks(draw, n, n_bits, rng) for n, rng in zip((n_codes, n_queries), streams, strict=True))
    return codes, queries


def _pack_blocks(draw: DrawBits, n: int, n_bits: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    codes = np.empty((n, (n_bits + 7) // 8), np.uint8)
    for start in range(0, n, ROWS_PER_BLOCK):
        block = codes[start : start + ROWS_PER_BLOCK]
        block[:] = np.packbits(draw(len(block), rng), axis=1)
    return codes


def _fair_bits(n_bits: int) -> DrawBits:
    return lambda n, rng: rng.integers(0, 2, (n, n_bits), dtype=np.uint8)


def _hashed_mixture(kind: str, n_bits: int, rng: np.random.Generator) -> DrawBits:
    mixture = _random_mixture(rng)
    sample = _draw_features(mixture, N_SAMPLE, rng)
    mean = sample.mean(axis=0)
    projection = rng.standard_normal((N_DIMS, n_bits))
    if kind == "rotated":
        variances, directions = np.linalg.eigh(np.cov(sample, rowvar=False, dtype=np.float64))
        rotation = np.linalg.qr(rng.standard_normal((n_bits, n_bits)))[0]
        projection = directions[:, np.argsort(-variances)[:n_bits]] @ rotation
    weights = projection.astype(np.float32)
    return lambda n, draws: (_draw_features(mixture, n, draws) - mean) @ weights > 0


def _random_mixture(rng: np.random.Generator) -> _Mixture:
    def orthonormal_rows(n: int) -> NDArray[np.float64]:
        return np.asarray(np.linalg.qr(rng.standard_normal((N_DIMS, n)))[0].T)

    center_scales = np.arange(1, N_CENTER_DIMS + 1) ** -0.5
    inner_scales = 1 / np.arange(1, N_INNER_DIMS + 1)
    weights = np.arange(1, N_CLUSTERS + 1) ** -0.6
    centers = (rng.standard_normal((N_CLUSTERS, N_CENTER_DIMS)) * center_scales) @ orthonormal_rows(N_CENTER_DIMS)
    axes = np.stack([inner_scales[:, None] * orthonormal_rows(N_INNER_DIMS) for _ in range(N_SHAPES)])
    return _Mixture(
        centers=centers.astype(np.float32),
        spreads=rng.lognormal(-0.35, 0.35, N_CLUSTERS).astype(np.float32),
        cumulative_weights=np.cumsum(weights / weights.sum()),
        axes=axes.astype(np.float32),
    )


def _draw_features(mixture: _Mixture, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    clusters = np.searchsorted(mixture.cumulative_weights[:-1], rng.random(n))
    inner = rng.standard_normal((n, N_INNER_DIMS), np.float32) * mixture.spreads[clusters, None]
    features = mixture.centers[clusters] + np.float32(0.01) * rng.standard_normal((n, N_DIMS), np.float32)
    for shape, axes in enumerate(mixture.axes):
        rows = np.flatnonzero(clusters % N_SHAPES == shape)
        features[rows] += inner[rows] @ axes
    return features
