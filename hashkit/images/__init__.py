"""Pictures in, pictures out: features of image files, perceptual hashes, and an index of a folder to look at."""

from hashkit.images.decoding import ImageError, open_image, read_image
from hashkit.images.extraction import Extraction, extract
from hashkit.images.models import make_model
from hashkit.images.phash import dct_hash, difference_hash

__all__ = [
    "Extraction",
    "ImageError",
    "dct_hash",
    "difference_hash",
    "extract",
    "make_model",
    "open_image",
    "read_image",
]
