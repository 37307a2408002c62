"""A gallery: the index of a folder of pictures, open for searching.

On disk it is a folder of its own: ``hashkit-gallery.json`` (settings), ``codes-N`` (a :class:`hashkit.Collection` whose
metadata are paths, sizes and times), ``hasher-N.safetensors`` (what was learned), ``rows.sqlite`` (features) and
``thumbnails``. :func:`hashkit.images.index_folder` makes and renews it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hashkit
from hashkit.checks import Codes, check_choice
from hashkit.collection import Collection
from hashkit.hashers.encoding import load_encoder
from hashkit.images.decoding import Source
from hashkit.images.duplicates import Group
from hashkit.images.extraction import extract_one
from hashkit.images.findings import Findings
from hashkit.images.models import Model, make_model
from hashkit.images.pairing import THRESHOLDS, Way
from hashkit.images.photos import Match, Photo, read_photos
from hashkit.images.row_store import ROWS, RowStore
from hashkit.images.settings import check_model, codes_path, hasher_path, read_settings
from hashkit.progress import Progress, ignore

CANDIDATES = 10  # features of so many times k pictures are compared
RANKED = 300  # at a time on a page: five pages of it


class Gallery:
    """The pictures of a folder, searchable by picture. It is a snapshot: a later renewal does not show in it.

    Parameters
    ----------
    path : path
        What :func:`index_folder` wrote.
    model : str, torch.nn.Module, callable or Model, optional
        The model that the gallery was made with. Needed for a model of your own; by default the model of that name.
    device : str
        Where a network runs; see :func:`make_model`.

    Attributes
    ----------
    path : str
    settings : Settings
    photos : dict of int to Photo
        By id, in the order of the paths.

    Raises
    ------
    FileNotFoundError
        If there is no gallery at `path`, or its indexing is not finished.
    ValueError
        If it was made by another model; hashkit.storage.FormatError if it is damaged.
    BlockingIOError
        If its codes are being changed at this moment.
    """

    def __init__(self, path: str | os.PathLike[str], *, model: object = None, device: str = "auto") -> None:
        self.path = os.fspath(path)
        self.settings = read_settings(self.path)
        if self.settings.generation == 0:
            raise FileNotFoundError(
                f"the indexing of {self.settings.folder!r} into {self.path!r} has not come to an end: start it again"
            )
        self._device = device
        self._given_model = None if model is None else check_model(make_model(model, device=device), self.settings)
        self._codes, self.photos = _read_codes(codes_path(self.path, self.settings))

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.photos)

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self.settings.n_bits

    @property
    def has_features(self) -> bool:
        """Whether features are kept, by which pictures can be compared."""
        return bool(self.settings.keep_features and self.settings.method)

    @property
    def codes(self) -> Codes:
        """The codes, in the order of `photos`."""
        return self._codes.get(np.fromiter(self.photos, np.int64, len(self.photos)))

    def row_of(self, id: int) -> int:
        """The place of a picture in `photos`, `codes` and `findings.measures`."""
        return self._rows[id]

    @functools.cached_property
    def _rows(self) -> dict[int, int]:
        return {id: row for row, id in enumerate(self.photos)}

    def file_of(self, photo: Photo) -> str:
        """Where a picture's file is."""
        return os.path.join(self.settings.folder, photo.path)

    @functools.cached_property
    def model(self) -> Model:
        """What turns a picture into a row; loaded when it is first needed."""
        if self._given_model is not None:
            return self._given_model
        return check_model(make_model(self.settings.model, device=self._device), self.settings)

    @functools.cached_property
    def _encode(self) -> Callable[[NDArray[Any]], Codes]:
        return load_encoder(hasher_path(self.path, self.settings))

    @property
    def n_dims(self) -> int:
        """Length of the model's features; 0 where it gives codes."""
        return int(hashkit.load(hasher_path(self.path, self.settings)).n_features_in_) if self.settings.method else 0

    def encode(self, rows: NDArray[Any]) -> Codes:
        """Codes of a few of the model's rows."""
        return np.ascontiguousarray(rows) if self.model.gives_codes else self._encode(rows)

    def query(self, source: Source, k: int = 20, *, rerank: bool = False) -> list[Match]:
        """The `k` pictures nearest to the picture in a file, or in a file's contents.

        Pictures at equal distance are ordered by the cosine similarity of their features if these are kept, for the
        nearest ``10 k`` pictures; otherwise by id.

        Parameters
        ----------
        source : path or bytes
        k : int
        rerank : bool
            Order the nearest ``10 k`` by the similarity of their features alone, and return it.

        Raises
        ------
        ImageError, OSError
            If the file cannot be decoded or opened.
        ValueError
            If features are to be compared and there are none.
        """
        if rerank and not self.has_features:
            raise ValueError(
                f"{self.path!r} holds no features to compare: it was made by {self.settings.model!r}"
                " or with keep_features=False"
            )
        return self.query_row(extract_one(source, self.model), k, rerank=rerank)

    def query_row(self, row: NDArray[Any], k: int, *, rerank: bool = False) -> list[Match]:
        """The same for what the model made of a picture."""
        matches = self.nearest(self.encode(row[None])[0], CANDIDATES * k if self.has_features else k)
        if rerank:
            return self._by_similarity(row, matches)[:k]
        return (self._ties_by_similarity(row, matches, k) if self.has_features else matches)[:k]

    def nearest(self, code: Codes, k: int, radius: int | None = None) -> list[Match]:
        """The `k` pictures nearest to a code, or those of them within `radius`, by distance and then by id."""
        distances, ids = self._codes.query(code, k)
        return [
            Match(self.photos[id], distance)
            for distance, id in zip(distances.tolist(), ids.tolist(), strict=True)
            if radius is None or distance <= radius
        ]

    def rank(
        self, row: NDArray[Any] | None, code: Codes, k: int, radius: int | None = None, *, start: int = 0
    ) -> list[Match]:
        """The `k` pictures from place `start` on, by their distance to a code; with a row of features, by these.

        Features are compared among the nearest 300 by code, then among the next 300, and so on: the first places do
        not depend on how many are asked for, and no page takes long.
        """
        stop = start + k
        if row is None:
            return self.nearest(code, stop, radius)[start:]
        skipped = start // RANKED * RANKED
        near = self.nearest(code, -(-stop // RANKED) * RANKED, radius)
        parts = [self._by_similarity(row, near[i : i + RANKED]) for i in range(skipped, len(near), RANKED)]
        return [match for part in parts for match in part][start - skipped : stop - skipped]

    def features_of(self, photo: Photo) -> NDArray[Any] | None:
        """The features of a picture, if they are kept."""
        if not self.has_features:
            return None
        with closing(RowStore(os.path.join(self.path, ROWS))) as store:
            return store.find([photo.path])[0]

    def count_within(self, code: Codes, radius: int) -> int:
        """The number of pictures within `radius` of a code."""
        return int(self._codes.radius(code, radius).counts[0])

    def code_of(self, id: int) -> Codes:
        """The code of a picture."""
        codes: Codes = self._codes.get(np.array([id]))[0]
        return codes

    @functools.cached_property
    def findings(self) -> Findings:
        """Pairs, groups, measures and the map of these pictures."""
        return Findings(self.path, self.settings, list(self.photos.values()), self.codes)

    def duplicates(self, radius: int) -> list[list[Photo]]:
        """Groups of pictures connected by chains of distances of at most `radius`, the largest groups first.

        Different pictures with equal codes share a group; :meth:`groups` compares the pictures themselves.
        """
        return [[match.photo for match in self.matches_of(group)] for group in self.findings.near(radius)]

    def groups(
        self, way: Way = "copies", similarity: float | None = None, *, progress: Progress = ignore
    ) -> list[list[Match]]:
        """Groups of pictures that are copies of one another, or similar.

        Parameters
        ----------
        way : {"copies", "similar"}
            Copies have the same pixels, after another compression or size, a crop or a border of about a tenth,
            mirrored or turned by right angles; the model does not matter. Similar pictures have features with a large
            cosine, or without features codes with a large share of equal bits.
        similarity : float, optional
            The least similarity, from 0 to 1; by default .97 for copies and .85 for similar pictures.
        progress : function
            Called with the share of the work that is done, from 0 to 1, while pictures are compared.

        Returns
        -------
        groups : list of list of Match
            The tightest first. The first match of a group is the picture that all others are similar to. The others
            follow by similarity, with the distance of their codes to it.
        """
        check_choice(way, "way", tuple(THRESHOLDS))
        self.findings.pairs(way, progress)
        return [self.matches_of(group) for group in self.findings.groups(way, similarity)]

    def matches_of(self, group: Group) -> list[Match]:
        """The pictures of a group, with their similarity to the first and the distance of their codes to its code."""
        rows, codes = group.rows, self.findings.codes
        distances = np.bitwise_count(codes[rows] ^ codes[rows[0]]).sum(1, np.int64).tolist()
        similarities = [None] * len(rows) if group.similarities is None else group.similarities.tolist()
        photos = self.findings.photos
        return [
            Match(photos[row], distance, similarity)
            for row, distance, similarity in zip(rows.tolist(), distances, similarities, strict=True)
        ]

    def _ties_by_similarity(self, row: NDArray[Any], matches: list[Match], k: int) -> list[Match]:
        """Those of the matches that may be among the first `k`, by distance and then by similarity."""
        last = max((match.distance for match in matches[:k]), default=0)
        matches = [match for match in matches if match.distance <= last]
        if len({match.distance for match in matches}) == len(matches):
            return matches
        ordered = sorted(self._by_similarity(row, matches), key=lambda match: match.distance)
        return [replace(match, similarity=None) for match in ordered]

    def _by_similarity(self, row: NDArray[Any], matches: list[Match]) -> list[Match]:
        """The matches by the cosine similarity of features; -1 where a later renewal dropped those of a picture."""
        store = RowStore(os.path.join(self.path, ROWS))
        try:
            rows = store.find([match.photo.path for match in matches])
        finally:
            store.close()
        matches = [
            Match(match.photo, match.distance, similarity)
            for match, similarity in zip(matches, _cosines(row, rows), strict=True)
        ]
        return sorted(matches, key=lambda match: -(match.similarity or 0))


def _cosines(row: NDArray[Any], others: list[NDArray[Any] | None]) -> list[float]:
    """Cosine similarities; -1 for what is not there, 0 for a row of zeros."""
    known = [other for other in others if other is not None]
    if not known:
        return [-1.0] * len(others)
    stacked = np.stack(known)
    norms = np.sqrt(np.einsum("ij,ij->i", stacked, stacked)) * np.linalg.norm(row)
    products = np.einsum("ij,j->i", stacked, row)  # a BLAS would wake threads for so little
    cosines = np.divide(products, norms, out=np.zeros(len(known), norms.dtype), where=norms > 0)
    values = iter(cosines.tolist())
    return [-1.0 if other is None else next(values) for other in others]


def _read_codes(path: str) -> tuple[Collection, dict[int, Photo]]:
    # Closed at once, so that others may open it: a closed collection can still be searched.
    with Collection(path) as collection:
        return collection, read_photos(collection)
