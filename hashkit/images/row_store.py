"""What a model made of each file, on disk as soon as it is made: an interrupted run goes on where it was stopped."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.images.decoding import Stamp
from hashkit.images.extraction import Batch
from hashkit.images.looks import LOOK_SIDE
from hashkit.storage.sqlite import Transaction

ROWS = "rows.sqlite"  # its name in a gallery

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, dtype TEXT NOT NULL, row BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looks (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, width INTEGER NOT NULL,
    height INTEGER NOT NULL, sharpness REAL NOT NULL, grays BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""
_AT_ONCE = 500  # paths in a query; SQLite takes 999 in all of its versions
_DTYPES = ("float32", "uint8")


class RowStore:
    """Rows by path, in an SQLite database.

    Parameters
    ----------
    path : str
        The database; made if there is none.

    Raises
    ------
    OSError
        From every method, if the disk is full or the database damaged.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with self._errors():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def stamps(self) -> dict[str, Stamp]:
        """The size and time that each file had when its row was made."""
        with self._errors():
            found = self._db.execute("SELECT path, size, mtime_ns FROM rows").fetchall()
        return {os.fsdecode(path): Stamp(size, mtime_ns) for path, size, mtime_ns in found}

    def put(self, batch: Batch) -> None:
        """Keep the rows of a batch, in one transaction."""
        values = [
            (os.fsencode(path), stamp.size, stamp.mtime_ns, row.dtype.name, row.tobytes())
            for path, stamp, row in zip(batch.paths, batch.stamps, batch.rows, strict=True)
        ]
        with self._errors(), Transaction(self._db):
            self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)", values)
            self._put_looks(batch)

    def put_looks(self, batch: Batch) -> None:
        """Keep the looks of a batch alone."""
        with self._errors(), Transaction(self._db):
            self._put_looks(batch)

    def _put_looks(self, batch: Batch) -> None:
        values = [
            (
                os.fsencode(path),
                stamp.size,
                stamp.mtime_ns,
                look.width,
                look.height,
                look.sharpness,
                look.grays.tobytes(),
            )
            for path, stamp, look in zip(batch.paths, batch.stamps, batch.looks, strict=True)
        ]
        self._db.executemany("INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def forget(self, paths: Sequence[str], *, keep_looks: bool = False) -> None:
        """Drop the rows of some files, and their looks."""
        names = [(os.fsencode(path),) for path in paths]
        with self._errors(), Transaction(self._db):
            self._db.executemany("DELETE FROM rows WHERE path = ?", names)
            if not keep_looks:
                self._db.executemany("DELETE FROM looks WHERE path = ?", names)

    def measures(self) -> dict[str, tuple[Stamp, int, int, float]]:
        """Width, height and sharpness of each file's look, and the size and time that the file had then."""
        with self._errors():
            found = self._db.execute("SELECT path, size, mtime_ns, width, height, sharpness FROM looks").fetchall()
        return {
            os.fsdecode(path): (Stamp(size, mtime_ns), width, height, sharpness)
            for path, size, mtime_ns, width, height, sharpness in found
        }

    def grays(self, paths: Sequence[str]) -> NDArray[np.uint8]:
        """The gray values of files' looks, shape (n, 3, 32, 32); zero for a file that has none."""
        grays = np.zeros((len(paths), 3, LOOK_SIDE, LOOK_SIDE), np.uint8)
        with self._errors():
            for place, path in enumerate(paths):
                found = self._db.execute("SELECT grays FROM looks WHERE path = ?", (os.fsencode(path),)).fetchone()
                if found is not None:
                    if len(found[0]) != grays[place].nbytes:
                        raise OSError(f"{self._path!r} is damaged: it holds a look of {len(found[0])} bytes")
                    grays[place] = np.frombuffer(found[0], np.uint8).reshape(grays.shape[1:])
        return grays

    def get(self, paths: Sequence[str]) -> NDArray[np.float32] | NDArray[np.uint8]:
        """The rows of files that are there, in the order of `paths`."""
        return np.stack([np.asarray(row) for row in self.find(paths)])

    def find(self, paths: Sequence[str]) -> list[NDArray[Any] | None]:
        """The rows of files, in the order of `paths`; None for a file that has none."""
        names, found = [os.fsencode(path) for path in paths], {}
        with self._errors():
            for start in range(0, len(names), _AT_ONCE):
                part = names[start : start + _AT_ONCE]
                query = f"SELECT path, dtype, row FROM rows WHERE path IN ({', '.join('?' * len(part))})"
                for name, dtype, row in self._db.execute(query, part):
                    if dtype not in _DTYPES:
                        raise OSError(f"{self._path!r} is damaged: it holds rows of {dtype!r}")
                    found[name] = np.frombuffer(row, dtype)
        return [found.get(name) for name in names]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(f"cannot use {self._path!r}: {error}") from error
