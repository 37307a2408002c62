"""The pictures of a gallery, as its collection holds them, and the results of a search."""

from __future__ import annotations

from dataclasses import dataclass

from hashkit.collection import Collection
from hashkit.images.decoding import Stamp

__all__ = ["Match", "Photo", "read_photos"]


@dataclass(frozen=True)
class Photo:
    """A picture of a gallery: its id, its path below the gallery's folder, and its stamp when it was indexed."""

    id: int
    path: str
    stamp: Stamp


@dataclass(frozen=True)
class Match:
    """A picture that was found: Hamming distance, and cosine similarity of features if they were compared."""

    photo: Photo
    distance: int
    similarity: float | None = None


def read_photos(collection: Collection) -> dict[int, Photo]:
    """The pictures of a collection by id, in the order of their paths."""
    notes = collection.metadata(collection.ids)
    photos = [
        Photo(id, note["path"], Stamp(note["size"], note["mtime_ns"]))
        for id, note in zip(collection.ids.tolist(), notes, strict=True)
    ]
    return {photo.id: photo for photo in sorted(photos, key=lambda photo: photo.path)}
