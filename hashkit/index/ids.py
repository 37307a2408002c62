"""Ids: the numbers that users give their codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import describe, is_int, to_array

Ids = NDArray[np.int64]

MAX_ID = int(np.iinfo(np.int64).max)


def check_ids(ids: Any, name: str, n_codes: int | None = None) -> Ids:
    """Return `ids` as a one-dimensional C-contiguous int64 array, without checking that they are distinct.

    Parameters
    ----------
    ids : array, column of pandas, Polars or Arrow, or sequence of int, or one int
        What the user gave: int64, or another type of integers whose values fit.
    name : str
        The argument's name, for the message.
    n_codes : int, optional
        How many there must be.

    Returns
    -------
    ids : int64 array of shape (n,)
        The same object if it is such an array already, and else a copy.

    Raises
    ------
    TypeError
        If it is no array of integers, or a masked one.
    ValueError
        If it does not have one dimension, or not `n_codes` elements, or an id does not fit int64.
    """
    if is_int(ids) and not -MAX_ID - 1 <= ids <= MAX_ID:
        raise ValueError(f"{name} must fit int64, got {ids}")
    array = np.array([ids]) if is_int(ids) else to_array(ids, name)
    if array is None or not holds_integers(array):
        raise TypeError(f"{name} must be an int64 array, got {describe(ids if array is None else array)}")
    if array.ndim != 1 or n_codes not in (None, len(array)):
        expected = "one dimension" if n_codes is None else f"shape ({n_codes},), one for each code"
        raise ValueError(f"{name} must have {expected}, got {describe(array)}")
    if array.dtype == np.uint64 and len(array) and array.max() > MAX_ID:
        raise ValueError(f"{name} must fit int64, got {array.max()}")
    return np.require(array, np.int64, ["C_CONTIGUOUS", "ALIGNED"])


def holds_integers(array: NDArray[Any]) -> bool:
    """Whether the dtype is an integer type, or the array is empty as ``np.array([])`` is."""
    return array.dtype.kind in "iu" or (array.size == 0 and array.dtype == np.float64)


def check_different(ids: Ids, name: str) -> None:
    """Raise a ValueError that names an id that is repeated, if there is one."""
    if not is_ascending(ids):
        ordered = np.sort(ids)
        twice = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(twice):
            raise ValueError(f"{name} must be different, {ordered[twice[0]]} comes twice")


def is_ascending(ids: Ids) -> bool:
    """Whether each id is larger than the one before it."""
    return bool(np.all(ids[1:] > ids[:-1]))


def name_some(ids: Ids) -> str:
    """List the first few of `ids` for a message."""
    shown = ", ".join(str(number) for number in ids[:5])
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5} more"
