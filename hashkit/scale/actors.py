"""One shard in one actor: what runs on the machines."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
import ray

from hashkit.codes import check_n_threads
from hashkit.index import Index
from hashkit.scale.manifest import Shard, check_shard_file
from hashkit.scale.places import Place


def to_plain(values: tuple[Any, ...]) -> list[Any]:
    """`values` with arrays as numbers and bytes, and all of them as one argument or result of an actor's method.

    So Ray passes them on as they are: its own way costs half a millisecond an array, and 30 us an argument.
    """
    return [
        [value.dtype.str, list(value.shape), value.tobytes()] if isinstance(value, np.ndarray) else value
        for value in values
    ]


def from_plain(plain: list[Any]) -> tuple[Any, ...]:
    """What :func:`to_plain` was given."""
    return tuple(
        np.frombuffer(value[2], value[0]).reshape(value[1]) if isinstance(value, list) else value for value in plain
    )


class Host(NamedTuple):
    """Where an actor runs."""

    node: str
    n_cpus: int
    pid: int


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

    def host(self, question: list[Any]) -> Host:
        """Open the file, and say where this actor runs."""
        self._index()
        return Host(ray.get_runtime_context().get_node_id(), check_n_threads(None), os.getpid())

    def warm(self, question: list[Any]) -> None:
        """Read the whole file once, which verifies it and brings it into memory."""
        index = self._index()
        index.query(np.zeros((1, (self._n_bits + 7) // 8), np.uint8), 1)

    def query(self, question: list[Any]) -> list[Any]:
        """(distances, ids) for plain queries, k, limits or None, and a number of threads.

        What lies beyond the limits may be left out.
        """
        index, (queries, k, limits, n_threads) = self._index(), from_plain(question)
        if limits is None:
            return to_plain(index.query(queries, k, n_threads=n_threads))
        return to_plain(index._query_within(queries, k, limits, n_threads))

    def radius(self, question: list[Any]) -> list[Any]:
        """(offsets, distances, ids) for plain queries, the radius, and a number of threads."""
        index, (queries, r, n_threads) = self._index(), from_plain(question)
        found = index.radius(queries, r, n_threads=n_threads)
        return to_plain((found.offsets, found.distances, found.ids))

    def _index(self) -> Index:
        if self._opened is None:
            with self._place.local_copy(self._shard.file) as path:
                check_shard_file(path, self._shard, self._n_bits)
                self._opened = Index.load(path, mmap=True)
        return self._opened
