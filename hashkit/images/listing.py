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


class Listing:
    """Every order of a gallery's pictures, each made once, and their names in lower case.

    Attributes
    ----------
    folders : list of (str, int)
        Folders that hold pictures, and how many; those with most if there are too many to suggest.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._photos = list(gallery.photos.values())  # in the order of their paths
        self._orders: dict[str, tuple[list[Photo], list[tuple[Photo, str]]]] = {}
        counts = Counter(photo.path.rpartition("/")[0] for photo in self._photos)
        counts.pop("", None)
        self.folders = sorted(counts.most_common(SUGGESTED_FOLDERS))

    def find(self, words: str = "", folder: str = "", sort: str = "name") -> list[Photo]:
        """The pictures below `folder` whose paths hold all of some words, upper and lower case alike."""
        photos, found = self._ordered(sort)
        if not folder and not words:
            return photos
        if folder := folder.strip("/"):
            found = [pair for pair in found if pair[0].path.startswith(f"{folder}/")]
        for word in words.lower().split():
            found = [pair for pair in found if word in pair[1]]
        return [photo for photo, _ in found]

    def _ordered(self, sort: str) -> tuple[list[Photo], list[tuple[Photo, str]]]:
        if sort not in self._orders:
            photos = self._photos if sort == "name" else sorted(self._photos, key=SORTS[sort][1])
            self._orders[sort] = photos, [(photo, photo.path.lower()) for photo in photos]
        return self._orders[sort]


@functools.lru_cache(2)
def listing_of(gallery: Gallery) -> Listing:
    """The listing of a gallery, made when it is first wanted."""
    return Listing(gallery)
