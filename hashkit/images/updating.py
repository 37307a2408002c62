"""Making a gallery of a folder, and renewing it: only what is new, changed or gone is looked at."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import compress, count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import hashkit
from hashkit.collection import Collection
from hashkit.images.decoding import Stamp
from hashkit.images.extraction import extract_batches
from hashkit.images.files import find_images
from hashkit.images.models import Model
from hashkit.images.photos import Photo, read_photos
from hashkit.images.row_store import ROWS, RowStore
from hashkit.images.settings import Settings, codes_path, hasher_path, settle, write_settings
from hashkit.progress import progress_bar
from hashkit.storage.layout import LOCK
from hashkit.storage.locks import WriterLock

FIT_ROWS = 20_000  # a hasher learns from this many pictures at most
ROWS_PER_BIT = 4  # with fewer pictures than this for each bit there is nothing to learn: hyperplanes are drawn
SIMPLE_METHOD = "random_hyperplanes"
_ROWS_PER_CHANGE = 4096


@dataclass
class Report:
    """The outcome of a run.

    Attributes
    ----------
    n_images : int
        Pictures in the index now.
    n_added, n_changed, n_removed : int
    method : str
        How codes are made: a hasher's method, or ``""`` where the model gives them.
    learned : bool
        Whether this run has learned the hasher anew.
    skipped : dict of str to str
        Files that could not be decoded, links that lead to nothing and folders that could not be listed, and why.
    passed_over : dict of str to int
        Endings of the names of all other files, in lower case, and their numbers.
    """

    n_images: int = 0
    n_added: int = 0
    n_changed: int = 0
    n_removed: int = 0
    method: str = ""
    learned: bool = False
    skipped: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, int] = field(default_factory=dict)


def index_folder(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    model: object = None,
    transform: Callable[[Image.Image], Any] | None = None,
    n_bits: int | None = None,
    method: str | None = None,
    keep_features: bool | None = None,
    refit: bool = False,
    batch_size: int = 32,
    device: str = "auto",
    n_threads: int | None = None,
    random_state: int = 0,
    progress: bool = False,
) -> Report:
    """Index the pictures of a folder, or bring the index up to date with it.

    All finished work is on disk: after a run was stopped, at any moment and in any way, the next run continues it.

    Parameters
    ----------
    folder : path
        Searched for images in all its depth; links are followed, hidden files left out.
    path : path
        The gallery, a folder of its own.
    model, transform, device, batch_size, n_threads
        As for :func:`extract`; by default EfficientNet-Lite0, or what the gallery was made with.
    n_bits : int, optional
        Length of the codes, 64 by default. Of a perceptual hash always 64.
    method : str, optional
        How to learn the hasher; see :func:`hashkit.fit`. With fewer than four pictures for each bit hyperplanes are
        drawn at random instead, until a later run finds enough.
    keep_features : bool, optional
        Keep features on disk, 5 kB for each picture, for re-ranking and for learning anew; True by default.
    refit : bool
        Learn the hasher anew, from the pictures that are there now.
    random_state : int
        Seed of the hasher.
    progress : bool
        Show progress bars.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If there are no images, or the gallery was made with another model, n_bits, method or folder.
    OSError
        If the folder cannot be read or the gallery not be written.
    BlockingIOError
        If the gallery is being indexed by somebody else.
    """
    root, target = os.path.abspath(folder), os.fspath(path)
    unlisted: dict[str, str] = {}
    passed_over: Counter[str] = Counter()
    files = find_images(root, unlisted=unlisted, passed_over=passed_over)
    if not files:
        raise ValueError(f"there are no images in {root!r}")
    asked = {"n_bits": n_bits, "method": method, "keep_features": keep_features}
    settings, made = settle(target, root, model, transform, device, asked)
    if refit and not (settings.method and settings.keep_features):
        raise ValueError("refit needs a model that gives features, and keep_features")
    os.makedirs(target, exist_ok=True)
    lock = WriterLock(os.path.join(target, LOCK))
    try:
        write_settings(target, settings)
        store = RowStore(os.path.join(target, ROWS))
        try:
            run = _Run(target, settings, made, files, store, random_state, progress)
            run.report.skipped |= unlisted
            run.report.passed_over = dict(passed_over)
            run.extract(batch_size, n_threads)
            return run.finish(refit)
        finally:
            store.close()
    finally:
        lock.release()


class _Run:
    """One run over a folder: rows of new files into the store, then codes into the collection."""

    def __init__(
        self,
        path: str,
        settings: Settings,
        model: Model,
        files: dict[str, Stamp],
        store: RowStore,
        random_state: int,
        progress: bool,
    ) -> None:
        self.path, self.settings, self.model, self.files, self.store = path, settings, model, files, store
        self.random_state, self.progress = random_state, progress
        self.report = Report()
        self.known = self._photos_by_path()

    def extract(self, batch_size: int, n_threads: int | None) -> None:
        """Make the rows that are missing."""
        stored = self.store.stamps()
        self.store.forget([path for path in stored if path not in self.files])
        wanted = [
            path
            for path, stamp in self.files.items()
            if stored.get(path) != stamp and (path not in self.known or self.known[path].stamp != stamp)
        ]
        for batch in extract_batches(
            wanted,
            self.model,
            folder=os.path.abspath(self.settings.folder),
            batch_size=batch_size,
            n_threads=n_threads,
            progress=self.progress,
            with_looks=True,
        ):
            self.store.put(batch)
            self.report.skipped |= batch.skipped

    def finish(self, refit: bool) -> Report:
        """Bring the codes up to date with the files and the rows."""
        self.store.forget(list(self.report.skipped))
        stored = self.store.stamps()
        if not stored and not self.known:
            raise ValueError(f"none of the {len(self.files)} images in {self.settings.folder!r} could be decoded")
        settings = self._next_generation(sorted(stored)) if self._must_learn(refit, len(stored)) else self.settings
        self._write_codes(settings, stored)
        if settings != self.settings:
            write_settings(self.path, settings)
            self._delete_generation(self.settings)
        if not settings.keep_features:
            self.store.forget(list(stored), keep_looks=True)
        self.report.method = settings.fitted_method
        return self.report

    def _photos_by_path(self) -> dict[str, Photo]:
        if self.settings.generation == 0:
            return {}
        with Collection(codes_path(self.path, self.settings)) as collection:
            return {photo.path: photo for photo in read_photos(collection).values()}

    def _must_learn(self, refit: bool, n_rows: int) -> bool:
        settings = self.settings
        if settings.generation == 0 or refit:
            return True
        outgrown = settings.fitted_method != settings.method and self._method(n_rows) == settings.method
        return outgrown and settings.keep_features

    def _method(self, n_rows: int) -> str:
        enough = n_rows >= ROWS_PER_BIT * self.settings.n_bits
        return self.settings.method if enough or not self.settings.method else SIMPLE_METHOD

    def _next_generation(self, paths: list[str]) -> Settings:
        """Learn a hasher for new codes; they count once the settings that are returned are written."""
        method = self._method(len(paths))
        settings = replace(self.settings, generation=self.settings.generation + 1, fitted_method=method)
        self._delete_generation(settings)  # what an interrupted run has left
        if method:
            rng = np.random.default_rng(self.random_state)
            chosen = np.sort(rng.permutation(len(paths))[:FIT_ROWS])
            with progress_bar(self.progress, desc="learning codes", bar_format="{desc}: {elapsed}"):
                hasher = hashkit.fit(
                    self.store.get([paths[row] for row in chosen]),
                    n_bits=settings.n_bits,
                    method=method,
                    random_state=self.random_state,
                    progress=self.progress,
                )
            hasher.save(hasher_path(self.path, settings))
            self.report.learned = True
        return settings

    def _write_codes(self, settings: Settings, stored: dict[str, Stamp]) -> None:
        encode = hashkit.load(hasher_path(self.path, settings)).encode if settings.method else _same
        with Collection(codes_path(self.path, settings), settings.n_bits, sync="batch") as collection:
            current = {photo.path: photo for photo in read_photos(collection).values()}
            gone = [photo.id for path, photo in current.items() if not self._is_there(path)]
            collection.remove(np.array(gone, np.int64))
            fresh = [path for path, stamp in stored.items() if path not in current or current[path].stamp != stamp]
            ids = self._ids_for(fresh)
            with progress_bar(self.progress, total=len(fresh), desc="encoding", unit=" images") as bar:
                for start in range(0, len(fresh), _ROWS_PER_CHANGE):
                    part = slice(start, start + _ROWS_PER_CHANGE)
                    notes = [{"path": path, **asdict(stored[path])} for path in fresh[part]]
                    codes, old = encode(self.store.get(fresh[part])), np.isin(ids[part], collection.ids)
                    for change, chosen in ((collection.replace, old), (collection.add, ~old)):
                        change(codes[chosen], ids[part][chosen], metadata=list(compress(notes, chosen)))
                    bar.update(len(notes))
            collection.compact()
            self._count(fresh, stored, len(collection))

    def _is_there(self, path: str) -> bool:
        return path in self.files and path not in self.report.skipped

    def _ids_for(self, paths: list[str]) -> NDArray[np.int64]:
        """The ids that files have, and new ones for new files."""
        unused = count(max((photo.id for photo in self.known.values()), default=-1) + 1)
        return np.array([self.known[path].id if path in self.known else next(unused) for path in paths], np.int64)

    def _count(self, fresh: list[str], stored: dict[str, Stamp], n_images: int) -> None:
        self.report.n_images = n_images
        self.report.n_added = sum(path not in self.known for path in fresh)
        self.report.n_changed = sum(path in self.known and self.known[path].stamp != stored[path] for path in fresh)
        self.report.n_removed = sum(not self._is_there(path) for path in self.known)

    def _delete_generation(self, settings: Settings) -> None:
        shutil.rmtree(codes_path(self.path, settings), ignore_errors=True)
        Path(hasher_path(self.path, settings)).unlink(missing_ok=True)


def _same(codes: Any) -> Any:
    return codes
