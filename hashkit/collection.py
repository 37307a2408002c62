"""An index for those who add all day: every change is on disk when the call returns.

A collection is a folder: an index file, a journal with the changes since it was written, and a lock
(:mod:`hashkit.storage.journal`). A change is computed first, then written to the journal, then shown to readers; if a
step fails, neither the disk nor memory has it. Opening reads the index file and applies the journal.
:meth:`Collection.compact` writes a new index file under a new number, then in one transaction lets that number count
and empties the journal: whatever happens in between, the number in the journal names a file that fits.

An exception can arrive anywhere, also between the commit and the assignment behind it (Ctrl-C in a notebook). So a
change marks memory as unsettled first and as settled last. Whoever finds it unsettled compares what memory holds with
what the journal holds, by generation and number of the last change, and reads the journal anew where they differ.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes, check_n_bits
from hashkit.index import Index, RadiusResult, files, growth
from hashkit.index.ids import Ids, check_ids
from hashkit.index.snapshot import Snapshot
from hashkit.index.tables import TablePolicy
from hashkit.storage import FormatError, Path
from hashkit.storage.journal import ADD, REMOVE, REPLACE, SYNCS, Journal, WriterLock, to_json
from hashkit.storage.replacing import remove_abandoned

__all__ = ["Collection", "describe"]

JOURNAL, LOCK = "journal.sqlite", "lock.sqlite"
INDEX_NAME = re.compile(r"index-([1-9][0-9]{0,17})\.hashkit")


class Collection:
    """A durable index with metadata, in a folder; open in one process at a time.

    Parameters
    ----------
    path : str or path
        The folder; made if there is none.
    n_bits : int, optional
        Length of the codes. Needed to make a collection; of one that is there it must be the length, if given.
    sync : {"always", "batch"}, default="always"
        When a change is flushed to disk. "always": before the call returns. "batch": the call hands it to the operating
        system, and :meth:`flush`, :meth:`compact`, :meth:`close` and now and then a change flush what has come in:
        many times faster for small changes. A crash of the process loses nothing; one of the machine may lose the
        changes since the last flush, never a part of one.
    method : {"auto", "scan", "mih"}, default="auto"
        How nearest codes are searched, as for :class:`Index`. Opening makes no tables: the first search or change
        makes them, where the method asks for any, which reads all codes once. See :meth:`describe`.

    Raises
    ------
    BlockingIOError
        If it is open already, here or in another process.
    hashkit.storage.FormatError
        If a file in it is damaged, or made by a newer hashkit.
    OSError
        If the folder cannot be written.
    TypeError, ValueError
        If an argument does not fit.

    Notes
    -----
    Threads may share it as they may share an :class:`Index`. After a fork the child can go on searching; to change
    anything it must open the collection itself, once the parent has closed it.

    Examples
    --------
    >>> with hashkit.Collection("pictures", n_bits=64) as pictures:
    ...     ids = pictures.add(codes, metadata=[{"file": name} for name in names])
    ...     distances, found = pictures.query(query, k=10)
    ...     notes = pictures.metadata(found)
    """

    def __init__(
        self,
        path: Path,
        n_bits: int | None = None,
        *,
        sync: str = "always",
        method: Literal["auto", "scan", "mih"] = "auto",
    ) -> None:
        if sync not in SYNCS:
            raise ValueError(f"sync must be one of {sorted(SYNCS)}, got {sync!r}")
        if n_bits is not None:
            check_n_bits(n_bits)
        self._policy = TablePolicy(method)
        self._folder = os.fspath(path)
        self._process = os.getpid()
        journal = os.path.join(self._folder, JOURNAL)
        if n_bits is None and not os.path.exists(journal):
            raise ValueError(f"n_bits must be given to make a collection, there is none in {self._folder!r}")
        os.makedirs(self._folder, exist_ok=True)
        self._closed = False
        self._settled = True  # whether memory is known to hold what the journal holds
        self._writer = WriterLock(os.path.join(self._folder, LOCK))
        try:
            _refuse_orphans(self._folder, journal)
            self._journal = Journal(journal, n_bits, sync)
            if n_bits not in (None, self._journal.n_bits):
                raise ValueError(f"n_bits must be {self._journal.n_bits} for {self._folder!r}, got {n_bits}")
            self._applied = self._journal.position()  # what memory holds
            self._index = _read(self._folder, self._journal)
            self._index._policy = self._policy
            self._has_tables = False
            self._remove_leftovers()
        except BaseException:
            self._writer.release()
            raise

    @classmethod
    def recover(cls, path: Path) -> Collection:
        """Open the folder of a collection whose journal is gone, with the codes of its newest index file.

        What changed after the last :meth:`compact`, and all metadata, was in the journal and stays lost.

        Parameters
        ----------
        path : str or path
            A folder with an index file, and no journal or an empty one.

        Raises
        ------
        ValueError
            If it has a journal, or no index file.
        hashkit.storage.FormatError
            If the newest index file is damaged. Move it away to recover the one before.
        """
        folder = os.fspath(path)
        journal, generations = os.path.join(folder, JOURNAL), _generations(folder)
        if _has_content(journal):
            raise ValueError(f"path must be of a collection without its journal, {journal!r} is there: open it")
        if not generations:
            raise ValueError(
                f"path must be of a folder with an index file of a collection, there is none in {folder!r}"
            )
        writer = WriterLock(os.path.join(folder, LOCK))
        try:
            n_bits = Index.load(_index_path(folder, generations[-1]), method="scan").n_bits
            Journal(journal, n_bits, "always", generation=generations[-1]).close()
        finally:
            writer.release()
        return cls(folder)

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self._journal.n_bits

    @property
    def ids(self) -> Ids:
        """The ids, ascending; read-only."""
        return self._settled_index().ids

    def __len__(self) -> int:
        """The number of codes."""
        return len(self._settled_index())

    def __iter__(self) -> Iterator[int]:
        """The ids, ascending."""
        return iter(self._settled_index())

    def __contains__(self, id: object) -> bool:
        """Whether a code has this id."""
        return id in self._settled_index()

    def __repr__(self) -> str:
        return f"<hashkit.Collection of {len(self)} codes of {self.n_bits} bits in {self._folder!r}>"

    def query(
        self, q: Codes, k: int = 100, *, filter: NDArray[Any] | None = None, n_threads: int | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The `k` nearest codes of each query: see :meth:`Index.query`."""
        self._make_tables()
        return self._settled_index().query(q, k, filter=filter, n_threads=n_threads)

    def radius(
        self, q: Codes, r: int, *, filter: NDArray[Any] | None = None, n_threads: int | None = None
    ) -> RadiusResult:
        """Every code within distance `r` of each query: see :meth:`Index.radius`."""
        return self._settled_index().radius(q, r, filter=filter, n_threads=n_threads)

    def describe(self) -> dict[str, Any]:
        """How it is searched, and what that takes: see :meth:`Index.describe`.

        After opening every part is said to be scanned until the first search or change has made its tables.
        """
        return self._settled_index().describe()

    def get(self, ids: Ids | int) -> Codes:
        """The codes of `ids`: see :meth:`Index.get`."""
        return self._settled_index().get(ids)

    def metadata(self, ids: Ids | int) -> list[Any]:
        """What is noted about each of `ids`, in their order; None where nothing is.

        Parameters
        ----------
        ids : int64 array of shape (n,), or one int
        """
        wanted = check_ids(ids, "ids")
        with self._changing():
            return self._journal.metadata(wanted)

    def set_metadata(self, ids: Ids | int, metadata: Sequence[Any]) -> None:
        """Note something about codes that are there, or with None forget it.

        Parameters
        ----------
        ids : int64 array of shape (n,), or one int
        metadata : sequence of n values
            Anything JSON can hold.
        """
        noted = check_ids(ids, "ids")
        notes = _check_metadata(metadata, len(noted))
        with self._changing():
            growth.require_known(self._index._current(), noted)
            self._journal.set_metadata(noted, notes)

    def add(self, codes: Codes, ids: Ids | None = None, *, metadata: Sequence[Any] | None = None) -> Ids:
        """Add codes: see :meth:`Index.add`.

        Parameters
        ----------
        codes : uint8 array of shape (n, n_bytes)
        ids : int64 array of shape (n,), optional
        metadata : sequence of n values, optional
            Something to note about each: anything JSON can hold, or None.

        Returns
        -------
        ids : int64 array of shape (n,)

        Raises
        ------
        OSError
            If it cannot be written; the collection is then unchanged.
        """
        notes = None if metadata is None else _check_metadata(metadata, len(codes))
        return self._change(
            lambda state: growth.add(state, codes, ids), lambda added: self._record(ADD, added, codes, notes)
        )

    def remove(self, ids: Ids | int, *, missing: str = "raise") -> None:
        """Remove codes and what is noted about them: see :meth:`Index.remove`.

        Raises
        ------
        OSError
            If it cannot be written; the collection is then unchanged.
        """
        none = np.empty((0, (self.n_bits + 7) // 8), np.uint8)
        self._change(
            lambda state: growth.remove(state, ids, missing), lambda removed: self._record(REMOVE, removed, none, None)
        )

    def replace(self, codes: Codes, ids: Ids, *, metadata: Sequence[Any] | None = None) -> None:
        """Give new codes to `ids`: see :meth:`Index.replace`. What is noted stays, unless `metadata` is given.

        Raises
        ------
        OSError
            If it cannot be written; the collection is then unchanged.
        """
        notes = None if metadata is None else _check_metadata(metadata, len(codes))
        self._change(
            lambda state: growth.replace_codes(state, codes, ids),
            lambda replaced: self._record(REPLACE, replaced, codes, notes),
        )

    def compact(self) -> None:
        """Fold the journal into a new index file: opening and searching are then fastest, and least space is taken.

        Raises
        ------
        OSError
            If it cannot be written; the collection is then unchanged.
        """
        with self._changing():
            state = self._index._prepared(growth.compact(self._index._current()))
            generation = self._journal.generation + 1
            files.save(state, _index_path(self._folder, generation))
            self._settled = False
            self._journal.begin_generation(generation)
            self._publish(state)
            self._journal.flush()
            self._remove_leftovers()

    def save(self, path: Path) -> None:
        """Write the codes as an index file of their own: see :meth:`Index.save`."""
        self._settled_index().save(path)

    def flush(self) -> None:
        """Bring to disk what ``sync="batch"`` has not yet."""
        with self._changing():
            self._journal.flush()

    def close(self) -> None:
        """Flush, and let others open the collection. It can no longer be changed, but still be searched."""
        with self._index._lock():
            if self._process != os.getpid():
                return
            try:
                if not self._closed:
                    self._settle()
            finally:  # all of it may be done again, by who was interrupted and closes once more
                self._closed = True
                try:
                    self._journal.close()
                finally:
                    self._writer.release()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Held by one thread at a time; memory holds what the journal holds before, and after an exception too."""
        with self._index._lock():
            self._require_open()
            self._settle()
            try:
                yield
            except BaseException:
                self._settle()
                raise

    def _change(self, change: Callable[[Snapshot], tuple[Snapshot, Ids]], record: Callable[[Ids], None]) -> Ids:
        """Go over to the state that `change` makes, after `record` has written it."""
        with self._changing():
            state, ids = change(self._index._current())
            self._index._prepared(state)
            if len(ids):
                self._settled = False
                record(ids)
                self._publish(state)
        return ids

    def _record(self, kind: str, ids: Ids, codes: Codes, notes: Sequence[str | None] | None) -> None:
        self._journal.record(kind, ids, codes, notes)

    def _publish(self, state: Snapshot) -> None:
        """Show a state that the journal holds. In this order, so that `_applied` never runs ahead of memory."""
        self._index._state = state
        self._applied = self._journal.position()
        self._settled = True

    def _make_tables(self) -> None:
        """Make what the method asks for and opening has left out; whoever comes meanwhile waits for it."""
        if not self._has_tables:
            with self._index._lock():
                self._index._prepared(self._index._current())
                self._has_tables = True

    def _settle(self) -> None:
        """Let memory hold what the journal holds, if an exception has left that open."""
        if not self._settled:
            self._journal.end_transaction()
            if self._journal.position() != self._applied:
                self._has_tables = False
                self._publish(_read(self._folder, self._journal)._current())
            self._settled = True

    def _settled_index(self) -> Index:
        """What is searched. A change under way is not waited for; one that was broken off is settled first."""
        if (
            not self._settled
            and not self._closed
            and self._process == os.getpid()
            and self._index._lock().acquire(False)
        ):
            try:
                self._settle()
            finally:
                self._index._lock().release()
        return self._index

    def _require_open(self) -> None:
        if self._process != os.getpid():
            raise RuntimeError(f"{self._folder!r} was opened in another process: open it in this one")
        if self._closed:
            raise ValueError(f"{self._folder!r} has been closed")

    def _remove_leftovers(self) -> None:
        """Delete the index files of earlier generations, that of a compaction that did not count, and what was cut off.

        Nothing else: what has another name is not this collection's.
        """
        current = self._journal.generation
        for generation in _generations(self._folder):
            if generation < current or generation == current + 1:
                os.unlink(_index_path(self._folder, generation))
        remove_abandoned(self._folder)


def describe(path: Path) -> dict[str, Any]:
    """What the collection in the folder `path` holds, after reading and checking all of it; it may be open meanwhile.

    Returns
    -------
    description : dict
        ``version``, ``n_bits``, ``n_codes``, ``n_changes`` (in the journal), ``n_metadata``.

    Raises
    ------
    hashkit.storage.FormatError
        If a file is damaged.
    """
    folder = os.fspath(path)
    journal = Journal(os.path.join(folder, JOURNAL), None, None)
    try:
        journal.check()
        with journal.reading():
            index = _read(folder, journal)
            return {
                "version": journal.version,
                "n_bits": journal.n_bits,
                "n_codes": len(index.ids),
                "n_changes": journal.n_changes,
                "n_metadata": journal.n_metadata,
            }
    finally:
        journal.close()


def _index_path(folder: str, generation: int) -> str:
    return os.path.join(folder, f"index-{generation}.hashkit")


def _generations(folder: str) -> list[int]:
    """The numbers of the index files in `folder`, ascending."""
    names = [entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
    return sorted(int(match[1]) for match in map(INDEX_NAME.fullmatch, names) if match)


def _has_content(path: str) -> bool:
    return os.path.exists(path) and os.path.getsize(path) > 0


def _refuse_orphans(folder: str, journal: str) -> None:
    """Raise a FormatError if there is an index file of a collection, but not its journal."""
    if generations := [] if _has_content(journal) else _generations(folder):
        name = os.path.basename(_index_path(folder, generations[-1]))
        raise FormatError(
            f"{folder!r} holds {name!r} of a collection, but its {JOURNAL} is missing or empty: put it back, or "
            f"recover the codes of the index file alone with hashkit.Collection.recover({folder!r})"
        )


def _read(folder: str, journal: Journal) -> Index:
    """The index that the journal's index file and changes make."""
    if journal.generation == 0:
        index = Index(np.empty((0, (journal.n_bits + 7) // 8), np.uint8), n_bits=journal.n_bits)
    else:
        index = Index.load(_index_path(folder, journal.generation), mmap=True)
    if index.n_bits != journal.n_bits:
        raise FormatError(
            f"{folder!r} is damaged: its journal is of {journal.n_bits} bits, its index of {index.n_bits}"
        )
    try:
        for kind, ids, codes in journal.changes():
            _apply(index, kind, ids, codes)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{folder!r} is damaged: a change in its journal does not fit: {error}") from error
    return index


def _apply(index: Index, kind: str, ids: Ids, codes: Codes) -> None:
    """Apply a change of the journal; the last word on an id counts.

    Collections of older versions may hold changes that do not follow upon each other: an interrupted call had written
    one, but memory had not gone over to it, so that the next call gave the same ids once more, or removed them again.
    What an id was given last counts, and what is gone already is passed over.
    """
    if kind == REMOVE:
        index.remove(ids, missing="ignore")
    elif kind in (ADD, REPLACE):
        last = np.sort(len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1])
        if len(last) < len(ids):
            ids, codes = ids[last], codes[last]
        known = index._current().has(ids)
        if known.any():
            index.replace(codes[known], ids[known])
        if not known.all():
            index.add(codes[~known], ids[~known])
    else:
        raise ValueError(f"there is no change {kind!r}")


def _check_metadata(metadata: Sequence[Any], n_codes: int) -> list[str | None]:
    if isinstance(metadata, (str, bytes, dict)) or not isinstance(metadata, Sequence):
        raise TypeError(f"metadata must be a sequence, one value for each code, got {type(metadata).__name__}")
    if len(metadata) != n_codes:
        raise ValueError(f"metadata must have {n_codes} values, one for each code, got {len(metadata)}")
    try:
        return to_json(metadata)
    except (TypeError, ValueError) as error:
        raise type(error)(f"metadata must be JSON: {error}") from error
