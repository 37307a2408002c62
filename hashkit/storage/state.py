"""What the journal of a collection holds as a whole, its tables, and the versions of its format."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from dataclasses import dataclass

from hashkit.checks import MAX_BITS
from hashkit.storage import changes, notes
from hashkit.storage.header import FormatError
from hashkit.storage.sqlite import check_pages, check_schema, read_schema

VERSION = 2

FACTS = "CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT"
STATE = """CREATE TABLE state (
    id INTEGER PRIMARY KEY, n_bits INTEGER NOT NULL, generation INTEGER NOT NULL, former INTEGER NOT NULL,
    pending INTEGER NOT NULL, last INTEGER NOT NULL, writer INTEGER NOT NULL, changes INTEGER NOT NULL,
    n_notes INTEGER NOT NULL, notes INTEGER NOT NULL, checksum INTEGER NOT NULL
) STRICT"""
SCHEMAS = {
    1: {
        "facts": FACTS,
        "changes": changes.SCHEMA,
        "metadata": "CREATE TABLE metadata (id INTEGER PRIMARY KEY, value TEXT NOT NULL) STRICT",
    },
    2: {"facts": FACTS, "state": STATE, "changes": changes.SCHEMA, "notes": notes.SCHEMA},
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


def check_format(db: sqlite3.Connection, path: str) -> int:
    """The version of the format, after checking the schema and the structure of the pages."""
    schema = read_schema(db)
    if not schema:
        raise EmptyJournalError(f"{path!r} is empty")
    if schema.get("facts") != FACTS:
        raise FormatError(f"{path!r} is damaged or no journal of a collection: it has no facts")
    row = db.execute("SELECT value FROM facts WHERE name = 'version'").fetchone()
    if row is None or not isinstance(row[0], int) or row[0] < 1:
        raise FormatError(f"{path!r} is damaged or no journal of a collection: its version is missing")
    version = int(row[0])
    if version > VERSION:
        raise FormatError(
            f"{path!r} was made by a newer hashkit: it has format version {version}, this one reads {VERSION}"
        )
    check_schema(db, SCHEMAS[version])
    check_pages(db)
    return version


def read_state(db: sqlite3.Connection, version: int) -> State:
    """The state of a journal of that version.

    Raises
    ------
    FormatError
        If it is damaged.
    """
    if version == 1:
        return _state_of_version_1(db)
    rows = db.execute("SELECT * FROM state").fetchmany(2)
    if len(rows) != 1 or not all(isinstance(value, int) for value in rows[0]):
        raise FormatError("its state is not one row")
    state = State(*rows[0][1:-1])
    if state.checksum() != rows[0][-1]:
        raise FormatError("its state does not fit its checksum")
    return state


def update_state(db: sqlite3.Connection, state: State) -> None:
    """Let `state` be that of a journal that has one."""
    columns = ", ".join(f"{name} = ?" for name in (*State.__dataclass_fields__, "checksum"))
    done = db.execute(f"UPDATE state SET {columns}", (*state.values(), state.checksum()))
    if done.rowcount != 1:
        raise FormatError("its state is not one row")


def insert_state(db: sqlite3.Connection, state: State) -> None:
    """Let `state` be that of a journal that has none yet."""
    db.execute(f"INSERT INTO state VALUES (1{', ?' * 10})", (*state.values(), state.checksum()))


def _state_of_version_1(db: sqlite3.Connection) -> State:
    facts = dict(db.execute("SELECT name, value FROM facts").fetchmany(4))
    n_bits, generation = facts.get(b"n_bits"), facts.get(b"generation")
    if len(facts) != 3 or not isinstance(n_bits, int) or not isinstance(generation, int):
        raise FormatError("n_bits and generation are missing")
    if not 1 <= n_bits <= MAX_BITS or not 0 <= generation < 2**60:
        raise FormatError(f"it has n_bits {n_bits} and generation {generation}")
    n_notes = db.execute("SELECT count(*) FROM metadata").fetchone()[0]
    return State(n_bits, generation, 0, 0, generation, n_notes=n_notes)
