"""The changes of a collection since its index file was written: a table in order, every row with a checksum.

A row's checksum shows that the row is damaged. A running CRC-32 over all of them shows that one is missing; it is kept
beside the table, in the journal's state.
"""

from __future__ import annotations

import itertools
import sqlite3
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.storage.header import FormatError

Codes = NDArray[np.uint8]
Ids = NDArray[np.int64]
Change = tuple[str, Ids, Codes]
"""Kind, ids and codes."""

ADD, REMOVE, REPLACE = "add", "remove", "replace"
SCHEMA = """CREATE TABLE changes (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, ids BLOB NOT NULL, codes BLOB NOT NULL, checksum INTEGER NOT NULL
) STRICT"""
ROWS_PER_CHANGE = 1 << 20  # larger changes are cut: SQLite limits a row to 1 GB
ROWS_AT_ONCE = 256


def write_change(db: sqlite3.Connection, kind: str, ids: Ids, codes: Codes, chain: int) -> int:
    """Append a change; the running CRC-32 `chain` with it."""
    for start in range(0, len(ids), ROWS_PER_CHANGE):
        rows = slice(start, start + ROWS_PER_CHANGE)
        blobs = np.ascontiguousarray(ids[rows], "<i8").tobytes(), codes[rows].tobytes()
        statement = "INSERT INTO changes (kind, ids, codes, checksum) VALUES (?, ?, ?, ?)"
        checksum = _checksum(*blobs)
        number = db.execute(statement, (kind, *blobs, checksum)).lastrowid
        chain = _chained(chain, number or 0, kind.encode(), checksum)
    return chain


def read_changes(db: sqlite3.Connection, n_bits: int, chain: int | None) -> Iterator[Change]:
    """Every change in order; adjoining ones of a kind, except replacements, as one.

    Raises
    ------
    FormatError
        If one is damaged, or at the end if they do not give the running CRC-32 `chain`. None compares nothing.
    """
    found = 0
    for kind, group in itertools.groupby(_rows(db), key=lambda row: row[1]):
        parts = []
        for number, _, ids, codes, checksum in group:
            parts.append(_parse(kind, ids, codes, checksum, (n_bits + 7) // 8))
            found = _chained(found, number, kind, checksum)
        for some in [[part] for part in parts] if kind == REPLACE.encode() else [parts]:
            all_ids, all_codes = zip(*some, strict=True)
            yield kind.decode(errors="backslashreplace"), np.concatenate(all_ids), np.concatenate(all_codes)
    if chain is not None and found != chain:
        raise FormatError("its changes are not all there, or not in order")


def chain_of(db: sqlite3.Connection) -> int:
    """The running CRC-32 over all changes."""
    chain = 0
    for number, kind, _, _, checksum in _rows(db):
        chain = _chained(chain, number, kind, checksum)
    return chain


def _rows(db: sqlite3.Connection) -> Iterator[Any]:
    """The rows of changes in order, in pieces: a cursor that a traceback keeps would keep the database open."""
    number = -1
    while rows := db.execute(
        "SELECT number, kind, ids, codes, checksum FROM changes WHERE number > ? ORDER BY number LIMIT ?",
        (number, ROWS_AT_ONCE),
    ).fetchall():
        yield from rows
        if not isinstance(rows[-1][0], int) or rows[-1][0] <= number:
            raise FormatError("its changes are not in order")
        number = rows[-1][0]


def _parse(kind: bytes, ids: object, codes: object, checksum: object, n_bytes: int) -> tuple[Ids, Codes]:
    if not isinstance(kind, bytes) or not isinstance(ids, bytes) or not isinstance(codes, bytes):
        raise FormatError("a change is no change")
    expected = 0 if kind == REMOVE.encode() else len(ids) // 8 * n_bytes
    if _checksum(ids, codes) != checksum or len(ids) % 8 or len(codes) != expected:
        raise FormatError("a change does not fit its checksum")
    return np.frombuffer(ids, "<i8").astype(np.int64), np.frombuffer(codes, np.uint8).reshape(-1, n_bytes)


def _chained(chain: int, number: int, kind: bytes, checksum: int) -> int:
    """The running CRC-32 `chain` with one more change."""
    return zlib.crc32(b"%d %b %d" % (number, kind, checksum), chain)


def _checksum(ids: bytes, codes: bytes) -> int:
    return zlib.crc32(codes, zlib.crc32(ids))
