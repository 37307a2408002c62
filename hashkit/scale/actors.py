"""One shard in one actor: what runs on the machines."""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

import numpy as np
import ray
from numpy.typing import NDArray

from hashkit.codes import Codes, check_n_threads
from hashkit.index import Index
from hashkit.index.results import RadiusResult
from hashkit.scale.manifest import Shard, check_shard_file
from hashkit.scale.places import Place


class Host(NamedTuple):
    """Where an actor runs."""

    node: str
    n_cpus: int
    pid: int


class Answer(NamedTuple):
    """What a shard found, and how long it took."""

    parts: tuple[NDArray[Any], ...]
    seconds: float


class ShardActor:
    """A mapped shard. Opens its file when it is first asked, so that a damaged one is an answer, not a dead actor.

    Parameters
    ----------
    place : Place
        Where the file is.
    shard : Shard
        The manifest's entry.
    n_bits : int
    """

    def __init__(self, place: Place, shard: Shard, n_bits: int) -> None:
        self._place, self._shard, self._n_bits = place, shard, n_bits
        self._opened: Index | None = None

    def host(self) -> Host:
        """Open the file, and say where this actor runs."""
        self._index()
        return Host(ray.get_runtime_context().get_node_id(), check_n_threads(None), os.getpid())

    def warm(self) -> None:
        """Read the whole file once, which verifies it and brings it into memory."""
        index = self._index()
        index.query(np.zeros((1, (self._n_bits + 7) // 8), np.uint8), 1)

    def query(self, queries: Codes, k: int, limits: NDArray[np.int32] | None, n_threads: int) -> Answer:
        """(distances, ids) of the `k` nearest; those beyond `limits` may be left out."""
        index, started = self._index(), time.perf_counter()
        found = (
            index.query(queries, k, n_threads=n_threads)
            if limits is None
            else index._query_within(queries, k, limits, n_threads)
        )
        return Answer(found, time.perf_counter() - started)

    def radius(self, queries: Codes, r: int, n_threads: int) -> Answer:
        """(offsets, distances, ids) within the radius."""
        index, started = self._index(), time.perf_counter()
        found: RadiusResult = index.radius(queries, r, n_threads=n_threads)
        return Answer((found.offsets, found.distances, found.ids), time.perf_counter() - started)

    def _index(self) -> Index:
        if self._opened is None:
            with self._place.local_copy(self._shard.file) as path:
                check_shard_file(path, self._shard, self._n_bits)
                self._opened = Index.load(path, mmap=True)
        return self._opened
