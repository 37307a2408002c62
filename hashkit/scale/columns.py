"""Convert columns of Arrow tables to arrays, without copies where possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hashkit.index.ids import Ids, check_ids


def require_columns(table: pa.Table, *names: str) -> None:
    """Raise a ValueError that names the first of `names` that the table lacks or that has nulls."""
    for name in names:
        if name not in table.column_names:
            raise ValueError(f"dataset must have a column {name!r}, it has {table.column_names}")
        if table[name].null_count:
            raise ValueError(f"column {name!r} must have no nulls")


def feature_matrix(column: pa.ChunkedArray, name: str) -> NDArray[Any]:
    """Convert a column of vectors of equal length to a matrix of the same dtype.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Lists of numbers, of fixed or variable size, or tensors as Ray Data stores them.
    name : str
        The column's name, for the message.
    """
    pieces = [_chunk_matrix(chunk, name) for chunk in column.chunks if len(chunk)]
    if not pieces:
        return np.empty((0, 0), np.float32)
    for piece in pieces:
        if piece.shape[1] != pieces[0].shape[1]:
            raise ValueError(f"column {name!r} must hold vectors of one length, got {pieces[0].shape[1]} and others")
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _chunk_matrix(chunk: pa.Array, name: str) -> NDArray[Any]:
    storage = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
    kind = storage.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise TypeError(
            f"column {name!r} must hold vectors, that is lists of numbers or tensors, it holds {chunk.type}"
        )
    values = storage.flatten()
    if values.null_count or not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise TypeError(f"column {name!r} must hold vectors of numbers without nulls, it holds {chunk.type}")
    if len(values) % len(storage):
        raise ValueError(f"column {name!r} must hold vectors of one length")
    if not pa.types.is_fixed_size_list(kind):
        lengths = np.diff(storage.offsets.to_numpy())
        if np.any(lengths != lengths[0]):
            raise ValueError(f"column {name!r} must hold vectors of one length")
    matrix: NDArray[Any] = values.to_numpy().reshape(len(storage), -1)
    return matrix


def id_column(table: pa.Table, name: str) -> Ids:
    """Return the column `name` as int64."""
    return check_ids(table[name].to_numpy(), f"column {name!r}")
