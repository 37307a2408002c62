"""Builds shards: index files that together hold the codes of a data set.

A hash of its id decides the shard of a code. So shards have nearly equal sizes whatever the order of ids, and equal ids
meet in one shard, where they are detected.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from numpy.typing import NDArray

from hashkit.checks import check_int, check_n_bits
from hashkit.index import Index
from hashkit.interop import from_arrow, to_arrow
from hashkit.scale.columns import require_columns
from hashkit.scale.manifest import Manifest, Shard, write_manifest
from hashkit.scale.places import Place
from hashkit.scale.sampling import id_keys
from hashkit.storage import open_tensors

MAX_SHARDS = 100_000


def build(
    dataset: ray.data.Dataset,
    path: str | os.PathLike[str],
    n_shards: int,
    *,
    ids: str = "id",
    codes: str = "code",
    n_bits: int | None = None,
    filesystem: Any = None,
) -> None:
    """Write a data set of codes as shards, which :class:`hashkit.scale.ShardedIndex` searches.

    Parameters
    ----------
    dataset : ray.data.Dataset
        Codes with ids, as :func:`hashkit.scale.encode` returns them.
    path : str or path
        A folder that every machine can reach: a local path, or a URI such as ``s3://bucket/folder``. Existing shards
        are replaced.
    n_shards : int
        Number of shards. One worker builds a shard in memory: about 40 bytes for each code of 64 bits.
    ids, codes : str
        Names of the columns: integers, and fixed-size binary or fixed-size lists of uint8.
    n_bits : int, optional
        Length of the codes; by default the length that `encode` recorded, else all bits of the column.
    filesystem : pyarrow.fs.FileSystem or fsspec file system, optional
        File system of `path`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, a column is missing or has another type, an id is repeated, or codes do not have
        `n_bits`.
    """
    n_shards = check_int(n_shards, "n_shards", 1)
    if n_shards > MAX_SHARDS:
        raise ValueError(f"n_shards must be at most {MAX_SHARDS}, got {n_shards}")
    place = Place.of(path, filesystem)
    blocks = dataset.to_arrow_refs()
    width_of, split, write = ray.remote(_width_of), ray.remote(num_returns=n_shards)(_split), ray.remote(_write)
    widths = ray.get([width_of.remote(block, ids, codes, n_bits) for block in blocks])
    known = sorted({width for width in widths if width is not None})
    if len(known) > 1:
        raise ValueError(f"column {codes!r} must hold codes of one length, it has {known[0]} and {known[1]} bits")
    if not known:
        raise ValueError("dataset must not be empty: the length of a code would be unknown")
    place.make()
    pieces = [split.remote(block, ids, codes, known[0], n_shards) for block in blocks]
    columns = [pieces] if n_shards == 1 else zip(*pieces, strict=True)
    files = [f"shard-{number:05}.hashkit" for number in range(n_shards)]
    built = [write.remote(place, file, known[0], *column) for file, column in zip(files, columns, strict=True)]
    shards: list[Shard] = ray.get(built)
    write_manifest(place, Manifest(known[0], sum(shard.n_codes for shard in shards), tuple(shards)))


def _width_of(block: pa.Table, ids: str, codes: str, n_bits: int | None) -> int | None:
    """Return the length of the codes in a block; None if the block is empty."""
    require_columns(block, ids, codes)
    if len(block) == 0:
        return None
    return from_arrow(block.slice(0, 1), ids=ids, codes=codes).n_bits if n_bits is None else check_n_bits(n_bits)


def _split(block: pa.Table, ids: str, codes: str, n_bits: int, n_shards: int) -> Any:
    """Split the rows of a block by shard."""
    if len(block) == 0:
        empty = to_arrow(np.empty((0, (n_bits + 7) // 8), np.uint8), n_bits=n_bits)
        return empty if n_shards == 1 else [empty] * n_shards
    table = from_arrow(block, ids=ids, codes=codes)
    shard_of = shards_of(table.ids, n_shards)
    order = np.argsort(shard_of, kind="stable")
    ends = np.cumsum(np.bincount(shard_of, minlength=n_shards))
    pieces = [to_arrow(table.codes[rows], table.ids[rows], n_bits) for rows in np.split(order, ends[:-1])]
    return pieces[0] if n_shards == 1 else pieces


def shards_of(ids: NDArray[np.int64], n_shards: int) -> NDArray[np.int64]:
    """Return the shard of each id."""
    return (id_keys(ids, 0) % np.uint64(n_shards)).astype(np.int64)


def _write(place: Place, file: str, n_bits: int, *pieces: pa.Table) -> Shard:
    table = from_arrow(pa.concat_tables(pieces))
    index = Index(table.codes, ids=table.ids, n_bits=n_bits, method="scan")
    return write_shard(index, place, file)


def write_shard(index: Index, place: Place, file: str) -> Shard:
    """Save `index` as the file `file` and return its entry for the manifest."""
    with tempfile.TemporaryDirectory(prefix="hashkit-") as folder:
        path = place.join(file) if place.is_local else os.path.join(folder, file)
        index.save(path)
        checksums, n_bytes = open_tensors(path).checksums, os.path.getsize(path)
        if not place.is_local:
            place.put(file, path)
    known = index.ids
    first, last = (int(known[0]), int(known[-1])) if len(known) else (None, None)
    return Shard(file, len(index), n_bytes, checksums, first, last)
