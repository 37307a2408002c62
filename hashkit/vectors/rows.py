"""Vectors in rows as users have them: float32, float16, bfloat16, or int8 with scales; in memory or a memory map."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import describe, refuse_mask
from hashkit.storage.blocks import BlockSums

Float32 = NDArray[np.float32]

LANES = 32
"""Rows that native code reads as floats are padded with zeros to a multiple of so many values."""
TYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16, "int8": np.int8}
"""The types of stored values, and the dtype of numpy that their bytes lie in."""
MAX_DIMS = 1 << 20
BLOCK_BYTES = 4 << 20
"""A block of float32 rows: large enough for the matrix product, small enough for the cache."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Rows of values, borrowed from the user; a memory map is never read whole.

    Attributes
    ----------
    data : array of shape (n_rows, n_dims), C-contiguous
        float32, float16, int8, or the bits of bfloat16 as uint16.
    type : {"float32", "float16", "bfloat16", "int8"}
    row_scales : float32 array of shape (n_rows,), or None
    column_scales : float32 array of shape (n_dims,), or None
        An int8 value stands for ``(value * column_scale) * row_scale``, rounded to float32 twice.
    blocks : BlockSums or None
        Where the rows lie in a mapped file: what they are compared with before they are read.
    """

    data: NDArray[Any]
    type: str
    row_scales: Float32 | None = None
    column_scales: Float32 | None = None
    blocks: BlockSums | None = None

    def __len__(self) -> int:
        return len(self.data)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "blocks": None}  # a copy lies in no mapped file

    @property
    def n_dims(self) -> int:
        """Values of a row."""
        return int(self.data.shape[1])

    def to_float32(self, rows: slice | NDArray[np.int64]) -> Float32:
        """Some rows as float32; not checked to be finite."""
        chosen = self.data[rows]
        if self.type == "bfloat16":
            return (chosen.astype(np.uint32) << 16).view(np.float32)
        values = np.ascontiguousarray(chosen, np.float32)
        if self.type == "int8":
            if self.column_scales is not None:
                values *= self.column_scales
            if self.row_scales is not None:
                values *= self.row_scales[rows, None]
        return values

    def check(self, first: int, last: int) -> None:
        """Compare rows [first, last) of a mapped file with their checksums, as far as that was not done yet.

        Raises
        ------
        FormatError
            If they are not what was written.
        """
        if self.blocks is not None:
            self.blocks.require(self.data[first:last])

    def check_rows(self, rows: NDArray[np.int64]) -> None:
        """:meth:`check` of listed rows; -1 is passed over."""
        if self.blocks is not None:
            self.blocks.require(self.data, np.ascontiguousarray(rows.reshape(-1)))

    def native(self) -> tuple[NDArray[np.uint8], str, Float32 | None, Float32 | None]:
        """The arguments by which native code reads the rows: bytes, type, and scales of rows and columns."""
        scales = None
        if self.type == "int8":
            scales = padded(np.ones((1, self.n_dims), np.float32) if self.column_scales is None else self.column_scales)
        return as_bytes(self.data), self.type, self.row_scales, None if scales is None else scales.reshape(-1)

    def first_dims(self, n_dims: int) -> Vectors:
        """The first values of each row, which are copied: a prefix of Matryoshka embeddings."""
        columns = None if self.column_scales is None else self.column_scales[:n_dims]
        return replace(self, data=np.ascontiguousarray(self.data[:, :n_dims]), column_scales=columns)


def as_vectors(values: Any, name: str, scales: Any = None) -> Vectors:
    """What a user gave as vectors, checked, but not read.

    Parameters
    ----------
    values : array, torch tensor or memory map of shape (n_rows, n_dims)
        float32, float16, bfloat16 (of torch or ml_dtypes), or int8.
    name : str
        The argument's name, for the message.
    scales : float32 array of shape (n_rows,), (n_rows, 1) or (1, n_dims), optional
        For int8, and needed there: what its values are multiplied by, for each row or for each column.

    Raises
    ------
    TypeError, ValueError
        If they are not vectors as described.
    """
    if isinstance(values, Vectors):
        if scales is not None:
            raise ValueError(f"scales must be left out where {name} has its own")
        return values
    refuse_mask(values, name)
    data, kind = _plain(values)
    if not isinstance(data, np.ndarray) or kind not in TYPES:
        raise TypeError(f"{name} must be float32, float16, bfloat16 or int8, got {describe(values)}")
    if data.ndim != 2 or not 1 <= data.shape[1] <= MAX_DIMS:
        raise ValueError(f"{name} must have shape (n_rows, n_dims), got {describe(values)}")
    if not data.flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous, got {describe(values)}; numpy.ascontiguousarray makes a copy")
    if kind != "int8":
        if scales is not None:
            raise ValueError(f"scales must be left out for {name} of {kind}: they belong to int8")
        return Vectors(data, kind)
    if scales is None:
        raise ValueError(f"scales must be given for {name} of int8: without them its rows cannot be compared")
    return Vectors(data, kind, *_check_scales(scales, data.shape))


def _plain(values: Any) -> tuple[Any, str]:
    """An array of numpy with the same bytes, and the name of its type."""
    if type(values).__module__.partition(".")[0] == "torch" and hasattr(values, "detach"):
        tensor, kind = values.detach().cpu(), str(values.dtype).removeprefix("torch.")
        if kind == "bfloat16":
            return tensor.view(sys.modules["torch"].int16).numpy().view(np.uint16), kind
        return (tensor.numpy(), kind) if kind in TYPES else (None, kind)
    if isinstance(values, np.ndarray):
        kind = values.dtype.name if values.dtype.isnative else "of another byte order"
        return (values.view(np.uint16) if kind == "bfloat16" else values), kind
    return None, ""


def _check_scales(scales: Any, shape: tuple[int, ...]) -> tuple[Float32 | None, Float32 | None]:
    array = np.asarray(scales)
    if array.dtype.kind != "f":
        raise TypeError(f"scales must be floats, got {describe(scales)}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, np.float32)
    if not (np.isfinite(array) & (array > 0)).all():
        raise ValueError("scales must be finite and positive")
    n_rows, n_dims = shape
    if array.shape in ((n_rows,), (n_rows, 1)):
        return array.reshape(-1), None
    if array.shape == (1, n_dims):
        return None, array.reshape(-1)
    raise ValueError(
        f"scales must have shape ({n_rows},) or ({n_rows}, 1), one for each row, or (1, {n_dims}), one for each "
        f"column, got {describe(scales)}"
    )


def as_queries(values: Any, name: str, n_dims: int, *, finite: bool = True) -> tuple[Float32, bool]:
    """Queries as float32 rows, finite unless told otherwise, and whether a single one was given, in one dimension.

    Raises
    ------
    TypeError, ValueError
        If they are not floats, do not have `n_dims` values, or one is not finite; names its row.
    """
    if not finite and type(values) is np.ndarray and values.dtype == np.float32 and values.shape[-1:] == (n_dims,):
        rows = np.ascontiguousarray(values)  # at once, since a query takes only microseconds
        if rows.ndim <= 2:
            return (rows[np.newaxis], True) if rows.ndim == 1 else (rows, False)
    refuse_mask(values, name)
    data, kind = _plain(values)
    if kind == "float64" and isinstance(values, np.ndarray):
        with np.errstate(over="ignore"):
            data, kind = values.astype(np.float32), "float32"
    if not isinstance(data, np.ndarray) or kind not in ("float32", "float16", "bfloat16"):
        raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, got {describe(values)}")
    single = data.ndim == 1
    rows = data[np.newaxis] if single else data
    if rows.ndim != 2 or rows.shape[1] != n_dims:
        raise ValueError(f"{name} must have {n_dims} values each, as the vectors do, got {describe(values)}")
    queries = Vectors(rows, kind).to_float32(slice(None))
    if finite:
        refuse_non_finite(queries, name, 0)
    return queries, single


def refuse_non_finite(block: Float32, name: str, first: int) -> None:
    """Raise a ValueError that names the row, counted from `first`, that is not finite."""
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        raise ValueError(f"{name} must be finite, row {first + int(finite.argmin())} is not")


def padded(rows: Float32) -> Float32:
    """A copy of rows, each padded with zeros to a multiple of LANES values; the rows themselves if they fit."""
    rows = np.ascontiguousarray(rows, np.float32)
    if rows.ndim == 1:
        rows = rows[np.newaxis]
    missing = -rows.shape[1] % LANES
    return rows if missing == 0 else np.pad(rows, ((0, 0), (0, missing)))


def as_bytes(data: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of C-contiguous rows."""
    return data.view(np.uint8) if data.itemsize > 1 else data.view(np.uint8).reshape(data.shape)


def rows_of_block(n_dims: int) -> int:
    """How many rows are read at a time."""
    return max(64, BLOCK_BYTES // (4 * n_dims))


def blocks_of(vectors: Vectors, name: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Float32]]:
    """Pairs of first row and finite float32 rows.

    Raises
    ------
    ValueError
        If a row is not finite; names it.
    """
    stop = len(vectors) if stop is None else stop
    step = rows_of_block(vectors.n_dims)
    for first in range(start, stop, step):
        last = min(first + step, stop)
        vectors.check(first, last)
        block = vectors.to_float32(slice(first, last))
        refuse_non_finite(block, name, first)
        yield first, block
