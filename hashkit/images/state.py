"""What the pages of one server show: its gallery, what was searched for, and what is computed once."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import numpy as np
from fastapi import HTTPException
from numpy.typing import NDArray

from hashkit.images import thumbnails, views
from hashkit.images.background import Background
from hashkit.images.budget import PixelBudget
from hashkit.images.decoding import MAX_PIXELS
from hashkit.images.duplicates import Groups
from hashkit.images.extraction import extract_one
from hashkit.images.files import MARKER
from hashkit.images.gallery import Gallery
from hashkit.images.listing import listing_of
from hashkit.images.moving import Mover
from hashkit.images.pairing import Way
from hashkit.images.photos import Photo
from hashkit.images.quality import Quality, measure_quality
from hashkit.images.settings import codes_path, read_settings
from hashkit.images.words import TextModel
from hashkit.progress import Progress

KEPT_SEARCHES = 50
DECODERS = 4  # threads; the budget of pixels holds them back
T = TypeVar("T")


@dataclass
class Search:
    """A picture that somebody dropped on the page: what the model made of it, and a small copy to show."""

    row: NDArray[Any]
    picture: bytes


@dataclass
class Map:
    """What the page of the map shows: the points as :func:`views.places_of` has them, and tiles."""

    places: bytes
    clusters: list[views.Tile]
    lonely: list[views.Tile]


class State:
    """What the pages show.

    Parameters
    ----------
    gallery : Gallery
    move_to : path, optional
        Where pictures may be moved to.
    text_model : function, optional
        For searching by words.
    """

    def __init__(
        self,
        gallery: Gallery,
        move_to: str | os.PathLike[str] | None = None,
        text_model: TextModel | None = None,
    ) -> None:
        self.text_model = text_model
        self._move_to = move_to
        self.secret = secrets.token_hex(32)  # by which this server is known to commands of the same user
        self.searches: OrderedDict[str, Search] = OrderedDict()
        self.lock = threading.Lock()
        self.budget = PixelBudget(MAX_PIXELS)
        # Pictures are decoded in threads of their own: however many are asked for, the pages come at once.
        self._decoders = ThreadPoolExecutor(DECODERS, "hashkit-decode")
        self._show(gallery)

    def _show(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self.mover = None if self._move_to is None else Mover(gallery, self._move_to)
        self._seen = self._version()
        self._background = Background()
        self._grouped = functools.lru_cache(16)(gallery.findings.groups)

    def warm_up(self) -> threading.Thread:
        """Load the model in the background, so that the first search need not wait for it; then what pages show."""

        def load() -> None:
            gallery = self.gallery
            try:
                _ = gallery.model
                listing_of(gallery)
                _ = gallery.findings.measures
            except (ImportError, OSError, ValueError):  # the first search or page tells
                return

        thread = threading.Thread(target=load, name="hashkit-model", daemon=True)
        thread.start()
        return thread

    def map(self) -> Map:
        """The map of the pictures with its clusters.

        This, :meth:`groups`, :meth:`near` and :meth:`quality` raise NotReadyError while they are being computed.
        """
        gallery = self.gallery

        def draw(progress: Progress) -> Map:
            layout = gallery.findings.lay_out(progress)
            return Map(views.places_of(gallery, layout), *views.clusters_of(gallery, layout))

        return self._background.result("map", "The map is being drawn", draw)

    def groups(self, way: Way, similarity: float) -> Groups:
        """Groups of copies or similar pictures."""
        findings = self.gallery.findings

        def compare(progress: Progress) -> None:
            findings.pairs(way, progress)
            findings.groups(way)  # sorts the partners of each picture

        self._measure()
        self._background.result(way, "The pictures are being compared", compare)
        return self._grouped(way, similarity)

    def near(self, radius: int) -> Groups:
        """Groups of pictures that hang together by their codes."""
        findings = self.gallery.findings
        self._measure()
        return self._background.result(radius, "The codes are being compared", lambda _: findings.near(radius))

    def quality(self) -> Quality:
        """How good the codes are."""
        gallery = self.gallery
        return self._background.result(
            "quality", "The codes are being measured", functools.partial(measure_quality, gallery)
        )

    def _measure(self) -> None:
        self._background.result("measures", "The pictures are being measured", self.gallery.findings.measure)

    async def decode(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that decodes a picture."""

        def call() -> T:
            try:
                return function(*arguments)
            finally:
                self.budget.tidy()

        return await asyncio.get_running_loop().run_in_executor(self._decoders, call)

    def changed(self) -> bool:
        """Whether the index has been renewed since it was opened."""
        return self._version() not in (self._seen, None)

    def reload(self) -> None:
        """Show the index as it is now."""
        self._show(Gallery(self.gallery.path))

    def _version(self) -> tuple[int, ...] | None:
        try:
            codes = codes_path(self.gallery.path, read_settings(self.gallery.path))
            files = [os.path.join(self.gallery.path, MARKER), *sorted(entry.path for entry in os.scandir(codes))]
            return tuple(
                value
                for file in files
                if "lock" not in file
                for value in (os.stat(file).st_mtime_ns, os.stat(file).st_size)
            )
        except (OSError, ValueError):  # in the middle of a renewal
            return None

    def photo(self, id: int) -> Photo:
        """A picture of the gallery; anything else is not found."""
        if id not in self.gallery.photos:
            raise HTTPException(404, "there is no such picture")
        return self.gallery.photos[id]

    def search(self, key: str) -> Search:
        """A search that is still remembered."""
        with self.lock:
            if key not in self.searches:
                raise HTTPException(404, "this search has been forgotten: drop the picture again")
            self.searches.move_to_end(key)
            return self.searches[key]

    def remember(self, file: BinaryIO) -> str:
        """Encode a file; the key of the search."""
        small: list[bytes] = []
        row = extract_one(
            file,
            self.gallery.model,
            budget=self.budget,
            look_at=lambda picture: small.append(thumbnails.shrink(picture, thumbnails.ASKED_SIDE)),
        )
        key = _digest(file)
        with self.lock:
            self.searches[key] = Search(np.asarray(row), small[0])
            while len(self.searches) > KEPT_SEARCHES:
                self.searches.popitem(last=False)
        return key


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()[:32]
