"""A state that is also on disk: every change is written to a journal before readers see it.

A change is computed first, then written to the journal, then shown to readers; if a step fails, neither the disk nor
memory has it. Opening reads the index file and applies the journal. A compaction writes a new index file under a new
number, then in one transaction lets that number count and empties the journal: whatever happens in between, the number
in the journal names a file that fits.

An exception can arrive anywhere, also between the commit and the assignment behind it (Ctrl-C in a notebook). So a
change marks memory as unsettled first and as settled last. Whoever finds it unsettled compares what memory holds with
what the journal holds, by generation and number of the last change, and reads the journal anew where they differ.

Locks are held in ``with`` statements over the lock itself, never in generators: a generator that an interrupt leaves
suspended holds its lock until its traceback is freed, and a notebook keeps tracebacks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TypeVar

from hashkit.index import files, growth
from hashkit.index.core import Index, index_over
from hashkit.index.ids import Ids
from hashkit.index.living import Living
from hashkit.index.replay import read_state
from hashkit.index.snapshot import Snapshot
from hashkit.index.tables import TablePolicy, lack_tables
from hashkit.storage import FormatError
from hashkit.storage.journal import Journal
from hashkit.storage.layout import (
    JOURNAL,
    LOCK,
    generations,
    has_content,
    index_path,
    next_generation,
    refuse_orphans,
    remove_leftovers,
)
from hashkit.storage.locks import WriterLock
from hashkit.storage.state import EmptyJournalError

Result = TypeVar("Result")


class DurableState:
    """The state of the collection in `folder`, open for changing.

    Parameters
    ----------
    folder : str
        An absolute path.
    open_journal : callable
        Opens the journal in `folder` for writing, when the lock on that is held.
    policy : TablePolicy
        Which parts get tables.

    Attributes
    ----------
    folder : str
    n_bits : int
    living : Living
        What readers see.
    index : Index
        What searches that.
    closed : bool
    """

    def __init__(self, folder: str, open_journal: Callable[[str], Journal], policy: TablePolicy) -> None:
        self.folder = folder
        self.closed = False
        self._process = os.getpid()
        self._settled = True  # whether memory is known to equal the journal
        self._busy = False  # whether a thread is running that will settle the state itself
        self._has_tables = False
        self._policy = policy
        os.makedirs(folder, exist_ok=True)
        self._writer = WriterLock(os.path.join(folder, LOCK))
        try:
            self._journal = open_journal(folder)
            try:
                self._writer.guard(self._journal.close_copy)
                self.n_bits = self._journal.n_bits
                self._applied = self._journal.position()  # what memory holds
                state, verify = self._read()
                self.living = Living(state, policy, verify)
                self.index = index_over(self.living)
                remove_leftovers(folder, self._journal)
            except BaseException:
                self._journal.close()
                raise
        except BaseException:
            self._writer.release()
            raise

    @property
    def journal(self) -> Journal:
        """Return the state on disk; call it inside :meth:`locked` only."""
        return self._journal

    def change(self, change: Callable[[Snapshot], tuple[Snapshot, Ids]], record: Callable[[Journal, Ids], None]) -> Ids:
        """Record the state that `change` makes, then switch to it; return the ids that it concerns."""

        def work() -> Ids:
            state, ids = change(self.living.current())
            self.living.prepare(state)
            if len(ids):
                record(self._journal, ids)
                self._show(state)
            return ids

        return self.locked(work, changing=True)

    def compact(self) -> None:
        """Write a new index file and empty the journal."""
        self.locked(self._compact, changing=True)

    def locked(self, work: Callable[[], Result], *, changing: bool = False) -> Result:
        """Return the result of `work`, which runs while no change is in progress.

        Memory holds what the journal holds before, and after an exception too.

        Raises
        ------
        ValueError, RuntimeError
            If the collection has been closed, or was opened by a parent of this process.
        BlockingIOError
            If it is `changing`, and another process may have opened the collection.
        """
        with self.living.lock():
            self._require_open()
            if changing:
                self._writer.require_held()
            self._busy = True
            try:
                self._settle()
                self._settled = not changing
                result = work()
                self._settled = True
                return result
            except BaseException:
                self._settle()
                raise
            finally:
                self._busy = False

    def settled(self) -> Index:
        """Return the snapshot to search. Does not wait for a change in progress; settles an interrupted one first."""
        if not self._settled and not self._busy and self._is_open():
            with self.living.lock():
                if self._is_open():
                    self._settle()
        return self.index

    def make_tables(self) -> None:
        """Make the tables that the policy needs and that opening left out; other threads wait meanwhile."""
        if not self._has_tables:
            with self.living.lock():
                if lack_tables(self.living.state, self._policy):
                    self.living.prepare(self.living.current())
                self._has_tables = True

    def close(self) -> None:
        """Release the collection for other processes; searching still works. Can be called again after an interrupt."""
        with self.living.lock():
            try:
                if self._is_open():
                    self._settle()
            finally:
                self.closed = True
                try:
                    self._journal.close()
                finally:
                    self._writer.release()

    def _compact(self) -> None:
        remove_leftovers(self.folder, self._journal)
        state = self.living.prepare(growth.compact(self.living.current()))
        generation = next_generation(self.folder, self._journal)
        self._journal.begin_file(generation)
        path = index_path(self.folder, generation)
        files.save(state, path, tables=True)
        try:
            self._journal.begin_generation(generation)
        except BlockingIOError:  # another process has the journal and will not delete this file
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        self._show(state)
        self._journal.flush()
        remove_leftovers(self.folder, self._journal)

    def _read(self) -> tuple[Snapshot, Callable[[], None] | None]:
        """Return the state on disk, and the function that verifies it."""
        return read_state(self.folder, self._journal, method=self._policy.method)

    def _show(self, state: Snapshot, verify: Callable[[], None] | None = None) -> None:
        """Publish a state that the journal holds. The order keeps `_applied` from running ahead of memory."""
        self.living.show(state, verify)
        self._applied = self._journal.position()

    def _settle(self) -> None:
        """Make memory equal the journal, if an exception has left that uncertain."""
        if not self._settled:
            self._journal.end_transaction()
            if self._journal.position() != self._applied:
                state, verify = self._read()
                self._has_tables = False
                self._show(state, verify)
            self._settled = True

    def _is_open(self) -> bool:
        return not self.closed and self._process == os.getpid()

    def _require_open(self) -> None:
        if self._process != os.getpid():
            raise RuntimeError(f"{self.folder!r} was opened in another process: close it here, and open it in this one")
        if self.closed:
            raise ValueError(f"{self.folder!r} has been closed")


def open_or_make(folder: str, n_bits: int | None, sync: str) -> Journal:
    """Return the journal in `folder`; create it if there is none and no file shows that there was one."""
    path = os.path.join(folder, JOURNAL)
    if has_content(path):
        with contextlib.suppress(EmptyJournalError):
            return _of_length(Journal(path, sync), n_bits, folder)
    refuse_orphans(folder)
    if n_bits is None:
        raise ValueError(f"n_bits must be given to make a collection, there is none in {folder!r}")
    Journal.make(path, n_bits)
    return Journal(path, sync)


def make_anew(folder: str) -> Journal:
    """Create a journal for the newest index file in `folder`, whose own journal is gone."""
    path, numbers = os.path.join(folder, JOURNAL), generations(folder)
    if not numbers:
        raise ValueError(f"path must be of a folder with an index file of a collection, there is none in {folder!r}")
    if has_content(f"{path}-wal"):
        raise ValueError(f"path must be of a collection without its journal, {path + '-wal'!r} is there: move it away")
    if has_content(path):
        try:
            Journal(path, None).close()
        except EmptyJournalError:
            pass
        except FormatError as error:
            raise ValueError(f"{error}; to recover the codes of the index file alone, move it away first") from error
        else:
            raise ValueError(f"path must be of a collection without its journal, {path!r} is there: open it")
    Journal.make(path, Index.load(index_path(folder, numbers[-1]), method="scan").n_bits, numbers[-1])
    return Journal(path, "always")


def _of_length(journal: Journal, n_bits: int | None, folder: str) -> Journal:
    if n_bits not in (None, journal.n_bits):
        journal.close()
        raise ValueError(f"n_bits must be {journal.n_bits} for {folder!r}, got {n_bits}")
    return journal
