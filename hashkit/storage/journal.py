"""The journal of a collection: an SQLite database in WAL mode with the changes since the index file was written.

=============  ===================================================================================
table          holds
=============  ===================================================================================
``facts``      format version, n_bits, and the generation: the number of the index file that counts
``changes``    one row per change, in order: its kind, ids (int64, little-endian), codes, CRC-32 of both
``metadata``   JSON by id
=============  ===================================================================================

SQLite is trusted with what it is known for: a transaction is on disk whole or not at all, whatever kills the process or
the machine, and a lock dies with the process that holds it.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.storage.header import FormatError

Codes = NDArray[np.uint8]
Ids = NDArray[np.int64]

VERSION = 1
ROWS_PER_CHANGE = 1 << 20  # larger changes are cut: SQLite limits a row to 1 GB
IDS_PER_STATEMENT = 500

ADD, REMOVE, REPLACE = "add", "remove", "replace"
SYNCS = {"always": "FULL", "batch": "NORMAL"}

_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE changes (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, ids BLOB NOT NULL, codes BLOB NOT NULL, checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE metadata (id INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""


class Journal:
    """The journal in the database at `path`; one thread at a time.

    Parameters
    ----------
    path : str
    n_bits : int or None
        Length of the codes of a new journal; None if there must be one.
    sync : str or None
        A key of SYNCS; None opens the journal for reading only.
    generation : int
        The number of the index file that a new journal follows upon.
    """

    def __init__(self, path: str, n_bits: int | None, sync: str | None, *, generation: int = 0) -> None:
        self._path = path
        with self._explained("open"):
            mode = "ro" if sync is None else "rwc"
            uri = f"file:{_quoted(path)}?mode={mode}"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            with self._explained("open"):
                if sync is not None:
                    self._db.execute("PRAGMA journal_mode = WAL")
                    self._db.execute(f"PRAGMA synchronous = {SYNCS[sync]}")
                if n_bits is not None and not self._db.execute("SELECT 1 FROM sqlite_schema").fetchone():
                    self._create(n_bits, generation)
            self.version = self._fact("version")
            if self.version > VERSION:
                told = f"it has format version {self.version}, this one reads {VERSION}"
                raise FormatError(f"{path!r} was made by a newer hashkit: {told}")
            self.n_bits = self._fact("n_bits")
        except BaseException:
            self._db.close()
            raise

    @property
    def generation(self) -> int:
        """The number of the index file that the changes follow upon; 0 stands for an empty index."""
        return self._fact("generation")

    @property
    def n_changes(self) -> int:
        """How many changes it holds."""
        return self._count("changes")

    @property
    def n_metadata(self) -> int:
        """About how many ids it has a note."""
        return self._count("metadata")

    def changes(self) -> Iterator[tuple[str, Ids, Codes]]:
        """Kind, ids and codes of every change in order; adjoining ones of a kind, except replacements, as one."""
        with self._explained("read"):
            rows = self._db.execute("SELECT kind, ids, codes, checksum FROM changes ORDER BY number")
            for kind, group in itertools.groupby(rows, key=lambda row: row[0]):
                parts = [self._parse(*row) for row in group]
                for some in [[part] for part in parts] if kind == REPLACE else [parts]:
                    ids, codes = zip(*some, strict=True)
                    yield kind, np.concatenate(ids), np.concatenate(codes)

    def record(self, kind: str, ids: Ids, codes: Codes, metadata: Sequence[str | None] | None) -> None:
        """Write a change to disk, with the metadata that it brings; REMOVE also removes these.

        Raises
        ------
        OSError
            If it cannot be written; then nothing is.
        """
        with self._transaction() as db:
            for start in range(0, len(ids), ROWS_PER_CHANGE):
                blobs = (
                    ids[start : start + ROWS_PER_CHANGE].tobytes(),
                    codes[start : start + ROWS_PER_CHANGE].tobytes(),
                )
                statement = "INSERT INTO changes (kind, ids, codes, checksum) VALUES (?, ?, ?, ?)"
                db.execute(statement, (kind, *blobs, _checksum(*blobs)))
            if kind == REMOVE:
                db.executemany("DELETE FROM metadata WHERE id = ?", ((id,) for id in ids.tolist()))
            elif metadata is not None:
                self._write_metadata(db, ids, metadata)

    def set_metadata(self, ids: Ids, metadata: Sequence[str | None]) -> None:
        """Write the metadata of `ids`, JSON or None."""
        with self._transaction() as db:
            self._write_metadata(db, ids, metadata)

    def metadata(self, ids: Ids) -> list[Any]:
        """What is noted about each of `ids`, None where nothing is."""
        found: dict[int, Any] = {}
        with self._explained("read"):
            wanted = ids.tolist()
            for start in range(0, len(wanted), IDS_PER_STATEMENT):
                some = wanted[start : start + IDS_PER_STATEMENT]
                statement = f"SELECT id, value FROM metadata WHERE id IN ({','.join('?' * len(some))})"
                found.update(self._db.execute(statement, some))
        return [json.loads(found[id]) if id in found else None for id in wanted]

    def begin_generation(self, generation: int) -> None:
        """Let the index file of that number count, and drop the changes that it has folded in."""
        with self._transaction() as db:
            db.execute("UPDATE facts SET value = ? WHERE name = 'generation'", (generation,))
            db.execute("DELETE FROM changes")

    def position(self) -> tuple[int, int]:
        """The generation, and the number of the last change since: differs after every change that was written."""
        with self._explained("read"):
            statement = "SELECT value, (SELECT max(number) FROM changes) FROM facts WHERE name = 'generation'"
            generation, number = self._db.execute(statement).fetchone()
        return int(generation), int(number or 0)

    def end_transaction(self) -> None:
        """Undo what an exception has left half done."""
        with self._explained("write"):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def flush(self) -> None:
        """Bring to disk what ``sync="batch"`` has not yet."""
        with self._explained("write"):
            self._db.execute("PRAGMA wal_checkpoint(FULL)")

    def check(self) -> None:
        """Let SQLite look for damage.

        Raises
        ------
        FormatError
            If it finds any.
        """
        with self._explained("read"):
            (answer,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
        if answer != "ok":
            raise FormatError(f"{self._path!r} is damaged: {answer}")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read inside is of one moment, whatever is written meanwhile."""
        with self._explained("read"):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    def _create(self, n_bits: int, generation: int) -> None:
        facts = [("version", VERSION), ("n_bits", n_bits), ("generation", generation)]
        with self._transaction() as db:
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            db.executemany("INSERT INTO facts VALUES (?, ?)", facts)

    def _count(self, table: str) -> int:
        with self._explained("read"):
            return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def _fact(self, name: str) -> int:
        with self._explained("read"):
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise FormatError(f"{self._path!r} is no journal of a collection: it does not tell its {name}")
        return int(row[0])

    def _parse(self, kind: str, ids: bytes, codes: bytes, checksum: int) -> tuple[Ids, Codes]:
        n_bytes = (self.n_bits + 7) // 8
        expected = 0 if kind == REMOVE else len(ids) // 8 * n_bytes
        if _checksum(ids, codes) != checksum or len(ids) % 8 or len(codes) != expected:
            raise FormatError(f"{self._path!r} is damaged: a change does not fit its checksum")
        return np.frombuffer(ids, "<i8").astype(np.int64), np.frombuffer(codes, np.uint8).reshape(-1, n_bytes)

    @staticmethod
    def _write_metadata(db: sqlite3.Connection, ids: Ids, metadata: Sequence[str | None]) -> None:
        pairs = list(zip(ids.tolist(), metadata, strict=True))
        db.executemany("DELETE FROM metadata WHERE id = ?", ((id,) for id, value in pairs if value is None))
        noted = (pair for pair in pairs if pair[1] is not None)
        db.executemany("INSERT OR REPLACE INTO metadata VALUES (?, ?)", noted)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """What is executed inside is written whole, or not at all if an exception leaves it."""
        with self._explained("write"), transaction(self._db):
            yield self._db

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Turn SQLite's errors into those of files."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OSError(f"cannot {action} {self._path!r}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise FormatError(f"{self._path!r} is damaged or no journal of a collection: {error}") from error


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """What is executed inside is written whole, or not at all if an exception leaves it.

    For a connection with ``isolation_level=None``: nobody else begins a transaction.
    """
    if db.in_transaction:  # left by an exception that arrived between two steps of this function
        db.execute("ROLLBACK")
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def to_json(metadata: Iterable[Any]) -> list[str | None]:
    """Each value as JSON; None stays None.

    Raises
    ------
    TypeError, ValueError
        If a value has no JSON.
    """
    return [None if value is None else json.dumps(value, allow_nan=False) for value in metadata]


class WriterLock:
    """Holds the file at `path` for this process, until it is released or the process ends.

    An SQLite database of which nothing is used but its lock: that is the same on every system, holds between threads
    and processes alike, and is not inherited by a fork.

    Raises
    ------
    BlockingIOError
        If somebody else holds it.
    """

    def __init__(self, path: str) -> None:
        try:
            self._db = self._held(path)
        except BlockingIOError:
            gc.collect()  # an opening that an interrupt broke off may be held by nothing but a cycle of its traceback
            self._db = self._held(path)

    @staticmethod
    def _held(path: str) -> sqlite3.Connection:
        folder = os.path.dirname(path)
        try:
            db = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
            db.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise BlockingIOError(f"{folder!r} is open already, here or in another process") from None
            raise OSError(f"cannot open {folder!r}: {error}") from error
        return db

    def release(self) -> None:
        self._db.close()


def _checksum(ids: bytes, codes: bytes) -> int:
    return zlib.crc32(codes, zlib.crc32(ids))


def _quoted(path: str) -> str:
    """`path` as part of a URI, where ``?``, ``#`` and ``%`` mean something."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
