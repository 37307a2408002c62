"""A gallery of made-up features over real files: as many pictures as one likes, in seconds."""

import os
from dataclasses import replace

import numpy as np
import sklearn.datasets
from PIL import Image

import hashkit
from hashkit.collection import Collection
from hashkit.images import Gallery
from hashkit.images.decoding import Stamp
from hashkit.images.extraction import Batch
from hashkit.images.files import MARKER
from hashkit.images.looks import LOOK_SIDE, Look
from hashkit.images.models import DEFAULT_MODEL
from hashkit.images.row_store import ROWS, RowStore
from hashkit.images.settings import Settings, codes_path, hasher_path, write_settings

N_FILES = 20  # different ones; the others are hard links
N_DIMS, N_BITS, N_CENTERS, IN_ALBUM, BLOCK = 1280, 64, 2000, 500, 5000


def large_gallery(top, n):
    """A gallery of `n` pictures below `top`, made unless it is there: a tenth are copies, half are in clusters."""
    path = top / f"made-up-{n}.hashkit"
    if not (path / MARKER).exists():
        path.mkdir()
        _fill(str(path), n, _write_pictures(top / f"made-up-{n}", n))
    return Gallery(path)


def _write_pictures(folder, n):
    """`n` files of real photographs; gives the folder, the paths below it, and the files' stamps."""
    rng = np.random.default_rng(0)
    source = os.path.join(os.path.dirname(sklearn.datasets.__file__), "images")
    photographs = [Image.open(os.path.join(source, name)) for name in ("china.jpg", "flower.jpg")]
    paths = [f"album {i // IN_ALBUM:03}/IMG_{i:06}.jpg" for i in range(n)]
    for i, path in enumerate(paths):
        if i % IN_ALBUM == 0:
            (folder / path).parent.mkdir(parents=True)
        if i < N_FILES:
            left, top, side = rng.integers(0, 300), rng.integers(0, 180), rng.integers(180, 247)
            photographs[i % 2].crop((left, top, left + side, top + side)).save(folder / path, quality=90)
        else:
            os.link(folder / paths[i % N_FILES], folder / path)
    facts = [os.stat(folder / path) for path in paths[:N_FILES]]
    stamps = [Stamp(one.st_size, one.st_mtime_ns) for one in facts]
    return str(folder), paths, [stamps[i % N_FILES] for i in range(n)]


def _fill(path, n, pictures):
    folder, paths, stamps = pictures
    rng = np.random.default_rng(1)
    settings = Settings(folder, DEFAULT_MODEL, N_BITS, "random_hyperplanes", fitted_method="random_hyperplanes")
    settings = replace(settings, generation=1)
    centers = rng.standard_normal((N_CENTERS, N_DIMS), np.float32)
    hasher = hashkit.fit(centers, n_bits=N_BITS, method="random_hyperplanes")
    hasher.save(hasher_path(path, settings))
    grays = _grays(n, rng)
    store = RowStore(os.path.join(path, ROWS))
    with Collection(codes_path(path, settings), N_BITS, sync="batch") as collection:
        for start in range(0, n, BLOCK):
            part = slice(start, min(n, start + BLOCK))
            size = part.stop - start
            rows = rng.standard_normal((size, N_DIMS), np.float32)
            rows[::2] = centers[rng.integers(0, N_CENTERS, len(rows[::2]))] + 0.3 * rows[::2]
            looks = [Look(gray, 640, 480, 1.0) for gray in grays[part]]
            store.put(Batch(rows, paths[part], stamps[part], looks))
            notes = [
                {"path": path, "size": stamp.size, "mtime_ns": stamp.mtime_ns}
                for path, stamp in zip(paths[part], stamps[part], strict=True)
            ]
            collection.add(hasher.encode(rows), np.arange(start, start + size), metadata=notes)
        collection.compact()
    store.close()
    write_settings(path, settings)


def _grays(n, rng):
    """Looks of different pictures without borders, every tenth that of the one before with some noise."""
    places = np.linspace(0, 7, LOOK_SIDE)
    spread = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(8))).astype(np.float32)
    pictures = np.empty((n, LOOK_SIDE, LOOK_SIDE), np.uint8)
    for start in range(0, n, BLOCK):
        coarse = rng.integers(0, 256, (min(BLOCK, n - start), 8, 8)).astype(np.float32)
        pictures[start : start + BLOCK] = spread @ coarse @ spread.T
    pictures[9::10] = np.clip(pictures[8 : n - 1 : 10].astype(np.int16) + rng.integers(-2, 3, LOOK_SIDE), 0, 255)
    return np.repeat(pictures[:, None], 3, axis=1)
