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
from hashkit.storage.sqlite import Transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, dtype TEXT NOT NULL, row BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""
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

    def forget(self, paths: Sequence[str]) -> None:
        """Drop the rows of some files."""
        with self._errors(), Transaction(self._db):
            self._db.executemany("DELETE FROM rows WHERE path = ?", [(os.fsencode(path),) for path in paths])

    def get(self, paths: Sequence[str]) -> NDArray[np.float32] | NDArray[np.uint8]:
        """The rows of files that are there, in the order of `paths`."""
        return np.stack([np.asarray(row) for row in self.find(paths)])

    def find(self, paths: Sequence[str]) -> list[NDArray[Any] | None]:
        """The rows of files, in the order of `paths`; None for a file that has none."""
        rows: list[NDArray[Any] | None] = []
        with self._errors():
            for path in paths:
                query = "SELECT dtype, row FROM rows WHERE path = ?"
                found = self._db.execute(query, (os.fsencode(path),)).fetchone()
                if found is not None and found[0] not in _DTYPES:
                    raise OSError(f"{self._path!r} is damaged: it holds rows of {found[0]!r}")
                rows.append(None if found is None else np.frombuffer(found[1], found[0]))
        return rows

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(f"cannot use {self._path!r}: {error}") from error
