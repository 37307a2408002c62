"""How a picture looks, in 3 kB: enough to tell a copy from a similar picture without decoding it again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["LOOK_SIDE", "Look", "look_at"]

LOOK_SIDE = 32  # what the DCT hash is made of
# Everything is measured on a picture with so many pixels on its longer side at most.
_MEASURED_SIDE = 512
# A border is at most a quarter of a side; JPEG moves its gray values by less than 16 of 256 at quality 30.
_MOST_BORDER, _BORDER_NOISE = 0.25, 16
_CROP = 0.05  # of each side at each end: the inner part is what a crop by a tenth leaves


@dataclass(frozen=True, eq=False)
class Look:
    """A picture's look.

    Attributes
    ----------
    grays : uint8 array of shape (3, 32, 32)
        Gray values of the whole picture, of what is inside its border of one color, and of its inner nine tenths.
    width, height : int
        Its pixels, upright.
    sharpness : float
        Mean absolute Laplacian, as if the longer side had 512 pixels: a smaller copy is less sharp.
    """

    grays: NDArray[np.uint8]
    width: int
    height: int
    sharpness: float


def look_at(image: Image.Image, width: int, height: int) -> Look:
    """The look of an image that may have been decoded smaller than its `width` x `height` pixels."""
    scale = min(1, _MEASURED_SIDE / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    gray = image.convert("L").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    inset = (gray.width * _CROP, gray.height * _CROP, gray.width * (1 - _CROP), gray.height * (1 - _CROP))
    pixels = np.asarray(gray)
    boxes = [(0.0, 0.0, float(gray.width), float(gray.height)), _inside_of_border(pixels), inset]
    return Look(np.stack([_small(gray, box) for box in boxes]), width, height, _sharpness(pixels))


def _small(gray: Image.Image, box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    return np.asarray(gray.resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.LANCZOS, box=box))


def _inside_of_border(pixels: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is inside lines of the color of the edge."""
    height, width = pixels.shape
    color = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]))
    rows, columns = (
        (pixels.min(axis) >= color - _BORDER_NOISE) & (pixels.max(axis) <= color + _BORDER_NOISE) for axis in (1, 0)
    )
    top, bottom = (_run(line, int(height * _MOST_BORDER)) for line in (rows, rows[::-1]))
    left, right = (_run(line, int(width * _MOST_BORDER)) for line in (columns, columns[::-1]))
    return float(left), float(top), float(width - right), float(height - bottom)


def _run(plain: NDArray[np.bool_], most: int) -> int:
    """How many of the first `most` are true before the first that is not."""
    return int(np.append(plain[:most], False).argmin())


def _sharpness(pixels: NDArray[np.uint8]) -> float:
    if min(pixels.shape) < 3:
        return 0.0
    values = pixels.astype(np.int16)
    inner = values[1:-1, 1:-1]
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    # Making a smooth picture s times larger divides its second derivatives by the square of s.
    scale = max(pixels.shape) / _MEASURED_SIDE
    return float(np.abs(around - 4 * inner).mean()) * float(scale * scale)
