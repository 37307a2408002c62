"""Images as networks take them: floats from 0 to 1, with a channel. Needs no torch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Rows(Protocol):
    """Anything with a length whose rows are taken by an array of row numbers: arrays, memory maps, image readers."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Any: ...


class Pictures:
    """Images whose uint8 values become floats from 0 to 1, and which get one channel if they have none."""

    def __init__(self, images: Rows) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> npt.NDArray[Any]:
        taken = np.asarray(self._images[rows])
        taken = taken[:, None] if taken.ndim == 3 else taken
        return np.divide(taken, 255, dtype=np.float32) if taken.dtype == np.uint8 else taken


def as_pictures(images: Rows) -> Rows:
    """`Pictures` of an array that needs it; anything else as it came."""
    is_raw = isinstance(images, np.ndarray) and (images.ndim == 3 or images.dtype == np.uint8)
    return Pictures(images) if is_raw else images
