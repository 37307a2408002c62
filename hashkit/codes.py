"""The code matrix: what packed codes are, how they are made from values and from other formats, and their distances.

Packed codes are a C-contiguous ``uint8`` array of shape ``(n_codes, ceil(n_bits / 8))``, most significant bit first
(the order of :func:`numpy.packbits`), padding bits zero. Codes in another format are converted by name
(``pack(..., format="signs")``), never guessed from a dtype. :func:`pack` reads rows of any stride, a block at a time;
codes of another stride are refused, never copied unasked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import (
    MAX_BITS,
    Codes,
    check_choice,
    check_codes,
    check_n_bits,
    check_n_threads,
    describe,
    is_int,
    to_array,
)

__all__ = [
    "MAX_BITS",
    "Codes",
    "check_codes",
    "check_n_threads",
    "describe",
    "hamming_distances",
    "pack",
    "unpack",
]


def _pack_positive(values: NDArray[Any], n_threads: int) -> Codes:
    if values.dtype == np.float32:
        return _native.pack_float32(values, n_threads)
    if values.dtype == np.float16:
        return _native.pack_float16(values.view(np.uint16), n_threads)
    not_numbers = np.flatnonzero(np.isnan(values).any(axis=1))
    if len(not_numbers):
        raise ValueError(f"values must be numbers, row {not_numbers[0]} has NaN")
    return _native.pack_bool(np.ascontiguousarray(values > 0), n_threads)


def _pack_bool(values: NDArray[Any], n_threads: int) -> Codes:
    _require_dtypes(values, "bool", [np.bool_])
    return _native.pack_bool(values, n_threads)


def _pack_values(values: NDArray[Any], n_threads: int) -> Codes:
    if values.dtype.kind not in "iu":
        _require_dtypes(values, "values", [np.float16, np.float32, np.float64])
    return _pack_positive(values, n_threads)


def _pack_signs(values: NDArray[Any], n_threads: int) -> Codes:
    _require_dtypes(values, "signs", [np.int8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64])
    if not np.isin(values, [-1, 1]).all():
        raise ValueError("values must be -1 or 1 in the format 'signs'")
    return _pack_positive(values, n_threads)


def _pack_int8(values: NDArray[Any], n_threads: int) -> Codes:
    _require_dtypes(values, "int8", [np.int8])
    return values.view(np.uint8).copy()


def _pack_int8_offset(values: NDArray[Any], n_threads: int) -> Codes:
    _require_dtypes(values, "int8_offset", [np.int8])
    return (values.astype(np.int16) + 128).astype(np.uint8)


def _pack_uint64(values: NDArray[Any], n_threads: int) -> Codes:
    _require_dtypes(values, "uint64", [np.uint64, np.int64])
    return values.astype(">u8").view(np.uint8)  # the most significant byte first; int64 keeps its bits


def _require_dtypes(values: NDArray[Any], format_name: str, dtypes: Sequence[type]) -> None:
    if values.dtype not in [np.dtype(dtype) for dtype in dtypes]:
        names = ", ".join(np.dtype(dtype).name for dtype in dtypes)
        raise TypeError(f"values must be of dtype {names} in the format {format_name!r}, got {describe(values)}")


_PACKERS: dict[str, Callable[[NDArray[Any], int], Codes]] = {
    "bool": _pack_bool,
    "int8": _pack_int8,
    "int8_offset": _pack_int8_offset,
    "signs": _pack_signs,
    "uint64": _pack_uint64,
    "values": _pack_values,
}


# Bits of one value, in the formats where it is not one.
_BITS_PER_VALUE = {"int8": 8, "int8_offset": 8, "uint64": 64}
# Rows that are not contiguous are copied this many bytes at a time.
_COPIED_BYTES = 1 << 24


def pack(values: object, *, format: str | None = None, n_threads: int | None = None) -> Codes:
    """Pack values into codes, one bit each.

    Parameters
    ----------
    values : array, torch tensor, list or column of shape (n_codes, n_bits), or as the format says
        What to pack: a numpy array, a list, a torch tensor on any device, with or without a gradient (bfloat16 is
        copied to float32), or a column of pandas, Polars or Arrow. Rows may have any stride: those that are not
        contiguous are copied, a block at a time.
    format : str, optional
        What the values are:

        - ``"bool"`` (the default for bool arrays): bit = 1 where True.
        - ``"values"`` (the default for floats): float16, float32, float64, bfloat16 or integers; bit = 1 where > 0.
        - ``"signs"``: numbers that are all -1 or 1; bit = 1 where 1.
        - ``"int8"``: bytes of packed bits seen as int8, shape (n_codes, n_bytes).
        - ``"int8_offset"``: bytes of packed bits from which 128 was subtracted, shape (n_codes, n_bytes).
        - ``"uint64"``: 64 bits in one number, the most significant first, shape (n_codes,), or (n_codes, n_words) for
          longer codes; also int64 of the same bits, as databases without unsigned numbers hold them.
        - ``"hex"``: a sequence, array or column of strings of two hexadecimal digits per byte, with or without ``0x``
          before them, all of one length.
    n_threads : int, optional
        Threads; by default every CPU that this process may use.

    Returns
    -------
    codes : uint8 array of shape (n_codes, ceil(n_bits / 8))
        Packed, most significant bit first, padding bits zero.

    Raises
    ------
    TypeError
        If the dtype does not fit the format, or has no default format, or the array is masked.
    ValueError
        If the format is unknown, the shape is not two-dimensional or has no or more than 4,096 columns, or a value is
        none of the format's (NaN, a sign other than -1 and 1, a bad digit).
    """
    threads = check_n_threads(n_threads)
    if format is not None:
        check_choice(format, "format", sorted([*_PACKERS, "hex"]))
    if format == "hex":
        return _from_hex(values)
    array = _large_numbers(values) if format == "uint64" else None
    array = to_array(values, "values") if array is None else array
    if array is None:
        raise TypeError(f"values must be an array, a list, a torch tensor or a column, got {describe(values)}")
    format = _default_format(array) if format is None else format
    if format == "uint64" and array.ndim == 1:
        array = array[:, None]
    limit = MAX_BITS // _BITS_PER_VALUE.get(format, 1)
    if array.ndim != 2 or not 1 <= array.shape[1] <= limit:
        raise ValueError(f"values must have two dimensions and 1 to {limit} columns, got {describe(array)}")
    return _pack_rows(array, _PACKERS[format], threads)


def _large_numbers(values: object) -> NDArray[np.uint64] | None:
    """A list of int of which one needs all 64 bits: numpy would make floats of it. None for anything else."""
    if not isinstance(values, (list, tuple)) or not all(map(is_int, values)) or max(values, default=0) < 2**63:
        return None
    try:
        return np.array(values, np.uint64)
    except OverflowError as error:
        raise ValueError(f"values must be between 0 and 2**64 - 1 in the format 'uint64': {error}") from None


def _default_format(values: NDArray[Any]) -> str:
    """What bool and floats are; a TypeError that names the call which converts for anything else."""
    found = {"b": "bool", "f": "values"}.get(values.dtype.kind)
    if found is not None:
        return found
    if values.dtype.kind in "OSTU":
        raise TypeError(
            f"values are strings: hashkit.pack(values, format='hex') reads hexadecimal, got {describe(values)}"
        )
    if values.ndim == 1 and values.dtype in (np.uint64, np.int64):
        raise TypeError(
            f"values are one number each: hashkit.pack(values, format='uint64') takes 64 bits from each, "
            f"got {describe(values)}"
        )
    raise TypeError(f"values of dtype {values.dtype} could mean several things: say format=, one of {sorted(_PACKERS)}")


def _pack_rows(values: NDArray[Any], packer: Callable[[NDArray[Any], int], Codes], n_threads: int) -> Codes:
    if values.flags.c_contiguous:
        return packer(values, n_threads)
    step = max(1, _COPIED_BYTES // (values.shape[1] * values.itemsize))
    blocks = [values[first : first + step] for first in range(0, max(1, len(values)), step)]
    try:
        return np.concatenate([packer(np.ascontiguousarray(block), n_threads) for block in blocks])
    except ValueError:  # names a row of its block
        return packer(np.ascontiguousarray(values), n_threads)


# bytes.fromhex alone would pass over spaces.
_HEX = re.compile("(?:0[xX])?((?:[0-9A-Fa-f]{2})*)")


def _from_hex(values: object) -> Codes:
    if not isinstance(values, Sequence):
        array = to_array(values, "values")
        is_text = array is not None and array.ndim == 1 and array.dtype.kind in "OSTU"
        if array is not None and is_text:
            values = (np.strings.decode(array, "ascii") if array.dtype.kind == "S" else array).tolist()
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise TypeError(f"values must be a sequence of str in the format 'hex', got {describe(values)}")
    if not values:
        raise ValueError("values must not be empty in the format 'hex': the length of a code would be unknown")
    rows: list[str] = []
    for number, text in enumerate(values):
        digits = _HEX.fullmatch(text) if isinstance(text, str) else None
        if digits is None:
            raise ValueError(f"values[{number}] must be hexadecimal digits, two for each byte, got {text!r}{_PADDING}")
        rows.append(digits[1])
        if len(rows[-1]) != len(rows[0]):
            expected, found = len(rows[0]) // 2, len(rows[-1]) // 2
            raise ValueError(f"values[{number}] must have {expected} bytes like the first, got {found}{_PADDING}")
    packed = np.frombuffer(bytes.fromhex("".join(rows)), np.uint8)
    return check_codes(packed.reshape(len(rows), len(rows[0]) // 2).copy(), "values")


_PADDING = "; f'{number:016x}' keeps the leading zeros of 64 bits, which hex() drops"


def unpack(codes: Codes, n_bits: int | None = None, *, n_threads: int | None = None) -> NDArray[np.bool_]:
    """The bits of packed codes.

    Parameters
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
        Packed codes.
    n_bits : int, optional
        Bits per code, by default all: ``8 * n_bytes``.
    n_threads : int, optional
        Threads; by default every CPU that this process may use.

    Returns
    -------
    bits : bool array of shape (n_codes, n_bits)

    Raises
    ------
    TypeError, ValueError
        If the codes are not packed codes of `n_bits`.
    """
    check_codes(codes, "codes")
    n_bits = 8 * codes.shape[1] if n_bits is None else check_n_bits(n_bits)
    check_codes(codes, "codes", n_bits)
    return _native.unpack(codes, n_bits, check_n_threads(n_threads))


def hamming_distances(a: Codes, b: Codes, *, n_threads: int | None = None) -> NDArray[np.uint16]:
    """Hamming distances between all pairs of two sets of codes.

    Parameters
    ----------
    a, b : uint8 arrays of shapes (n_a, n_bytes) and (n_b, n_bytes)
        Packed codes of one length.
    n_threads : int, optional
        Threads; by default every CPU that this process may use.

    Returns
    -------
    distances : uint16 array of shape (n_a, n_b)

    Raises
    ------
    TypeError, ValueError
        If they are not packed codes, or differ in length.
    """
    check_codes(a, "a")
    check_codes(b, "b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"b must have {a.shape[1]} bytes per row like a, got {describe(b)}")
    return _native.hamming_distances(a, b, check_n_threads(n_threads))
