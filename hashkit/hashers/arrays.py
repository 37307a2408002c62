"""The arrays of a hasher's file: which there must be, of what shape, and what they may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FILE_KIND = "hasher"

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Expected:
    """
    What an array must be.

    Attributes
    ----------
    dtype : type of numpy
    shape : tuple of int
        -1 stands for any length.
    least : float
        No value may be smaller.
    finite : bool
        Whether NaN, which stands for "not measured", is refused; infinity always is.
    """

    dtype: Any
    shape: tuple[int, ...]
    least: float = -np.inf
    finite: bool = True


def check_arrays(arrays: Arrays, expected: Mapping[str, Expected]) -> None:
    """
    Refuse arrays that are not those expected, by name.

    Raises
    ------
    ValueError
        If one is missing, or there by mistake, of another dtype or shape, or holds a value that cannot be.
    """
    for name in sorted({*arrays, *expected}):
        if name not in arrays or name not in expected:
            raise ValueError(f"{name} is {'missing' if name in expected else 'no array of such a hasher'}")
    for name, want in expected.items():
        _check_array(arrays[name], name, want)


def _check_array(array: npt.NDArray[Any], name: str, want: Expected) -> None:
    if array.dtype != want.dtype:
        raise ValueError(f"{name} must be of dtype {np.dtype(want.dtype)}, got {array.dtype}")
    fits = array.ndim == len(want.shape) and all(n in (-1, m) for n, m in zip(want.shape, array.shape, strict=True))
    if not fits:
        shape = f"({', '.join('any' if n == -1 else str(n) for n in want.shape)})"
        raise ValueError(f"{name} must be of shape {shape}, got {array.shape}")
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array) if want.finite else np.isinf(array)
        if bad.any():
            raise ValueError(f"{name} must be finite, got {array[bad][0]}")
    if (array < want.least).any():
        raise ValueError(f"{name} must be at least {want.least}, got {array[array < want.least][0]}")


def length_of(arrays: Arrays, name: str) -> int:
    """Length of a vector among the arrays, by which others are measured; -1, any, if it is missing or no vector."""
    found = arrays.get(name)
    return len(found) if found is not None and found.ndim == 1 else -1
