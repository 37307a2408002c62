"""The journal of a collection: an SQLite database in WAL mode with the changes since the index file was written.

===========  ==============================================================================================
table        holds
===========  ==============================================================================================
``facts``    the format's version, 2
``state``    one row, :class:`State`, with its CRC-32
``changes``  one row per change, in order: its kind, ids (int64, little-endian), codes, CRC-32 of both
``notes``    JSON by id, with CRC-32 (:mod:`hashkit.storage.notes`)
===========  ==============================================================================================

SQLite is trusted with what it is known for: a transaction is on disk whole or not at all, whatever kills the process or
the machine. Its files are not trusted. Before anything else is read, the schema must be the one above, word for word,
so that no view or trigger runs, and the structure of the pages must be whole. The state holds a running CRC-32 over all
changes and totals over all notes, so that what is missing shows, too: changes are verified on opening, notes when they
are first read.

Version 1 had the numbers of the state in ``facts``, and notes without checksums in ``metadata``. Opening for writing
turns it into version 2, in one transaction; an older hashkit then refuses it.
"""

from __future__ import annotations

import itertools
import os
import secrets
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.storage import notes
from hashkit.storage.header import FormatError
from hashkit.storage.locks import identity
from hashkit.storage.sqlite import (
    Explained,
    Transaction,
    check_pages,
    check_schema,
    connect,
    make_file,
    read_schema,
    roll_back,
)

Codes = NDArray[np.uint8]
Ids = NDArray[np.int64]

VERSION = 2
ROWS_PER_CHANGE = 1 << 20  # larger changes are cut: SQLite limits a row to 1 GB
ROWS_AT_ONCE = 256
MAX_BITS = 4096

ADD, REMOVE, REPLACE = "add", "remove", "replace"
SYNCS = {"always": "FULL", "batch": "NORMAL"}

FACTS = "CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT"
CHANGES = """CREATE TABLE changes (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, ids BLOB NOT NULL, codes BLOB NOT NULL, checksum INTEGER NOT NULL
) STRICT"""
STATE = """CREATE TABLE state (
    id INTEGER PRIMARY KEY, n_bits INTEGER NOT NULL, generation INTEGER NOT NULL, former INTEGER NOT NULL,
    pending INTEGER NOT NULL, last INTEGER NOT NULL, writer INTEGER NOT NULL, changes INTEGER NOT NULL,
    n_notes INTEGER NOT NULL, notes INTEGER NOT NULL, checksum INTEGER NOT NULL
) STRICT"""
SCHEMAS = {
    1: {
        "facts": FACTS,
        "changes": CHANGES,
        "metadata": "CREATE TABLE metadata (id INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT",
    },
    2: {"facts": FACTS, "state": STATE, "changes": CHANGES, "notes": notes.SCHEMA},
}


@dataclass(frozen=True)
class State:
    """What the journal holds as a whole.

    Attributes
    ----------
    n_bits : int
        Length of the codes.
    generation : int
        The number of the index file that the changes follow upon; 0 stands for an empty index.
    former : int
        The number of the index file that counted before, until it is known to be deleted; else 0.
    pending : int
        The number of the index file that is being written; else 0.
    last : int
        The largest number that an index file was ever given.
    writer : int
        A random number, new with every opening for writing: whoever finds another one is not the writer any more.
    changes : int
        The running CRC-32 of all changes.
    n_notes, notes : int
        Totals of the notes.
    """

    n_bits: int
    generation: int
    former: int
    pending: int
    last: int
    writer: int = 0
    changes: int = 0
    n_notes: int = 0
    notes: int = 0

    def values(self) -> tuple[int, ...]:
        """The columns of its row, in order, without the checksum."""
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)

    def checksum(self) -> int:
        """CRC-32 of the values as int64, little-endian."""
        return zlib.crc32(struct.pack("<9q", *self.values()))


class EmptyJournalError(FormatError):
    """The database is empty: a journal that was not finished, or of which only a part was copied."""


