"""`VectorIndex`: float vectors searched through codes, with a recall that is stated."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_choice, check_int, check_n_bits, check_n_threads
from hashkit.storage import Path, open_tensors, write_tensors
from hashkit.vectors import building, cells, changing, files, fitting
from hashkit.vectors.calibration import Recall
from hashkit.vectors.encoding import Encoder
from hashkit.vectors.funnel import Plan, State
from hashkit.vectors.reading import Reading
from hashkit.vectors.rescoring import METRICS, Metric
from hashkit.vectors.rows import Vectors, as_vectors
from hashkit.vectors.store import Ids

Keep = Literal["as_came", "float16", "int8", "none"]


class VectorIndex(Reading):
    """Nearest vectors, found through an :class:`Index` of their codes. Made by :meth:`fit` or :meth:`load`.

    A query passes a funnel. Candidates are the nearest codes by Hamming distance. An estimate from the query's own
    values orders them. The vectors of the first are read, and order them exactly. How many pass each stage was chosen
    on held-out rows so that the recall is the one asked for; :meth:`describe` states it.

    Examples
    --------
    >>> import numpy as np
    >>> import hashkit
    >>> vectors = np.random.default_rng(0).standard_normal((1000, 64)).astype(np.float32)
    >>> index = hashkit.VectorIndex.fit(vectors, recall=0.9)
    >>> scores, ids = index.query(vectors[:2], k=3)
    >>> ids[:, 0]
    array([0, 1])

    Notes
    -----
    Answers are ordered by (score, id), the best score first, and are the same with any number of threads and on every
    instruction set. Any number of threads may search while others change the index: a call sees the state before a
    change or after it. A copy (:mod:`copy`, :mod:`pickle`) is independent.
    """

    _locks: dict[int, threading.Lock]

    def __init__(self) -> None:
        raise TypeError("a VectorIndex is made by VectorIndex.fit or VectorIndex.load")

    @classmethod
    def _of(cls, encoder: Encoder, state: State, plan: Plan, recall: Recall | None, keep: str) -> VectorIndex:
        index = cls.__new__(cls)
        index._encoder, index._state, index._plan, index._recall, index._keep = encoder, state, plan, recall, keep
        index._verify, index._locks = None, {}
        return index

    @classmethod
    def fit(
        cls,
        vectors: Any,
        *,
        recall: float | None = 0.95,
        k: int = 10,
        metric: Metric = "cosine",
        n_bits: int | None = None,
        n_dims: int | None = None,
        keep: Keep = "as_came",
        max_rescored: int = fitting.MOST_RESCORED,
        scales: Any = None,
        ids: NDArray[np.int64] | None = None,
        queries: Any = None,
        random_state: int = 0,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> VectorIndex:
        """Learn from vectors, and index them.

        Parameters
        ----------
        vectors : array, torch tensor or memory map of shape (n_rows, n_dims)
            float32, float16, bfloat16 (of torch or ml_dtypes), or int8 with `scales`; read in blocks.
        recall : float or None, default=0.95
            Of the `k` true nearest, the share that answers are to have in the mean. Bits, candidates and vectors read
            are chosen for it on 1,000 rows held out (a tenth of fewer), each searched in all other rows and compared
            with exact search. With None nothing is chosen; what 1,000 candidates (3,200 from bits alone) and
            `max_rescored` vectors reach is measured on 200 held-out rows (a tenth of fewer), if there are 200 or more.
        k : int, default=10
            How many neighbors the recall is about; queries may ask for others.
        metric : {"cosine", "ip", "l2"}, default="cosine"
            Similarity by cosine or inner product, or Euclidean distance.
        n_bits : int, optional
            Length of the codes; by default the shortest of half a bit a dimension, one, two and four that reaches the
            recall, or one if no vectors are kept.
        n_dims : int, optional
            Use the first values of each vector alone, as Matryoshka embeddings allow; they are copied.
        keep : {"as_came", "float16", "int8", "none"}, default="as_came"
            How vectors are kept for the last stage: by reference, of a memory map too; converted; or not at all, and
            scores are then estimates.
        max_rescored : int, default=100
            The most vectors that are read for a query.
        scales : float array, optional
            For int8, as in :func:`hashkit.rescore`.
        ids : int64 array of shape (n_rows,), optional
            A number for each vector, all different; by default the row numbers.
        queries : array of shape (n_queries, n_dims), optional
            A sample of real queries to measure recall with, where they differ from the vectors; by default rows held
            out.
        random_state : int, default=0
            Seed of the rotation and of what is held out.
        n_threads : int, optional
            Threads; by default every CPU that this process may use.
        progress : bool, default=False
            Show progress bars.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described; if a row is not finite, naming it; if there are too few rows to state a
            recall; if the recall cannot be reached, saying what can, and with what.
        """
        check_choice(metric, "metric", METRICS)
        check_choice(keep, "keep", fitting.KEEPS)
        stored, threads = as_vectors(vectors, "vectors", scales), check_n_threads(n_threads)
        if n_dims is not None:
            if check_int(n_dims, "n_dims", 1) > stored.n_dims:
                raise ValueError(f"n_dims must be at most the {stored.n_dims} values of the vectors, got {n_dims}")
            stored = stored.first_dims(n_dims)
        bits = None if n_bits is None else check_n_bits(n_bits)
        fitting.check_rows(stored, 2)
        wish = fitting.wish_of(stored, recall, k, metric, bits, keep, max_rescored, random_state, threads, progress)
        state, encoder, plan, measured, _ = fitting.fit(stored, wish, queries)
        if ids is not None:
            state = changing.renamed(state, ids)
        kept = state.store.segments[0].vectors
        return cls._of(encoder, state, plan, measured, "none" if kept is None else kept.type)

    @classmethod
    def build(
        cls,
        source: Any,
        path: Path,
        *,
        recall: float | None = 0.95,
        k: int = 10,
        metric: Metric = "cosine",
        n_bits: int | None = None,
        keep: Keep = "as_came",
        max_rescored: int = fitting.MOST_RESCORED,
        column: str | None = None,
        scales: Any = None,
        random_state: int = 0,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> VectorIndex:
        """Make an index of more vectors than memory holds, straight into a file.

        Parameters
        ----------
        source : str, path, array, or iterable of arrays of shape (n_rows, n_dims)
            A ``.npy`` or ``.safetensors`` file, which is mapped; a ``.parquet`` file with a column of lists; or blocks
            of one type, none of int8.
        path : str or path
            The file to write, replaced in one step at the end. A folder ``path + ".building"`` beside it holds what is
            done; a build that was cut off, even by a kill, goes on from there when it is called with the same
            arguments. Blocks of an iterable must then come again.
        column : str, optional
            The tensor or column, where there are several.
        recall, k, metric, keep, max_rescored, scales, random_state, n_threads, progress
            As for :meth:`fit`.
        n_bits : int, optional
            Length of the codes; by default one bit a dimension, or two or four if the recall needs them.

        Returns
        -------
        index : VectorIndex
            The file, mapped.

        Raises
        ------
        TypeError, ValueError
            As :meth:`fit`, or if the source is none.
        OSError
            If a file cannot be read or written.
        """
        check_choice(metric, "metric", METRICS)
        check_choice(keep, "keep", fitting.KEEPS)
        wish = fitting.Wish(
            fitting.check_recall(recall),
            check_int(k, "k", 1),
            metric,
            (),
            keep,
            check_int(max_rescored, "max_rescored", 1),
            check_int(random_state, "random_state", 0),
            check_n_threads(n_threads),
            progress,
        )
        building.build(source, path, wish, None if n_bits is None else check_n_bits(n_bits), column, scales)
        return cls.load(path, mmap=True)

    def add(self, vectors: Any, ids: Ids | None = None) -> Ids:
        """Add vectors; nothing is learned anew. Returns their ids, which are counted on unless given.

        Raises
        ------
        TypeError, ValueError
            If they are not finite vectors of the index's width, or ids are not new ones; the index is then unchanged.
        """
        return self._change(changing.added, vectors, ids)

    def replace(self, vectors: Any, ids: Ids) -> None:
        """Give new vectors to `ids`, in one step.

        Raises
        ------
        TypeError, ValueError
            As :meth:`add`; or if ids are not in the index.
        """
        self._change(changing.replaced, vectors, ids)

    def remove(self, ids: Ids | int, *, missing: str = "raise") -> None:
        """Remove the vectors of `ids`; with ``missing="ignore"`` ids that are not in the index are not an error."""
        with self._lock():
            self._state = changing.removed(self._current(), ids, missing)

    def _change(self, change: changing.Change, vectors: Any, ids: Ids | None) -> Ids:
        rows = fitting.check_new_rows(vectors, self.n_dims, "vectors")
        codes, factors = self._encoder.encode(Vectors(rows, "float32"), 0, len(rows), 1)
        with self._lock():
            self._state, ids = change(self._current(), rows, codes, factors, ids)
        return ids

    def subset(self, filter: NDArray[Any]) -> VectorIndex:
        """An independent index of the vectors that `filter` allows."""
        state = self._current()
        index = state.index.subset(filter)
        chosen = State(index, state.store.compacted(index.ids), state.next_id)
        return VectorIndex._of(self._encoder, chosen, self._plan, self._recall, self._keep)

    def save(self, path: Path) -> None:
        """Write codes, factors, vectors and all that was learned to one file, replaced in one step."""
        with self._lock():
            state = self._current()
            store = state.store.compacted(state.index.ids)
            tensors, settings = files.to_tensors(
                self._encoder, store, state.index, state.next_id, self._plan, self._recall, self._keep
            )
            write_tensors(path, files.KIND, tensors, settings, block_sums=True)

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False) -> VectorIndex:
        """An index that was saved.

        Parameters
        ----------
        path : str or path
        mmap : bool, default=False
            Map the file instead of reading it. Codes are compared with their checksum on the first query, vectors in
            pages as they are first read.

        Raises
        ------
        hashkit.storage.FormatError
            If the file is damaged, cut off, or no vector index; from a mapped file also on use.
        OSError
            If it cannot be read.
        """
        file = open_tensors(path, files.KIND, mmap=mmap)
        encoder, store, next_id, plan, recall, keep = files.from_file(file)
        if not mmap:
            file.verify()
        index = cells.index_of(store.segments[0].codes, store.ids, encoder.n_bits, file)
        loaded = cls._of(encoder, State(index, store, next_id), plan, recall, keep)
        loaded._verify = functools.partial(files.verify_codes, file) if mmap else None
        return loaded

    def __getstate__(self) -> dict[str, Any]:
        names, state = ("_encoder", "_plan", "_recall", "_keep"), self._current()
        state.store.check()  # a copy is no mapped file any more
        return {"_state": state, **{name: getattr(self, name) for name in names}}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__dict__.update(saved)
        self._verify, self._locks = None, {}

    def _lock(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())
