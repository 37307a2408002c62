"""SQLite as hashkit uses it: how a database is opened, how a transaction ends, and which errors come out.

The context managers are classes on purpose. An interrupt can arrive between the ``yield`` of a generator and the
``with`` that waits for it. The generator then ends when its last traceback is freed: in the middle of anything.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from types import TracebackType
from urllib.parse import quote

from hashkit.storage.header import FormatError

MAX_OBJECTS = 32  # more than any database of hashkit's has tables
READ_ONLY = "attempt to write a readonly database"
SYSTEM_ERRORS = (
    "database is locked",
    "database or disk is full",
    "disk I/O error",
    "locking protocol",
    "out of memory",
    "unable to open database file",
)
"""How SQLite's messages begin where the system, and not the contents of the file, is the reason."""


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection to the database at `path`, in which no statement begins a transaction by itself.

    Text comes as bytes. Functions in the schema are not trusted, and cells of pages are checked when they are read.
    """
    uri = f"file://{quote(os.fsencode(os.path.abspath(path)))}?mode={'ro' if read_only else 'rw'}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.text_factory = bytes
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        db.close()
        raise
    return db


def make_file(path: str) -> None:
    """Make the empty file `path` unless there is one, with the access rights that the umask leaves.

    SQLite would make it without write access for the group, whatever the umask.
    """
    with contextlib.suppress(FileExistsError):  # not opened: closing it would drop the locks of this process on it
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))


def read_schema(db: sqlite3.Connection) -> dict[str, str]:
    """What defines each table, by name; anything but a table is named ``"view NAME"`` and so on.

    Nothing of it is executed: a view is not evaluated, a trigger not fired. Internal indexes are left out.
    """
    rows = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchmany(MAX_OBJECTS + 1)
    schema = {}
    for kind, name, table, sql in rows:
        if (kind, sql) != (b"index", None) or name != b"sqlite_autoindex_%b_1" % table:
            schema[_text(name) if kind == b"table" else f"{_text(kind)} {_text(name)}"] = _text(sql)
    return schema


def check_schema(db: sqlite3.Connection, expected: Mapping[str, str]) -> None:
    """Raise a FormatError unless the database has the tables `expected`, made by just these statements, and no more."""
    found = read_schema(db)
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise FormatError(f"its schema is not that of hashkit: {name!r} differs")


def check_pages(db: sqlite3.Connection) -> None:
    """Raise a FormatError unless SQLite finds the structure of the database whole; takes one pass over the file."""
    answer = db.execute("PRAGMA quick_check(1)").fetchone()
    if answer != (b"ok",):
        raise FormatError(_text(answer[0] if answer else None))


class Explained:
    """Turns SQLite's errors, and a FormatError without a file's name, into those of the file at `path`.

    Parameters
    ----------
    path : str
    action : str
        What is done to it, for the message: "open", "read", "write".
    """

    def __init__(self, path: str, action: str) -> None:
        self._path, self._action = path, action

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.OperationalError) and self._is_of_the_system(str(error)):
            raise OSError(f"cannot {self._action} {self._path!r}: {error}") from error
        if isinstance(error, (sqlite3.Error, UnicodeDecodeError)):  # that of a message which quotes damaged text
            raise FormatError(f"{self._path!r} is damaged or no journal of a collection: {error}") from error
        if isinstance(error, FormatError) and repr(self._path) not in str(error):
            raise FormatError(f"{self._path!r} is damaged: {error}") from error

    def _is_of_the_system(self, message: str) -> bool:
        if message.startswith(READ_ONLY):  # SQLite says so, too, if it takes the file for one of a newer format
            return not os.access(self._path, os.W_OK) or not os.access(os.path.dirname(self._path) or ".", os.W_OK)
        return message.startswith(SYSTEM_ERRORS)


class Transaction:
    """What is executed inside is written whole, or not at all if an exception leaves it.

    For a connection of :func:`connect`, or another with ``isolation_level=None``.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        roll_back(self._db)  # what an exception left that arrived between two steps of this class
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._db.execute("COMMIT")
        finally:  # also after a COMMIT that failed
            roll_back(self._db)


def roll_back(db: sqlite3.Connection) -> None:
    """End a transaction that is open, without effect."""
    if db.in_transaction:
        db.execute("ROLLBACK")


def _text(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else repr(value)
