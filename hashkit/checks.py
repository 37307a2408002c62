"""Argument checks that every room shares. What is wrong is named: the argument, what was expected and what came."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]

MAX_BITS = 4096
"""The longest code, for hashers and for search."""


def describe(value: object) -> str:
    """What came, for the end of an error message: type, and shape and dtype where it has them."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {tuple(value.shape)} and dtype {value.dtype}"
    if isinstance(value, (bool, int, float, str)):
        return f"{type(value).__name__} {value!r}"
    return type(value).__name__


def is_int(value: object) -> bool:
    """Whether it is an integer of Python or numpy; a bool is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_int(value: Any, name: str, least: int) -> int:
    """`value` as an int of at least `least`."""
    if type(value) is int and value >= least:  # at once, since a query takes only microseconds
        return value
    if not is_int(value):
        raise TypeError(f"{name} must be an int, got {describe(value)}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def check_number(value: Any, name: str, least: float) -> float:
    """`value` as a finite float of at least `least`."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {describe(value)}")
    if not least <= float(value) < math.inf:
        raise ValueError(f"{name} must be finite and at least {least}, got {value}")
    return float(value)


def check_bool(value: object, name: str) -> None:
    """Refuse what is not True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {describe(value)}")


def check_choice(value: object, name: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def check_cut(k: int | None, n_items: int) -> int:
    """The number of ranks that `k` asks for: all for None, never more than there are."""
    if k is None:
        return n_items
    if not is_int(k):
        raise TypeError(f"k must be an int or None, got {describe(k)}")
    return min(check_int(k, "k", 1), n_items)


def check_radius(radius: Any, name: str, n_bits: int) -> int:
    """`radius` as a Hamming distance between codes of `n_bits`: at least 0; beyond `n_bits` it takes in every code."""
    return min(check_int(radius, name, 0), n_bits)


def refuse_mask(array: object, name: str) -> None:
    """Refuse a masked array: what its mask hides would be read like any other value."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must not be a masked array, whose mask would be ignored, got {describe(array)}; "
            "numpy.ma.filled says what stands for the masked values"
        )


def check_n_threads(n_threads: int | None) -> int:
    """The number of threads to use: `n_threads`, or every CPU that this process may use if it is None."""
    if type(n_threads) is int and n_threads >= 1:
        return n_threads
    if n_threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not is_int(n_threads):
        raise TypeError(f"n_threads must be an int or None, got {describe(n_threads)}")
    return check_int(n_threads, "n_threads", 1)


def check_n_bits(n_bits: int, name: str = "n_bits") -> int:
    """`n_bits` as an int between 1 and `MAX_BITS`."""
    if is_int(n_bits) and not 1 <= n_bits <= MAX_BITS:
        raise ValueError(f"{name} must be between 1 and {MAX_BITS}, got {n_bits}")
    return check_int(n_bits, name, 1)


def check_codes(codes: object, name: str, n_bits: int | None = None) -> Codes:
    """Return `codes` if they are a matrix of packed codes.

    Parameters
    ----------
    codes : object
        What the user gave.
    name : str
        The argument's name, for the message.
    n_bits : int, optional
        Length that the codes must have; their padding bits must then be zero.

    Returns
    -------
    codes : uint8 array of shape (n_codes, n_bytes)
        The same object.

    Raises
    ------
    TypeError
        If it is no uint8 array, or a masked one.
    ValueError
        If it does not have two dimensions and 1 to 512 bytes per row, is not C-contiguous, or does not hold `n_bits`.
    """
    refuse_mask(codes, name)
    if not isinstance(codes, np.ndarray) or codes.dtype != np.uint8:
        raise TypeError(f"{name} must be a uint8 array of packed bits, got {describe(codes)}; see hashkit.pack")
    if codes.ndim != 2:
        raise ValueError(f"{name} must have two dimensions (n_codes, n_bytes), got {describe(codes)}")
    if not 1 <= codes.shape[1] <= MAX_BITS // 8:
        raise ValueError(f"{name} must have 1 to {MAX_BITS // 8} bytes per row, got {describe(codes)}")
    if not codes.flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous, got {describe(codes)}; numpy.ascontiguousarray makes a copy")
    if n_bits is not None:
        _check_width(codes, name, n_bits)
    return codes


def _check_width(codes: Codes, name: str, n_bits: int) -> None:
    n_bytes = (n_bits + 7) // 8
    if codes.shape[1] != n_bytes:
        raise ValueError(f"{name} must have {n_bytes} bytes per row for {n_bits} bits, got {describe(codes)}")
    if n_bits % 8 and len(codes):
        padded = np.flatnonzero(codes[:, -1] & (0xFF >> (n_bits % 8)))
        if len(padded):
            raise ValueError(f"{name} must have zero padding after {n_bits} bits, row {padded[0]} has not")
