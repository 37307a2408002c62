"""Pixels of any color model as 8 bits of red, green and blue, in strips: a large picture is not held several times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Color models whose mean is right: with transparency Pillow weights by it.
_REDUCED_FIRST = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")
STRIP_PIXELS = 1 << 20  # a strip and its copies take some 16 MB


def to_rgb(image: Image.Image, factor: int = 1) -> Image.Image:
    """A loaded image as RGB, transparent pixels over white, both sides divided by `factor` (rounded up)."""
    convert = _converter(image)
    if factor == 1 and image.width * image.height <= STRIP_PIXELS:
        return convert(image)
    result = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for top, strip in _strips(image, factor):
        if factor > 1 and image.mode in _REDUCED_FIRST:
            part = convert(strip.reduce(factor))
        else:
            part = convert(strip).reduce(factor)
        result.paste(part, (0, top // factor))
    return result


def _strips(image: Image.Image, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Strips over the whole width, and where they begin; of a height that is a multiple of a number."""
    rows = -(-max(1, STRIP_PIXELS // image.width) // multiple) * multiple
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    if image.mode.startswith("I") or image.mode == "F":
        scale = _scale(image)
        return lambda strip: Image.fromarray(scale(np.asarray(strip))).convert("RGB")
    if image.mode == "P" or image.has_transparency_data:
        return _over_white
    return lambda strip: strip.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _scale(image: Image.Image) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """What brings gray values of 16 or 32 bits, or floats, to 8 bits; it depends on all of them."""
    arrays = (np.asarray(strip) for _, strip in _strips(image))
    extremes = [(values.dtype, *_extremes(values)) for values in arrays]
    dtype, low, high = extremes[0][0], min(e[1] for e in extremes), max(e[2] for e in extremes)
    if dtype.kind in "iu" and low >= 0 and high <= 0xFFFF:
        wide = dtype.itemsize == 2 or high > 0xFF
        return lambda values: np.asarray(values >> 8 if wide else values, np.uint8)
    span = (high - low) or 1.0

    def stretch(values: NDArray[Any]) -> NDArray[np.uint8]:
        return np.rint((_finite(values) - low) * 255 / span).astype(np.uint8)

    return stretch


def _extremes(values: NDArray[Any]) -> tuple[float, float]:
    finite = _finite(values)
    return float(finite.min()), float(finite.max())


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
