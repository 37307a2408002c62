"""One shard in one actor: what runs on the machines."""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

import numpy as np
import ray
from numpy.typing import NDArray

from hashkit.codes import check_n_threads
from hashkit.index import Index
from hashkit.index.results import RadiusResult
from hashkit.scale.manifest import Shard, check_shard_file
from hashkit.scale.places import Place


def to_plain(array: NDArray[Any] | None) -> Any:
    """`array` as numbers and bytes, which Ray passes on as they are: its own way costs half a millisecond an array."""
    return None if array is None else [array.dtype.str, list(array.shape), array.tobytes()]


def from_plain(plain: Any) -> Any:
    """The array, or None, that :func:`to_plain` was given."""
    return None if plain is None else np.frombuffer(plain[2], plain[0]).reshape(plain[1])


class Host(NamedTuple):
    """Where an actor runs."""

    node: str
    n_cpus: int
    pid: int


class Answer(NamedTuple):
    """What a shard found, and how long it took."""

    parts: tuple[NDArray[Any], ...]
    seconds: float

    def to_plain(self) -> list[Any]:
        """What :meth:`from_plain` makes an answer of."""
        return [[to_plain(part) for part in self.parts], self.seconds]

    @classmethod
    def from_plain(cls, plain: list[Any]) -> Answer:
        """What an actor sent."""
        return cls(tuple(from_plain(part) for part in plain[0]), plain[1])


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

    def query(self, plain_queries: Any, k: int, plain_limits: Any, n_threads: int) -> list[Any]:
        """(distances, ids) of the `k` nearest; those beyond the limits may be left out. A plain answer."""
        index, started = self._index(), time.perf_counter()
        queries, limits = from_plain(plain_queries), from_plain(plain_limits)
        found = (
            index.query(queries, k, n_threads=n_threads)
            if limits is None
            else index._query_within(queries, k, limits, n_threads)
        )
        return Answer(found, time.perf_counter() - started).to_plain()

    def radius(self, plain_queries: Any, r: int, n_threads: int) -> list[Any]:
        """(offsets, distances, ids) within the radius. A plain answer."""
        index, started = self._index(), time.perf_counter()
        found: RadiusResult = index.radius(from_plain(plain_queries), r, n_threads=n_threads)
        return Answer((found.offsets, found.distances, found.ids), time.perf_counter() - started).to_plain()

    def _index(self) -> Index:
        if self._opened is None:
            with self._place.local_copy(self._shard.file) as path:
                check_shard_file(path, self._shard, self._n_bits)
                self._opened = Index.load(path, mmap=True)
        return self._opened
