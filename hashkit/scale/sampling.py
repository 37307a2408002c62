"""Fits a hasher on a data set larger than memory, by a uniform sample of its rows that is drawn in one pass.

The key of a row is a 64-bit hash of the seed and its id, and the sample is the rows with the smallest keys. So the
sample does not depend on blocks, order or machines, and two samples of one seed are nested. An actor keeps the smallest
keys seen so far. The task of a block reads the largest of these keys and sends only rows below it: about
``sample * (1 + log(n_rows / sample))`` rows in all.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from numpy.typing import NDArray

import hashkit
from hashkit.checks import check_int, check_seed
from hashkit.scale.columns import feature_matrix, id_column, require_columns

Keys = NDArray[np.uint64]


def fit(
    dataset: ray.data.Dataset,
    *,
    column: str = "features",
    ids: str | None = None,
    n_bits: int = 64,
    sample: int = 1_000_000,
    method: str = "udhpl",
    random_state: int = 0,
    progress: bool = False,
    **options: Any,
) -> Any:
    """Learn a hasher from a uniform sample of a data set.

    Parameters
    ----------
    dataset : ray.data.Dataset
    column : str
        The column of feature vectors: lists of numbers or tensors.
    ids : str, optional
        The column of ids, distinct integers. Without it the sample is drawn from the distinct rows: rows with equal
        features count once.
    n_bits : int
        Length of the codes.
    sample : int
        Number of rows to fit on. They must fit into the memory of this process and of one actor. All rows of a smaller
        data set are used.
    method, random_state, progress, **options
        As for :func:`hashkit.fit`. `random_state` is an int and also determines the sample.

    Returns
    -------
    Hasher
        A fitted hasher, which does not depend on the blocks of the data set or their order.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid or a column is missing or has another type, and as :func:`hashkit.fit`.
    """
    sample = check_int(sample, "sample", 1)
    seed = check_seed(random_state)
    rows = draw_sample(dataset, column, ids, sample, seed)
    return hashkit.fit(rows, n_bits=n_bits, method=method, random_state=seed, progress=progress, **options)


def draw_sample(dataset: ray.data.Dataset, column: str, ids: str | None, sample: int, seed: int) -> NDArray[Any]:
    """Return the rows with the `sample` smallest keys, by key, shape (n_rows, n_features)."""
    reservoir = ray.remote(num_cpus=0)(Reservoir).remote(sample)
    offers = dataset.map_batches(
        _offer,
        fn_kwargs={"reservoir": reservoir, "column": column, "ids": ids, "seed": seed},
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
    )
    n_rows = sum(int(block["n_rows"].sum()) for block in offers.iter_batches(batch_size=None))
    if n_rows == 0:
        raise ValueError("dataset must not be empty")
    rows: NDArray[Any] = ray.get(reservoir.rows.remote())
    return rows


def _offer(block: pa.Table, reservoir: Any, column: str, ids: str | None, seed: int) -> pa.Table:
    """Send the rows of `block` that can still enter the reservoir."""
    require_columns(block, column, *([] if ids is None else [ids]))
    if len(block):
        limit = ray.get(reservoir.limit.remote())
        features = feature_matrix(block[column], column)
        keys = row_keys(features, seed) if ids is None else id_keys(id_column(block, ids), seed)
        wanted = keys < limit
        if wanted.any():
            ray.get(reservoir.offer.remote(keys[wanted], features[wanted]))
    return pa.table({"n_rows": [len(block)]})


class Reservoir:
    """Actor that keeps the offered rows with the smallest keys.

    Parameters
    ----------
    size : int
        Number of rows to keep.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._limit = np.uint64(np.iinfo(np.uint64).max)
        self._keys: list[Keys] = []
        self._rows: list[NDArray[Any]] = []

    def limit(self) -> np.uint64:
        """Return the key that a row must be below to enter."""
        return self._limit

    def offer(self, keys: Keys, rows: NDArray[Any]) -> None:
        """Consider rows; offering a row again changes nothing."""
        if self._rows and rows.shape[1] != self._rows[0].shape[1]:
            raise ValueError(
                f"column must hold vectors of one length, got {self._rows[0].shape[1]} and {rows.shape[1]} features"
            )
        self._keys.append(keys)
        self._rows.append(rows)
        if sum(map(len, self._keys)) >= 2 * self._size:
            self._discard()

    def rows(self) -> NDArray[Any]:
        """Return the kept rows, by key."""
        self._discard()
        return self._rows[0]

    def _discard(self) -> None:
        keys, first = np.unique(np.concatenate(self._keys), return_index=True)
        self._rows = [np.concatenate(self._rows)[first[: self._size]]]
        self._keys = [keys[: self._size]]
        if len(keys) >= self._size:
            self._limit = keys[self._size - 1]


def id_keys(ids: NDArray[np.int64], seed: int) -> Keys:
    """Permute 64-bit ids to keys by splitmix64's finalizer (Steele et al., 2014)."""
    offset = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest(), "little")
    keys = ids.view(np.uint64) + np.uint64(offset)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        keys = (keys ^ (keys >> np.uint64(shift))) * np.uint64(factor)
    mixed: Keys = keys ^ (keys >> np.uint64(31))
    return mixed


def row_keys(features: NDArray[Any], seed: int) -> Keys:
    """Return a 64-bit key for each row of features, a hash of its bytes."""
    key = hashlib.blake2b(str(seed).encode(), digest_size=16).digest()
    rows = np.ascontiguousarray(features)
    digests = [hashlib.blake2b(row.data, digest_size=8, key=key).digest() for row in rows]
    return np.frombuffer(b"".join(digests), np.uint64)
