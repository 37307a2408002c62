"""Small pictures, made on first use and stored beside the index; larger ones, made each time."""

from __future__ import annotations

import contextlib
import io
import os

from PIL import Image

from hashkit.images.budget import PixelBudget
from hashkit.images.decoding import ImageError, decoded
from hashkit.images.gallery import Gallery
from hashkit.images.photos import Photo
from hashkit.storage.replacing import Replacement

THUMBNAIL_SIDE, ASKED_SIDE, PREVIEW_SIDE = 256, 512, 1600


def thumbnail(gallery: Gallery, photo: Photo, budget: PixelBudget | None = None) -> bytes:
    """A JPEG of at most 256 x 256 pixels; see :func:`preview` for `budget` and what is raised."""
    path = os.path.join(gallery.path, "thumbnails", str(photo.id // 1000), f"{photo.id}.jpg")
    try:
        # A thumbnail has the time of the file it was made from.
        if os.stat(path).st_mtime_ns == photo.stamp.mtime_ns:
            with open(path, "rb") as file:
                return file.read()
    except OSError:  # none yet
        pass
    data = _shrunk(gallery, photo, THUMBNAIL_SIDE, budget)
    _keep(path, data, photo.stamp.mtime_ns)
    return data


def preview(gallery: Gallery, photo: Photo, budget: PixelBudget | None = None) -> bytes:
    """A JPEG of at most 1600 x 1600 pixels. It is drawn anew: the bytes of the file itself are never handed out.

    Parameters
    ----------
    gallery : Gallery
    photo : Photo
    budget : PixelBudget, optional
        Where to wait for room for the picture's pixels.

    Raises
    ------
    ImageError
        If the file is not the one that was indexed any more.
    OSError
        If it cannot be opened.
    """
    return _shrunk(gallery, photo, PREVIEW_SIDE, budget)


def full(gallery: Gallery, photo: Photo, budget: PixelBudget | None = None) -> bytes:
    """A JPEG of all pixels, drawn anew; see :func:`preview`."""
    return _shrunk(gallery, photo, None, budget)


def shrink(image: Image.Image, side: int) -> bytes:
    """A JPEG of `image`, made smaller where a side is longer than `side`."""
    small = image
    if max(image.size) > side:
        scale = side / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=82)
    return file.getvalue()


def _shrunk(gallery: Gallery, photo: Photo, side: int | None, budget: PixelBudget | None) -> bytes:
    with decoded(gallery.file_of(photo), least_side=side, shown_side=side, budget=budget) as found:
        if found.stamp != photo.stamp:
            raise ImageError("it has changed since it was indexed")
        return shrink(found.image, side or max(found.image.size))


def _keep(path: str, data: bytes, mtime_ns: int) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written is only slower
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with Replacement(path, durable=False) as new:
            new.file.write(data)
            new.file.flush()
            os.utime(new.path, ns=(mtime_ns, mtime_ns))
