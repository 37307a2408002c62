"""Matrices of a safetensors file, mapped; its header is checked against the file's size."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.storage import FormatError

DTYPES = {
    "BOOL": "?",
    "BF16": "<u2",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "U8": "u1",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
}
"""Of the format's types, those that numpy has, and bfloat16, whose bits are mapped as uint16."""
MAX_HEADER_BYTES = 100 << 20
"""The largest header that the format allows."""


@dataclass(frozen=True)
class Tensor:
    """Where a tensor stands in a file.

    Attributes
    ----------
    type : str
        The format's name of the type.
    shape : tuple of int
    begin, end : int
        Bytes from the end of the header.
    """

    type: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(path: str) -> tuple[dict[str, Tensor], int]:
    """The tensors of a file by name, and where the first byte of them is.

    Raises
    ------
    FormatError
        If it is no safetensors file, or damaged.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
        if not 0 < n_header <= min(size - 8, MAX_HEADER_BYTES):
            raise FormatError(f"{path!r} cannot be mapped: it is no safetensors file, or cut off")
        try:
            header = json.loads(file.read(n_header))
            found = {
                name: Tensor(entry["dtype"], tuple(map(int, entry["shape"])), *map(int, entry["data_offsets"]))
                for name, entry in header.items()
                if name != "__metadata__" and not name.startswith("__padding_")
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"{path!r} cannot be mapped: its header is damaged") from error
    return found, 8 + n_header


def map_tensor(path: str, name: str, tensor: Tensor, start: int) -> NDArray[Any]:
    """A tensor of a file, mapped.

    Raises
    ------
    FormatError
        If it does not fit the file, or numpy has no such type.
    """
    if tensor.type not in DTYPES:
        raise FormatError(f"{path!r} cannot be mapped: {name!r} is of type {tensor.type}, which numpy does not have")
    dtype: np.dtype[Any] = np.dtype(DTYPES[tensor.type])
    n_bytes = dtype.itemsize * int(np.prod(tensor.shape, dtype=object))
    if not 0 <= tensor.begin <= tensor.end <= os.path.getsize(path) - start or tensor.end - tensor.begin != n_bytes:
        raise FormatError(f"{path!r} cannot be mapped: {name!r} does not fit the file, which may be cut off")
    if n_bytes == 0:
        return np.empty(tensor.shape, dtype)
    return np.memmap(path, dtype, "r", start + tensor.begin, tensor.shape)


def choose(name: str | None, names: list[str], what: str, path: str) -> str:
    """The tensor or column asked for, or the only one that there is.

    Raises
    ------
    ValueError
        If there are several and none is named, or there is none of that name.
    """
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        choice = ", ".join(names) or "none"
        raise ValueError(f"column must name a {what} in {path!r}, which has {choice}; got {name!r}")
    return name
