"""The pictures of a gallery filtered by words and folder, and sorted."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

from hashkit.images.gallery import Gallery
from hashkit.images.photos import Photo

SUGGESTED_FOLDERS = 500

# Word in the address -> text, and what is ascending.
SORTS: dict[str, tuple[str, Callable[[Photo], Any]]] = {
    "name": ("Name", lambda photo: photo.path),
    "newest": ("Newest first", lambda photo: -photo.stamp.mtime_ns),
    "oldest": ("Oldest first", lambda photo: photo.stamp.mtime_ns),
    "largest": ("Largest files first", lambda photo: -photo.stamp.size),
    "smallest": ("Smallest files first", lambda photo: photo.stamp.size),
}


def list_photos(gallery: Gallery, words: str, folder: str, sort: str) -> list[Photo]:
    """The pictures below `folder` whose paths hold all of some words, upper and lower case alike."""
    photos = list(gallery.photos.values())
    wanted = words.lower().split()
    if folder := folder.strip("/"):
        photos = [photo for photo in photos if photo.path.startswith(f"{folder}/")]
    if wanted:
        photos = [photo for photo in photos if all(word in photo.path.lower() for word in wanted)]
    return photos if sort == "name" else sorted(photos, key=SORTS[sort][1])


@functools.lru_cache(2)
def folders_of(gallery: Gallery) -> list[tuple[str, int]]:
    """Folders that hold pictures, and how many; those with most if there are too many to suggest."""
    counts = Counter(photo.path.rpartition("/")[0] for photo in gallery.photos.values())
    counts.pop("", None)
    return sorted(counts.most_common(SUGGESTED_FOLDERS))
