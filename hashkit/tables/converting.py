"""Columns of codes in the forms that files hold, as packed codes."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from hashkit.checks import Codes, check_codes
from hashkit.codes import pack


def to_codes(values: NDArray[Any], name: str, format: str | None = None) -> Codes:
    """Packed codes of a block of a file.

    Parameters
    ----------
    values : array of shape (n,) or (n, n_columns)
        Without a `format`: packed codes, a number of 64 bits for each row, or its hexadecimal digits.
    name : str
        Of the file, for messages.
    format : str, optional
        One of :func:`hashkit.pack`'s.

    Returns
    -------
    codes : uint8 array of shape (n, n_bytes)

    Raises
    ------
    TypeError, ValueError
        If they are no codes of that format.
    """
    if format is None and values.ndim == 1:
        format = "hex" if values.dtype.kind in "OSTU" else "uint64"
    if format is None:
        return check_codes(values, name)
    try:
        return pack(values, format=format)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
