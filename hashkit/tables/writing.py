"""Codes and results written in one step: an older file is whole until the new one is."""

from __future__ import annotations

import csv
import io
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hashkit.extras import needs_extra
from hashkit.storage import Path, write_tensors
from hashkit.storage.replacing import Replacement
from hashkit.tables import arrow
from hashkit.tables.reading import TEXT
from hashkit.tables.rows import Block, join_ids

CODES_KIND = "codes"
"""The kind of a safetensors file of codes."""


def check_target(path: Path, endings: Iterable[str]) -> str:
    """The ending of a file to write, or a ValueError that names those that are known; ``-`` is standard output.

    Raises
    ------
    ValueError, FileNotFoundError, ModuleNotFoundError
        If the ending is not known, the folder is not there, or it needs pyarrow, which is not installed.
    """
    path = os.fspath(path)
    ending = ".csv" if path == "-" else os.path.splitext(path)[1].lower()
    if ending not in endings:
        raise ValueError(f"{path} must end with {', '.join(endings)}, or be - for standard output")
    if path != "-" and not os.path.isdir(os.path.dirname(path) or "."):
        raise FileNotFoundError(f"[Errno 2] No such file or directory: {path!r}")
    if ending in arrow.PARQUET + arrow.ARROW:
        with needs_extra("writing Parquet and Arrow files", "arrow"):
            import pyarrow.parquet  # noqa: F401
    return ending


CODE_ENDINGS = (".npy", ".safetensors", *arrow.PARQUET, *arrow.ARROW, *TEXT)
COLUMN_ENDINGS = (".npz", *arrow.PARQUET, *arrow.ARROW, *TEXT)


def write_codes(path: Path, blocks: Iterable[Block], n_bits: int) -> int:
    """Write packed codes, with ids where the blocks have them; text holds hexadecimal digits.

    Parameters
    ----------
    path : path
        ``.npy``, ``.safetensors``, ``.parquet``, ``.arrow``, ``.csv``, ``.tsv``, ``.txt``, or ``-`` for standard
        output. Parquet, Arrow and text are written block by block.
    blocks : iterable of Block
        At least one.
    n_bits : int
        Bits of a code; safetensors, Parquet and Arrow keep it.

    Returns
    -------
    n_codes : int

    Raises
    ------
    ValueError
        If the ending is not known, or the file cannot hold the ids.
    """
    ending = check_target(path, CODE_ENDINGS)
    blocks = iter(blocks)
    first = next(blocks)
    blocks = itertools.chain([first], blocks)
    if ending in TEXT:
        header = ["code"] if first.ids is None else ["id", "code"]
        return _write_text(path, ending, header, itertools.chain.from_iterable(map(_code_cells, blocks)))
    if ending in arrow.PARQUET + arrow.ARROW:
        return _write_arrow(path, ending, (_code_table(block, n_bits) for block in blocks))
    parts = list(blocks)
    codes = np.concatenate([part.values for part in parts])
    ids = None if first.ids is None else join_ids([part.ids for part in parts if part.ids is not None])
    if ids is not None and (ending == ".npy" or ids.dtype.kind not in "iu"):
        raise ValueError(f"{os.fspath(path)} cannot hold these ids: .parquet, .arrow and .csv can")
    if ending == ".npy":
        replace(path, lambda file: np.save(file, codes))
    else:
        tensors = {"codes": codes} if ids is None else {"codes": codes, "ids": ids}
        write_tensors(path, CODES_KIND, tensors, {"n_bits": n_bits})
    return len(codes)


def write_columns(path: Path, columns: Mapping[str, NDArray[Any]]) -> int:
    """Write columns of one length under their names: ``.npz``, ``.parquet``, ``.arrow``, text, or ``-``.

    Returns
    -------
    n_rows : int
    """
    if check_target(path, COLUMN_ENDINGS) == ".npz":
        replace(path, lambda file: np.savez(file, allow_pickle=False, **columns))
        return len(next(iter(columns.values())))
    return write_column_blocks(path, [columns])


def write_column_blocks(path: Path, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> int:
    """Write columns block by block: ``.parquet``, ``.arrow``, text, or ``-`` for standard output.

    Parameters
    ----------
    path : path
    blocks : iterable of mappings of name to array
        At least one; all have the names and types of the first.

    Returns
    -------
    n_rows : int

    Raises
    ------
    ValueError
        If the ending is not known, or a block has other types than the first and the file cannot hold both.
    """
    ending = check_target(path, [ending for ending in COLUMN_ENDINGS if ending != ".npz"])
    blocks = iter(blocks)
    if ending in TEXT:
        first = next(blocks)
        rows = (
            zip(*(column.tolist() for column in block.values()), strict=True)
            for block in itertools.chain([first], blocks)
        )
        return _write_text(path, ending, list(first), itertools.chain.from_iterable(rows))
    import pyarrow as pa

    return _write_arrow(path, ending, (pa.table(dict(block)) for block in blocks))


def _code_cells(block: Block) -> Iterator[list[Any]]:
    ids = None if block.ids is None else block.ids.tolist()
    for number, code in enumerate(block.values):
        digits = code.tobytes().hex()
        yield [digits] if ids is None else [ids[number], digits]


def _code_table(block: Block, n_bits: int) -> Any:
    import pyarrow as pa

    column, field = arrow.codes_column(block.values, n_bits)
    if block.ids is None:
        return pa.table([column], schema=pa.schema([field]))
    ids = pa.array(block.ids, pa.string() if block.ids.dtype.kind == "O" else None)
    return pa.table([ids, column], schema=pa.schema([pa.field("id", ids.type), field]))


def _write_arrow(path: Path, ending: str, tables: Iterator[Any]) -> int:
    import pyarrow as pa
    import pyarrow.parquet

    n_rows = 0
    first = next(tables)
    with Replacement(os.fspath(path)) as new:
        if ending in arrow.PARQUET:
            writer: Any = pyarrow.parquet.ParquetWriter(new.file, first.schema)
        else:
            writer = pa.ipc.new_file(new.file, first.schema)
        with writer:
            for table in itertools.chain([first], tables):
                writer.write_table(table)
                n_rows += len(table)
    return n_rows


def _write_text(path: Path, ending: str, header: list[str], rows: Iterable[Iterable[Any]]) -> int:
    def write(file: Any) -> int:
        writer = csv.writer(file, delimiter="\t" if ending == ".tsv" else ",", lineterminator="\n")
        writer.writerow(header)
        n_rows = 0
        for row in rows:
            writer.writerow(row)
            n_rows += 1
        return n_rows

    if os.fspath(path) == "-":
        return write(sys.stdout)
    with Replacement(os.fspath(path)) as new:
        wrapped = io.TextIOWrapper(new.file, "utf-8", newline="", write_through=True)
        try:
            return write(wrapped)
        finally:
            wrapped.detach()


def replace(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write in one step what `write` puts into a file; pipes and devices are refused."""
    with Replacement(os.fspath(path)) as new:
        write(new.file)
