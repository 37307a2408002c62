"""Encodes a data set of any size: actors hold the hasher, and blocks stream through them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import ray.data

from hashkit.checks import Codes, check_int
from hashkit.index.ids import Ids
from hashkit.interop import to_arrow
from hashkit.scale.columns import feature_matrix, id_column, require_columns
from hashkit.scale.places import Place
from hashkit.storage import open_tensors

RECORD = "encoded.json"
PREFIX, SUFFIX = "part-", ".parquet"


def encode(
    dataset: ray.data.Dataset,
    hasher: Any,
    *,
    column: str = "features",
    ids: str = "id",
    path: str | os.PathLike[str] | None = None,
    filesystem: Any = None,
    batch_size: int = 4096,
    n_actors: int | tuple[int, int] = 1,
    **actor_options: Any,
) -> ray.data.Dataset:
    """Encode every row of a data set.

    Parameters
    ----------
    dataset : ray.data.Dataset
    hasher : Hasher
        A fitted hasher, sent to each actor once.
    column : str
        The column of feature vectors: lists of numbers or tensors.
    ids : str
        The column of ids: integers.
    path : str or path, optional
        A folder or URI for this data set alone. If given, the codes are computed at once and written there as Parquet,
        one file for each block of the data set. A block whose file exists is not encoded again, so an interrupted call
        can be repeated to continue. A block is identified by its ids.
    filesystem : pyarrow.fs.FileSystem or fsspec file system, optional
        File system of `path`.
    batch_size : int
        Rows encoded at a time, which bounds the memory of an actor. It does not affect the codes.
    n_actors : int or pair of int
        Number of actors, or their minimum and maximum.
    **actor_options
        Arguments of :meth:`ray.data.Dataset.map_batches` for actors, such as ``num_cpus`` and ``num_gpus``.

    Returns
    -------
    ray.data.Dataset
        The columns ``id`` (int64) and ``code`` (fixed-size binary). Without `path`, codes are computed when they
        are read.

    Raises
    ------
    TypeError, ValueError
        If a column is missing or has another type, or if the folder at `path` holds codes of another hasher or of
        rows that are not in the data set. Ray raises errors about rows when it reaches their block.
    """
    batch_size = check_int(batch_size, "batch_size", 1)
    parts = None if path is None else Place.of(path, filesystem)
    if parts is not None:
        _claim(parts, hasher)
    encoded = dataset.map_batches(
        _Encoder,
        fn_constructor_args=(hasher, column, ids, batch_size, parts),
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        compute=_actor_pool(n_actors),
        **actor_options,
    )
    if parts is None:
        return encoded
    written = {part for block in encoded.iter_batches(batch_size=None) for part in block["part"]}
    others = sorted(_part_names(parts) - written)
    if others:
        raise ValueError(f"{parts.folder!r} must hold this data set alone, {others[0]} has rows of another")
    if not written:
        raise ValueError("dataset must not be empty")
    return ray.data.read_parquet(parts.folder, filesystem=parts.filesystem)


def _actor_pool(n_actors: int | tuple[int, int]) -> ray.data.ActorPoolStrategy:
    if isinstance(n_actors, tuple):
        return ray.data.ActorPoolStrategy(min_size=n_actors[0], max_size=n_actors[1])
    return ray.data.ActorPoolStrategy(size=check_int(n_actors, "n_actors", 1))


class _Encoder:
    """Encodes a block in an actor: returns the codes, or the name of the file that holds them."""

    def __init__(self, hasher: Any, column: str, ids: str, batch_size: int, parts: Place | None) -> None:
        self._hasher, self._column, self._ids, self._batch_size, self._parts = hasher, column, ids, batch_size, parts

    def __call__(self, block: pa.Table) -> pa.Table:
        pa.default_memory_pool().release_unused()  # memory of blocks read earlier
        require_columns(block, self._column, self._ids)
        ids = id_column(block, self._ids)
        if self._parts is None:
            return self._encode(block, ids)
        if len(ids) == 0:
            return pa.table({"part": pa.array([], pa.string())})
        name = f"{PREFIX}{hashlib.blake2b(ids.tobytes(), digest_size=16).hexdigest()}{SUFFIX}"
        if self._parts.filesystem.get_file_info(self._parts.join(name)).type == pa.fs.FileType.NotFound:
            table = self._encode(block, ids)
            with self._parts.replacing(name) as path:
                pa.parquet.write_table(table, path, filesystem=self._parts.filesystem)
        return pa.table({"part": [name]})

    def _encode(self, block: pa.Table, ids: Ids) -> pa.Table:
        codes = np.empty((len(ids), (self._hasher.n_bits + 7) // 8), np.uint8)
        for start in range(0, len(ids), self._batch_size):
            rows = slice(start, min(start + self._batch_size, len(ids)))
            codes[rows] = self._encode_rows(block[self._column].slice(start, rows.stop - start), ids[rows])
        return to_arrow(codes, ids, self._hasher.n_bits)

    def _encode_rows(self, column: pa.ChunkedArray, ids: Ids) -> Codes:
        try:
            codes: Codes = self._hasher.encode(feature_matrix(column, self._column))
        except ValueError as error:
            raise ValueError(f"{error} (of the {len(ids)} rows that begin with id {ids[0]})") from error
        return codes


def _claim(parts: Place, hasher: Any) -> None:
    """Record the hasher of the folder's codes; raise a ValueError if it holds codes of another hasher."""
    record = json.dumps({"format": "hashkit-encoded", "version": 1, "hasher": _fingerprint(hasher)}).encode()
    parts.make()
    present = parts.sizes()
    if RECORD not in present:
        if any(name.startswith(PREFIX) for name in present):
            raise ValueError(f"{parts.folder!r} must be a new folder or one that encode made: it has no {RECORD}")
        parts.write(RECORD, record)
    elif parts.read(RECORD) != record:
        raise ValueError(f"{parts.folder!r} holds the codes of another hasher")


def _fingerprint(hasher: Any) -> str:
    """Return a digest of everything that determines a hasher's codes."""
    with tempfile.TemporaryDirectory(prefix="hashkit-") as folder:
        hasher.save(os.path.join(folder, "hasher"))
        file = open_tensors(os.path.join(folder, "hasher"))
        content = json.dumps([file.kind, file.settings, file.checksums], sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _part_names(parts: Place) -> set[str]:
    return {name for name in parts.sizes() if name.startswith(PREFIX) and name.endswith(SUFFIX)}
