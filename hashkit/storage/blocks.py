"""Checksums of the pages of a file: who maps it verifies just what is read of it, when it is first read.

The arrays of such a file begin at pages. Its last array, ``__block_sums__``, has the XXH64, with seed 0, of every page
before it. The native core compares pages as a search comes to them; :meth:`BlockSums.require` is for what Python reads.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.storage.header import BLOCK_SUMS, PADDING, PAGE, Array, Entry, FormatError


class BlockSums:
    """The checksums of a mapped file.

    Parameters
    ----------
    path : str
    pages : uint8 array of shape (n_bytes,)
        A view of the mapping: the arrays.
    sums : uint64 array of shape (n_bytes / 4096,)

    Attributes
    ----------
    native : _native.BlockChecks
        What native searches compare pages by.
    """

    def __init__(self, path: str, pages: NDArray[np.uint8], sums: NDArray[np.uint64]) -> None:
        self.native = _native.BlockChecks(pages, sums, repr(path))

    def require(self, array: Array, rows: NDArray[np.int64] | None = None) -> None:
        """Compare a mapped array, or only these rows of it, with the checksums, where that has not been done yet.

        Raises
        ------
        FormatError
            If they do not fit.
        """
        try:
            self.native.require(array, rows)
        except _native.DamagedError as error:
            raise FormatError(str(error)) from None


def add_block_sums(parts: dict[str, Array]) -> dict[str, Array]:
    """Arrays that begin at pages, and behind them their checksums."""
    filled = [array for name, array in parts.items() if array.size and not name.startswith(PADDING)]
    sums = [_native.block_sums(array.reshape(-1).view(np.uint8), 1) for array in filled]
    gap = -(filled[-1].nbytes if filled else 0) % PAGE
    padding = {f"{PADDING}{len(parts)}__": np.zeros(gap, np.uint8)} if gap else {}
    return {**parts, **padding, BLOCK_SUMS: np.concatenate([np.empty(0, np.uint64), *sums]).astype("<u8")}


def block_sums_of(mapping: mmap.mmap, start: int, entries: dict[str, Entry], path: str) -> BlockSums | None:
    """The checksums in a mapped file of these arrays, the first of which begins at `start`; None if it has none.

    Raises
    ------
    FormatError
        If they are not one for each page.
    """
    entry = entries.get(BLOCK_SUMS)
    if entry is None:
        return None
    n_pages = entry.begin // PAGE
    fits = entry.begin % PAGE == 0 and start % PAGE == 0 and entry.end == max(each.end for each in entries.values())
    if not fits or entry.dtype != np.uint64 or entry.shape != (n_pages,):
        raise FormatError("its checksums of pages do not fit")
    if n_pages == 0:
        return None
    pages = np.frombuffer(mapping, np.uint8, entry.begin, start)
    return BlockSums(path, pages, np.frombuffer(mapping, np.uint64, n_pages, start + entry.begin))
