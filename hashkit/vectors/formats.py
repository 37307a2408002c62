"""Quantized embeddings as services and databases hand them out, by name, in and out; and int8 with its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes, check_choice, check_codes, check_n_bits, describe
from hashkit.codes import pack
from hashkit.storage import FormatError, Path, read_tensors, write_tensors
from hashkit.vectors.rows import Float32, as_vectors, blocks_of

FORMATS = ("ubinary", "binary", "int8", "hex", "bits", "lsb")
CALIBRATION_KIND = "calibration"


def from_format(values: Any, format: str) -> Codes:
    """Packed codes from another format.

    Parameters
    ----------
    values : array or sequence of str
        In the format.
    format : {"ubinary", "binary", "int8", "hex", "bits", "lsb"}
        - ``"ubinary"``: uint8 packed bits, most significant first, as embedding services name it; hashkit's own.
        - ``"binary"``: int8, the same bytes with 128 subtracted.
        - ``"int8"``: int8, the same bytes seen as signed numbers.
        - ``"hex"``: strings of two hexadecimal digits a byte.
        - ``"bits"``: strings of the digits 0 and 1, as PostgreSQL prints its type ``bit``.
        - ``"lsb"``: uint8 packed bits, least significant first, as ``numpy.packbits(bitorder="little")`` makes them.

    Returns
    -------
    codes : uint8 array of shape (n_codes, n_bytes)

    Raises
    ------
    TypeError, ValueError
        If the format is unknown, or the values are not in it.
    """
    check_choice(format, "format", FORMATS)
    if format in ("ubinary", "lsb"):
        codes = check_codes(values, "values")
        return codes if format == "ubinary" else _reversed_bits(codes)
    if format == "bits":
        return _from_bits(values)
    return pack(values, format={"binary": "int8_offset"}.get(format, format))


def to_format(codes: Codes, format: str, n_bits: int | None = None) -> Any:
    """Packed codes in another format, as :func:`from_format` reads it.

    Parameters
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
    format : str
        As for :func:`from_format`.
    n_bits : int, optional
        Length of the codes, by default ``8 * n_bytes``; what ``"bits"`` writes.

    Returns
    -------
    values : uint8 or int8 array of shape (n_codes, n_bytes), or list of str

    Raises
    ------
    TypeError, ValueError
        If the format is unknown, or they are not codes of `n_bits`.
    """
    check_choice(format, "format", FORMATS)
    n_bits = None if n_bits is None else check_n_bits(n_bits)
    codes = check_codes(codes, "codes", n_bits)
    if format == "hex":
        return [code.tobytes().hex() for code in codes]
    if format == "bits":
        digits = np.unpackbits(codes, axis=1, count=n_bits) + ord("0")
        return [row.tobytes().decode("ascii") for row in digits]
    if format == "binary":
        return (codes.astype(np.int16) - 128).astype(np.int8)
    if format == "int8":
        return codes.view(np.int8).copy()
    return codes if format == "ubinary" else _reversed_bits(codes)


def _reversed_bits(codes: Codes) -> Codes:
    return np.packbits(np.unpackbits(codes, axis=1, bitorder="little"), axis=1)


def _from_bits(values: Any) -> Codes:
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not values:
        raise TypeError(f"values must be a sequence of str, not empty, in the format 'bits', got {describe(values)}")
    for number, text in enumerate(values):
        if not isinstance(text, str) or not text or set(text) - {"0", "1"}:
            raise ValueError(f"values[{number}] must be digits 0 and 1, got {text!r}")
        if len(text) != len(values[0]):
            raise ValueError(f"values[{number}] must have {len(values[0])} digits like the first, got {len(text)}")
    digits = np.frombuffer("".join(values).encode("ascii"), np.uint8).reshape(len(values), -1) - ord("0")
    return check_codes(np.packbits(digits, axis=1), "values")


@dataclass(frozen=True, eq=False)
class Int8Calibration:
    """What int8 embeddings with an offset stand for: ``(value + 128) * step + start`` in every dimension.

    As embedding libraries quantize: the range of each dimension in a calibration set is cut into 255 steps. Codes mean
    nothing without the calibration they were made with, so keep it beside them.

    Attributes
    ----------
    starts, steps : float32 arrays of shape (n_dims,)
    """

    starts: Float32
    steps: Float32

    @classmethod
    def fit(cls, vectors: Any) -> Int8Calibration:
        """From the range of each dimension over finite vectors, of which there must be one.

        Raises
        ------
        TypeError, ValueError
            If they are not vectors as :func:`hashkit.rescore` takes them.
        """
        stored = as_vectors(vectors, "vectors")
        if not len(stored):
            raise ValueError("vectors must have at least one row to calibrate with, got none")
        low, high = np.full(stored.n_dims, np.inf, np.float32), np.full(stored.n_dims, -np.inf, np.float32)
        for _, block in blocks_of(stored, "vectors"):
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        steps = (high - low) / np.float32(255)
        return cls(low, np.where(steps > 0, steps, np.float32(1)).astype(np.float32))

    def encode(self, vectors: Any) -> NDArray[np.int8]:
        """int8 of vectors; values outside the calibrated range become its ends."""
        stored = as_vectors(vectors, "vectors")
        self._require_width(stored.data, "vectors")
        codes = np.empty(stored.data.shape, np.int8)
        for first, block in blocks_of(stored, "vectors"):
            levels = np.rint((block - self.starts) / self.steps) - 128
            codes[first : first + len(block)] = np.clip(levels, -128, 127)
        return codes

    def decode(self, codes: NDArray[np.int8]) -> Float32:
        """The float32 values that int8 codes stand for."""
        if not isinstance(codes, np.ndarray) or codes.dtype != np.int8 or codes.ndim != 2:
            raise TypeError(f"codes must be an int8 array of shape (n_rows, n_dims), got {describe(codes)}")
        self._require_width(codes, "codes")
        return (codes.astype(np.float32) + 128) * self.steps + self.starts

    def save(self, path: Path) -> None:
        """Write to a file that :meth:`load` reads."""
        write_tensors(path, CALIBRATION_KIND, {"starts": self.starts, "steps": self.steps}, {})

    @classmethod
    def load(cls, path: Path) -> Int8Calibration:
        """A calibration that was saved.

        Raises
        ------
        hashkit.storage.FormatError
            If the file is damaged, or holds none.
        """
        tensors, _ = read_tensors(path, CALIBRATION_KIND)
        starts, steps = tensors.get("starts"), tensors.get("steps")
        fits = starts is not None and steps is not None and starts.shape == steps.shape and starts.ndim == 1
        if starts is None or steps is None or not fits or {starts.dtype, steps.dtype} != {np.dtype(np.float32)}:
            raise FormatError(f"{path!r} holds no calibration")
        if not (np.isfinite(starts).all() and np.isfinite(steps).all() and (steps > 0).all()):
            raise FormatError(f"{path!r} holds no calibration: its steps must be finite and positive")
        return cls(starts, steps)

    def _require_width(self, rows: NDArray[Any], name: str) -> None:
        if rows.shape[1] != len(self.steps):
            raise ValueError(
                f"{name} must have the {len(self.steps)} dimensions of the calibration, got {describe(rows)}"
            )
