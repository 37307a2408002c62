"""Files of named arrays and settings, written in one step and checked before they are read."""

from __future__ import annotations

import errno
import math
import mmap as _mmap
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

import numpy as np

from hashkit.storage.blocks import BlockSums, add_block_sums, block_sums_of
from hashkit.storage.header import (
    ALIGNMENT,
    BLOCK_SUMS,
    NAMES,
    PADDING,
    PAGE,
    Array,
    Entry,
    FormatError,
    checksum,
    read_header,
    render_header,
    with_padding,
)
from hashkit.storage.replacing import replace_file

__all__ = ["FormatError", "TensorFile", "check_path", "open_tensors", "read_tensors", "write_tensors"]

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class TensorFile:
    """An open file whose header has been verified.

    Attributes
    ----------
    path : str
    version : int
        The format's version.
    kind : str
        What the file holds.
    settings : dict
    tensors : dict of str to array
        Read-only views of the mapping, which lives as long as they do, or arrays in memory.
    checksums : dict of str to str
    blocks : BlockSums or None
        Of a mapped file that was written with them: what compares only those pages that are needed.
    is_mapped : bool
    """

    path: str
    version: int
    kind: str
    settings: dict[str, Any]
    tensors: dict[str, Array]
    checksums: dict[str, str]
    blocks: BlockSums | None = None
    is_mapped: bool = False

    def verify(self, names: Iterable[str] | None = None) -> None:
        """Compare the contents of the arrays `names` (all by default) with their checksums.

        Raises
        ------
        FormatError
            If an array's bytes are not those that were written.
        """
        for name in self.tensors if names is None else names:
            if checksum(self.tensors[name]) != self.checksums[name]:
                raise FormatError(f"{self.path!r} is damaged: the checksum of {name!r} does not fit its contents")


def check_path(path: Path, name: str) -> str:
    """`path` as a str; an error that names the argument if it is no path, one of bytes, or empty."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(f"{name} must be a str or a path of str, got {type(path).__name__}")
    if not os.fspath(path):
        raise ValueError(f"{name} must not be empty")
    return os.fspath(path)


def write_tensors(
    path: Path, kind: str, tensors: Mapping[str, Array], settings: Mapping[str, Any], *, block_sums: bool = False
) -> None:
    """Write arrays and settings to one file, replacing what was there in one step.

    Parameters
    ----------
    path : str or path
    kind : str
        What the file holds; :func:`read_tensors` requires the same kind.
    tensors : mapping of str to array
        Integers or floats of 8 to 64 bits.
    settings : mapping
        Anything JSON can hold, without NaN and infinity.
    block_sums : bool, default=False
        Write a checksum for each page, too, so that who maps the file can verify just what is read of it.

    Raises
    ------
    OSError
        If the file cannot be written, saying why; what was at `path` before is still there.
    """
    target = check_path(path, "path")
    alignment = PAGE if block_sums else ALIGNMENT
    parts = with_padding({name: _plain(name, tensor) for name, tensor in tensors.items()}, alignment)
    if block_sums:
        parts = add_block_sums(parts)
    header = render_header(kind, parts, settings, alignment)
    try:
        _check_target(target)
        replace_file(target, [header, *(_bytes(array) for array in parts.values())])
    except OSError as error:
        raise OSError(error.errno, f"cannot write {target!r}: {error.strerror or error}") from error


def read_tensors(path: Path, kind: str, *, mmap: bool = False) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a file written by :func:`write_tensors` and verify every byte of it.

    Parameters
    ----------
    path : str or path
    kind : str
        What the file must hold.
    mmap : bool
        Return read-only views of the mapped file instead of writable arrays in memory.

    Returns
    -------
    tensors : dict of str to array
    settings : dict

    Raises
    ------
    FormatError
        If the file is damaged, of another kind or made by a newer hashkit.
    OSError
        If it cannot be read.
    """
    file = open_tensors(path, kind, mmap=mmap)
    file.verify()
    return file.tensors, file.settings


def open_tensors(path: Path, kind: str | None = None, *, mmap: bool = True) -> TensorFile:
    """Open a file written by :func:`write_tensors` and verify its header, not yet the arrays' contents.

    Parameters
    ----------
    path : str or path
    kind : str or None
        What the file must hold; None accepts every kind.
    mmap : bool
        Map the arrays instead of reading them.

    Raises
    ------
    FormatError, OSError
        As :func:`read_tensors`.
    """
    path = check_path(path, "path")
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise FormatError(f"{path!r} cannot be read: it is not a regular file")
    with open(path, "rb") as file:
        try:
            header = read_header(file, os.fstat(file.fileno()).st_size, kind)
            start, blocks = file.tell(), None
            if mmap:
                mapping = _mmap.mmap(file.fileno(), 0, access=_mmap.ACCESS_READ)
                tensors = _map_arrays(mapping, start, header.entries)
                blocks = block_sums_of(mapping, start, header.entries, path)
            else:
                tensors = _read_arrays(file, header.entries)
        except FormatError as error:
            raise FormatError(f"{path!r} cannot be read: {error}") from None
    result = TensorFile(path, header.version, header.kind, header.settings, tensors, header.checksums, blocks, mmap)
    padding = [name for name in tensors if name.startswith(PADDING)]
    if BLOCK_SUMS not in tensors:  # where there are checksums of pages those have the padding in them
        result.verify(padding)
    for name in [*padding, BLOCK_SUMS]:
        tensors.pop(name, None)
    return result


def _plain(name: str, tensor: Array) -> Array:
    """`tensor` in C order and little-endian, as it lies in the file."""
    if not isinstance(name, str) or name in ("__metadata__", BLOCK_SUMS) or name.startswith(PADDING):
        raise ValueError(f"{name!r} cannot name an array in a file")
    if not isinstance(tensor, np.ndarray) or tensor.dtype.newbyteorder("<") not in NAMES:
        got = f"array of {tensor.dtype}" if isinstance(tensor, np.ndarray) else type(tensor).__name__
        raise TypeError(f"tensors[{name!r}] must be an array of integers or floats of 8 to 64 bits, got {got}")
    return np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).reshape(tensor.shape)


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _check_target(target: str) -> None:
    folder = os.path.dirname(os.path.realpath(target))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder!r}")


def _map_arrays(mapping: _mmap.mmap, start: int, entries: dict[str, Entry]) -> dict[str, Array]:
    return {
        name: np.frombuffer(mapping, entry.dtype, math.prod(entry.shape), start + entry.begin).reshape(entry.shape)
        if entry.end > entry.begin
        else np.empty(entry.shape, entry.dtype)
        for name, entry in entries.items()
    }


def _read_arrays(file: BufferedReader, entries: dict[str, Entry]) -> dict[str, Array]:
    start = file.tell()
    tensors = {}
    for name, entry in entries.items():
        tensors[name] = tensor = np.empty(entry.shape, entry.dtype)
        file.seek(start + entry.begin)
        if file.readinto(_bytes(tensor)) != tensor.nbytes:
            raise FormatError("it became shorter while it was read")
    return tensors
