"""Where vectors come from when there are too many for memory: files, and iterators of blocks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from hashkit.checks import describe
from hashkit.storage import FormatError
from hashkit.vectors.rows import TYPES, Vectors, as_vectors

SAFETENSORS_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8"}
MAX_HEADER_BYTES = 100 << 20
"""The largest header that the safetensors format allows."""


def open_source(source: Any, column: str | None, scales: Any) -> Vectors | Iterator[Vectors]:
    """Vectors of a mapped file, or blocks of them.

    Parameters
    ----------
    source : str, path, or iterable of arrays of shape (n_rows, n_dims)
        A ``.npy`` or ``.safetensors`` file, which is mapped, or a ``.parquet`` file, which is read in batches.
    column : str or None
        The tensor or column; not needed where there is only one that fits.
    scales : array or None
        For int8 in a mapped file.

    Raises
    ------
    TypeError, ValueError, OSError
        If it is none of these, or cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        ending = os.path.splitext(path)[1]
        if ending == ".npy":
            return as_vectors(_map_npy(path), "source", scales)
        if ending == ".safetensors":
            return _with_scales(_map_safetensors(path, column), scales)
        if ending == ".parquet":
            return _parquet_blocks(path, column)
        raise ValueError(f"source must be a .npy, .safetensors or .parquet file, got {path!r}")
    if hasattr(source, "shape"):
        return as_vectors(source, "source", scales)
    if not isinstance(source, Iterable):
        raise TypeError(f"source must be a path, an array or an iterable of blocks, got {describe(source)}")
    return (as_vectors(block, f"block {number} of source") for number, block in enumerate(source))


def _with_scales(vectors: Vectors, scales: Any) -> Vectors:
    return as_vectors(vectors.data, "source", scales) if vectors.type == "int8" else vectors


def _map_npy(path: str) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise FormatError(f"{path!r} cannot be mapped: {error}") from None


def _map_safetensors(path: str, name: str | None) -> Vectors:
    """A matrix of a file whose header is checked against the file's size."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
        if not 0 < n_header <= min(size - 8, MAX_HEADER_BYTES):
            raise FormatError(f"{path!r} cannot be mapped: it is no safetensors file, or cut off")
        try:
            header = json.loads(file.read(n_header))
            entries = {
                key: entry
                for key, entry in header.items()
                if key != "__metadata__" and entry["dtype"] in SAFETENSORS_TYPES and len(entry["shape"]) == 2
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"{path!r} cannot be mapped: its header is damaged") from error
    name = _the_one(name, sorted(entries), "tensor", path)
    kind = SAFETENSORS_TYPES[entries[name]["dtype"]]
    shape = tuple(map(int, entries[name]["shape"]))
    begin, end = map(int, entries[name]["data_offsets"])
    dtype: np.dtype[Any] = np.dtype(TYPES[kind])
    if not 0 <= begin <= end <= size - 8 - n_header or end - begin != shape[0] * shape[1] * dtype.itemsize:
        raise FormatError(f"{path!r} cannot be mapped: {name!r} does not fit the file, which may be cut off")
    return Vectors(np.memmap(path, dtype, "r", 8 + n_header + begin, shape), kind)


def _parquet_blocks(path: str, column: str | None) -> Iterator[Vectors]:
    """Blocks of a column of lists of equal length."""
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    fitting = [field.name for field in file.schema_arrow if "list" in str(field.type)]
    column = _the_one(column, fitting, "column", path)
    for number, batch in enumerate(file.iter_batches(batch_size=8192, columns=[column])):
        lists = batch.column(0)
        values = lists.flatten()
        if lists.null_count or values.null_count or len(values) % max(1, len(lists)):
            raise ValueError(
                f"{path!r} must have lists of one length without nulls in {column!r}, batch {number} has not"
            )
        if len(lists):
            rows = values.to_numpy(zero_copy_only=False).reshape(len(lists), -1)
            rows = rows.astype(np.float32) if rows.dtype == np.float64 else rows
            yield as_vectors(np.ascontiguousarray(rows), column)


def _the_one(name: str | None, names: list[str], what: str, path: str) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        choice = ", ".join(names) or "none"
        raise ValueError(f"column must name a {what} of vectors in {path!r}, which has {choice}; got {name!r}")
    return name
