"""The files in the folder of a collection, and what becomes of those that do not count.

==================  ===================================================================================
file                holds
==================  ===================================================================================
``journal.sqlite``  what changed since the index file was written, and the notes; SQLite puts a ``-wal``
                    and a ``-shm`` beside it while it is open
``index-N.hashkit``  the codes of generation N, the number that the journal names
``lock.sqlite``     the lock of the process that has the collection open
==================  ===================================================================================
"""

from __future__ import annotations

import contextlib
import os
import re
import stat

from hashkit.storage.header import FormatError
from hashkit.storage.journal import Journal
from hashkit.storage.replacing import remove_abandoned

JOURNAL, LOCK = "journal.sqlite", "lock.sqlite"
INDEX_NAME = re.compile(r"index-([1-9][0-9]{0,17})\.hashkit")


def index_path(folder: str, generation: int) -> str:
    """The index file of that number."""
    return os.path.join(folder, f"index-{generation}.hashkit")


def generations(folder: str) -> list[int]:
    """The numbers of the index files in `folder`, ascending; none if there is no folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    numbers = sorted(int(match[1]) for match in map(INDEX_NAME.fullmatch, names) if match)
    return [number for number in numbers if stat.S_ISREG(os.lstat(index_path(folder, number)).st_mode)]


def has_content(path: str) -> bool:
    """Whether there is a file at `path` that is not empty."""
    return os.path.exists(path) and os.path.getsize(path) > 0


def refuse_orphans(folder: str) -> None:
    """Raise a FormatError if `folder` holds parts of a collection, to which a journal must once have belonged."""
    numbers, journal = generations(folder), os.path.join(folder, JOURNAL)
    if has_content(f"{journal}-wal"):
        raise FormatError(
            f"{folder!r} holds {JOURNAL}-wal of a collection, but its {JOURNAL} is missing or empty: put back both"
        )
    if numbers:
        name = os.path.basename(index_path(folder, numbers[-1]))
        raise FormatError(
            f"{folder!r} holds {name!r} of a collection, but its {JOURNAL} is missing or empty: put it back, with the "
            f"{JOURNAL}-wal that may lie beside it, or recover the codes of the index file alone with "
            f"hashkit.Collection.recover({folder!r}) or the command: hashkit recover {folder}"
        )


def next_generation(folder: str, journal: Journal) -> int:
    """A number that no index file of the collection ever had, and no other file has."""
    number = journal.state().last + 1
    while os.path.lexists(index_path(folder, number)):
        number += 1
    return number


def remove_leftovers(folder: str, journal: Journal) -> None:
    """Delete the index files that the journal says do not count any more, and what was cut off while it was written.

    Nothing else: of files that only look like one of this collection's, none is touched.
    """
    state = journal.state()
    unneeded = {state.former, state.pending} - {0, state.generation}
    for generation in unneeded:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(index_path(folder, generation))
    if unneeded:
        journal.forget_files()
    remove_abandoned(folder)