class Journal:
    """The journal in the database at `path`, which must be there; one thread at a time.

    Parameters
    ----------
    path : str
    sync : str or None
        A key of SYNCS; None opens the journal for reading only, as it is at this moment whatever is written meanwhile.

    Raises
    ------
    EmptyJournalError
        If the database is empty.
    FormatError
        If it is damaged, no journal, or made by a newer hashkit.
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: str, sync: str | None) -> None:
        self._path = path
        self._process = os.getpid()
        self._identity = identity(path)
        self._notes_verified = False
        with Explained(path, "open"):
            self._db = connect(path, read_only=sync is None)
            try:
                if sync is None:
                    self._db.execute("BEGIN")
                self.version = _check(self._db, path)
                self.n_bits = self._state().n_bits
                if sync is not None:
                    self._begin_writing(sync)
            except BaseException:
                self._db.close()
                raise

    @staticmethod
    def make(path: str, n_bits: int, generation: int = 0) -> None:
        """Make a journal that follows upon the index file of that number, where none is there."""
        make_file(path)
        with Explained(path, "make"):
            db = connect(path)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                with Transaction(db):
                    for statement in SCHEMAS[VERSION].values():
                        db.execute(statement)
                    db.execute("INSERT INTO facts VALUES ('version', ?)", (VERSION,))
                    _insert(db, State(n_bits, generation, 0, 0, generation))
            finally:
                db.close()

    def state(self) -> State:
        """What it holds as a whole."""
        with Explained(self._path, "read"):
            return self._state()

    @property
    def n_changes(self) -> int:
        """The number of changes."""
        with Explained(self._path, "read"):
            return int(self._db.execute("SELECT count(*) FROM changes").fetchone()[0])

    def changes(self) -> Iterator[tuple[str, Ids, Codes]]:
        """Kind, ids and codes of every change in order; adjoining ones of a kind, except replacements, as one.

        Raises
        ------
        FormatError
            If one is damaged, or at the end if one is missing.
        """
        chain = 0
        with Explained(self._path, "read"):
            for kind, group in itertools.groupby(self._rows(), key=lambda row: row[1]):
                parts = []
                for number, _, ids, codes, checksum in group:
                    parts.append(self._parse(kind, ids, codes, checksum))
                    chain = _chained(chain, number, kind, checksum)
                for some in [[part] for part in parts] if kind == REPLACE.encode() else [parts]:
                    all_ids, all_codes = zip(*some, strict=True)
                    yield kind.decode(errors="backslashreplace"), np.concatenate(all_ids), np.concatenate(all_codes)
            if self.version > 1 and chain != self._state().changes:
                raise FormatError("its changes are not all there, or not in order")

    def _rows(self) -> Iterator[Any]:
        """The rows of changes in order, in pieces: a cursor that a traceback keeps would keep the database open."""
        number = -1
        while rows := self._db.execute(
            "SELECT number, kind, ids, codes, checksum FROM changes WHERE number > ? ORDER BY number LIMIT ?",
            (number, ROWS_AT_ONCE),
        ).fetchall():
            yield from rows
            if not isinstance(rows[-1][0], int) or rows[-1][0] <= number:
                raise FormatError("its changes are not in order")
            number = rows[-1][0]

    def record(self, kind: str, ids: Ids, codes: Codes, metadata: Sequence[str | None] | None) -> None:
        """Write a change to disk, with the metadata that it brings; REMOVE also removes these.

        Raises
        ------
        BlockingIOError
            If another process has opened the collection for writing since; nothing is written.
        OSError
            If it cannot be written; then nothing is.
        """

        def write(state: State) -> State:
            chain = state.changes
            for start in range(0, len(ids), ROWS_PER_CHANGE):
                rows = slice(start, start + ROWS_PER_CHANGE)
                blobs = np.ascontiguousarray(ids[rows], "<i8").tobytes(), codes[rows].tobytes()
                statement = "INSERT INTO changes (kind, ids, codes, checksum) VALUES (?, ?, ?, ?)"
                checksum = _checksum(*blobs)
                number = self._db.execute(statement, (kind, *blobs, checksum)).lastrowid
                chain = _chained(chain, number or 0, kind.encode(), checksum)
            state = replace(state, changes=chain)
            if kind == REMOVE:
                return self._noted(state, ids, [None] * len(ids)) if state.n_notes else state
            return state if metadata is None else self._noted(state, ids, metadata)

        self._write(write)

    def set_metadata(self, ids: Ids, metadata: Sequence[str | None]) -> None:
        """Write the metadata of `ids`, JSON or None. Errors as from :meth:`record`."""
        self._write(lambda state: self._noted(state, ids, metadata))

    def metadata(self, ids: Ids) -> list[Any]:
        """What is noted about each of `ids`, None where nothing is. The first call verifies all notes."""
        with Explained(self._path, "read"):
            if not self._notes_verified:
                self._check_notes()
                self._notes_verified = True
            return notes.read_notes(self._db, ids)

    def begin_file(self, generation: int) -> None:
        """Note, before it is written, that the index file of that number is this collection's."""
        self._write(lambda state: replace(state, pending=generation, last=generation))

    def begin_generation(self, generation: int) -> None:
        """Let the index file of that number count, and drop the changes that it has folded in."""

        def write(state: State) -> State:
            self._db.execute("DELETE FROM changes")
            return replace(state, generation=generation, former=state.generation, pending=0, changes=0)

        self._write(write)

    def forget_files(self) -> None:
        """Note that no index file but the one that counts is there any more."""
        self._write(lambda state: replace(state, former=0, pending=0))

    def position(self) -> tuple[int, int]:
        """The generation, and the number of the last change since: differs after every change that was written."""
        with Explained(self._path, "read"):
            number = self._db.execute("SELECT max(number) FROM changes").fetchone()[0]
            return self._state().generation, int(number or 0)

    def end_transaction(self) -> None:
        """Undo what an exception has left half done."""
        with Explained(self._path, "write"):
            roll_back(self._db)

    def flush(self) -> None:
        """Bring to disk what ``sync="batch"`` has not yet."""
        with Explained(self._path, "write"):
            self._db.execute("PRAGMA wal_checkpoint(FULL)")
        log = f"{self._path}-wal"
        if os.path.exists(log):  # a reader can keep SQLite from doing all of it, without an error
            descriptor = os.open(log, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def check(self) -> None:
        """Look for damage in all that is there but the changes, which :meth:`changes` checks."""
        with Explained(self._path, "read"):
            (answer,) = self._db.execute("PRAGMA integrity_check(1)").fetchone()
            if answer != b"ok":
                raise FormatError(answer.decode(errors="backslashreplace"))
            self._check_notes()

    def close(self) -> None:
        """Close the database. In a child of the process that opened it, the copy of its connection is left alone."""
        if self._process == os.getpid():
            self._db.close()

    def close_copy(self) -> None:
        """Close, in a child, the copy of the connection, once this process holds the lock on the collection.

        Closing the last connection deletes the database's log. That is right of the log that the copy goes with, but
        not of one that another process left there when it was killed.
        """
        log = identity(f"{self._path}-wal")
        if log not in (None, self._log_identity):
            raise OSError(
                f"cannot open {self._path!r} in a process forked from one that had it open: a third process has "
                "changed it since and did not close it; open it in another process first"
            )
        self._db.close()

    def _begin_writing(self, sync: str) -> None:
        """Make this connection the writer, and the format the newest."""
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")  # who writes means nothing any more after a crash
        with Transaction(self._db):
            if self.version == 1:
                self._upgrade()
            self._writer = secrets.randbits(62)
            self._update(replace(self._state(), writer=self._writer))
        self._log_identity = identity(f"{self._path}-wal")
        self._db.execute(f"PRAGMA synchronous = {SYNCS[sync]}")

    def _upgrade(self) -> None:
        """Turn version 1 into version 2, inside a transaction."""
        state = self._state()
        for _ in self.changes():  # verifies them
            pass
        for statement in (STATE, notes.SCHEMA):
            self._db.execute(statement)
        n_notes, total = notes.copy_unchecked(self._db, "metadata")
        chain = 0
        for number, kind, _, _, checksum in self._rows():
            chain = _chained(chain, number, kind, checksum)
        self._db.execute("DROP TABLE metadata")
        self._db.execute("DELETE FROM facts WHERE name <> 'version'")
        self._db.execute("UPDATE facts SET value = ? WHERE name = 'version'", (VERSION,))
        _insert(self._db, replace(state, changes=chain, n_notes=n_notes, notes=total))
        check_schema(self._db, SCHEMAS[VERSION])
        self.version = VERSION

    def _write(self, change: Callable[[State], State]) -> None:
        """Write what `change` writes, and the state that it returns, in one transaction of the writer's."""
        if identity(self._path) != self._identity:
            raise OSError(f"cannot write {self._path!r}: it was deleted, moved or replaced while it was open")
        with Explained(self._path, "write"), Transaction(self._db):
            state = self._state()
            if state.writer != self._writer:
                raise BlockingIOError(f"{self._path!r} has been opened by another process since: open it again")
            self._update(change(state))

    def _noted(self, state: State, ids: Ids, metadata: Sequence[str | None]) -> State:
        n_rows, checksums = notes.write_notes(self._db, ids, metadata)
        return replace(state, n_notes=state.n_notes + n_rows, notes=state.notes + checksums)

    def _check_notes(self) -> None:
        if self.version > 1:
            state = self._state()
            notes.check_notes(self._db, (state.n_notes, state.notes))
        else:
            for (value,) in self._db.execute("SELECT value FROM metadata"):
                notes.require_json(value)

    def _state(self) -> State:
        if self.version == 1:
            return _state_of_version_1(self._db)
        rows = self._db.execute("SELECT * FROM state").fetchmany(2)
        if len(rows) != 1 or not all(isinstance(value, int) for value in rows[0]):
            raise FormatError("its state is not one row")
        state = State(*rows[0][1:-1])
        if state.checksum() != rows[0][-1]:
            raise FormatError("its state does not fit its checksum")
        return state

    def _update(self, state: State) -> None:
        columns = ", ".join(f"{name} = ?" for name in (*State.__dataclass_fields__, "checksum"))
        done = self._db.execute(f"UPDATE state SET {columns}", (*state.values(), state.checksum()))
        if done.rowcount != 1:
            raise FormatError("its state is not one row")

    def _parse(self, kind: bytes, ids: object, codes: object, checksum: object) -> tuple[Ids, Codes]:
        n_bytes = (self.n_bits + 7) // 8
        if not isinstance(kind, bytes) or not isinstance(ids, bytes) or not isinstance(codes, bytes):
            raise FormatError("a change is no change")
        expected = 0 if kind == REMOVE.encode() else len(ids) // 8 * n_bytes
        if _checksum(ids, codes) != checksum or len(ids) % 8 or len(codes) != expected:
            raise FormatError("a change does not fit its checksum")
        return np.frombuffer(ids, "<i8").astype(np.int64), np.frombuffer(codes, np.uint8).reshape(-1, n_bytes)


def _check(db: sqlite3.Connection, path: str) -> int:
    """The version of the format, after checking the schema and the structure of the pages."""
    schema = read_schema(db)
    if not schema:
        raise EmptyJournalError(f"{path!r} is empty")
    if schema.get("facts") != FACTS:
        raise FormatError(f"{path!r} is damaged or no journal of a collection: it has no facts")
    row = db.execute("SELECT value FROM facts WHERE name = 'version'").fetchone()
    if row is None or not isinstance(row[0], int) or row[0] < 1:
        raise FormatError(f"{path!r} is damaged or no journal of a collection: it does not say its version")
    version = int(row[0])
    if version > VERSION:
        raise FormatError(
            f"{path!r} was made by a newer hashkit: it has format version {version}, this one reads {VERSION}"
        )
    check_schema(db, SCHEMAS[version])
    check_pages(db)
    return version


def _state_of_version_1(db: sqlite3.Connection) -> State:
    facts = dict(db.execute("SELECT name, value FROM facts").fetchmany(4))
    n_bits, generation = facts.get(b"n_bits"), facts.get(b"generation")
    if len(facts) != 3 or not isinstance(n_bits, int) or not isinstance(generation, int):
        raise FormatError("it does not say its n_bits and generation")
    if not 1 <= n_bits <= MAX_BITS or not 0 <= generation < 2**60:
        raise FormatError(f"it has n_bits {n_bits} and generation {generation}")
    n_notes = db.execute("SELECT count(*) FROM metadata").fetchone()[0]
    return State(n_bits, generation, 0, 0, generation, n_notes=n_notes)


def _insert(db: sqlite3.Connection, state: State) -> None:
    db.execute(f"INSERT INTO state VALUES (1{', ?' * 10})", (*state.values(), state.checksum()))


def _chained(chain: int, number: int, kind: bytes, checksum: int) -> int:
    """The running CRC-32 `chain` with one more change."""
    return zlib.crc32(b"%d %b %d" % (number, kind, checksum), chain)


def _checksum(ids: bytes, codes: bytes) -> int:
    return zlib.crc32(codes, zlib.crc32(ids))
