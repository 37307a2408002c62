"""Replacing a file in one step, by a temporary file beside it of which nothing stays, whatever becomes of the process.

A :class:`Replacement` holds a lock on its temporary file (flock), which dies with the process. So a temporary file that
nobody holds was left by a process that was killed: the next replacement in that folder deletes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import re
import secrets
import stat
from collections.abc import Iterable
from types import TracebackType

PREFIX, SUFFIX = ".hashkit-", ".tmp"
NAME = re.compile(r"\.hashkit-[0-9a-f]{16}\.tmp")  # what `_create` makes


class Replacement:
    """A temporary file that becomes the file at `target` when the ``with`` statement ends without an exception.

    At every instant `target` is the whole old or the whole new file. It keeps the access rights that it had; a new file
    has those that the umask leaves.

    Parameters
    ----------
    target : str
        The file, or a link to it.
    durable : bool
        Bring it to disk before it replaces the old one, so that it outlives a crash of the machine, too.

    Attributes
    ----------
    path : str
        The temporary file, for who writes by name.
    file : binary file
        The same, open for reading and writing.

    Raises
    ------
    OSError
        If the file cannot be written, or `target` is a pipe, a device or a folder; what was there is still there.
    """

    def __init__(self, target: str, *, durable: bool = True) -> None:
        self._target, self._durable = os.path.realpath(target), durable
        require_regular(self._target)
        self._folder = os.path.dirname(self._target)

    def __enter__(self) -> Replacement:
        remove_abandoned(self._folder)
        self.path, self.file = _create(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            with contextlib.suppress(FileNotFoundError):  # gone, if all went well
                os.unlink(self.path)
            with contextlib.suppress(OSError):  # what could not be written has raised an error before
                self.file.close()
        if self._durable and error is None:
            _flush_folder(self._folder)

    def _finish(self) -> None:
        self.file.flush()
        if os.path.exists(self._target):
            os.chmod(self.file.fileno(), stat.S_IMODE(os.stat(self._target).st_mode))
        if self._durable:
            os.fsync(self.file.fileno())
        os.replace(self.path, self._target)


def replace_file(target: str, parts: Iterable[bytes | memoryview], *, durable: bool = True) -> None:
    """Let `target` hold `parts`: see :class:`Replacement`."""
    with Replacement(target, durable=durable) as new:
        for part in parts:
            new.file.write(part)


def require_regular(path: str) -> None:
    """Raise an OSError if something is at `path` that is no regular file."""
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "it is a directory", path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, "it is not a regular file", path)


def remove_abandoned(folder: str) -> None:
    """Delete the temporary files in `folder` that dead processes left, as far as the access rights allow it."""
    for path in [os.path.join(folder, name) for name in os.listdir(folder) if NAME.fullmatch(name)]:
        with contextlib.suppress(OSError):  # gone meanwhile, another user's, no regular file, or locked
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Held until the file is gone. Had it been finished meanwhile, this name would be gone, too.
                os.unlink(path)
            finally:
                os.close(descriptor)


def _create(folder: str) -> tuple[str, io.BufferedRandom]:
    """A new temporary file, locked for as long as it is open."""
    while True:
        path = os.path.join(folder, f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}")
        file = io.BufferedRandom(io.FileIO(path, "x+"))
        with contextlib.suppress(OSError):  # a file system without locks has none that others could hold
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()  # another process came before the lock, and took it for abandoned


def _flush_folder(folder: str) -> None:
    """Make a rename in `folder` survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
