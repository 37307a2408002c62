"""Rows in blocks, wherever they come from, and the arrays of numpy's files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashkit.storage import Path

ROWS_PER_BLOCK = 1 << 16

Holds = Literal["features", "codes", "column"]


class Block(NamedTuple):
    """Some rows of a file.

    Attributes
    ----------
    values : array of shape (n, n_columns), or (n,) of a single column
    ids : array of shape (n,) or None
        int64, or strings as objects.
    """

    values: NDArray[Any]
    ids: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a file or of standard input, read once, from first to last.

    Attributes
    ----------
    path : str
    n_rows : int or None
        None where it is not known before they are read: text and streams.
    mapped : array or None
        All values, where the file can be mapped as it stands: nothing is read before it is needed.
    n_bits : int or None
        Of codes, where the file says it.
    """

    path: str
    n_rows: int | None
    _read: Callable[[int], Iterator[Block]]
    mapped: NDArray[Any] | None = None
    n_bits: int | None = None

    def blocks(self, n_rows: int = ROWS_PER_BLOCK) -> Iterator[Block]:
        """The rows, at most `n_rows` at a time: one block at least.

        Raises
        ------
        TypeError, ValueError
            If a block is not what is wanted, or there are no rows and so no width.
        """
        n_blocks = 0
        for block in self._read(n_rows):
            n_blocks += 1
            yield block
        if n_blocks == 0:
            raise ValueError(f"{self.path} must have rows, got none")

    def whole(self) -> Block:
        """All rows: mapped where that can be, else in memory.

        Raises
        ------
        ValueError
            If there are none and so no width, or blocks differ in width.
        """
        blocks = list(self.blocks())
        if self.mapped is not None:
            ids = [block.ids for block in blocks if block.ids is not None]
            return Block(self.mapped, np.concatenate(ids) if ids else None)
        ids = [block.ids for block in blocks if block.ids is not None]
        try:
            values = np.concatenate([block.values for block in blocks])
        except ValueError as error:
            raise ValueError(f"{self.path} must have rows of one length: {error}") from None
        return Block(values, join_ids(ids) if ids else None)


def join_ids(ids: list[NDArray[Any]]) -> NDArray[Any]:
    """The ids of all blocks: strings if those of one block are, for 1, 2 and x are three strings."""
    if len({block.dtype for block in ids}) > 1:
        ids = [np.array([str(value) for value in block.tolist()], object) for block in ids]
    return np.concatenate(ids)


def map_npy(path: Path) -> NDArray[Any]:
    """Memory-map a ``.npy`` file; one that would need pickle is refused."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{os.fspath(path)} is no readable .npy file of numbers or strings") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(f"{os.fspath(path)} is an .npz archive where a .npy file is needed")
    return array


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file; one that would need pickle is refused."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{os.fspath(path)} is no readable .npz file of numbers or strings") from error


def choose_array(arrays: dict[str, NDArray[Any]], path: Path, holds: Holds, name: str | None) -> NDArray[Any]:
    """The array of an archive that is named, or the one named ``features`` or ``codes``."""
    name = holds if name is None and holds != "column" else name
    if name not in arrays:
        raise ValueError(f"{os.fspath(path)} must hold an array named {name}, got {', '.join(arrays) or 'nothing'}")
    return arrays[name]
