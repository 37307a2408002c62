"""What the pages of one server show: its gallery, what was searched for, and what is computed once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import hashlib
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import numpy as np
from fastapi import HTTPException
from numpy.typing import NDArray

from hashkit.images import thumbnails
from hashkit.images.budget import PixelBudget
from hashkit.images.copies import Pairs
from hashkit.images.decoding import MAX_PIXELS
from hashkit.images.extraction import extract_one
from hashkit.images.files import MARKER
from hashkit.images.gallery import Gallery
from hashkit.images.layout import Layout
from hashkit.images.moving import Mover
from hashkit.images.pairing import Way
from hashkit.images.photos import Match, Photo
from hashkit.images.quality import measure_quality
from hashkit.images.settings import codes_path, read_settings
from hashkit.images.words import TextModel

KEPT_SEARCHES = 50
WAIT_SECONDS = 2.0  # for what is computed in the background, before a page says so
DECODERS = 4  # threads; the budget of pixels holds them back
T = TypeVar("T")


@dataclass
class Search:
    """A picture that somebody dropped on the page: what the model made of it, and a small copy to show."""

    row: NDArray[Any]
    picture: bytes


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
        self._thinker = ThreadPoolExecutor(2, "hashkit-compute")
        self._pairs: dict[tuple[Gallery, Way], Future[Pairs]] = {}
        self._layout: tuple[Gallery, Future[Layout]] | None = None
        self._show(gallery)

    def _show(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self.mover = None if self._move_to is None else Mover(gallery, self._move_to)
        self._seen = self._version()
        self.groups: Callable[[Way | int, float], list[list[Match]]] = functools.lru_cache(16)(self._groups)
        self.quality = functools.lru_cache(1)(lambda: measure_quality(gallery))

    def warm_up(self) -> threading.Thread:
        """Load the model in the background, so that the first search need not wait for it."""

        def load() -> None:
            try:
                _ = self.gallery.model
            except (ImportError, OSError, ValueError):  # the first search tells
                return

        thread = threading.Thread(target=load, name="hashkit-model", daemon=True)
        thread.start()
        return thread

    def layout(self) -> Layout | None:
        """The map of the pictures, or None while it is being computed in the background."""
        gallery = self.gallery
        with self.lock:
            if self._layout is None or self._layout[0] is not gallery:
                self._layout = gallery, self._thinker.submit(lambda: gallery.layout)
            future = self._layout[1]
        return future.result() if future.done() else None

    def has_pairs(self, way: Way) -> bool:
        """Whether the pairs are there; if not, they are computed in the background, and waited for a little."""
        gallery = self.gallery
        with self.lock:
            if (gallery, way) not in self._pairs:
                self._pairs[gallery, way] = self._thinker.submit(gallery.pairs, way)
            future = self._pairs[gallery, way]
        try:
            future.result(timeout=WAIT_SECONDS)
        except concurrent.futures.TimeoutError:  # before Python 3.11 not the built-in one
            return False
        return True

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

    def _groups(self, way: Way | int, similarity: float) -> list[list[Match]]:
        if isinstance(way, int):
            return [[Match(photo, 0) for photo in group] for group in self.gallery.duplicates(way)]
        return self.gallery.groups(way, similarity)


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()[:32]
