"""What a vector index answers: nearest vectors, their recall, and what it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_int, check_n_threads, describe
from hashkit.vectors.calibration import HeldOut, Recall
from hashkit.vectors.describing import description, losses
from hashkit.vectors.encoding import Encoder
from hashkit.vectors.exact import exact_neighbors
from hashkit.vectors.funnel import Plan, State, nearest, search_whole
from hashkit.vectors.rows import Float32, as_queries, as_vectors
from hashkit.vectors.store import Ids


class Reading:
    """The half of :class:`hashkit.VectorIndex` that changes nothing."""

    _encoder: Encoder
    _plan: Plan
    _recall: Recall | None
    _keep: str
    _state: State
    _verify: Callable[[], None] | None

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
        state, threads = self._current(), check_n_threads(n_threads)
        k, found = check_int(k, "k", 1), None
        if filter is None:
            asked, single = as_queries(queries, "queries", self.n_dims, finite=False)
            found = search_whole(state, self._encoder, self._plan, asked, k, threads)
        if found is None:
            asked, single = as_queries(queries, "queries", self.n_dims)
            found = nearest(state, self._plan, self._encoder.prepare(asked, threads), k, filter, threads)
        scores, ids = found
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
        rows = exact_neighbors(true_rows, asked, k, self.metric, threads)
        true = state.store.slots_of(store.ids_of(rows))
        return losses(state, self._plan, HeldOut(ready, true, None), threads)

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

    def describe(self) -> dict[str, Any]:
        """What the index holds, what it costs, and what recall to expect.

        Returns
        -------
        description : dict
            ``n_vectors``, ``n_dims``, ``n_bits``, ``metric``, ``keep``; ``bytes_per_vector``, of ``codes``,
            ``factors``, ``cells`` and ``vectors``, and whether the vectors lie in a mapped file (``vectors_on_disk``);
            ``stages``, in words; ``n_candidates`` and ``n_rescored`` for each query; ``recall``, the
            :class:`hashkit.vectors.Recall` that was measured on held-out rows with its interval of 95 %, or None.
        """
        return description(self._current(), self._encoder, self._plan, self._recall, self._keep)

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

    def _current(self) -> State:
        """What the index holds at this moment, its codes verified."""
        if self._verify is not None:
            self._verify()
            self._verify = None
        return self._state

    def _require_vectors(self, what: str) -> None:
        if self._state.store.segments[0].vectors is None:
            raise ValueError(f"{what} needs vectors, and this index keeps none")
