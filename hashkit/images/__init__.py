"""Pictures: features of image files, perceptual hashes, and a searchable index of a folder."""

from __future__ import annotations

import importlib
from typing import Any

from hashkit.extras import needs_extra

# Public name -> the module that defines it. Loaded on first use: they need Pillow, of the extra `images`, and the
# commands must not.
_HOMES = {
    "Extraction": "extraction",
    "Gallery": "gallery",
    "ImageError": "decoding",
    "Match": "photos",
    "Photo": "photos",
    "Report": "updating",
    "dct_hash": "phash",
    "difference_hash": "phash",
    "extract": "extraction",
    "index_folder": "updating",
    "make_model": "models",
    "open_image": "decoding",
    "read_image": "decoding",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        with needs_extra("hashkit.images", "images"):
            return getattr(importlib.import_module(f"hashkit.images.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hashkit.images' has no attribute {name!r}")
