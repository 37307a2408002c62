"""`hashkit query`: what can be searched, and results as lines or files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import storage
from hashkit.checks import Codes
from hashkit.collection import Collection
from hashkit.index import Index
from hashkit.progress import progress_bar
from hashkit.tables import Block, Rows, check_target, open_rows, write_column_blocks
from hashkit.tables.reading import READABLE
from hashkit.tables.rows import ROWS_PER_BLOCK
from hashkit.tables.writing import COLUMN_ENDINGS, replace
from hashkit.vectors import VectorIndex

Names = NDArray[Any]

# Results that are held at once: queries are read in blocks that have about so many. How many a query has within a
# radius is not known before it is searched.
_RESULTS_AT_ONCE, _RESULTS_EXPECTED = 1 << 22, 1 << 10


def query_file(
    codes: Path,
    queries: Path,
    k: int,
    radius: int | None,
    n_bits: int | None,
    out: Path | None,
    *,
    ids: str | None = None,
    query_ids: str | None = None,
    format: str | None = None,
    progress: bool = False,
) -> Iterator[str]:
    """Search for the nearest codes, or for all within a radius; give a line for each result, or save them all."""
    if out is not None:
        check_target(out, COLUMN_ENDINGS)
    index, names = open_codes(codes, n_bits, ids=ids, format=format)

    def search(asked: Codes) -> Found:
        if radius is None:
            distances, found = index.query(asked, k=k)
            return Found({"distances": distances, "ids": _named(found, names)}, np.full(len(found), found.shape[1]))
        within = index.radius(asked, radius)
        arrays = {"offsets": within.offsets, "distances": within.distances, "ids": _named(within.ids, names)}
        return Found(arrays, np.diff(within.offsets))

    rows = open_rows(queries, holds="codes", ids=query_ids, format=format)
    yield from _answer(rows, search, out, "distance", k if radius is None else _RESULTS_EXPECTED, progress)


def query_vectors(index: Path, queries: Path, k: int, out: Path | None, *, progress: bool = False) -> Iterator[str]:
    """Search a vector index; give a line for each result, or save them all."""
    if out is not None:
        check_target(out, COLUMN_ENDINGS)
    searched = VectorIndex.load(index, mmap=True)

    def search(asked: NDArray[np.generic]) -> Found:
        scores, ids = searched.query(asked, k)
        return Found({"scores": scores, "ids": ids}, np.full(len(ids), ids.shape[1]))

    yield from _answer(open_rows(queries, holds="features"), search, out, "score", k, progress)


@dataclass(frozen=True)
class Found:
    """Results of some queries: arrays as they are saved, and how many results each query has."""

    arrays: dict[str, NDArray[Any]]
    lengths: NDArray[np.int64]


def _named(ids: NDArray[np.int64], names: Names | None) -> NDArray[Any]:
    return ids if names is None else names[ids]


def _answer(
    queries: Rows, search: Callable[[Any], Found], out: Path | None, what: str, per_query: int, progress: bool
) -> Iterator[str]:
    """The results as lines, or what file they are in; a block of queries at a time, but for an archive of numpy."""
    if out is not None and out.suffix.lower() == ".npz":
        arrays = search(queries.whole().values).arrays
        plain = {name: array.astype("U") if array.dtype.kind == "O" else array for name, array in arrays.items()}
        replace(out, lambda file: np.savez(file, allow_pickle=False, **plain))
        yield f"{out}: {', '.join(f'{name} {array.shape}' for name, array in arrays.items())}"
        return
    n_rows = max(1, min(ROWS_PER_BLOCK, _RESULTS_AT_ONCE // max(1, per_query)))
    shown = progress and out is not None  # lines show how far the search is
    with progress_bar(shown, total=queries.n_rows, unit="query", desc="query", disable=None, leave=False) as bar:
        blocks = _columns_of_blocks(queries.blocks(n_rows), search, what, bar)
        if out is None:
            yield from _lines(blocks, what)
            return
        n_results = write_column_blocks(out, blocks)
    if str(out) != "-":
        yield f"{out}: {n_results:,} results"


def _columns_of_blocks(
    blocks: Iterable[Block], search: Callable[[Any], Found], what: str, bar: Any
) -> Iterator[dict[str, NDArray[Any]]]:
    """One row for each result, for a block of queries at a time: query, rank, id, and distance or score."""
    start = 0
    for block in blocks:
        found = search(block.values)
        rows = np.repeat(np.arange(len(found.lengths)), found.lengths)
        yield {
            "query": start + rows if block.ids is None else block.ids[rows],
            "rank": np.arange(len(rows)) - np.repeat(np.cumsum(found.lengths) - found.lengths, found.lengths),
            "id": found.arrays["ids"].reshape(-1),
            what: found.arrays[f"{what}s"].reshape(-1),
        }
        start += len(block.values)
        bar.update(len(block.values))


def _lines(blocks: Iterable[dict[str, NDArray[Any]]], what: str) -> Iterator[str]:
    for number, columns in enumerate(blocks):
        shown = [column.tolist() for column in columns.values()]
        if what == "score":
            shown[-1] = [f"{value:.6g}" for value in shown[-1]]
        header = [] if number else ["\t".join(columns)]
        yield "\n".join([*header, *("\t".join(map(str, row)) for row in zip(*shown, strict=True))])


def open_codes(
    path: Path, n_bits: int | None, *, column: str | None = None, ids: str | None = None, format: str | None = None
) -> tuple[Index | Collection, Names | None]:
    """What can be searched, and the names of its rows where ids are strings.

    Codes of a file (see `hashkit.tables.open_rows`), an index that was saved, or the folder of a collection.
    """
    if path.is_dir():
        with Collection(path, method="scan") as found:  # closed it can still be searched, and be opened by others
            index: Index | Collection = found
    elif _holds_rows(path):
        rows = open_rows(path, holds="codes", column=column, ids=ids, format=format)
        codes, known = rows.whole()
        is_number = known is not None and known.dtype.kind in "iu"
        length = rows.n_bits if n_bits is None else n_bits
        return Index(codes, ids=known if is_number else None, n_bits=length, method="scan"), (
            None if is_number else known
        )
    else:
        index = Index.load(path, mmap=True)
    if ids is not None:
        raise ValueError(f"--ids names a column of a file of codes, {path} has its own")
    if n_bits not in (None, index.n_bits):
        raise ValueError(f"--bits must be {index.n_bits} for {path}, got {n_bits}")
    return index, None


def _holds_rows(path: Path) -> bool:
    """Whether it is a file of rows, by its ending; a safetensors file may be an index."""
    if path.suffix.lower() == ".safetensors":
        try:
            return storage.open_tensors(path).kind != "index"
        except storage.FormatError:  # another's file
            return True
    return str(path) == "-" or path.suffix.lower() in READABLE


def read_codes(path: Path, format: str | None = None) -> NDArray[np.uint8]:
    """Packed codes of a file; an error names the file."""
    codes: NDArray[np.uint8] = open_rows(path, holds="codes", format=format).whole().values
    return codes


__all__: Sequence[str] = ["open_codes", "query_file", "query_vectors", "read_codes"]
