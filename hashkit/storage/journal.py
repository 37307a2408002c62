"""The journal of a collection: an SQLite database in WAL mode with the changes since the index file was written.

===========  ==============================================================================================
table        holds
===========  ==============================================================================================
``facts``    the format's version, 2
``state``    one row with its CRC-32 (:mod:`hashkit.storage.state`)
``changes``  one row per change: kind, ids (int64, little-endian), codes, CRC-32 (:mod:`hashkit.storage.changes`)
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

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from hashkit.storage import changes, notes
from hashkit.storage.changes import REMOVE, Change, Codes, Ids
from hashkit.storage.header import FormatError
from hashkit.storage.locks import identity
from hashkit.storage.sqlite import Explained, Transaction, check_schema, connect, make_file, roll_back
from hashkit.storage.state import (
    SCHEMAS,
    STATE,
    VERSION,
    State,
    check_format,
    insert_state,
    read_state,
    update_state,
)

SYNCS = {"always": "FULL", "batch": "NORMAL"}


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
                self.version = check_format(self._db, path)
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
                    insert_state(db, State(n_bits, generation, 0, 0, generation))
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

    def changes(self) -> Iterator[Change]:
        """Kind, ids and codes of every change in order; adjoining ones of a kind, except replacements, as one.

        Raises
        ------
        FormatError
            If one is damaged, or at the end if one is missing.
        """
        with Explained(self._path, "read"):
            yield from changes.read_changes(self._db, self.n_bits, self._state().changes if self.version > 1 else None)

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
            state = replace(state, changes=changes.write_change(self._db, kind, ids, codes, state.changes))
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
            update_state(self._db, replace(self._state(), writer=self._writer))
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
        chain = changes.chain_of(self._db)
        self._db.execute("DROP TABLE metadata")
        self._db.execute("DELETE FROM facts WHERE name <> 'version'")
        self._db.execute("UPDATE facts SET value = ? WHERE name = 'version'", (VERSION,))
        insert_state(self._db, replace(state, changes=chain, n_notes=n_notes, notes=total))
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
            update_state(self._db, change(state))

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
        return read_state(self._db, self.version)
