"""Images as the rows of a hasher: checked, and read as vectors of float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.checks import describe
from hashkit.cosines import Float32
from hashkit.hashers.features import as_array
from hashkit.networks.pictures import Pictures, Rows

_EXPECTED = "X must be images of shape (n, height, width) or (n, channels, height, width)"


class ImageRows:
    """
    Images of one shape, read as rows of their values.

    Attributes
    ----------
    image_shape : tuple of int
        Channels, height, width.
    shape : tuple of int
        Number of images, and of values of each.
    """

    def __init__(self, source: Rows, image_shape: tuple[int, int, int]) -> None:
        self._source, self._pictures = source, Pictures(source)
        self.image_shape = image_shape
        self.shape = (len(source), int(np.prod(image_shape)))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | npt.NDArray[np.int64]) -> Float32:
        """Values of shape (n_rows, n_values)."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        return self.pictures(rows).reshape(len(rows), self.shape[1])

    def pictures(self, rows: npt.NDArray[np.int64]) -> Float32:
        """Images of shape (n_rows, channels, height, width)."""
        found = self._pictures[rows] if len(rows) else np.zeros((0, *self.image_shape))
        if found.shape[1:] != self.image_shape:
            raise ValueError(f"X must be images of shape {self.image_shape}, got one of {found.shape[1:]}")
        with np.errstate(over="ignore"):
            return found.astype(np.float32, copy=False)

    def values(self) -> npt.NDArray[Any]:
        """All values of an array of images, of shape (n, n_values) and the array's type."""
        if not isinstance(self._source, np.ndarray):
            raise ValueError("features must be given where images are read by an object of your own")
        return self._source.reshape(self.shape)


def check_images(X: Any, *, fitting: bool, shape: tuple[int, int, int] | None) -> ImageRows | Float32:
    """
    Images as rows. A fitted hasher also takes rows of their values, floats of shape (n, n_values).

    Raises
    ------
    TypeError, ValueError
        If X is neither images of uint8 or float nor an object that reads them, or if an image has not that shape.
    """
    X = as_array(X)
    if not hasattr(X, "__len__") or not hasattr(X, "__getitem__") or isinstance(X, (str, bytes, dict)):
        raise TypeError(f"{_EXPECTED}, got {describe(X)}")
    X = np.asarray(X) if isinstance(X, (list, tuple)) else X
    if len(X) < 2 and fitting:
        raise ValueError(f"X must have at least 2 images to learn from, got {len(X)}")
    if isinstance(X, np.ndarray) and X.ndim == 2 and shape is not None and X.shape[1] == int(np.prod(shape)):
        _check_dtype(X)
        return np.asarray(X, dtype=np.float32)
    if len(X) == 0 and shape is not None:
        return ImageRows(X, shape)
    first = X[:1] if isinstance(X, np.ndarray) else np.asarray(as_array(X[np.arange(1)]))
    if first.ndim not in (3, 4) or first.size == 0:
        raise ValueError(f"{_EXPECTED}, got {describe(X if isinstance(X, np.ndarray) else first)}")
    _check_dtype(first)
    found = first.shape[1:] if first.ndim == 4 else (1, *first.shape[1:])
    if shape is not None and found != shape:
        raise ValueError(f"X must be images of shape {shape}, got images of {found}")
    return ImageRows(X, found)


def _check_dtype(images: npt.NDArray[Any]) -> None:
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise TypeError(f"X must be images of uint8 or floats, got {images.dtype}")
