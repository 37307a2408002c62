"""A durable index: every change is on disk when the call returns.

A collection is a folder (:mod:`hashkit.storage.layout`): an index file, a journal with the changes since that was
written, and a lock. :mod:`hashkit.index.durable` keeps the folder and memory together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes, check_choice, check_n_bits
from hashkit.checks import describe as describe_value
from hashkit.index import Index, RadiusResult, growth
from hashkit.index.durable import DurableState, make_anew, open_or_make
from hashkit.index.ids import Ids, check_ids
from hashkit.index.joins import PairBlocks
from hashkit.index.replay import read_state
from hashkit.index.tables import TablePolicy
from hashkit.storage import Path, check_path
from hashkit.storage.changes import ADD, REMOVE, REPLACE
from hashkit.storage.journal import SYNCS, Journal
from hashkit.storage.layout import JOURNAL, generations, has_content, refuse_orphans
from hashkit.storage.notes import to_json

__all__ = ["Collection", "describe"]


class Collection:
    """A durable index with metadata, in a folder; open in one process at a time.

    Parameters
    ----------
    path : str or path
        The folder; made if there is none.
    n_bits : int, optional
        Length of the codes. Needed to make a collection; of one that is there it must be the length, if given.
    sync : {"always", "batch"}, default="always"
        When a change is flushed to disk. "always": before the call returns. "batch": the call passes it to the
        operating system, and :meth:`flush`, :meth:`compact`, :meth:`close` and some changes flush all changes so far.
        This is many times faster for small changes. A crash of the process loses nothing; a crash of the machine may
        lose changes since the last flush, but never a part of a change.
    method : {"auto", "scan", "mih", "cells"}, default="auto"
        How nearest codes are searched, as for :class:`Index`. If the method uses tables or cells, :meth:`compact`
        writes them into the index file, and opening maps them. Where there are none, the first query or change builds
        them, which reads all codes once. See :meth:`describe`.

    Raises
    ------
    BlockingIOError
        If the collection is open already, in this process or another. Changes also raise it after the lock file was
        deleted, because another process may have opened the collection.
    hashkit.storage.FormatError
        If a file in it is damaged, or made by a newer hashkit; if its journal is missing (see :meth:`recover`).
    OSError
        If the folder cannot be written.
    TypeError, ValueError
        If an argument does not fit.

    Notes
    -----
    Threads may share it as they may share an :class:`Index`. After a fork the child process can search; to change
    the collection it must open it itself, after the parent has closed it.

    A change that an exception interrupts, Ctrl-C included, is applied completely or not at all, on disk and in memory.

    Opening a collection of an older version converts it to the current format, in one step. Older versions of hashkit
    refuse it afterwards.

    Examples
    --------
    >>> import numpy as np
    >>> import hashkit
    >>> codes = np.array([[0b0000_0000], [0b0000_1111]], dtype=np.uint8)
    >>> with hashkit.Collection("pictures", n_bits=8) as pictures:
    ...     ids = pictures.add(codes, metadata=[{"file": "a.jpg"}, {"file": "b.jpg"}])
    ...     distances, found = pictures.query(np.array([0b0000_0111], dtype=np.uint8), k=1)
    ...     pictures.metadata(found)
    [{'file': 'b.jpg'}]
    """

    def __init__(
        self,
        path: Path,
        n_bits: int | None = None,
        *,
        sync: str = "always",
        method: Literal["auto", "scan", "mih", "cells"] = "auto",
    ) -> None:
        check_choice(sync, "sync", sorted(SYNCS))
        if n_bits is not None:
            check_n_bits(n_bits)
        policy = TablePolicy(method)
        self._folder = os.path.abspath(check_path(path, "path"))
        if n_bits is None and not has_content(os.path.join(self._folder, JOURNAL)):
            refuse_orphans(self._folder)
            raise ValueError(f"n_bits must be given to make a collection, there is none in {os.fspath(path)!r}")
        self._durable = DurableState(self._folder, lambda folder: open_or_make(folder, n_bits, sync), policy)

    @classmethod
    def recover(cls, path: Path) -> Collection:
        """Open the folder of a collection whose journal is lost, with the codes of its newest index file.

        Changes after the last :meth:`compact`, and all metadata, were in the journal and are lost.

        Parameters
        ----------
        path : str or path
            A folder with an index file, and no journal or an empty one. Move a damaged journal away first, with the
            ``-wal`` and ``-shm`` beside it.

        Raises
        ------
        ValueError
            If it has a journal, or no index file.
        hashkit.storage.FormatError
            If the newest index file is damaged. Move it away to recover the one before.
        """
        folder = os.path.abspath(check_path(path, "path"))
        if not generations(folder):
            raise ValueError(
                f"path must be of a folder with an index file of a collection, there is none in {folder!r}"
            )
        collection = cls.__new__(cls)
        collection._folder = folder
        collection._durable = DurableState(folder, make_anew, TablePolicy())
        return collection

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self._durable.n_bits

    @property
    def ids(self) -> Ids:
        """The ids, ascending; read-only."""
        return self._durable.settled().ids

    def __len__(self) -> int:
        """The number of codes."""
        return len(self._durable.settled())

    def __iter__(self) -> Iterator[int]:
        """The ids, ascending."""
        return iter(self._durable.settled())

    def __contains__(self, id: object) -> bool:
        """Whether a code has this id."""
        return id in self._durable.settled()

    def __repr__(self) -> str:
        return f"<hashkit.Collection of {len(self)} codes of {self.n_bits} bits in {self._folder!r}>"

    def query(
        self,
        q: Codes,
        k: int = 100,
        *,
        filter: NDArray[Any] | None = None,
        recall: float = 1,
        n_threads: int | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The `k` nearest codes of each query: see :meth:`Index.query`."""
        index = self._durable.settled()
        self._durable.make_tables()
        return index.query(q, k, filter=filter, recall=recall, n_threads=n_threads)

    def radius(
        self, q: Codes, r: int, *, filter: NDArray[Any] | None = None, n_threads: int | None = None
    ) -> RadiusResult:
        """Every code within distance `r` of each query: see :meth:`Index.radius`."""
        index = self._durable.settled()
        self._durable.make_tables()
        return index.radius(q, r, filter=filter, n_threads=n_threads)

    def pairs(
        self,
        radius: int | None = None,
        other: Index | Collection | None = None,
        *,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> PairBlocks:
        """All pairs of codes that are near each other, here or between here and `other`: see :meth:`Index.pairs`.

        Parameters
        ----------
        other : Index or Collection, optional

        Raises
        ------
        TypeError, ValueError
            If `radius` is not an int of at least 0, `other` not an index or collection of codes of the same length by
            Hamming distance, or `n_threads` not a positive int.
        """
        if isinstance(other, Collection):
            other = other._durable.settled()
        if other is not None and not isinstance(other, Index):
            raise TypeError(f"other must be an Index, a Collection or None, got {describe_value(other)}")
        return self._durable.settled().pairs(radius, other, n_threads=n_threads, progress=progress)

    def groups(self, radius: int | None = None, *, n_threads: int | None = None, progress: bool = False) -> Ids:
        """Which codes are connected by chains of pairs that are near: see :meth:`Index.groups`.

        The groups are kept as long as the collection is open, and updated with what changes.
        """
        return self._durable.settled().groups(radius, n_threads=n_threads, progress=progress)

    def describe(self) -> dict[str, Any]:
        """How the collection is searched, and what that takes: see :meth:`Index.describe`.

        After opening, a part without tables in its file is listed as scanned until the first query or change.
        """
        return self._durable.settled().describe()

    def get(self, ids: Ids | int) -> Codes:
        """The codes of `ids`: see :meth:`Index.get`."""
        return self._durable.settled().get(ids)

    def metadata(self, ids: Ids | int) -> list[Any]:
        """The metadata of each of `ids`, in their order; None for an id without any.

        The first call after opening verifies all metadata.

        Parameters
        ----------
        ids : int64 array of shape (n,), or one int

        Raises
        ------
        hashkit.storage.FormatError
            If the metadata are damaged.
        """
        wanted = check_ids(ids, "ids")
        return self._durable.locked(lambda: self._durable.journal.metadata(wanted))

    def set_metadata(self, ids: Ids | int, metadata: Sequence[Any]) -> None:
        """Set the metadata of codes that are in the collection; None deletes it.

        Parameters
        ----------
        ids : int64 array of shape (n,), or one int
        metadata : sequence of n values
            Anything JSON can hold.
        """
        noted = check_ids(ids, "ids")
        notes = _check_metadata(metadata, len(noted))

        def write() -> None:
            growth.require_known(self._durable.living.current(), noted)
            self._durable.journal.set_metadata(noted, notes)

        self._durable.locked(write, changing=True)

    def add(self, codes: Codes, ids: Ids | None = None, *, metadata: Sequence[Any] | None = None) -> Ids:
        """Add codes: see :meth:`Index.add`.

        Parameters
        ----------
        codes : uint8 array of shape (n, n_bytes)
        ids : int64 array of shape (n,), optional
        metadata : sequence of n values, optional
            Metadata of each code: anything that JSON can hold, or None.

        Returns
        -------
        ids : int64 array of shape (n,)

        Raises
        ------
        OSError
            If the change cannot be written; the collection is then unchanged.
        """
        notes = None if metadata is None else _check_metadata(metadata, len(codes))
        return self._durable.change(
            lambda state: growth.add(state, codes, ids),
            lambda journal, added: journal.record(ADD, added, codes, notes),
        )

    def remove(self, ids: Ids | int, *, missing: str = "raise") -> None:
        """Remove codes and their metadata: see :meth:`Index.remove`.

        Raises
        ------
        OSError
            If the change cannot be written; the collection is then unchanged.
        """
        none = np.empty((0, (self.n_bits + 7) // 8), np.uint8)
        self._durable.change(
            lambda state: growth.remove(state, ids, missing),
            lambda journal, removed: journal.record(REMOVE, removed, none, None),
        )

    def replace(self, codes: Codes, ids: Ids, *, metadata: Sequence[Any] | None = None) -> None:
        """Give new codes to `ids`: see :meth:`Index.replace`. Metadata are kept unless `metadata` is given.

        Raises
        ------
        OSError
            If the change cannot be written; the collection is then unchanged.
        """
        notes = None if metadata is None else _check_metadata(metadata, len(codes))
        self._durable.change(
            lambda state: growth.replace_codes(state, codes, ids),
            lambda journal, replaced: journal.record(REPLACE, replaced, codes, notes),
        )

    def compact(self) -> None:
        """Fold the journal into a new index file. Opening and searching are then fastest, and the folder is smallest.

        Raises
        ------
        OSError
            If the change cannot be written; the collection is then unchanged.
        """
        self._durable.compact()

    def save(self, path: Path) -> None:
        """Write the codes as an index file of their own: see :meth:`Index.save`."""
        self._durable.settled().save(path)

    def flush(self) -> None:
        """Flush to disk the changes that ``sync="batch"`` has not flushed yet."""
        self._durable.locked(lambda: self._durable.journal.flush())

    def close(self) -> None:
        """Flush, and release the lock. The collection can no longer be changed, but still be searched.

        In a child of the process that opened the collection, only the child's copy is closed.
        """
        self._durable.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def describe(path: Path) -> dict[str, Any]:
    """What the collection in the folder `path` holds, after reading and verifying all of it, even if it is open.

    Returns
    -------
    description : dict
        ``version`` (of the format), ``n_bits``, ``n_codes``, ``n_changes`` (in the journal), ``n_metadata``.

    Raises
    ------
    hashkit.storage.FormatError
        If a file is damaged.
    """
    folder = check_path(path, "path")
    journal = Journal(os.path.join(folder, JOURNAL), None)
    try:
        journal.check()
        state, verify = read_state(folder, journal)
        if verify is not None:
            verify(everything=True)
        return {
            "version": journal.version,
            "n_bits": journal.n_bits,
            "n_codes": len(state),
            "n_changes": journal.n_changes,
            "n_metadata": journal.state().n_notes,
        }
    finally:
        journal.close()


def _check_metadata(metadata: Sequence[Any], n_codes: int) -> list[str | None]:
    if isinstance(metadata, (str, bytes, dict)) or not isinstance(metadata, Sequence):
        raise TypeError(f"metadata must be a sequence, one value for each code, got {type(metadata).__name__}")
    if len(metadata) != n_codes:
        raise ValueError(f"metadata must have {n_codes} values, one for each code, got {len(metadata)}")
    try:
        return to_json(metadata)
    except (TypeError, ValueError) as error:
        raise type(error)(f"metadata must be JSON: {error}") from error
