"""Perceptual hashes: 64 bits of how an image looks. Resizing, compression and small retouches change few of them.

Both are defined to the last bit, in whole numbers, so that they are the same on every machine. Each is eight bytes, bit
j of byte i (the most significant first) being the one that the definition calls (i, j); as hexadecimal digits they
read like those of the package ``imagehash``, from whose ``phash`` and ``dhash`` they differ only where its floating
point cannot decide.

Gray
    ``L = (19595 R + 38470 G + 7471 B + 32768) >> 16`` of each pixel, then resized by Pillow with the Lanczos filter.
DCT hash (:func:`dct_hash`)
    Gray at 32 x 32 pixels, g(y, x). The discrete cosine transform of type II,
    ``F(i, j) = sum over y, x of c(i, y) g(y, x) c(j, x)`` with ``c(i, y) = round(2**20 cos(pi i (2 y + 1) / 64))``, for
    i, j = 0 ... 7: i counts vertical waves, j horizontal ones. Bit (i, j) is 1 where F(i, j) is greater than the
    median of the 64 values (the mean of the two in the middle), F(0, 0) included.
Difference hash (:func:`difference_hash`)
    Gray at 9 pixels across and 8 down. Bit (i, j) is 1 where, in row i, pixel j + 1 is brighter than pixel j.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashkit.images.decoding import read_image

__all__ = ["PERCEPTUAL_HASHES", "dct_hash", "difference_hash"]

Picture = Image.Image | str | os.PathLike[str] | bytes

# 2**20 keeps every sum below 2**58: 255 * 32 * 32 * 2**40.
_COSINES = np.round(2.0**20 * np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(32) + 1) / 64)).astype(np.int64)


def dct_hash(image: Picture) -> NDArray[np.uint8]:
    """Return the 64-bit DCT hash of an image, defined above.

    Parameters
    ----------
    image : PIL.Image.Image, path or bytes
        A picture, a file, or the contents of one.

    Returns
    -------
    code : uint8 array of shape (8,)

    Raises
    ------
    ImageError, OSError
        If it cannot be decoded or opened.
    """
    code: NDArray[np.uint8] = hash_of_grays(_gray(image, 32, 32)[None])[0]
    return code


def hash_of_grays(grays: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the DCT hashes, shape (n, 8), of gray pictures of shape (n, 32, 32)."""
    waves = (_COSINES @ grays.astype(np.int64) @ _COSINES.T).reshape(len(grays), 64)
    middle = np.partition(waves, [31, 32], axis=1)
    # Twice the value against the sum of the middle two: the median without its half.
    codes: NDArray[np.uint8] = np.packbits(2 * waves > middle[:, 31:32] + middle[:, 32:33], axis=1)
    return codes


def difference_hash(image: Picture) -> NDArray[np.uint8]:
    """Return the 64-bit difference hash of an image, defined above; otherwise like :func:`dct_hash`."""
    pixels = _gray(image, 9, 8)
    return np.packbits(pixels[:, 1:] > pixels[:, :-1])


# Name -> function from an image to its code, as `hashkit images index --model` takes them.
PERCEPTUAL_HASHES: dict[str, Callable[[Picture], NDArray[np.uint8]]] = {
    "dct": dct_hash,
    "difference": difference_hash,
}


def _gray(image: Picture, width: int, height: int) -> NDArray[np.uint8]:
    picture = image if isinstance(image, Image.Image) else read_image(image)
    return np.asarray(picture.convert("L").resize((width, height), Image.Resampling.LANCZOS))
