"""`Index`, the face of search."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import (
    Codes,
    check_choice,
    check_codes,
    check_int,
    check_jaccard_radius,
    check_n_bits,
    check_n_threads,
    check_number,
    check_radius,
    describe,
)
from hashkit.index import files, groups, growth, jaccard, joins, search, stored
from hashkit.index.filters import FEW_QUERIES, select
from hashkit.index.ids import Ids, check_ids
from hashkit.index.living import Living
from hashkit.index.measures import Measure
from hashkit.index.results import QueryStats, RadiusResult
from hashkit.index.snapshot import METRICS, Snapshot
from hashkit.index.tables import TablePolicy, describe_parts, lack_tables, make_tables, with_tables
from hashkit.storage import Path, open_tensors


class Index:
    """Exact search by Hamming distance, or by Jaccard distance, over packed codes.

    Parameters
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
        Packed codes (see :func:`hashkit.pack`). May be empty, of shape (0, n_bytes). Codes in the order of their ids
        are not copied, so that an index takes no more memory than its codes. Do not change the array afterwards,
        because tables are built from it once; or pass ``codes.copy()``.
    ids : int64 array of shape (n_codes,), optional
        A number for each code, all different; by default the row numbers. Copied. Other integers are accepted where
        they fit, in any array, list, or column of pandas, Polars or Arrow.
    n_bits : int, optional
        Length of the codes, by default ``8 * n_bytes``; padding bits must be zero.
    metric : {"hamming", "jaccard"}, default="hamming"
        The distance to search by. "hamming": the number of bits that differ. "jaccard", for fingerprints whose bits
        mark what is present: one minus the share of the bits set in both among the bits set in either (also named
        Tanimoto), 0 between two codes without any set bit. The first search by it sorts a copy of the codes by
        popcount.
    method : {"auto", "scan", "mih", "cells"}, default="auto"
        How nearest codes by Hamming distance are searched: by comparing with every code; by multi-index hashing, which
        looks parts of the query up in tables, and turns to a scan where that is faster; or "auto", by tables from
        32,768 codes of up to 512 bits on. The answers are the same. "cells" makes at once what queries at a `recall`
        below 1 need, which otherwise the first such query makes: see :meth:`query`. With it, exact queries of up to 32
        at a time read a part of the codes, by distances from the centroids of the cells, and for codes of 512 bits on
        by bounds that are made beside them; where a sample shows that this would not pay, and in larger batches, all
        codes are scanned. See :meth:`describe` for what tables, cells and bounds take.
    compact : bool, default=False
        Keep less in the tables, 4 bytes for each code and table, no copies of codes in cells, and no bounds, at some
        cost in speed.

    Raises
    ------
    TypeError, ValueError
        If the codes are not packed codes of `n_bits`, the ids not different integers, one for each code, or the metric
        is not one of the two.

    Notes
    -----
    Results are ordered by ``(distance, id)``, and which of several codes at the same distance takes the k-th place is
    decided by that order too: the same codes and ids give the same answer whatever their order, the instruction set
    and the number of threads.

    Any number of threads may search while others change the index: a call sees the state before a change or after it,
    never between. Changes wait for each other. A copy (:mod:`copy`, :mod:`pickle`) is independent.

    Examples
    --------
    >>> import numpy as np
    >>> import hashkit
    >>> index = hashkit.Index(np.array([[0b0000_0000], [0b0000_0001], [0b0000_0111]], dtype=np.uint8))
    >>> distances, ids = index.query(np.array([0b0000_0011], dtype=np.uint8), k=2)
    >>> distances, ids
    (array([1, 1], dtype=int32), array([1, 2]))
    """

    def __init__(
        self,
        codes: Codes,
        *,
        ids: NDArray[np.int64] | None = None,
        n_bits: int | None = None,
        metric: Literal["hamming", "jaccard"] = "hamming",
        method: Literal["auto", "scan", "mih", "cells"] = "auto",
        compact: bool = False,
    ) -> None:
        check_choice(metric, "metric", METRICS)
        check_codes(codes, "codes")
        n_bits = 8 * codes.shape[1] if n_bits is None else check_n_bits(n_bits)
        check_codes(codes, "codes", n_bits)
        built = growth.build(codes, None if ids is None else check_ids(ids, "ids", len(codes)), n_bits)
        policy = TablePolicy(method, compact)
        self._begin(make_tables(replace(built, metric=metric), policy, check_n_threads(None)), policy)

    def _begin(self, state: Snapshot, policy: TablePolicy, verify: Callable[[], None] | None = None) -> None:
        self._living = Living(state, policy, verify)

    @property
    def _state(self) -> Snapshot:
        return self._living.state

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        mmap: bool = False,
        verify: bool = True,
        method: Literal["auto", "scan", "mih", "cells"] = "auto",
        compact: bool = False,
    ) -> Index:
        """An index that was saved.

        Parameters
        ----------
        path : str or path
        mmap : bool, default=False
            Map the file instead of reading it: opening takes no time, what is not needed is never read, and processes
            that map the same file share its memory. The file must not be written to; saving over it is safe.
        verify : bool, default=True
            Compare the contents with their checksums: now, or if the file is mapped when they are first needed, which
            reads the codes once. Where tables were saved, searches without a filter verify only those pages of the
            file that they read. Without it damage goes unnoticed, and answers may be wrong.
        method, compact
            As for :class:`Index`. Tables and cells that were saved are used as they are, unless `method` is "scan".
            Where there are none, tables are made anew, which reads all codes: "auto" leaves that, and scans, where the
            file is mapped.

        Raises
        ------
        hashkit.storage.FormatError
            If the file is damaged, not an index, or made by a newer hashkit; if its tables are of other codes or of
            a machine with another byte order; from a mapped file also on use of what is damaged.
        OSError
            If it cannot be read.
        """
        file = open_tensors(path, files.KIND, mmap=mmap)
        state = files.from_file(file)
        policy = TablePolicy(method, compact)
        stored.attach(file, state, method=method, verify=verify)
        if mmap and method == "auto" and state.parts[0].tables is None:
            policy = TablePolicy("scan", compact)
        is_read_now = not mmap or lack_tables(state, policy)
        if verify and is_read_now:
            files.verify(file, state)
        index = cls.__new__(cls)
        make_tables(state, policy, check_n_threads(None))
        index._begin(state, policy, None if is_read_now or not verify else functools.partial(files.verify, file, state))
        return index

    def save(self, path: Path, *, tables: bool = False) -> None:
        """Write the index to one file, in the safetensors format; what was there is replaced in one step.

        Codes that were added or removed since the last time are folded in first (see :meth:`compact`).

        Parameters
        ----------
        path : str or path
        tables : bool, default=False
            Write the tables, too, and the cells with what was calibrated: ``Index.load(path, mmap=True)`` then
            searches by them at once. They are those that the index has; where its method is "scan", those that "auto"
            would have. The file has the size of :meth:`describe`'s ``memory`` more, several times that of the codes.

        Raises
        ------
        TypeError
            If `tables` is not a bool.
        OSError
            If the file cannot be written, saying why; what was at `path` before is still there.
        """
        if not isinstance(tables, bool):
            raise TypeError(f"tables must be a bool, got {describe(tables)}")
        state = self._living.compact()
        if tables:
            state = with_tables(state, self._living.policy, check_n_threads(None))
        files.save(state, path, tables=tables)

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self._state.n_bits

    @property
    def metric(self) -> str:
        """The distance that searches go by: ``"hamming"`` or ``"jaccard"``."""
        return self._state.metric

    def __len__(self) -> int:
        """The number of codes."""
        return len(self._state)

    def __iter__(self) -> Iterator[int]:
        """The ids, ascending."""
        return iter(self.ids.tolist())

    def __contains__(self, id: object) -> bool:
        """Whether a code has this id."""
        if not isinstance(id, (int, np.integer)) or isinstance(id, bool) or not -(2**63) <= id < 2**63:
            return False
        return bool(self._current().has(np.array([id], np.int64))[0])

    @property
    def ids(self) -> Ids:
        """The ids, ascending; read-only."""
        ids = self._current().live_ids().view()
        ids.flags.writeable = False
        return ids

    def __repr__(self) -> str:
        by = "" if self.metric == "hamming" else f" by {self.metric} distance"
        return f"<hashkit.Index of {len(self)} codes of {self.n_bits} bits{by}>"

    @overload
    def query(
        self,
        q: Codes,
        k: int = 100,
        *,
        filter: NDArray[Any] | None = None,
        recall: float = 1,
        max_candidates: None = None,
        n_threads: int | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.int64]]: ...
    @overload
    def query(
        self,
        q: Codes,
        k: int = 100,
        *,
        filter: NDArray[Any] | None = None,
        max_candidates: int,
        n_threads: int | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.bool_]]: ...
    def query(
        self,
        q: Codes,
        k: int = 100,
        *,
        filter: NDArray[Any] | None = None,
        recall: float = 1,
        max_candidates: int | None = None,
        n_threads: int | None = None,
    ) -> tuple[NDArray[Any], ...]:
        """The `k` nearest codes of each query.

        Parameters
        ----------
        q : uint8 array of shape (n_queries, n_bytes), or (n_bytes,) for one query
            Packed codes of the index's length.
        k : int, default=100
            How many; at least 1. More than there are codes gives as many as there are.
        filter : bool array of shape (len(index),), or int64 array of ids, optional
            Which codes may be found. Bool is a mask by row, in the order of the ids, which must be the order in which
            the codes were given. Integers are the allowed ids; ids that are not in the index are ignored, and an empty
            array allows nothing. Both may be an array, a list, or a column of pandas, Polars or Arrow. An array of
            integers that has the length of the index and only 0 and 1 looks like a mask and is refused.
        recall : float, default=1
            The share of the `k` nearest codes that is found, on average over queries like the codes; above 0. Below 1
            the search is approximate: for codes of 64 bits and more it reads only the codes in the nearest cells of a
            clustering. The first such query builds the cells, unless ``method="cells"`` has built them, and calibrates
            for this `k` and recall, on the index's own codes. If cells would not be faster, the answer is exact;
            :meth:`describe` shows which. Hamming distance only.
        max_candidates : int, optional
            Stop a query's search in the tables after this many candidates, at least 1. The answer is then the nearest
            of the candidates, with distances of 2**31 - 1 and ids of -1 if they are fewer than `k`. Without tables all
            codes are scanned. Hamming distance only.
        n_threads : int, optional
            Threads; by default every CPU that this process may use. The answer does not depend on it.

        Returns
        -------
        distances : int32 or float64 array of shape (n_queries, min(k, number of codes that may be found))
            Hamming distances (int32), or Jaccard distances (the float64 nearest to each fraction), ascending.
            One-dimensional for a single query.
        ids : int64 array of the same shape
            Ids in the order of the distances; among equal distances ascending.
        exact : bool array of shape (n_queries,), or one bool for a single query
            Only with `max_candidates`: whether an answer is proven to be exact.

        Raises
        ------
        TypeError, ValueError
            If `q` is not packed codes of the index's length, `k`, `max_candidates` or `n_threads` is not a positive
            int, `recall` is not in (0, 1], or `filter` is none; if `max_candidates` is given together with a `recall`
            below 1; if one of the two is given and the index goes by Jaccard distance.
        """
        if max_candidates is not None:
            self._check_recall(recall, max_candidates)
            found = self.query_stats(q, k, filter=filter, max_candidates=max_candidates, n_threads=n_threads)
            answers = *found[:2], found[2].exact
            return tuple(answer[0] for answer in answers) if q.ndim == 1 else answers
        queries = self._check_queries(q)
        k, n_threads = check_int(k, "k", 1), check_n_threads(n_threads)
        approximation = None if recall == 1 and type(recall) is int else self._check_recall(recall)
        state = self._searchable(filter)
        distances: NDArray[Any]
        if state.metric == "hamming":
            selections = select(state, filter, k if len(queries) <= FEW_QUERIES else None)
            distances, ids, _ = search.k_nearest(selections, queries, k, n_threads, approximation=approximation)
        else:
            distances, ids = jaccard.k_nearest(select(state, filter), queries, k, n_threads)
        return (distances[0], ids[0]) if q.ndim == 1 else (distances, ids)

    def query_stats(
        self,
        q: Codes,
        k: int = 100,
        *,
        filter: NDArray[Any] | None = None,
        recall: float = 1,
        max_candidates: int | None = None,
        n_threads: int | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], QueryStats]:
        """:meth:`query` by Hamming distance, with counts of the work done.

        Parameters
        ----------
        q, k, filter, recall, max_candidates, n_threads
            As for :meth:`query`.

        Returns
        -------
        distances : int32 array of shape (n_queries, min(k, number of codes that may be found))
        ids : int64 array of the same shape
            As from :meth:`query`; two-dimensional for a single query, too.
        stats : QueryStats

        Raises
        ------
        TypeError, ValueError
            As :meth:`query`; and if `max_candidates` is not a positive int, or the metric is not Hamming distance.
        """
        self._require_hamming("query_stats and max_candidates")
        queries, k, n_threads = self._check_queries(q), check_int(k, "k", 1), check_n_threads(n_threads)
        most = None if max_candidates is None else min(check_int(max_candidates, "max_candidates", 1), 2**62)
        selections = select(self._searchable(filter), filter, k if len(queries) <= FEW_QUERIES else None)
        approximation = self._check_recall(recall, max_candidates)
        distances, ids, counts = search.k_nearest(
            selections, queries, k, n_threads, max_candidates=most, counting=True, approximation=approximation
        )
        ids[distances == search.NO_DISTANCE] = -1  # where it was cut short
        return distances, ids, QueryStats.of_parts(counts, len(queries))

    def describe(self) -> dict[str, Any]:
        """How the index is searched, and what that takes.

        Returns
        -------
        description : dict
            ``n_codes``, ``n_bits``, ``metric``; ``memory``, the bytes of tables, cells and bounds besides the codes;
            and ``parts``, a list with a dict for the large part and those that were added since: ``n_codes``,
            ``n_removed``, ``method`` of exact queries (``"scan"``, ``"mih"`` or ``"cells"``), and if it has tables
            ``widths``, the bits of every substring, ``substring_of_bit``, which substring each bit of the codes belongs
            to, ``compact``, ``memory`` and ``source``: ``"built"`` from the codes, ``"read"`` from a file or
            ``"mapped"``. Once a query at a recall below 1 has made cells, ``cells`` has their number, ``sketch_bits``,
            ``memory``, ``source`` and ``calibrated``: for each ``k`` and ``recall`` of a query so far, the recall on
            the sample of its calibration, the work as a share of a scan's, and whether cells or an exact search answer.
            ``bounds``, where they were tried, has ``sketch_bits`` (0 where codes are copied), ``memory`` (0 there, and
            where they would not pay), ``source``, and ``work``: what exact queries for a sample of the codes read, as
            a share of a scan's bytes.
        """
        state = self._current()
        parts = describe_parts(state)
        memory = sum(
            each.get("memory", 0) for part in parts for each in (part, part.get("cells", {}), part.get("bounds", {}))
        )
        return {
            "n_codes": len(state),
            "n_bits": state.n_bits,
            "metric": state.metric,
            "memory": memory,
            "parts": parts,
        }

    def radius(
        self, q: Codes, r: float, *, filter: NDArray[Any] | None = None, n_threads: int | None = None
    ) -> RadiusResult:
        """Every code within distance `r` of each query, `r` included.

        Parameters
        ----------
        q : uint8 array of shape (n_queries, n_bytes), or (n_bytes,) for one query
            Packed codes of the index's length.
        r : int, or float for Jaccard distance
            The radius; at least 0. From `n_bits` on, or from 1 for Jaccard distance, it includes every code. A Jaccard
            distance is within the radius if its float64, as :meth:`query` returns it, is at most `r`: 0.3 includes
            3/10.
        filter : array, optional
            Which codes may be found, as for :meth:`query`.
        n_threads : int, optional
            Threads; by default every CPU that this process may use. The answer does not depend on it.

        Returns
        -------
        result : RadiusResult
            Distances and ids by query; ``result[i]`` is one query's pair of arrays.

        Raises
        ------
        TypeError, ValueError
            If `q` is not packed codes of the index's length, `r` is not an int (or a float) of at least 0, `n_threads`
            is not a positive int, or `filter` is none.
        MemoryError
            If there is no memory for the answer. The size of a large answer is estimated before the search begins.
        """
        queries, state = self._check_queries(q), self._searchable(filter)
        if state.metric == "jaccard":
            reach = check_jaccard_radius(r, "r")
            return jaccard.within_radius(select(state, filter), queries, reach, check_n_threads(n_threads))
        return search.within_radius(
            select(state, filter), queries, check_radius(r, "r", self.n_bits), check_n_threads(n_threads)
        )

    def pairs(
        self,
        radius: float | None = None,
        other: Index | None = None,
        *,
        similarity: float | None = None,
        measure: Measure | None = None,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> joins.PairBlocks:
        """All pairs of codes that are near each other, in this index or between it and another.

        Parameters
        ----------
        radius : int, or float for Jaccard distance, optional
            The largest distance, included: an int of at least 0, or a number from 0 to 1.
        other : Index, optional
            Where to look for partners: a pair is then any code of this index with any of `other`, whatever their ids.
            By default a pair is two codes of this index, each found once, the smaller id on the left.
        similarity : float, optional
            Instead of a radius, for Jaccard distance: the least similarity, included; from 0 to 1. It is compared as
            float64: 0.7 takes in 7/10. Two codes without any bit have similarity 1 (and distance 0), such a code and
            any other 0.
        measure : {"jaccard", "dice", "containment"} or two floats, optional
            What similarity means, for an index with ``metric="jaccard"``; by default "jaccard". Distances are 1 less
            the similarity. With c bits set in both codes, l only in the left and r only in the right one, it is
            c / (c + l + r) for "jaccard", 2c / (2c + l + r) for "dice", c / (c + l) for "containment", the share of
            the left code's bits that the right one has, and c / (c + alpha * l + beta * r) for the weights
            (alpha, beta) of Tversky: from 0 to 1,000, not both 0, fractions with a denominator of at most 1,000.
            Between two indexes the left code is of this one. Within one index a pair has no order: the larger of its
            two similarities counts.
        n_threads : int, optional
            Threads; by default every CPU that this process may use. The pairs do not depend on it.
        progress : bool, default=False
            Show a progress bar over the codes of this index.

        Yields
        ------
        block : PairBlock
            Some pairs, with their distances. Over all blocks they are ordered by (left id, right id); where one block
            ends and the next begins is not promised. A block has at most 2**20 pairs, or those of a single code if
            these are more: so memory stays bounded however many pairs there are.

        Raises
        ------
        TypeError, ValueError
            If not one of `radius` and `similarity` is given, or it is not a number as described; if `measure` is none
            or is given for Hamming distance; if `other` is not an index of codes of the same length that goes by the
            same distance, or `n_threads` not a positive int.

        Notes
        -----
        The pairs are those of the moment of the call, however the index changes while they are read.

        Examples
        --------
        >>> import numpy as np
        >>> import hashkit
        >>> index = hashkit.Index(np.array([[0b0000_0000], [0b0000_0001], [0b0000_0111]], dtype=np.uint8))
        >>> for block in index.pairs(radius=2):
        ...     print(block.left, block.right, block.distances)
        [0 1] [1 2] [1 2]
        """
        limit = joins.check_limit(radius, similarity, measure, self.metric, self.n_bits, is_directed=other is not None)
        if other is not None and not isinstance(other, Index):
            raise TypeError(f"other must be an Index or None, got {describe(other)}")
        if other is not None and other.n_bits != self.n_bits:
            raise ValueError(f"other must have codes of {self.n_bits} bits like this index, got {other!r}")
        if other is not None and other.metric != self.metric:
            raise ValueError(f"other must go by {self.metric} distance like this index, got {other!r}")
        state, others = self._current(), None if other is None else other._current()
        return joins.join(state, others, limit, check_n_threads(n_threads), progress)

    def groups(
        self,
        radius: float | None = None,
        *,
        similarity: float | None = None,
        measure: Measure | None = None,
        n_threads: int | None = None,
        progress: bool = False,
    ) -> Ids:
        """Which codes are connected by chains of pairs that are near each other.

        Parameters
        ----------
        radius, similarity, measure
            How near, as for :meth:`pairs`.
        n_threads : int, optional
            Threads; by default every CPU that this process may use. The groups do not depend on it.
        progress : bool, default=False
            Show a progress bar over the different codes.

        Returns
        -------
        labels : int64 array of shape (len(index),)
            For each code, in ascending order of the ids (that of :attr:`ids`), the smallest id in its group; its own
            if it is alone.

        Raises
        ------
        TypeError, ValueError
            If not one of `radius` and `similarity` is given, it is not a number as described, `measure` is none or is
            given for Hamming distance, or `n_threads` is not a positive int.

        Notes
        -----
        The index keeps the last groups, 16 bytes for each code. The next call with the same limit joins only what was
        added or replaced since with everything, and finds groups anew that lost a code. The answer is the same.

        Examples
        --------
        >>> import numpy as np
        >>> import hashkit
        >>> codes = np.array([[0b0000_0000], [0b1111_0000], [0b0000_0001], [0b0000_0011]], dtype=np.uint8)
        >>> hashkit.Index(codes).groups(radius=1)
        array([0, 1, 0, 0])
        """
        limit = joins.check_limit(radius, similarity, measure, self.metric, self.n_bits)
        state, n_threads = self._current(), check_n_threads(n_threads)
        found = groups.group(state, groups.Search(limit, n_threads, progress))
        if found is not state.groups:
            self._living.remember(state, found)
        return found.labels.copy()  # the caller may change what the call returns

    def get(self, ids: Ids | int) -> Codes:
        """The codes of `ids`, in their order.

        Parameters
        ----------
        ids : int64 array of shape (n,), or one int

        Returns
        -------
        codes : uint8 array of shape (n, n_bytes), or (n_bytes,) for one int

        Raises
        ------
        TypeError, ValueError
            If they are not ids, or not in the index; names them.
        """
        state, wanted = self._current(), check_ids(ids, "ids")
        growth.require_known(state, wanted)
        codes = state.codes_of(wanted)
        return codes[0] if np.ndim(ids) == 0 else codes

    def subset(self, filter: NDArray[Any]) -> Index:
        """An index of the codes that `filter` allows, under their ids, for a filter that many queries share.

        Parameters
        ----------
        filter : array
            Which codes, as for :meth:`query`: a bool for each, or ids.

        Returns
        -------
        index : Index
            Independent of this one: it has a copy of the codes, and tables if this index would have them for as many
            codes.

        Raises
        ------
        TypeError, ValueError
            If `filter` is none.

        Examples
        --------
        >>> import numpy as np
        >>> import hashkit
        >>> index = hashkit.Index(np.array([[0b0000_0000], [0b0000_0001], [0b0000_0111]], dtype=np.uint8))
        >>> index.subset(np.array([0, 2])).query(np.array([0b0000_0001], dtype=np.uint8), k=1)
        (array([1], dtype=int32), array([0]))
        """
        state = self._current()
        chosen = growth.subset(state, select(state, filter))
        index = Index.__new__(Index)
        index._begin(self._living.prepare(chosen), self._living.policy)
        return index

    def add(self, codes: Codes, ids: Ids | None = None) -> Ids:
        """Add codes.

        Parameters
        ----------
        codes : uint8 array of shape (n, n_bytes)
            Packed codes of the index's length.
        ids : int64 array of shape (n,), optional
            A number for each, all different and not in the index. By default numbers are counted on from the largest
            that was ever in it.

        Returns
        -------
        ids : int64 array of shape (n,)
            The ids of the added codes.

        Raises
        ------
        TypeError, ValueError
            If they are not codes and ids as described; the index is then unchanged.

        Notes
        -----
        The time grows with the number of added codes. When many have accumulated, a call folds them into the earlier
        codes, which takes as long as building that part of the index.
        """
        return self._living.change(lambda state: growth.add(state, codes, ids))

    def remove(self, ids: Ids | int, *, missing: str = "raise") -> None:
        """Remove the codes of `ids`. No other code's id changes.

        Parameters
        ----------
        ids : int64 array of shape (n,), or one int
        missing : {"raise", "ignore"}, default="raise"
            What to do about ids that are not in the index.

        Raises
        ------
        TypeError, ValueError
            If they are not ids, or not in the index; names them, and the index is then unchanged.
        """
        self._living.change(lambda state: growth.remove(state, ids, missing))

    def replace(self, codes: Codes, ids: Ids) -> None:
        """Give new codes to `ids`, in one step.

        Parameters
        ----------
        codes : uint8 array of shape (n, n_bytes)
            Packed codes of the index's length.
        ids : int64 array of shape (n,)
            All different, and in the index.

        Raises
        ------
        TypeError, ValueError
            If they are not codes and ids as described; the index is then unchanged.
        """
        self._living.change(lambda state: growth.replace_codes(state, codes, ids))

    def compact(self) -> None:
        """Fold in all additions and removals. Searches are then fastest, and memory is smallest."""
        self._living.compact()

    def __getstate__(self) -> dict[str, Any]:
        return {"state": replace(self._current(), groups=None), "policy": self._living.policy}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self._begin(make_tables(saved["state"], saved["policy"], check_n_threads(None)), saved["policy"])

    def _current(self) -> Snapshot:
        """What the index holds at this moment, its contents verified."""
        return self._living.current()

    def _searchable(self, filter: object) -> Snapshot:
        """The same for a search; without a filter, by tables in a mapped file, verified only as it is read."""
        return self._living.searchable() if filter is None else self._current()

    def _query_within(
        self, queries: Codes, k: int, limits: NDArray[np.int32], n_threads: int | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """:meth:`query` for callers with limits: nothing beyond ``limits[i]`` is among query i's k nearest.

        What lies beyond may be left out; the last distances are then ``search.NO_DISTANCE``, their ids anything.
        """
        selections = select(self._current(), None)
        queries, n_threads = self._check_queries(queries), check_n_threads(n_threads)
        distances, ids, _ = search.k_nearest(selections, queries, k, n_threads, limits)
        return distances, ids

    def _check_recall(self, recall: float, max_candidates: int | None = None) -> search.Approximation | None:
        """How to search at this recall; None for exactly."""
        if check_number(recall, "recall", 0) > 1 or recall == 0:
            raise ValueError(f"recall must be above 0 and at most 1, got {recall}")
        if recall == 1:
            return None
        if max_candidates is not None:
            raise ValueError(f"max_candidates must not be given with a recall below 1, got {max_candidates}")
        self._require_hamming("searches at a recall below 1")
        return search.Approximation(float(recall), self.n_bits, self._living.policy.compact)

    def _require_hamming(self, what: str) -> None:
        if self.metric != "hamming":
            raise ValueError(f"{what} go by Hamming distance only, not by that of {self!r}")

    def _check_queries(self, q: Codes) -> Codes:
        queries = q[np.newaxis] if isinstance(q, np.ndarray) and q.ndim == 1 else q
        return check_codes(queries, "q", self.n_bits)


def index_over(living: Living) -> Index:
    """An index that shows what `living` holds, whoever changes that."""
    index = Index.__new__(Index)
    index._living = living
    return index
