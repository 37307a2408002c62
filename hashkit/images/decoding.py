"""Opening images from anybody: one upright RGB picture out of any common format, or an error that says why."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = ["FORMATS", "MAX_PIXELS", "SUFFIXES", "ImageError", "Stamp", "open_image", "read_image"]

# What Pillow may try; it opens MPO as JPEG. EPS is left out: Pillow hands it to an external interpreter.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
_ENDINGS = "jpg jpeg jpe jfif png gif webp bmp tif tiff ppm pgm pbm pnm avif mpo jp2"
SUFFIXES = frozenset("." + ending for ending in _ENDINGS.split())

# A picture with more pixels is refused before it is decoded: a file of a few kilobytes can claim gigabytes. This is
# Pillow's own default for its warning.
MAX_PIXELS = 89_478_485

Source = str | os.PathLike[str] | bytes


class ImageError(ValueError):
    """A file that is no image, is damaged, or is too large to decode; the message says which."""


@dataclass(frozen=True)
class Stamp:
    """What tells that a file has changed: its size in bytes and its time of modification in nanoseconds."""

    size: int
    mtime_ns: int


def read_image(source: Source, *, least_side: int | None = None) -> Image.Image:
    """Decode an image as :func:`open_image` does, without its stamp."""
    return open_image(source, least_side=least_side)[0]


def open_image(source: Source, *, least_side: int | None = None) -> tuple[Image.Image, Stamp]:
    """Decode an image: the first frame, upright by its EXIF orientation, as RGB.

    Transparent pixels are laid over white, CMYK and other color models are converted, and more than 8 bits per channel
    are cut to the upper 8 (or, where a format has no range, stretched from the least to the greatest value).

    Parameters
    ----------
    source : path or bytes
        A file, or the contents of one.
    least_side : int, optional
        A JPEG may be decoded smaller than it is, at 1/2, 1/4 or 1/8, as long as both sides keep this many pixels.

    Returns
    -------
    image : PIL.Image.Image of mode RGB
    stamp : Stamp
        The size and time of the very file that was decoded.

    Raises
    ------
    ImageError
        If it is no image, is damaged, has more than `MAX_PIXELS` pixels, or is no regular file.
    OSError
        If the file cannot be opened.
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), least_side), Stamp(len(source), 0)
    # A named pipe would block in open() without O_NONBLOCK.
    descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ImageError("it is not a regular file")
        return _decode(file, least_side), Stamp(facts.st_size, facts.st_mtime_ns)


def _decode(file: BinaryIO, least_side: int | None) -> Image.Image:
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(_too_large(f"{width} x {height} pixels"))
            if least_side is not None:
                image.draft("RGB", (least_side, least_side))
            image.load()
            return _to_rgb(_upright(image))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("it is no image of a known format" if _size(file) else "it is empty") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_too_large("many more pixels")) from error
    except Exception as error:  # Pillow's decoders raise almost anything on a damaged file
        raise ImageError(f"it is damaged: {error or type(error).__name__}") from error


def _too_large(claim: str) -> str:
    return f"it claims {claim}, more than the {MAX_PIXELS:,} that are decoded"


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data around a whole picture: show it as it lies
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    if image.mode == "P" or image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _to_8_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Gray values of 16 or 32 bits, or floats, as 8 bits."""
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind in "iu" and low >= 0 and high <= 0xFFFF:
        wide = pixels.dtype.itemsize == 2 or high > 0xFF
        return np.asarray(pixels >> 8 if wide else pixels, np.uint8)
    values = np.nan_to_num(pixels.astype(np.float64), posinf=0.0, neginf=0.0)
    span = np.ptp(values)
    stretched: NDArray[np.float64] = (values - values.min()) * 255 / (span or 1)
    return np.rint(stretched).astype(np.uint8)
