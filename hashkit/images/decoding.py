"""Opens untrusted images: one upright RGB picture from any common format, or an error with the reason."""

from __future__ import annotations

import errno
import functools
import importlib
import importlib.util
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from hashkit.extras import install_line
from hashkit.images.budget import PixelBudget
from hashkit.images.colors import to_rgb

__all__ = ["FORMATS", "MAX_PIXELS", "SUFFIXES", "Decoded", "ImageError", "Stamp", "decoded", "open_image", "read_image"]

# What Pillow may try; it opens MPO as JPEG. EPS is left out: Pillow hands it to an external interpreter.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
_ENDINGS = "jpg jpeg jpe jfif png gif webp bmp tif tiff ppm pgm pbm pnm avif mpo jp2"
SUFFIXES = frozenset("." + ending for ending in _ENDINGS.split())
HEIF_SUFFIXES = frozenset({".heic", ".heif"})
_RAW = "arw cr2 cr3 crw dng nef nrw orf pef raf rw2 srw"
RAW_SUFFIXES = frozenset("." + ending for ending in _RAW.split())
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

# A picture with more pixels is refused before it is decoded: a file of a few kilobytes can claim gigabytes. This is
# Pillow's own default for its warning.
MAX_PIXELS = 89_478_485

_ORIENTATION = 0x0112  # of EXIF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_TURNED = {_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}

Source = str | os.PathLike[str] | bytes | BinaryIO

_REASONS = {
    errno.ENOENT: "it is not there: it may have been moved or deleted",
    errno.ENOTDIR: "it is not there: it may have been moved or deleted",
    errno.EACCES: "it may not be read",
    errno.EPERM: "it may not be read",
    errno.ELOOP: "it is a link that leads in a circle",
    errno.EIO: "its disk reports an error",
    errno.ESTALE: "its disk is not connected any more",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "its name is too long",
}


class ImageError(ValueError):
    """A file that is not an image, is damaged, or is too large to decode; the message has the reason."""


@dataclass(frozen=True)
class Stamp:
    """Identifies the state of a file: its size in bytes and its time of modification in nanoseconds."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, eq=False)
class Decoded:
    """A decoded image.

    Attributes
    ----------
    image : PIL.Image.Image of mode RGB
        Upright; a JPEG perhaps smaller than it is.
    stamp : Stamp
        The size and time of the very file that was decoded.
    width, height : int
        Pixels of the upright picture in full.
    """

    image: Image.Image
    stamp: Stamp
    width: int
    height: int


def reason(error: OSError) -> str:
    """Return the reason why a file cannot be read, without its path and the operating system's terms."""
    return _REASONS.get(error.errno or 0, (error.strerror or str(error)).lower())


def read_image(source: Source, *, least_side: int | None = None) -> Image.Image:
    """Decode an image as :func:`open_image` does, without its stamp."""
    return open_image(source, least_side=least_side)[0]


def open_image(source: Source, *, least_side: int | None = None) -> tuple[Image.Image, Stamp]:
    """Decode an image: the first frame, upright by its EXIF orientation, as RGB.

    Transparent pixels are laid over white, CMYK and other color models are converted, and more than 8 bits per channel
    are cut to the upper 8 (or, where a format has no range, stretched from the least to the greatest value).

    Parameters
    ----------
    source : path, bytes or binary file
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
    with decoded(source, least_side=least_side) as found:
        return found.image, found.stamp


@contextmanager
def decoded(
    source: Source,
    *,
    least_side: int | None = None,
    shown_side: int | None = None,
    budget: PixelBudget | None = None,
) -> Iterator[Decoded]:
    """Decode an image like :func:`open_image`, with the same errors; its pixels count as in use until the end.

    Parameters
    ----------
    source : path, bytes or binary file
    least_side : int, optional
        As for :func:`open_image`.
    shown_side : int, optional
        The image is only to be shown with so many pixels on its longer side: it may come smaller than it is, but at
        least twice as large as that.
    budget : PixelBudget, optional
        Where to wait for room for the pixels.
    """
    with _opened(source) as (file, stamp), _recognized(file) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(f"it has {width:,} x {height:,} pixels, more than the {MAX_PIXELS:,} that are decoded")
        with _errors_of_decoders():
            if least_side is not None:
                image.draft("RGB", (least_side, least_side))
            # A progressive JPEG keeps the coefficients of all its pixels, however small it is decoded.
            pixels = width * height if image.info.get("progressive") else image.width * image.height
        with budget.lease(pixels) if budget is not None else nullcontext():
            with _errors_of_decoders():
                image.load()
                transpose = _UPRIGHT.get(_orientation(image))
                factor = 1 if shown_side is None else max(1, max(image.size) // (2 * shown_side))
                picture = to_rgb(image, factor)
            image.close()
            if transpose is not None:
                picture = picture.transpose(transpose)
                if transpose in _TURNED:
                    width, height = height, width
            yield Decoded(picture, stamp, width, height)


@contextmanager
def _opened(source: Source) -> Iterator[tuple[BinaryIO, Stamp]]:
    if isinstance(source, bytes):
        yield io.BytesIO(source), Stamp(len(source), 0)
    elif isinstance(source, (str, os.PathLike)):
        # A named pipe would block in open() without O_NONBLOCK.
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise ImageError("it is not a regular file")
            yield file, Stamp(facts.st_size, facts.st_mtime_ns)
    else:
        # Pillow closes what it reads from: the caller's file stays open.
        with open(os.dup(source.fileno()), "rb") as file:
            size = _size(file)
            file.seek(0)
            yield file, Stamp(size, 0)


@contextmanager
def _recognized(file: BinaryIO) -> Iterator[Image.Image]:
    try:
        image = Image.open(file, formats=formats())
    except UnidentifiedImageError as error:
        raise ImageError(_unknown(file)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"it has more pixels than the {MAX_PIXELS:,} that are decoded") from error
    except Exception as error:  # a damaged header raises almost anything
        raise ImageError(_damaged(error)) from error
    with image:
        yield image


@contextmanager
def _errors_of_decoders() -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on a damaged file
        raise ImageError(_damaged(error)) from error


def suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of files that are opened."""
    return SUFFIXES | HEIF_SUFFIXES if opens_heif() else SUFFIXES


def hint_for(suffix: str) -> str:
    """Return advice, in brackets, about files that are not opened because of their suffix."""
    if suffix in HEIF_SUFFIXES:
        return f" ({install_line('heif')})"
    return " (raw data of a camera: export them as JPEG)" if suffix in RAW_SUFFIXES else ""


def formats() -> tuple[str, ...]:
    """Return the formats that are opened: HEIF too if the package pillow-heif is installed."""
    return (*FORMATS, "HEIF") if opens_heif() else FORMATS


@functools.cache
def opens_heif() -> bool:
    """Whether the extra `heif` is installed; if so, register it with Pillow."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    importlib.import_module("pillow_heif").register_heif_opener()
    return True


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data, intact picture: do not turn it
        return 1


def _unknown(file: BinaryIO) -> str:
    if _size(file) == 0:
        return "it is empty"
    file.seek(0)
    head = file.read(12)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return f"it is a HEIC picture, which needs one more package: {install_line('heif')}"
    return "it is no image of a known format"


def _damaged(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return f"it cannot be read: {reason(error)}"
    text = str(error) or type(error).__name__
    return "it is damaged: its end is missing" if "truncated" in text.lower() else f"it is damaged: {text}"


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
