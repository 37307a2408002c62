"""Replacing a file in one step, by a temporary file beside it of which nothing stays, whatever becomes of the process.

Whoever writes a temporary file holds a lock on it (flock), which dies with the process. So one that nobody holds was
left by a process that was killed: the next that writes in that folder deletes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterable

PREFIX, SUFFIX = ".hashkit-", ".tmp"
NAME = re.compile(r"\.hashkit-[0-9a-f]{16}\.tmp")  # what `_create` makes


def replace_file(target: str, parts: Iterable[bytes | memoryview]) -> None:
    """Let `target` hold `parts`, its access rights unchanged: at every instant it is the whole old or new file.

    Raises
    ------
    OSError
        If the file cannot be written; what was there before is still there.
    """
    folder = os.path.dirname(target)
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(errno.EINVAL, "it is not a regular file", target)
    remove_abandoned(folder)
    temporary, descriptor = _create(folder)
    try:
        _write_and_flush(descriptor, target, parts)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    _flush_folder(folder)


def remove_abandoned(folder: str) -> None:
    """Delete the temporary files in `folder` that dead processes left, as far as the access rights allow it."""
    with os.scandir(folder) as entries:
        names = [entry.path for entry in entries if NAME.fullmatch(entry.name)]
    for path in names:
        with contextlib.suppress(OSError):  # gone meanwhile, another user's, no regular file, or locked
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Held until the file is gone. Had it been finished meanwhile, this name would be gone, too.
                os.unlink(path)
            finally:
                os.close(descriptor)


def _create(folder: str) -> tuple[str, int]:
    """A new temporary file, locked for as long as its descriptor is open."""
    while True:
        path = os.path.join(folder, f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with contextlib.suppress(OSError):  # where a file system knows no locks nobody can take it either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # another process came before the lock, and took it for abandoned


def _write_and_flush(descriptor: int, target: str, parts: Iterable[bytes | memoryview]) -> None:
    """Write `parts` to a file, which gets the access rights of `target` if that exists, and flush it to disk."""
    with open(descriptor, "wb", closefd=False) as file:
        if os.path.exists(target):
            os.chmod(descriptor, stat.S_IMODE(os.stat(target).st_mode))
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(descriptor)


def _flush_folder(folder: str) -> None:
    """Make a rename in `folder` survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
