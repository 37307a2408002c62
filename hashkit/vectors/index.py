"""`VectorIndex`: float vectors searched through codes, with a recall that is stated."""

from __future__ import annotations

import copy
import functools
import os
import threading
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_choice, check_int, check_n_bits, check_n_threads, describe
from hashkit.index import Index
from hashkit.storage import Path, TensorFile, open_tensors, write_tensors
from hashkit.vectors import building, files, fitting
from hashkit.vectors.calibration import HeldOut, Recall, exact_neighbors, ranks_of
from hashkit.vectors.encoding import Encoder
from hashkit.vectors.funnel import Plan, State, nearest
from hashkit.vectors.rescoring import METRICS, Metric
from hashkit.vectors.rows import Float32, Vectors, as_queries, as_vectors
from hashkit.vectors.store import Ids, Store, kept_as

Keep = Literal["as_came", "float16", "int8", "none"]


class VectorIndex:
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

    _encoder: Encoder
    _plan: Plan
    _recall: Recall | None
    _keep: str
    _state: State
    _verify: Callable[[], None] | None
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
            state = _renamed(state, ids)
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

    def query(
        self, queries: Any, k: int = 10, *, filter: NDArray[Any] | None = None, n_threads: int | None = None
    ) -> tuple[Float32, Ids]:
        """The `k` best vectors that the funnel finds for each query.

        Parameters
        ----------
        queries : array or torch tensor of shape (n_queries, n_dims), or (n_dims,) for one query
            Finite float16, bfloat16, float32 or float64 values.
        k : int, default=10
            How many; more than there are gives as many as there are.
        filter : bool array of shape (len(index),), or int64 array of ids, optional
            Which vectors may be found, as in :meth:`Index.query`.
        n_threads : int, optional
            Threads; by default every CPU that this process may use. The answer does not depend on it.

        Returns
        -------
        scores : float32 array of shape (n_queries, min(k, vectors that may be found))
            Similarities, falling, or Euclidean distances, rising: exact by the kept vectors, or estimates where none
            are kept. One-dimensional for a single query.
        ids : int64 array of the same shape
            Among equal scores ascending.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        hashkit.storage.FormatError
            If a mapped file was written to, or damaged, since it was saved.
        """
        asked, single = as_queries(queries, "queries", self.n_dims)
        k, threads, state = check_int(k, "k", 1), check_n_threads(n_threads), self._current()
        scores, ids = nearest(state, self._plan, self._encoder.prepare(asked, threads), k, filter, threads)
        return (scores[0], ids[0]) if single else (scores, ids)

    def measure_recall(
        self, queries: Any, vectors: Any = None, *, k: int | None = None, n_threads: int | None = None
    ) -> dict[str, Any]:
        """Compare answers with exact search, at the cost of one pass over all vectors.

        Parameters
        ----------
        queries : array of shape (n_queries, n_dims)
        vectors : array of shape (n_rows, n_dims), optional
            The original vectors in ascending order of id, to measure what keeping int8 loses too; by default the kept
            ones are taken for the truth.
        k : int, optional
            By default that of :meth:`fit`.
        n_threads : int, optional
            Threads; by default every CPU that this process may use.

        Returns
        -------
        report : dict
            ``recall`` (a :class:`hashkit.vectors.Recall`), and the share of the true nearest that each stage lost:
            ``lost_to_candidates``, not among the candidates by Hamming distance; ``lost_to_bits``, among these, but
            their estimates too low; ``lost_to_vectors``, read, but ranked too low by the vectors as they are kept.
        """
        asked, single = as_queries(queries, "queries", self.n_dims)
        if single or not len(asked):
            raise ValueError(f"queries must have shape (n_queries, {self.n_dims}), got {describe(queries)}")
        state, threads = self._current(), check_n_threads(n_threads)
        k = min(check_int((self._recall.k if self._recall else 10) if k is None else k, "k", 1), len(self))
        store = state.store.compacted(state.index.ids)
        kept = store.segments[0].vectors
        if vectors is None and kept is None:
            raise ValueError("vectors must be given where the index keeps none")
        true_rows = kept if vectors is None else as_vectors(vectors, "vectors")
        assert true_rows is not None
        if len(true_rows) != len(self) or true_rows.n_dims != self.n_dims:
            raise ValueError(f"vectors must have shape ({len(self)}, {self.n_dims}), got {describe(vectors)}")
        ready = self._encoder.prepare(asked, threads)
        rows = exact_neighbors(true_rows, asked, k, self._encoder, threads)
        true = state.store.slots_of(store.ids_of(rows))
        return _losses(state, self._plan, HeldOut(ready, true, None), threads)

    def get(self, ids: Ids | int) -> Float32:
        """The kept vectors of `ids`, in their order, as float32.

        Raises
        ------
        TypeError, ValueError
            If they are not ids, or not in the index, or no vectors are kept.
        """
        state = self._current()
        self._require_vectors("get")
        state.index.get(ids)  # says what is wrong with them
        found = state.store.vectors_of(np.atleast_1d(np.asarray(ids, np.int64)))
        return found[0] if np.ndim(ids) == 0 else found

    def add(self, vectors: Any, ids: Ids | None = None) -> Ids:
        """Add vectors; nothing is learned anew. Returns their ids, which are counted on unless given.

        Raises
        ------
        TypeError, ValueError
            If they are not finite vectors of the index's width, or ids are not new ones; the index is then unchanged.
        """

        def change(index: Index, codes: Any, next_id: int) -> Ids:
            return index.add(codes, np.arange(next_id, next_id + len(codes)) if ids is None else ids)

        return self._change(vectors, change)

    def replace(self, vectors: Any, ids: Ids) -> None:
        """Give new vectors to `ids`, in one step.

        Raises
        ------
        TypeError, ValueError
            As :meth:`add`; or if ids are not in the index.
        """

        def change(index: Index, codes: Any, next_id: int) -> Ids:
            index.replace(codes, ids)
            return np.asarray(ids, np.int64)

        self._change(vectors, change)

    def remove(self, ids: Ids | int, *, missing: str = "raise") -> None:
        """Remove the vectors of `ids`; with ``missing="ignore"`` ids that are not in the index are not an error."""
        with self._lock():
            state = self._current()
            index = copy.copy(state.index)
            index.remove(ids, missing=missing)
            self._state = State(index, state.store, state.next_id)

    def _change(self, vectors: Any, change: Callable[[Index, Any, int], Ids]) -> Ids:
        rows = fitting.check_new_rows(vectors, self.n_dims, "vectors")
        codes, factors = self._encoder.encode(rows)
        with self._lock():
            state = self._current()
            index = copy.copy(state.index)
            ids = change(index, codes, state.next_id)
            kept = state.store.segments[0].vectors
            added = None if kept is None else _as_kept(rows, kept)
            next_id = max(state.next_id, int(ids.max(initial=-1)) + 1)
            self._state = State(index, state.store.appended(codes, factors, added, ids), next_id)
        return ids

    def subset(self, filter: NDArray[Any]) -> VectorIndex:
        """An independent index of the vectors that `filter` allows."""
        state = self._current()
        index = state.index.subset(filter)
        chosen = State(index, state.store.compacted(index.ids), state.next_id)
        return VectorIndex._of(self._encoder, chosen, self._plan, self._recall, self._keep)

    def describe(self) -> dict[str, Any]:
        """What the index holds, what it costs, and what recall to expect.

        Returns
        -------
        description : dict
            ``n_vectors``, ``n_dims``, ``n_bits``, ``metric``, ``keep``; ``bytes_per_vector``, of ``codes``,
            ``factors`` and ``vectors``, and whether the vectors lie in a mapped file (``vectors_on_disk``);
            ``stages``, in words; ``n_candidates`` and ``n_rescored`` for each query; ``recall``, the
            :class:`hashkit.vectors.Recall` that was measured on held-out rows with its interval of 95 %, or None.
        """
        state, plan = self._current(), self._plan
        kept = state.store.segments[0].vectors
        by_codes = plan.first == "codes"
        row_bytes = 0 if kept is None else kept.data.itemsize * kept.n_dims + (4 if kept.row_scales is not None else 0)
        stages = [
            f"{plan.n_candidates} candidates by Hamming distance" if by_codes else "estimates of all codes",
            "estimates" if kept is None else f"estimates choose {_in_words(plan)}",
        ]
        return {
            "n_vectors": len(self),
            "n_dims": self.n_dims,
            "n_bits": self.n_bits,
            "metric": self.metric,
            "keep": self._keep,
            "bytes_per_vector": {"codes": -(-self.n_bits // 8), "factors": 8, "vectors": row_bytes},
            "vectors_on_disk": kept is not None and not kept.data.flags.owndata and _is_mapped(kept.data),
            "stages": stages if kept is None else [*stages, f"{kept.type} vectors order them"],
            "n_candidates": plan.n_candidates if by_codes else None,
            "n_rescored": plan.n_rescored if kept is not None else 0,
            "recall": self._recall,
        }

    def save(self, path: Path) -> None:
        """Write codes, factors, vectors and all that was learned to one file, replaced in one step."""
        with self._lock():
            state = self._current()
            store = state.store.compacted(state.index.ids)
            tensors, settings = files.to_tensors(
                self._encoder, store, state.next_id, self._plan, self._recall, self._keep
            )
            write_tensors(path, files.KIND, tensors, settings)

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False) -> VectorIndex:
        """An index that was saved.

        Parameters
        ----------
        path : str or path
        mmap : bool, default=False
            Map the file instead of reading it. Codes are compared with their checksum on the first query, vectors in
            pieces as they are first read.

        Raises
        ------
        hashkit.storage.FormatError
            If the file is damaged, cut off, or no vector index; from a mapped file also on use.
        OSError
            If it cannot be read.
        """
        file = open_tensors(path, files.KIND, mmap=mmap)
        encoder, store, next_id, plan, recall, keep = files.from_file(file, mmap)
        if not mmap:
            file.verify()
        segment = store.segments[0]
        index = Index(segment.codes, ids=store.ids, n_bits=encoder.n_bits, method="scan")
        loaded = cls._of(encoder, State(index, store, next_id), plan, recall, keep)
        loaded._verify = functools.partial(_verify_codes, file) if mmap else None
        return loaded

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self._encoder.n_bits

    @property
    def n_dims(self) -> int:
        """Values of a vector."""
        return self._encoder.n_dims

    @property
    def metric(self) -> str:
        """``"cosine"``, ``"ip"`` or ``"l2"``."""
        return self._encoder.metric

    @property
    def ids(self) -> Ids:
        """The ids, ascending; read-only."""
        return self._current().index.ids

    def __len__(self) -> int:
        """The number of vectors."""
        return len(self._state.index)

    def __contains__(self, id: object) -> bool:
        """Whether a vector has this id."""
        return id in self._current().index

    def __repr__(self) -> str:
        return f"<hashkit.VectorIndex of {len(self)} vectors of {self.n_dims} values by {self.metric}>"

    def __getstate__(self) -> dict[str, Any]:
        names = ("_encoder", "_plan", "_recall", "_keep")
        return {"_state": self._current(), **{name: getattr(self, name) for name in names}}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__dict__.update(saved)
        self._verify, self._locks = None, {}

    def _current(self) -> State:
        """What the index holds at this moment, its codes verified."""
        if self._verify is not None:
            self._verify()
            self._verify = None
        return self._state

    def _lock(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _require_vectors(self, what: str) -> None:
        if self._state.store.segments[0].vectors is None:
            raise ValueError(f"{what} needs vectors, and this index keeps none")


def _renamed(state: State, ids: Any) -> State:
    """The same rows under the user's ids, in their order."""
    codes = state.store.segments[0].codes
    index = Index(codes, ids=ids, n_bits=state.index.n_bits, method="scan")  # says what is wrong with them
    named = np.array(ids, np.int64)
    return State(index, Store(state.store.segments, named), int(named.max(initial=-1)) + 1)


def _as_kept(rows: Float32, kept: Vectors) -> Vectors:
    """New rows in the type of the kept ones, with the same scales of columns."""
    if kept.type != "int8" or kept.column_scales is None:
        return kept_as(rows, kept.type)
    if kept.row_scales is not None:
        raise ValueError("vectors of int8 with scales of both rows and columns cannot be added to")
    codes = np.rint(rows / kept.column_scales)
    if np.abs(codes).max(initial=0) > 128:
        raise ValueError("vectors must fit int8 by the scales of the columns that the index was made with")
    return Vectors(np.clip(codes, -128, 127).astype(np.int8), "int8", None, kept.column_scales)


def _losses(state: State, plan: Plan, held_out: HeldOut, n_threads: int) -> dict[str, Any]:
    """What each stage loses of the true nearest."""
    k, n_rows = held_out.true.shape[1], len(state.index)
    kept = state.store.segments[0].vectors is not None
    read = held_out.estimates(state, plan, min(max(plan.n_rescored, k) if kept else k, n_rows), n_threads)[1]
    in_read = ranks_of(held_out.true, read) < read.shape[1]
    if plan.first == "codes":
        n_candidates = max(plan.n_candidates, read.shape[1])
        ids = state.index.query(held_out.prepared.codes, n_candidates, n_threads=n_threads)[1]
        in_candidates = ranks_of(held_out.true, state.store.slots_of(ids)) < ids.shape[1]
    else:
        in_candidates = np.ones_like(in_read)
    found = held_out.found(state, plan, n_threads)
    return {
        "recall": Recall.of(found),
        "lost_to_candidates": float(1 - in_candidates.mean()),
        "lost_to_bits": float((in_candidates & ~in_read).mean()),
        "lost_to_vectors": float((in_read & ~found).mean()),
    }


def _in_words(plan: Plan) -> str:
    """How many vectors are read for a query."""
    if plan.slack is None or plan.mean_rescored is None:
        return str(plan.n_rescored)
    return f"at most {plan.n_rescored}, {plan.mean_rescored:.0f} on average,"


def _is_mapped(data: NDArray[Any]) -> bool:
    """Whether an array's memory is a file's."""
    base: Any = data
    while base is not None:
        if type(base).__name__ in ("mmap", "memmap"):
            return True
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return False


def _verify_codes(file: TensorFile) -> None:
    file.verify([name for name in ("codes", "factors", "ids", "row_scales", "column_scales") if name in file.tensors])
