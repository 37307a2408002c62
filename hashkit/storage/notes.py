"""The notes of a collection: a table of JSON by id, every row with a checksum, and totals over all rows.

A row's checksum shows that the row is damaged. The totals, the number of rows and the sum of their checksums, show
that a row is missing: damage to a page can hide rows. They are kept beside the table, in the journal's state.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.storage.header import FormatError

Ids = NDArray[np.int64]
Totals = tuple[int, int]
"""Number of rows, and sum of their checksums."""

SCHEMA = "CREATE TABLE notes (id INTEGER PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) STRICT"
IDS_PER_STATEMENT = 500


def to_json(metadata: Iterable[Any]) -> list[str | None]:
    """Each value as JSON; None stays None.

    Raises
    ------
    TypeError, ValueError
        If a value has no JSON.
    """
    return [None if value is None else json.dumps(value, allow_nan=False) for value in metadata]


def write_notes(db: sqlite3.Connection, ids: Ids, notes: Sequence[str | None]) -> Totals:
    """Let the `notes`, JSON, be those of `ids`, None for none; return by how much the totals change.

    Of an id that comes twice the last note counts.
    """
    last = dict(zip(ids.tolist(), notes, strict=True))
    n_old, old = _delete(db, list(last))
    rows = [(id, value, _checksum(id, value.encode())) for id, value in last.items() if value is not None]
    db.executemany("INSERT INTO notes VALUES (?, ?, ?)", rows)
    return len(rows) - n_old, sum(row[2] for row in rows) - old


def read_notes(db: sqlite3.Connection, ids: Ids) -> list[Any]:
    """What is noted about each of `ids`, None where nothing is.

    Raises
    ------
    FormatError
        If a row is damaged.
    """
    wanted, found = ids.tolist(), {}
    for some in _chunks(wanted):
        statement = f"SELECT id, value, checksum FROM notes WHERE id IN ({_places(some)})"
        found.update({row[0]: _verified(*row) for row in db.execute(statement, some)})
    return [json.loads(found[id]) if id in found else None for id in wanted]


def check_notes(db: sqlite3.Connection, totals: Totals) -> None:
    """Raise a FormatError unless every row fits its checksum, and all together fit the totals."""
    n_rows = checksums = 0
    for row in db.execute("SELECT id, value, checksum FROM notes"):
        _verified(*row)
        n_rows += 1
        checksums += row[2]
    if (n_rows, checksums) != totals:
        raise FormatError(f"it should hold {totals[0]} notes, which do not fit the {n_rows} that it holds")


def copy_unchecked(db: sqlite3.Connection, table: str) -> Totals:
    """Copy the notes of a table without checksums, as version 1 of the format has it; return the totals.

    Raises
    ------
    FormatError
        If a note is no JSON.
    """
    n_rows = checksums = 0
    for id, value in db.execute(f"SELECT id, value FROM {table}"):
        require_json(value)
        checksum = _checksum(id, value)
        db.execute("INSERT INTO notes VALUES (?, CAST(? AS TEXT), ?)", (id, value, checksum))
        n_rows, checksums = n_rows + 1, checksums + checksum
    return n_rows, checksums


def require_json(value: object) -> None:
    """Raise a FormatError unless `value` is JSON as bytes."""
    try:
        if not isinstance(value, bytes):
            raise ValueError(f"it is of type {type(value).__name__}")
        json.loads(value.decode())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"a note is no JSON: {error}") from None


def _delete(db: sqlite3.Connection, ids: list[int]) -> Totals:
    n_rows = checksums = 0
    for some in _chunks(ids):
        where = f"FROM notes WHERE id IN ({_places(some)})"
        count, total = db.execute(f"SELECT count(*), sum(checksum) {where}", some).fetchone()
        if not isinstance(total or 0, int):
            raise FormatError("a checksum of a note is no number")
        if count:
            db.execute(f"DELETE {where}", some)
            n_rows, checksums = n_rows + count, checksums + total
    return n_rows, checksums


def _verified(id: object, value: object, checksum: object) -> bytes:
    if not isinstance(id, int) or not isinstance(value, bytes) or _checksum(id, value) != checksum:
        raise FormatError(f"the note of id {id!r} does not fit its checksum")
    return value


def _checksum(id: int, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(id.to_bytes(8, "little", signed=True)))


def _chunks(ids: list[int]) -> Iterator[list[int]]:
    return (ids[start : start + IDS_PER_STATEMENT] for start in range(0, len(ids), IDS_PER_STATEMENT))


def _places(ids: list[int]) -> str:
    return ",".join("?" * len(ids))
