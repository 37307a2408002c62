"""The Ray actor that searches shards on a worker machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import ray

from hashkit import _native
from hashkit.checks import check_n_threads
from hashkit.index import Index
from hashkit.index.merging import merge_nearest
from hashkit.scale.manifest import Shard, check_shard_file
from hashkit.scale.places import Place


def to_plain(values: tuple[Any, ...]) -> list[Any]:
    """Convert arrays in `values` to lists of dtype, shape and bytes, for one argument or result of an actor's method.

    Ray's own serialization costs half a millisecond for each array and 30 us for each argument.
    """
    return [
        [value.dtype.str, list(value.shape), value.tobytes()] if isinstance(value, np.ndarray) else value
        for value in values
    ]


def from_plain(plain: list[Any]) -> tuple[Any, ...]:
    """Invert :func:`to_plain`."""
    return tuple(
        np.frombuffer(value[2], value[0]).reshape(value[1]) if isinstance(value, list) else value for value in plain
    )


class Host(NamedTuple):
    """Where an actor runs."""

    node: str
    n_cpus: int
    pid: int


class ShardActor:
    """Mapped shards. The first call opens the files, so a damaged file raises an exception and the actor survives.

    Parameters
    ----------
    place : Place
        Where the files are.
    shards : sequence of Shard
        Entries of the manifest.
    n_bits : int
    """

    def __init__(self, place: Place, shards: Sequence[Shard], n_bits: int) -> None:
        self._place, self._shards, self._n_bits = place, shards, n_bits
        self._opened: list[Index] = []

    def host(self, question: list[Any]) -> Host:
        """Open the files and return where this actor runs."""
        self._indexes()
        return Host(ray.get_runtime_context().get_node_id(), check_n_threads(None), os.getpid())

    def warm(self, question: list[Any]) -> None:
        """Read every file in full, which verifies it and loads it into memory."""
        for index in self._indexes():
            index.query(np.zeros((1, (self._n_bits + 7) // 8), np.uint8), 1)

    def query(self, question: list[Any]) -> list[Any]:
        """(distances, ids) for plain queries, k, limits or None, and a number of threads.

        Results beyond the limits may be missing.
        """
        queries, k, limits, n_threads = from_plain(question)
        answers = []
        for index in self._indexes():
            if limits is None:
                found = index.query(queries, k, n_threads=n_threads)
            else:
                found = index._query_within(queries, k, limits, n_threads)
            answers.append(found)
            if found[0].shape[1] == k:  # later shards need only what is nearer than the k-th
                reached = np.ascontiguousarray(found[0][:, -1])
                limits = reached if limits is None else np.minimum(limits, reached)
        return to_plain(merge_nearest(answers, k, n_threads))

    def radius(self, question: list[Any]) -> list[Any]:
        """(offsets, distances, ids) for plain queries, the radius, and a number of threads."""
        queries, r, n_threads = from_plain(question)
        found = [index.radius(queries, r, n_threads=n_threads) for index in self._indexes()]
        answers = [(each.offsets, each.distances, each.ids) for each in found]
        return to_plain(_native.merge_within_radius(answers, n_threads) if len(answers) > 1 else answers[0])

    def _indexes(self) -> list[Index]:
        if not self._opened:
            self._opened = [self._open(shard) for shard in self._shards]
        return self._opened

    def _open(self, shard: Shard) -> Index:
        with self._place.local_copy(shard.file) as path:
            check_shard_file(path, shard, self._n_bits)
            return Index.load(path, mmap=True)
