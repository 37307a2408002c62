"""`hashkit query`: what can be searched, and results as lines or files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import storage
from hashkit.collection import Collection
from hashkit.index import Index
from hashkit.tables import check_target, open_rows, write_columns
from hashkit.tables.reading import READABLE
from hashkit.tables.writing import COLUMN_ENDINGS, replace
from hashkit.vectors import VectorIndex

Names = NDArray[Any]


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
) -> str:
    """Search for the nearest codes, or for all within a radius; return a line per result, or save them all."""
    if out is not None:
        check_target(out, COLUMN_ENDINGS)
    index, names = open_codes(codes, n_bits, ids=ids, format=format)
    asked, asked_ids = open_rows(queries, holds="codes", ids=query_ids, format=format).whole()
    arrays: dict[str, NDArray[Any]]
    if radius is not None:
        within = index.radius(asked, radius)
        arrays = {"offsets": within.offsets, "distances": within.distances, "ids": _named(within.ids, names)}
        lengths = np.diff(within.offsets)
    else:
        distances, found = index.query(asked, k=k)
        arrays = {"distances": distances, "ids": _named(found, names)}
        lengths = np.full(len(found), found.shape[1])
    return _tell(arrays, lengths, asked_ids, out, "distance")


def query_vectors(index: Path, queries: Path, k: int, out: Path | None) -> str:
    """Search a vector index; return a line per result, or save them all."""
    if out is not None:
        check_target(out, COLUMN_ENDINGS)
    asked = open_rows(queries, holds="features").whole().values
    scores, ids = VectorIndex.load(index, mmap=True).query(asked, k)
    return _tell({"scores": scores, "ids": ids}, np.full(len(ids), ids.shape[1]), None, out, "score")


def _named(ids: NDArray[np.int64], names: Names | None) -> NDArray[Any]:
    return ids if names is None else names[ids]


def _tell(
    arrays: dict[str, NDArray[Any]], lengths: NDArray[np.int64], asked: Names | None, out: Path | None, what: str
) -> str:
    """The results as lines, or what file they are in."""
    if out is not None and out.suffix.lower() == ".npz":
        plain = {name: array.astype("U") if array.dtype.kind == "O" else array for name, array in arrays.items()}
        replace(out, lambda file: np.savez(file, allow_pickle=False, **plain))
        return f"{out}: {', '.join(f'{name} {array.shape}' for name, array in arrays.items())}"
    columns = _columns(arrays, lengths, asked, what)
    if out is not None:
        n_rows = write_columns(out, columns)
        return "" if str(out) == "-" else f"{out}: {n_rows:,} results"
    shown = [column.tolist() for column in columns.values()]
    if what == "score":
        shown[-1] = [f"{value:.6g}" for value in shown[-1]]
    return "\n".join(["\t".join(columns), *("\t".join(map(str, row)) for row in zip(*shown, strict=True))])


def _columns(
    arrays: dict[str, NDArray[Any]], lengths: NDArray[np.int64], asked: Names | None, what: str
) -> dict[str, NDArray[Any]]:
    """One row for each result: query, rank, id, and distance or score."""
    rows = np.repeat(np.arange(len(lengths)), lengths)
    ranks = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return {
        "query": rows if asked is None else asked[rows],
        "rank": ranks,
        "id": arrays["ids"].reshape(-1),
        what: arrays[f"{what}s"].reshape(-1),
    }


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
