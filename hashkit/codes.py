"""The code matrix: what packed codes are, how they are made from values and from other formats, and their distances.

Packed codes are a C-contiguous ``uint8`` array of shape ``(n_codes, ceil(n_bits / 8))``, most significant bit first
(the order of :func:`numpy.packbits`), padding bits zero. Codes in another format are converted by name
(``pack(..., format="signs")``), never guessed from a dtype. Rows of another stride are refused, never copied unasked.
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
    from_tensor,
    refuse_mask,
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


def _require_dtypes(values: NDArray[Any], format_name: str, dtypes: Sequence[type]) -> None:
    if values.dtype not in [np.dtype(dtype) for dtype in dtypes]:
        names = ", ".join(np.dtype(dtype).name for dtype in dtypes)
        raise TypeError(f"values must be of dtype {names} in the format {format_name!r}, got {describe(values)}")


_PACKERS: dict[str, Callable[[NDArray[Any], int], Codes]] = {
    "bool": _pack_bool,
    "int8": _pack_int8,
    "int8_offset": _pack_int8_offset,
    "signs": _pack_signs,
    "values": _pack_values,
}


def pack(values: object, *, format: str | None = None, n_threads: int | None = None) -> Codes:
    """Pack values into codes, one bit each.

    Parameters
    ----------
    values : array or torch tensor of shape (n_codes, n_bits), or a sequence of str
        What to pack; must be C-contiguous. bfloat16 is copied to float32.
    format : str, optional
        What the values are:

        - ``"bool"`` (the default for bool arrays): bit = 1 where True.
        - ``"values"`` (the default for floats): float16, float32, float64, bfloat16 or integers; bit = 1 where > 0.
        - ``"signs"``: numbers that are all -1 or 1; bit = 1 where 1.
        - ``"int8"``: bytes of packed bits seen as int8, shape (n_codes, n_bytes).
        - ``"int8_offset"``: bytes of packed bits from which 128 was subtracted, shape (n_codes, n_bytes).
        - ``"hex"``: a sequence, array or column of strings of two hexadecimal digits per byte, all of one length.
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
        If the format is unknown, the shape is not two-dimensional or has no or more than 4,096 columns, the array is
        not C-contiguous, or a value is none of the format's (NaN, a sign other than -1 and 1, a bad digit).
    """
    threads = check_n_threads(n_threads)
    if format == "hex":
        return _from_hex(values)
    if format is not None:
        check_choice(format, "format", sorted([*_PACKERS, "hex"]))
    refuse_mask(values, "values")
    values = from_tensor(values, "values")
    if not isinstance(values, np.ndarray):
        raise TypeError(f"values must be a numpy array or a torch tensor, got {describe(values)}")
    if format is None:
        format = {"b": "bool", "f": "values"}.get(values.dtype.kind)
        if format is None:
            raise TypeError(
                f"values of dtype {values.dtype} could mean several things: say format=, one of {sorted(_PACKERS)}"
            )
    limit = MAX_BITS // 8 if format.startswith("int8") else MAX_BITS
    if values.ndim != 2 or not 1 <= values.shape[1] <= limit:
        raise ValueError(f"values must have two dimensions and 1 to {limit} columns, got {describe(values)}")
    if not values.flags.c_contiguous:
        raise ValueError(f"values must be C-contiguous, got {describe(values)}; numpy.ascontiguousarray makes a copy")
    return _PACKERS[format](values, threads)


_HEX = re.compile("(?:[0-9A-Fa-f]{2})*")  # bytes.fromhex alone would pass over spaces


def _from_hex(values: object) -> Codes:
    if not isinstance(values, Sequence):
        array = to_array(values, "values")
        values = array.tolist() if array is not None and array.ndim == 1 and array.dtype.kind in "OTU" else values
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise TypeError(f"values must be a sequence of str in the format 'hex', got {describe(values)}")
    if not values:
        raise ValueError("values must not be empty in the format 'hex': the length of a code would be unknown")
    rows = []
    for number, text in enumerate(values):
        if not isinstance(text, str) or not _HEX.fullmatch(text):
            raise ValueError(f"values[{number}] must be hexadecimal digits, two for each byte, got {text!r}")
        rows.append(bytes.fromhex(text))
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(f"values[{number}] must have {len(rows[0])} bytes like the first, got {len(rows[-1])}")
    return check_codes(np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1).copy(), "values")


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
