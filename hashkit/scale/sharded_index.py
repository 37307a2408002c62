"""`ShardedIndex`: search over shards."""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from hashkit import _native
from hashkit.checks import Codes, check_codes, check_int, check_n_threads, check_number, check_radius
from hashkit.index.merging import merge_nearest
from hashkit.index.results import RadiusResult
from hashkit.scale.dispatch import Dispatcher
from hashkit.scale.manifest import read_manifest
from hashkit.scale.places import Place

FEW_ENTRIES = 4000
"""Merging this many lists or entries takes less than a millisecond."""


class ShardedIndex:
    """Exact search over shards, whose files are mapped by Ray actors.

    A call either raises, or returns exactly what a single :class:`hashkit.Index` of all codes would return.

    Parameters
    ----------
    path : str or path
        Path or URI of the folder that :func:`hashkit.scale.build` wrote.
    filesystem : pyarrow.fs.FileSystem or fsspec file system, optional
        File system of `path`.
    shards_per_actor : int, optional
        Number of shards that share an actor, which searches them one after the other. By default there are no more
        actors than the cluster has CPUs. Each actor costs a query about half a millisecond of a core; but if an actor
        or one of its files is unreachable, so are all shards of the actor.
    replicas : int
        Number of actors for each shard. They take turns; if one is unreachable, the next one is called.
    n_threads : int, optional
        Threads of an actor; by default the CPUs of its machine divided by the number of actors on it.
    batch_size : int
        Number of queries sent together.
    max_in_flight : int
        Number of batches processed at a time, over all calls; further batches wait. Blocking calls with a single
        batch do not count.
    patience : float
        Seconds that a shard may be unreachable, while Ray restarts its actor, before it counts as missing.
    **actor_options
        Arguments of Ray's ``options``, such as ``num_cpus`` and ``resources``. By default actors are spread over the
        machines and reserve no resources.

    Raises
    ------
    hashkit.storage.FormatError
        If the manifest is damaged.
    MissingShardsError
        If the file of a shard is missing or does not match the manifest. The message names the file.
    OSError
        If there is no manifest.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        filesystem: Any = None,
        shards_per_actor: int | None = None,
        replicas: int = 1,
        n_threads: int | None = None,
        batch_size: int = 1000,
        max_in_flight: int = 8,
        patience: float = 60.0,
        **actor_options: Any,
    ) -> None:
        place = Place.of(path, filesystem)
        self._batch_size = check_int(batch_size, "batch_size", 1)
        self._slots = asyncio.Semaphore(check_int(max_in_flight, "max_in_flight", 1))
        together = None if shards_per_actor is None else check_int(shards_per_actor, "shards_per_actor", 1)
        replicas, patience = check_int(replicas, "replicas", 1), check_number(patience, "patience", 0, most=math.inf)
        threads = None if n_threads is None else check_n_threads(n_threads)
        self._manifest = read_manifest(place)
        self._folder = place.folder
        self._dispatcher = Dispatcher(place, self._manifest, together, replicas, patience, actor_options)
        try:
            hosts = self._wait(self._dispatcher.hosts())
        except BaseException:
            self.close()
            raise
        busiest = Counter(host.node for host in hosts)
        self._n_threads = threads or max(1, min(host.n_cpus // busiest[host.node] for host in hosts))

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self._manifest.n_bits

    @property
    def n_shards(self) -> int:
        """The number of shards."""
        return len(self._manifest.shards)

    def __len__(self) -> int:
        """The number of codes in all shards."""
        return self._manifest.n_codes

    def __repr__(self) -> str:
        return (
            f"<hashkit.scale.ShardedIndex of {len(self)} codes of {self.n_bits} bits in {self.n_shards} shards "
            f"at {self._folder!r}>"
        )

    def query(self, q: Codes, k: int = 100, *, allow_partial: bool = False, timeout: float | None = None) -> Any:
        """The `k` nearest codes of each query.

        Parameters
        ----------
        q : uint8 array of shape (n_queries, n_bytes), or (n_bytes,) for one query
            Packed codes of the index's length.
        k : int, default=100
            Number of neighbors, at least 1. If there are fewer codes, all of them are returned.
        allow_partial : bool, default=False
            Return the results of the available shards and the files of the missing ones.
        timeout : float, optional
            Seconds after which a shard that has not answered a batch counts as missing.

        Returns
        -------
        distances : int32 array of shape (n_queries, min(k, len(index)))
            Hamming distances, ascending. One-dimensional for a single query.
        ids : int64 array of the same shape
            Ids in the order of the distances; among equal distances ascending.
        missing : tuple of str
            Files of the shards that are missing from the result of at least one query; only with `allow_partial`.

        Raises
        ------
        TypeError, ValueError
            If `q` is not packed codes of the index's length, or `k` is not a positive int.
        MissingShardsError
            If a shard did not answer. The message names it.
        """
        answers = self._at_once(q, timeout, "query", check_int(k, "k", 1), None)
        if answers is None:
            return self._wait(self._query(q, k, allow_partial, timeout))
        distances, ids = merge_nearest(answers, k, 1)
        found = (distances[0], ids[0]) if q.ndim == 1 else (distances, ids)
        return (*found, ()) if allow_partial else found

    def radius(self, q: Codes, r: int, *, allow_partial: bool = False, timeout: float | None = None) -> Any:
        """Every code within distance `r` of each query, `r` included.

        Parameters
        ----------
        q, allow_partial, timeout
            As for :meth:`query`.
        r : int
            The radius; at least 0.

        Returns
        -------
        result : RadiusResult
        missing : tuple of str
            Only with `allow_partial`, as for :meth:`query`.

        Raises
        ------
        TypeError, ValueError, MissingShardsError
            As for :meth:`query`.
        """
        answers = self._at_once(q, timeout, "radius", check_radius(r, "r", self.n_bits))
        if answers is None:
            return self._wait(self._radius(q, r, allow_partial, timeout))
        result = RadiusResult(*_native.merge_within_radius(answers, 1))
        return (result, ()) if allow_partial else result

    async def query_async(
        self, q: Codes, k: int = 100, *, allow_partial: bool = False, timeout: float | None = None
    ) -> Any:
        """:meth:`query` for servers: any number of calls can wait, in any event loop."""
        return await asyncio.wrap_future(self._dispatcher.run(self._query(q, k, allow_partial, timeout)))

    async def radius_async(self, q: Codes, r: int, *, allow_partial: bool = False, timeout: float | None = None) -> Any:
        """:meth:`radius` for servers."""
        return await asyncio.wrap_future(self._dispatcher.run(self._radius(q, r, allow_partial, timeout)))

    def warm(self) -> None:
        """Verify every shard and load it into memory; a damaged shard raises a MissingShardsError."""
        self._dispatcher.require_all(self._wait(self._dispatcher.ask_all(self._all_groups, "warm", None)))

    def close(self) -> None:
        """Stop the actors."""
        self._dispatcher.close()

    def __enter__(self) -> ShardedIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _all_groups(self) -> range:
        return range(len(self._dispatcher.groups))

    def _at_once(self, q: Codes, timeout: float | None, method: str, *arguments: Any) -> list[Any] | None:
        """Return all groups' results for a single batch; None if there are more batches, or if a retry is needed."""
        batches = self._batches(q)
        if len(batches) > 1 or timeout is not None:
            return None
        return self._dispatcher.ask_at_once(method, batches[0], *arguments, self._n_threads)

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        future = self._dispatcher.run(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _query(self, q: Codes, k: int, allow_partial: bool, timeout: float | None) -> Any:
        k, batches = check_int(k, "k", 1), self._batches(q)
        timeout = None if timeout is None else check_number(timeout, "timeout", 0, most=math.inf)
        # If there are as many batches as groups, each batch starts at a different group, and its result limits the
        # search in the others. With fewer batches, groups would be idle while they wait for that result.
        n_groups = len(self._all_groups)
        in_turn = len(batches) >= n_groups > 1
        homes = [number % n_groups if in_turn else None for number in range(len(batches))]
        answers = await _all(self._nearest(batch, k, home, timeout) for batch, home in zip(batches, homes, strict=True))
        missing = self._missing([found for _, found in answers], allow_partial)
        n_columns = min(distances.shape[1] for (distances, _), _ in answers)
        distances = np.concatenate([distances[:, :n_columns] for (distances, _), _ in answers])
        ids = np.concatenate([ids[:, :n_columns] for (_, ids), _ in answers])
        found = (distances[0], ids[0]) if q.ndim == 1 else (distances, ids)
        return (*found, missing) if allow_partial else found

    async def _nearest(self, queries: Codes, k: int, home: int | None, timeout: float | None) -> Any:
        """Return (distances, ids) of a batch, and the result of each group."""
        async with self._slots:
            first, limits = [], None
            others = [group for group in self._all_groups if group != home]
            if home is not None:
                first = await self._dispatcher.ask_all([home], "query", timeout, queries, k, None, self._n_threads)
                if not isinstance(first[0], Exception) and first[0][0].shape[1] == k:
                    limits = np.ascontiguousarray(first[0][0][:, -1])
            rest = await self._dispatcher.ask_all(others, "query", timeout, queries, k, limits, self._n_threads)
            by_group = rest if home is None else [*rest[:home], *first, *rest[home:]]
            answers = [answer for answer in by_group if not isinstance(answer, Exception)]
            answers = answers or [(np.empty((len(queries), 0), np.int32), np.empty((len(queries), 0), np.int64))]
            return await _off_loop(len(queries) * len(answers), merge_nearest, answers, k, 1), by_group

    async def _radius(self, q: Codes, r: int, allow_partial: bool, timeout: float | None) -> Any:
        r, batches = check_radius(r, "r", self.n_bits), self._batches(q)
        timeout = None if timeout is None else check_number(timeout, "timeout", 0, most=math.inf)
        answers = await _all(self._within(batch, r, timeout) for batch in batches)
        missing = self._missing([found for _, found in answers], allow_partial)
        ends = np.cumsum([0, *(offsets[-1] for (offsets, _, _), _ in answers)])
        offsets = [offsets[1:] + end for ((offsets, _, _), _), end in zip(answers, ends, strict=False)]
        result = RadiusResult(
            np.concatenate([np.zeros(1, np.int64), *offsets]),
            np.concatenate([distances for (_, distances, _), _ in answers]),
            np.concatenate([ids for (_, _, ids), _ in answers]),
        )
        return (result, missing) if allow_partial else result

    async def _within(self, queries: Codes, r: int, timeout: float | None) -> Any:
        """Return (offsets, distances, ids) of a batch, and the result of each group."""
        async with self._slots:
            by_group = await self._dispatcher.ask_all(self._all_groups, "radius", timeout, queries, r, self._n_threads)
            parts = [answer for answer in by_group if not isinstance(answer, Exception)]
            nothing = np.zeros(len(queries) + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.int64)
            n_entries = sum(len(ids) for _, _, ids in parts)
            return await _off_loop(n_entries, _native.merge_within_radius, parts or [nothing], 1), by_group

    def _batches(self, q: Codes) -> list[Codes]:
        queries = q[np.newaxis] if isinstance(q, np.ndarray) and q.ndim == 1 else q
        check_codes(queries, "q", self.n_bits)
        starts = range(0, max(1, len(queries)), self._batch_size)
        return [queries[start : start + self._batch_size] for start in starts]

    def _missing(self, answers: Sequence[Sequence[Any]], allow_partial: bool) -> tuple[str, ...]:
        """Return the files of shards missing from any batch; if there must be none, raise a MissingShardsError."""
        worst = [
            next((a for a in of_group if isinstance(a, Exception)), None) for of_group in zip(*answers, strict=True)
        ]
        if not allow_partial:
            self._dispatcher.require_all(worst)
        return self._dispatcher.files(group for group, error in enumerate(worst) if error is not None)


async def _off_loop(n_entries: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of `work`, run in another thread if it takes longer than the switch."""
    return work(*arguments) if n_entries <= FEW_ENTRIES else await asyncio.to_thread(work, *arguments)


async def _all(work: Any) -> list[Any]:
    """Return the results of coroutines, in order; the first exception cancels the others."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
