"""Arrays that took a while to compute, kept beside an index: whatever is wrong with the file, they are made anew."""

from __future__ import annotations

import os
import secrets
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    temporary = f"{path}.{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "wb") as out:
            named: Any = {"key": np.array(key), **arrays}
            np.savez(out, **named)
        os.replace(temporary, path)
    except OSError:  # a cache that cannot be written is only slower
        if os.path.exists(temporary):
            os.unlink(temporary)
    return arrays
