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
        Without a `format`: packed codes, a number of 64 bits for each row, or its hexadecimal digits. Digits that are
        all decimal are refused: they could be either.
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
        if format == "hex" and _look_decimal(values):
            raise ValueError(
                f"{name} holds decimal digits alone, such as {values[0]!r}: give the format 'uint64' for numbers of 64 "
                "bits, or 'hex' for hexadecimal digits"
            )
    if format is None:
        return check_codes(values, name)
    try:
        return pack(values, format=format)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def _look_decimal(values: NDArray[Any]) -> bool:
    """Whether no digit is above 9 among so many that random hexadecimal ones would not do so once in 10**13 blocks.

    Codes with few bits set may: their digits are 0, 1, 2, 4 and 8.
    """
    digits = "".join(value for value in values.tolist() if isinstance(value, str))
    return len(digits) >= 64 and digits.isdecimal() and not {*digits} <= {*"01248"}
