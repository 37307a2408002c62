"""An index for those who add all day: every change is on disk when the call returns.

A collection is a folder: an index file, a journal with the changes since it was written, and a lock
(:mod:`hashkit.storage.journal`). A change is computed first, then written to the journal, then shown to readers; if a
step fails, neither the disk nor memory has it. Opening reads the index file and applies the journal.
:meth:`Collection.compact` writes a new index file under a new number, then in one transaction lets that number count
and empties the journal: whatever happens in between, the number in the journal names a file that fits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes, check_n_bits
from hashkit.index import Index, RadiusResult, files, growth
from hashkit.index.ids import Ids, check_ids
from hashkit.storage import FormatError, Path
from hashkit.storage.journal import ADD, REMOVE, REPLACE, SYNCS, Journal, WriterLock, to_json

__all__ = ["Collection", "describe"]

JOURNAL, LOCK = "journal.sqlite", "lock.sqlite"


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

    def __init__(self, path: Path, n_bits: int | None = None, *, sync: str = "always") -> None:
        if sync not in SYNCS:
            raise ValueError(f"sync must be one of {sorted(SYNCS)}, got {sync!r}")
        if n_bits is not None:
            check_n_bits(n_bits)
        self._folder = os.fspath(path)
        self._process = os.getpid()
        journal = os.path.join(self._folder, JOURNAL)
        if n_bits is None and not os.path.exists(journal):
            raise ValueError(f"n_bits must be given to make a collection, there is none in {self._folder!r}")
        os.makedirs(self._folder, exist_ok=True)
        self._writer = WriterLock(os.path.join(self._folder, LOCK))
        try:
            self._journal = Journal(journal, n_bits, sync)
            if n_bits not in (None, self._journal.n_bits):
                raise ValueError(f"n_bits must be {self._journal.n_bits} for {self._folder!r}, got {n_bits}")
            self._index = _read(self._folder, self._journal)
            self._remove_leftovers()
        except BaseException:
            self._writer.release()
            raise
        self._closed = False

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self._index.n_bits

    @property
    def ids(self) -> Ids:
        """The ids, ascending; read-only."""
        return self._index.ids

    def __len__(self) -> int:
        """The number of codes."""
        return len(self._index)

    def __iter__(self) -> Iterator[int]:
        """The ids, ascending."""
        return iter(self._index)

    def __contains__(self, id: object) -> bool:
        """Whether a code has this id."""
        return id in self._index

    def __repr__(self) -> str:
        return f"<hashkit.Collection of {len(self)} codes of {self.n_bits} bits in {self._folder!r}>"

    def query(
        self, q: Codes, k: int = 100, *, filter: NDArray[Any] | None = None, n_threads: int | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The `k` nearest codes of each query: see :meth:`Index.query`."""
        return self._index.query(q, k, filter=filter, n_threads=n_threads)

    def radius(
        self, q: Codes, r: int, *, filter: NDArray[Any] | None = None, n_threads: int | None = None
    ) -> RadiusResult:
        """Every code within distance `r` of each query: see :meth:`Index.radius`."""
        return self._index.radius(q, r, filter=filter, n_threads=n_threads)

    def get(self, ids: Ids | int) -> Codes:
        """The codes of `ids`: see :meth:`Index.get`."""
        return self._index.get(ids)

    def metadata(self, ids: Ids | int) -> list[Any]:
        """What is noted about each of `ids`, in their order; None where nothing is.

        Parameters
        ----------
        ids : int64 array of shape (n,), or one int
        """
        wanted = check_ids(ids, "ids")
        with self._index._lock():
            self._require_open()
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
        with self._index._lock():
            self._require_open()
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
        return self._index._change(
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
        self._index._change(
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
        self._index._change(
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
        self._index.compact()
        with self._index._lock():
            self._require_open()
            generation = self._journal.generation + 1
            files.save(growth.compact(self._index._current()), _index_path(self._folder, generation))
            self._journal.begin_generation(generation)
            self._remove_leftovers()

    def save(self, path: Path) -> None:
        """Write the codes as an index file of their own: see :meth:`Index.save`."""
        self._index.save(path)

    def flush(self) -> None:
        """Bring to disk what ``sync="batch"`` has not yet."""
        with self._index._lock():
            self._require_open()
            self._journal.flush()

    def close(self) -> None:
        """Flush, and let others open the collection. It can no longer be changed, but still be searched."""
        with self._index._lock():
            if not self._closed and self._process == os.getpid():
                self._closed = True
                self._journal.close()
                self._writer.release()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _record(self, kind: str, ids: Ids, codes: Codes, notes: Sequence[str | None] | None) -> None:
        self._require_open()
        if len(ids):
            self._journal.record(kind, ids, codes, notes)

    def _require_open(self) -> None:
        if self._process != os.getpid():
            raise RuntimeError(f"{self._folder!r} was opened in another process: open it in this one")
        if self._closed:
            raise ValueError(f"{self._folder!r} has been closed")

    def _remove_leftovers(self) -> None:
        """Delete index files that do not count, and those that were not finished."""
        kept = os.path.basename(_index_path(self._folder, self._journal.generation))
        for name in os.listdir(self._folder):
            if name.startswith(("index-", ".hashkit-")) and name != kept:
                os.unlink(os.path.join(self._folder, name))


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
    if kind == ADD:
        index.add(codes, ids)
    elif kind == REPLACE:
        index.replace(codes, ids)
    elif kind == REMOVE:
        index.remove(ids)
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
