"""Small pictures, made when they are first asked for and kept beside the index; larger ones, made every time."""

from __future__ import annotations

import contextlib
import io
import os

from PIL import Image

from hashkit.images.decoding import ImageError, open_image
from hashkit.images.gallery import Gallery, Photo
from hashkit.storage.replacing import Replacement

THUMBNAIL_SIDE, ASKED_SIDE, PREVIEW_SIDE = 256, 512, 1600


def thumbnail(gallery: Gallery, photo: Photo) -> bytes:
    """A JPEG of at most 256 x 256 pixels; see :func:`preview` for what is raised."""
    path = os.path.join(gallery.path, "thumbnails", str(photo.id // 1000), f"{photo.id}.jpg")
    try:
        # A thumbnail has the time of the file it was made from.
        if os.stat(path).st_mtime_ns == photo.stamp.mtime_ns:
            with open(path, "rb") as file:
                return file.read()
    except OSError:  # none yet
        pass
    data = _shrunk(gallery, photo, THUMBNAIL_SIDE)
    _keep(path, data, photo.stamp.mtime_ns)
    return data


def preview(gallery: Gallery, photo: Photo) -> bytes:
    """A JPEG of at most 1600 x 1600 pixels. It is drawn anew: the bytes of the file itself are never handed out.

    Raises
    ------
    ImageError
        If the file is not the one that was indexed any more.
    OSError
        If it cannot be opened.
    """
    return _shrunk(gallery, photo, PREVIEW_SIDE)


def shrink(image: Image.Image, side: int) -> bytes:
    """A JPEG of `image`, made smaller where a side is longer than `side`."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=82)
    return file.getvalue()


def _shrunk(gallery: Gallery, photo: Photo, side: int) -> bytes:
    image, stamp = open_image(gallery.file_of(photo), least_side=side)
    if stamp != photo.stamp:
        raise ImageError("it has changed since it was indexed")
    return shrink(image, side)


def _keep(path: str, data: bytes, mtime_ns: int) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written is only slower
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with Replacement(path, durable=False) as new:
            new.file.write(data)
            new.file.flush()
            os.utime(new.path, ns=(mtime_ns, mtime_ns))
