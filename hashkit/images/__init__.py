"""Pictures in, pictures out: features of image files, perceptual hashes, and an index of a folder to look at."""

from hashkit.images.decoding import ImageError, open_image, read_image
from hashkit.images.extraction import Extraction, extract
from hashkit.images.gallery import Gallery, Match, Photo
from hashkit.images.models import make_model
from hashkit.images.phash import dct_hash, difference_hash
from hashkit.images.updating import Report, index_folder

__all__ = [
    "Extraction",
    "Gallery",
    "ImageError",
    "Match",
    "Photo",
    "Report",
    "dct_hash",
    "difference_hash",
    "extract",
    "index_folder",
    "make_model",
    "open_image",
    "read_image",
]
