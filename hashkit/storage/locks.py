"""The lock that the one process holds that may change a folder.

The lock is that of an SQLite database of which nothing else is used: it is the same on every system, holds between
threads and processes alike, and dies with the process.

SQLite counts in memory which locks its process holds. A fork copies that memory, but not the locks. In the child the
copies must be closed before the same files are opened anew. :class:`WriterLock` does that in this order: it closes the
copy of the lock, which has no effect on disk; it takes the lock itself, so that nobody else is writing; then it closes
the copies of what was open under the lock.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import weakref
from collections.abc import Callable

from hashkit.storage.header import FormatError
from hashkit.storage.sqlite import make_file

Identity = tuple[int, int]

# Every lock of this process, and in a child also the copies of its parent's.
_locks: weakref.WeakValueDictionary[int, WriterLock] = weakref.WeakValueDictionary()


def identity(path: str) -> Identity | None:
    """What distinguishes the file at `path` from any other, also of that name; None if there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


class WriterLock:
    """Holds the file at `path` for this process, until it is released or the process ends.

    Parameters
    ----------
    path : str
        The lock file; made if there is none. Its folder is what the lock stands for.

    Raises
    ------
    BlockingIOError
        If it is held already, here or in another process.
    hashkit.storage.FormatError
        If the file is no lock file.
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path, self._process = os.path.abspath(path), os.getpid()
        self._close_guarded: Callable[[], None] | None = None
        self._db: sqlite3.Connection | None = None
        inherited = self._inherited()
        for lock in inherited:
            lock._drop()
        try:
            self._take()
            _locks[id(self)] = self
            for lock in inherited:
                lock._close_copies()
        except BaseException:
            self.release()
            raise

    def guard(self, close: Callable[[], None]) -> None:
        """Say what closes, in a child, its copy of what this process has open under the lock."""
        self._close_guarded = close

    def require_held(self) -> None:
        """Raise a BlockingIOError if the lock file was deleted or replaced, so that others may hold the lock, too."""
        if self._db is None or identity(self._path) != self._identity:
            raise BlockingIOError(
                f"{self._path!r} was deleted or replaced while it was locked: another process may have opened the "
                "collection since; close it and open it again"
            )

    def release(self) -> None:
        """Let others have it. In a child it closes the child's copy, and the parent's lock stays."""
        if self._process == os.getpid():
            _locks.pop(id(self), None)
        self._drop()

    def _inherited(self) -> list[WriterLock]:
        """The copies of locks on this folder that a parent of this process held at the fork."""
        found = []
        for reference in _locks.valuerefs():
            lock = reference()
            if lock is not None and lock._process != os.getpid() and lock._path == self._path:
                found.append(lock)
        return found

    def _close_copies(self) -> None:
        if self._close_guarded is not None:
            self._close_guarded()
        _locks.pop(id(self), None)

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _take(self) -> None:
        try:
            self._connect()
        except BlockingIOError:
            gc.collect()  # an opening that an interrupt broke off may be held by nothing but a cycle of its traceback
            self._connect()

    def _connect(self) -> None:
        folder = os.path.dirname(self._path)
        try:
            make_file(self._path)
            self._identity = identity(self._path)  # before: a file that is replaced meanwhile is then not taken for it
            db = self._db = sqlite3.connect(self._path, isolation_level=None, timeout=0, check_same_thread=False)
            db.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            self._drop()
            if "locked" in str(error):
                raise BlockingIOError(f"{folder!r} is open already, here or in another process") from None
            raise OSError(f"cannot open {folder!r}: {error}") from error
        except sqlite3.DatabaseError as error:
            self._drop()
            raise FormatError(f"{self._path!r} is damaged or no lock file: {error}; delete it") from error
        except OSError as error:
            raise OSError(error.errno, f"cannot open {folder!r}: {error.strerror}") from error
