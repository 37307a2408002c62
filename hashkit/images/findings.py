"""What is computed once for the pictures of a gallery, and kept beside it: measures, pairs, groups, the map."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes
from hashkit.images.cache import Arrays, kept_arrays
from hashkit.images.copies import Pairs
from hashkit.images.duplicates import Groups, Partners, group_duplicates, group_partners, partners_of
from hashkit.images.layout import Layout, landmarks, lay_out, layout_fits
from hashkit.images.pairing import (
    THRESHOLDS,
    Measures,
    Way,
    copy_pairs,
    kept_pairs,
    key_of,
    read_measures,
    similar_pairs,
)
from hashkit.images.photos import Photo
from hashkit.images.row_store import ROWS, RowStore
from hashkit.images.settings import Settings
from hashkit.progress import Progress, ignore


class Findings:
    """Of one snapshot of a gallery.

    Parameters
    ----------
    path : str
        The gallery.
    settings : Settings
    photos : sequence of Photo
        In the order of their paths: rows are numbered so.
    codes : uint8 array of shape (n_photos, n_bytes)
    """

    def __init__(self, path: str, settings: Settings, photos: Sequence[Photo], codes: Codes) -> None:
        self.path, self.settings, self.photos, self.codes = path, settings, photos, codes
        self._measures: Measures | None = None
        self._pairs: dict[Way, Pairs] = {}
        self._partners: dict[Way, Partners] = {}

    @property
    def _has_features(self) -> bool:
        return bool(self.settings.keep_features and self.settings.method)

    @functools.cached_property
    def _key(self) -> str:
        return key_of(self.photos, self.codes)

    @property
    def measures(self) -> Measures:
        """Width, height and sharpness of every picture; made now for pictures of an older index."""
        return self.measure()

    def measure(self, progress: Progress = ignore) -> Measures:
        """The same, telling how far it is."""
        if self._measures is None:
            with closing(self._store()) as store:
                self._measures = read_measures(store, self.settings.folder, self.photos, progress)
        return self._measures

    def pairs(self, way: Way, progress: Progress = ignore) -> Pairs:
        """Pairs of rows that may be copies or similar; computed once and kept beside the index."""
        if way not in self._pairs:
            make = {"copies": self._copies, "similar": self._similar}[way]
            path = os.path.join(self.path, f"{way}.npz")
            self._pairs[way] = kept_pairs(path, self._key, len(self.photos), lambda: make(progress))
        return self._pairs[way]

    def groups(self, way: Way, similarity: float | None = None) -> Groups:
        """Groups of rows with pairs that are so similar; by default as similar as `THRESHOLDS` has it."""
        if way not in self._partners:
            self._partners[way] = partners_of(self.pairs(way))
        return group_partners(self._partners[way], THRESHOLDS[way][0] if similarity is None else similarity)

    def near(self, radius: int) -> Groups:
        """Groups of rows connected by chains of distances of at most `radius`."""
        return group_duplicates(self.codes, radius)

    @functools.cached_property
    def layout(self) -> Layout:
        """The map of the pictures; computed once and kept beside the index."""
        return self.lay_out()

    def lay_out(self, progress: Progress = ignore) -> Layout:
        """The same, telling how far it is."""
        n, n_bits = len(self.photos), self.settings.n_bits

        def make() -> Arrays:
            rows = self._rows_of(landmarks(n)) if self._has_features and n else None
            return vars(lay_out(self.codes, n_bits, rows, progress=progress))

        key = f"{self._key} {self.settings.fitted_method}"
        return Layout(**kept_arrays(os.path.join(self.path, "map.npz"), key, make, lambda found: layout_fits(found, n)))

    def _store(self) -> RowStore:
        return RowStore(os.path.join(self.path, ROWS))

    def _copies(self, progress: Progress) -> Pairs:
        measures = self.measures
        with closing(self._store()) as store:
            return copy_pairs(store, self.photos, measures, progress)

    def _similar(self, progress: Progress) -> Pairs:
        features = self._rows_of if self._has_features else None
        return similar_pairs(self.codes, self.settings.n_bits, features, progress)

    def _rows_of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features of rows; zero where a later renewal dropped those of a picture."""
        with closing(self._store()) as store:
            found: list[NDArray[Any] | None] = store.find([self.photos[row].path for row in rows.tolist()])
        n_dims = next((len(row) for row in found if row is not None), 1)
        return np.stack([np.zeros(n_dims, np.float32) if row is None else row for row in found])
