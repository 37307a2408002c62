"""Computes features of many files, in order. Decoding runs beside the network, and unreadable files are skipped."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashkit.checks import check_int, check_n_threads
from hashkit.images.budget import PixelBudget
from hashkit.images.decoding import MAX_PIXELS, ImageError, Source, Stamp, decoded, reason
from hashkit.images.looks import Look, look_at
from hashkit.images.models import DEFAULT_MODEL, Model, make_model
from hashkit.progress import progress_bar

__all__ = ["Batch", "Extraction", "extract", "extract_batches", "extract_one"]

Path = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Extraction:
    """The result for some files.

    Attributes
    ----------
    features : float32 array of shape (n_images, n_dims), or uint8 codes of shape (n_images, n_bytes)
    paths : list of str
        The file of each row, in the order they were given.
    skipped : dict of str to str
        The files that are not in `features`, and why.
    """

    features: NDArray[Any]
    paths: list[str]
    skipped: dict[str, str]


@dataclass(eq=False)
class Batch:
    """Rows of a few files, their paths, stamps and (if wanted) looks, and the skipped files."""

    rows: NDArray[Any]
    paths: list[str] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def extract(
    paths: Iterable[Path],
    model: object = DEFAULT_MODEL,
    *,
    transform: Callable[[Image.Image], Any] | None = None,
    batch_size: int = 32,
    device: str = "auto",
    n_threads: int | None = None,
    progress: bool = False,
) -> Extraction:
    """Compute features of image files.

    Parameters
    ----------
    paths : iterable of paths
    model, transform, device
        As :func:`hashkit.images.make_model` takes them: by default EfficientNet-Lite0 with ImageNet weights, 1,280
        features per image. On a CPU every image passes it alone, on one thread, so that its features depend neither
        on the other images nor on `batch_size` and `n_threads`.
    batch_size : int
        Files in a thread's hands at a time; for a network or function of one's own, also how many pictures it is given.
    n_threads : int, optional
        Threads that decode and, for the default model on a CPU, compute; by default every CPU this process may use.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Extraction
        Features of the files that could be decoded, and which could not, and why. Never fatal: a file that is
        missing, damaged or no image is skipped.

    Raises
    ------
    ValueError, TypeError, ImportError
        If the model is unknown or cannot be loaded, returns anything but one row per picture, or `batch_size` is not
        a positive int.
    """
    if isinstance(paths, (str, os.PathLike)):
        raise TypeError(f"paths must be several paths, got one: {os.fspath(paths)!r}")
    files = [os.fspath(path) for path in paths]
    made = make_model(model, transform=transform, device=device)
    batches = list(extract_batches(files, made, batch_size=batch_size, n_threads=n_threads, progress=progress))
    rows = [batch.rows for batch in batches if len(batch.rows)]
    return Extraction(
        np.concatenate(rows) if rows else np.empty((0, 0), np.uint8 if made.gives_codes else np.float32),
        [path for batch in batches for path in batch.paths],
        {path: why for batch in batches for path, why in batch.skipped.items()},
    )


def extract_batches(
    paths: Sequence[str],
    model: Model,
    *,
    folder: str = "",
    batch_size: int = 32,
    n_threads: int | None = None,
    progress: bool = False,
    with_looks: bool = False,
) -> Iterator[Batch]:
    """Yield rows of files below `folder` in the order of `paths`, in batches computed a few ahead of the reader."""
    batch_size = check_int(batch_size, "batch_size", 1)
    threads = check_n_threads(n_threads)
    budget = PixelBudget(MAX_PIXELS)
    chunks = iter([paths[start : start + batch_size] for start in range(0, len(paths), batch_size)])
    bar = progress_bar(progress, total=len(paths), unit=" images", smoothing=0.05)
    with bar, _workers(threads, model) as pool:
        waiting: deque[Future[Batch]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_extract_chunk, chunk, model, folder, budget, with_looks))
                if len(waiting) > 2 * threads:
                    yield _finished(waiting.popleft(), bar)
            while waiting:
                yield _finished(waiting.popleft(), bar)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def extract_one(
    source: Source,
    model: Model,
    *,
    budget: PixelBudget | None = None,
    look_at: Callable[[Image.Image], object] | None = None,
) -> NDArray[Any]:
    """Return the row of one file, or of one file's contents; it equals the row that the file gets in a batch.

    Parameters
    ----------
    source : path, bytes or binary file
    model : Model
    budget : PixelBudget, optional
        Where to wait for room for the picture's pixels.
    look_at : function, optional
        Is called with the picture too, while it is decoded.

    Raises
    ------
    ImageError, OSError
        If it cannot be decoded or opened.
    """
    with decoded(source, least_side=model.least_side, budget=budget) as found:
        prepared = model.prepare(found.image)
        if look_at is not None:
            look_at(found.image)
    with _workers(1, model) as pool:
        row: NDArray[Any] = pool.submit(lambda: model.run([prepared])[0]).result()
    return row


def _extract_chunk(paths: Sequence[str], model: Model, folder: str, budget: PixelBudget, with_looks: bool) -> Batch:
    batch = Batch(np.empty((0, 0)))
    prepared = []
    for path in paths:
        try:
            with decoded(os.path.join(folder, path), least_side=model.least_side, budget=budget) as found:
                prepared.append(model.prepare(found.image))
                look = look_at(found.image, found.width, found.height) if with_looks else None
        except (ImageError, OSError) as error:
            batch.skipped[path] = str(error) if isinstance(error, ImageError) else reason(error)
            continue
        batch.paths.append(path)
        batch.stamps.append(found.stamp)
        if look is not None:
            batch.looks.append(look)
    if prepared:
        batch.rows = model.run(prepared)
    budget.tidy()
    return batch


def _finished(future: Future[Batch], bar: Any) -> Batch:
    batch = future.result()
    bar.update(len(batch.paths) + len(batch.skipped))
    return batch


@contextmanager
def _workers(n_threads: int, model: Model) -> Iterator[ThreadPoolExecutor]:
    """Make a pool; if pictures pass the network one by one, torch uses one thread in each thread of the pool."""
    with ThreadPoolExecutor(n_threads, thread_name_prefix="hashkit-images") as pool:
        if model.alone and not model.gives_codes:
            from hashkit.images.networks import use_one_thread

            use_one_thread(pool, n_threads)
        yield pool
