"""The header of a hashkit file: writing, and the checks before an untrusted file becomes arrays."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

VERSION = 1
ALIGNMENT = 64
PAGE = 4096
PADDING = "__padding_"
BLOCK_SUMS = "__block_sums__"
MAX_HEADER_BYTES = 1 << 20
MAX_DIMENSIONS = 8
MAX_LENGTH = 1 << 48

DTYPES = {
    "U8": "|u1",
    "I8": "|i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}

Array = np.ndarray[Any, np.dtype[Any]]


class FormatError(ValueError):
    """The file is not what it should be: damaged, of another kind, or made by a newer hashkit."""


@dataclass(frozen=True)
class Entry:
    """Where one array lies: `dtype`, `shape`, its first byte and the one after its last, from the header's end."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """The contents of a header, checked: offsets lie inside the file, and the checksum is right."""

    version: int
    kind: str
    settings: dict[str, Any]
    entries: dict[str, Entry]
    checksums: dict[str, str]


def with_padding(tensors: dict[str, Array], alignment: int = ALIGNMENT) -> dict[str, Array]:
    """`tensors` with an array of zeros wherever the next one would not begin at a multiple of `alignment`."""
    parts: dict[str, Array] = {}
    offset = 0
    for name, tensor in tensors.items():
        gap = -offset % alignment
        if gap and tensor.size:
            parts[f"{PADDING}{len(parts)}__"] = np.zeros(gap, np.uint8)
            offset += gap
        parts[name] = tensor
        offset += tensor.nbytes
    return parts


def render_header(kind: str, parts: dict[str, Array], settings: Mapping[str, Any], alignment: int = ALIGNMENT) -> bytes:
    """The length and the JSON header, padded with spaces so that the arrays begin at a multiple of `alignment`."""
    header: dict[str, Any] = {
        "__metadata__": {
            "format": "hashkit",
            "version": str(VERSION),
            "kind": kind,
            "settings": json.dumps(dict(settings), allow_nan=False),
            "checksums": json.dumps({name: checksum(array) for name, array in parts.items()}),
        }
    }
    offset = 0
    for name, array in parts.items():
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    header["__metadata__"]["header_checksum"] = _header_checksum(header)
    text = _compact(header)
    text += b" " * (-(8 + len(text)) % alignment)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"settings and array names must fit in a header of {MAX_HEADER_BYTES} bytes, got {len(text)}")
    return len(text).to_bytes(8, "little") + text


def read_header(file: BinaryIO, size: int, kind: str | None) -> Header:
    """Read and check the header of a file of `size` bytes; leaves `file` where the arrays begin.

    Raises
    ------
    FormatError
        With the reason, which the caller completes by the file's name.
    """
    if size < 8:
        raise FormatError(f"it has {size} bytes, too few to be a hashkit file")
    n_bytes = int.from_bytes(file.read(8), "little")
    if n_bytes > min(size - 8, MAX_HEADER_BYTES):
        raise FormatError(f"it is no hashkit file, or cut off: a header of {n_bytes} bytes in a file of {size}")
    header = _parse_object(file.read(n_bytes), "header")
    metadata = _check_metadata(header)
    entries = {
        name: _check_entry(name, entry, size - 8 - n_bytes) for name, entry in header.items() if entry is not metadata
    }
    _check_coverage(entries, size - 8 - n_bytes)
    if metadata["header_checksum"] != _header_checksum(header):
        raise FormatError("its header is damaged")
    checksums = _parse_object(metadata["checksums"], "checksums")
    if checksums.keys() != entries.keys():
        raise FormatError("its checksums are not those of its arrays")
    if kind is not None and metadata["kind"] != kind:
        raise FormatError(f"it holds {metadata['kind']!r}, not {kind!r}")
    settings = _parse_object(metadata["settings"], "settings")
    return Header(int(metadata["version"]), metadata["kind"], settings, entries, checksums)


def _check_metadata(header: dict[str, Any]) -> dict[str, str]:
    """The metadata of a header made by this or an older hashkit."""
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FormatError("its header has no metadata: it was not made by hashkit")
    if metadata.get("format") != "hashkit":
        raise FormatError("it was not made by hashkit")
    version = metadata.get("version", "")
    if not version.isascii() or not version.isdigit() or len(version) > 9:
        raise FormatError("its format version is missing or not a number")
    if int(version) > VERSION:
        raise FormatError(f"it was made by a newer hashkit: it has format version {version}, this one reads {VERSION}")
    if int(version) < 1 or {"kind", "settings", "checksums", "header_checksum"} - metadata.keys():
        raise FormatError("its metadata is incomplete")
    return metadata


def _check_entry(name: str, entry: Any, n_bytes: int) -> Entry:
    """Where the array `name` lies among `n_bytes` bytes of arrays."""
    try:
        dtype, shape, (begin, end) = np.dtype(DTYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
    except (KeyError, TypeError, ValueError):
        raise FormatError(f"the entry of {name!r} is malformed") from None
    if len(entry) != 3 or len(shape) > MAX_DIMENSIONS or not all(type(number) is int for number in numbers):
        raise FormatError(f"the entry of {name!r} is malformed")
    if not 0 <= begin <= end <= n_bytes:
        raise FormatError(f"{name!r} lies outside the file")
    # Bounded one by one before they are multiplied: numpy refuses an empty array with dimensions beyond any memory.
    fits = all(0 <= length < MAX_LENGTH for length in shape)
    if not fits or math.prod(max(1, length) for length in shape) > MAX_LENGTH:
        raise FormatError(f"the shape of {name!r} is beyond any file")
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise FormatError(f"shape and offsets of {name!r} contradict each other")
    return Entry(dtype, tuple(shape), begin, end)


def _check_coverage(entries: dict[str, Entry], n_bytes: int) -> None:
    """Arrays lie back to back and fill the file: no overlap, no hole, nothing behind the last one."""
    at = 0
    for entry in sorted(entries.values(), key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != at:
            raise FormatError("its arrays overlap or leave holes")
        at = entry.end
    if at != n_bytes:
        raise FormatError(f"it has {n_bytes} bytes of arrays, its header lists {at}")


def _parse_object(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object from `text`, refusing repeated keys."""
    try:
        parsed = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"its {what} is no JSON ({type(error).__name__})") from None
    if not isinstance(parsed, dict):
        raise FormatError(f"its {what} is no JSON object")
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is repeated")
    return result


def checksum(data: Any) -> str:
    return f"{zlib.crc32(data):08x}"


def _header_checksum(header: dict[str, Any]) -> str:
    metadata = {key: value for key, value in header["__metadata__"].items() if key != "header_checksum"}
    return checksum(_compact({**header, "__metadata__": metadata}))


def _compact(header: Any) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode()
