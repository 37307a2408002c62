"""Stores arrays that are slow to compute beside an index; if the file is unusable, they are computed again."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.storage.replacing import Replacement

Arrays = dict[str, NDArray[Any]]


def kept_arrays(path: str, key: str, make: Callable[[], Arrays], fits: Callable[[Arrays], bool]) -> Arrays:
    """The arrays in a file, if they were made for `key` and fit; else they are made, and kept if that can be done."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if arrays.pop("key").item() == key and fits(arrays):
            return arrays
    except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile, zlib.error):  # none yet, or damaged
        pass
    arrays = make()
    named: Any = {"key": np.array(key), **arrays}
    # A cache that cannot be written is only slower.
    with contextlib.suppress(OSError), Replacement(path, durable=False) as kept:
        np.savez(kept.file, **named)
    return arrays
