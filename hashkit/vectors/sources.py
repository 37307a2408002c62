"""Where vectors come from when there are too many for memory: files, and iterators of blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from hashkit.checks import describe
from hashkit.storage import FormatError
from hashkit.tables import arrow, safetensors
from hashkit.vectors.rows import Vectors, as_vectors

SAFETENSORS_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8"}


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
    tensors, start = safetensors.read_header(path)
    fitting = sorted(key for key, entry in tensors.items() if entry.type in SAFETENSORS_TYPES and len(entry.shape) == 2)
    name = safetensors.choose(name, fitting, "tensor of vectors", path)
    kind = SAFETENSORS_TYPES[tensors[name].type]
    return Vectors(safetensors.map_tensor(path, name, tensors[name], start), kind)


def _parquet_blocks(path: str, column: str | None) -> Iterator[Vectors]:
    """Blocks of a column of lists of equal length."""
    schema, _, batches = arrow.open_file(path, parquet=True)
    fitting = [field.name for field in schema if arrow.is_matrix(field.type)]
    column = safetensors.choose(column, fitting, "column of vectors", path)
    for batch in batches([column], 8192):
        if batch.num_rows:
            rows = arrow.to_numpy(batch.column(column), column)
            rows = rows.astype(np.float32) if rows.dtype == np.float64 else rows
            yield as_vectors(np.ascontiguousarray(rows), column)
