"""The images of a folder, by name: paths below it, and how a change of one is detected."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hashkit.images.decoding import Stamp, reason, suffixes

# The file that marks a folder as a gallery; such folders are never searched for images.
MARKER = "hashkit-gallery.json"


def find_images(
    folder: str | os.PathLike[str],
    *,
    unlisted: dict[str, str] | None = None,
    passed_over: Counter[str] | None = None,
) -> dict[str, Stamp]:
    """The files below `folder` whose names end as those of images do, in the order of their paths.

    Symbolic links are followed, after all that is there without them, and every folder is entered once: a loop ends,
    and a folder that can be reached in two ways gives its images once. Hidden files and folders are left out, and so
    are galleries.

    Parameters
    ----------
    folder : path
    unlisted : dict, optional
        Is given the folders that could not be listed and the links that lead to nothing, and why.
    passed_over : collections.Counter, optional
        Is given the endings of the names of all other files, in lower case, and their numbers.

    Returns
    -------
    images : dict of str to Stamp
        Paths below `folder`, with ``/`` between their parts; bytes that are no UTF-8 stand as lone surrogates
        (:func:`os.fsdecode`).

    Raises
    ------
    OSError
        If there is no such folder, or it cannot be listed.
    """
    root = os.fspath(folder)
    if not os.path.exists(root):
        raise FileNotFoundError(f"there is no folder {root!r}")
    if not os.path.isdir(root):
        raise NotADirectoryError(f"{root!r} is not a folder")
    found: dict[str, Stamp] = {}
    entered: set[tuple[int, int]] = set()
    links, failures = [""], {} if unlisted is None else unlisted
    others: Counter[str] = Counter() if passed_over is None else passed_over
    while links:
        found.update(_walk(root, links.pop(0), entered, links, failures, others))
    return dict(sorted(found.items()))


def _walk(
    root: str,
    start: str,
    entered: set[tuple[int, int]],
    links: list[str],
    failures: dict[str, str],
    others: Counter[str],
) -> Iterator[tuple[str, Stamp]]:
    """The images below `start` that are reached without a linked folder; those are put into `links`."""
    waiting, known = [start], suffixes()
    while waiting:
        inside = waiting.pop()
        try:
            facts = os.stat(os.path.join(root, inside))
            entries = sorted(os.scandir(os.path.join(root, inside)), key=lambda entry: entry.name)
        except OSError as error:  # it went away, or may not be listed
            if not inside:
                raise
            failures[inside] = reason(error)
            continue
        if (facts.st_dev, facts.st_ino) in entered or any(entry.name == MARKER for entry in entries):
            continue
        entered.add((facts.st_dev, facts.st_ino))
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (links if entry.is_symlink() else waiting).append(path)
                continue
            suffix = Path(entry.name).suffix.lower()
            if suffix not in known:
                others[suffix or "without an ending"] += 1
            elif stamp := _stamp(entry):
                yield path, stamp
            elif entry.is_symlink():
                failures[path] = "it is a link to nothing"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        facts = entry.stat()
    except OSError:  # it went away, or is a link to nothing
        return None
    return Stamp(facts.st_size, facts.st_mtime_ns)
