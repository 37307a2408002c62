"""Rows of a file in blocks: features, codes or a single column, with ids beside them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.storage import Path
from hashkit.tables import arrow, safetensors, text
from hashkit.tables.converting import to_codes
from hashkit.tables.rows import Block, Holds, Rows, choose_array, map_npy, read_archive

TEXT = (".csv", ".tsv", ".txt")
READABLE = (".npy", ".npz", ".safetensors", *arrow.PARQUET, *arrow.ARROW, *TEXT)
"""The endings of files that are read."""
FLOATS = "F16", "BF16", "F32", "F64"


def open_rows(
    path: Path, *, holds: Holds, column: str | None = None, ids: str | None = None, format: str | None = None
) -> Rows:
    """Rows of a file: ``.npy``, ``.npz``, ``.safetensors``, ``.parquet``, ``.arrow``, ``.csv``, ``.tsv`` or ``.txt``.

    ``-`` is standard input, where ``.npy``, Parquet, Arrow and text are distinguished by their first bytes.

    Parameters
    ----------
    path : path
    holds : {"features", "codes", "column"}
        What is wanted: floats of shape (n, n_dims); packed codes; or one value for each row, such as labels.
    column : str, optional
        The tensor or column, where there are several that fit. Columns of text without a header are named 0, 1, ….
    ids : str, optional
        The column of ids beside it: integers or strings.
    format : str, optional
        Of codes, as in :func:`hashkit.pack`; without it: packed bytes, numbers of 64 bits, or hexadecimal strings.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If it cannot be read, or does not hold what is wanted.
    """
    path = os.fspath(path)
    if path == "-":
        return _from_standard_input(holds, column, ids, format)
    ending = os.path.splitext(path)[1].lower()
    if ending == ".npy":
        return _from_array(map_npy(path), path, holds, column or ids, format)
    if ending == ".npz":
        return _from_array(choose_array(read_archive(path), path, holds, column), path, holds, ids, format)
    if ending == ".safetensors":
        return _from_safetensors(path, holds, column, ids, format)
    if ending in arrow.PARQUET + arrow.ARROW:
        return _from_arrow(path, path, ending in arrow.PARQUET, holds, column, ids, format)
    if ending in TEXT:
        return _from_text(open(path, newline="", encoding="utf-8-sig"), path, holds, column, ids, format)
    raise ValueError(f"{path} must be a file of {', '.join(READABLE)}, or - for standard input")


def _from_array(
    array: NDArray[Any], path: str, holds: Holds, named: str | None, format: str | None, ids: NDArray[Any] | None = None
) -> Rows:
    if named is not None:
        raise ValueError(f"{path} is one array without columns; .parquet, .arrow, .csv and .safetensors have some")
    convert = _converter(path, holds, format)
    is_plain = holds != "codes" or (format is None and array.ndim == 2)
    convert(array if is_plain else array[:1])  # before the first block

    def read(n_rows: int) -> Iterator[Block]:
        for first in range(0, max(1, len(array)), n_rows):
            rows = slice(first, first + n_rows)
            yield Block(convert(array[rows]), None if ids is None else ids[rows])

    return Rows(path, len(array), read, array if is_plain else None)


def _converter(path: str, holds: Holds, format: str | None) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What makes of a block what is wanted, or refuses it with the name of the file."""

    def check_features(values: NDArray[Any]) -> NDArray[Any]:
        if values.ndim != 2:
            raise ValueError(f"{path} must hold features of shape (n, n_dims), got shape {values.shape}")
        if values.dtype not in (np.float16, np.float32, np.float64):
            raise ValueError(f"{path} must hold float16, float32 or float64, got {values.dtype}")
        return values

    if holds == "codes":
        return lambda values: to_codes(values, path, format)
    return check_features if holds == "features" else lambda values: values


def _from_safetensors(path: str, holds: Holds, column: str | None, ids: str | None, format: str | None) -> Rows:
    tensors, start = safetensors.read_header(path)

    def fits(name: str) -> bool:
        tensor = tensors[name]
        if holds == "features":
            return len(tensor.shape) == 2 and tensor.type in FLOATS
        return name != ids and (len(tensor.shape) == 1 or (holds == "codes" and len(tensor.shape) == 2))

    fitting = sorted(filter(fits, tensors))
    if holds == "codes" and column is None and "codes" in fitting:
        column = "codes"
    name = safetensors.choose(column, fitting, f"tensor of {holds}", path)
    array = safetensors.map_tensor(path, name, tensors[name], start)
    if tensors[name].type == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    beside = None
    if ids is not None:
        beside = safetensors.map_tensor(
            path, safetensors.choose(ids, sorted(tensors), "tensor", path), tensors[ids], start
        )
        if beside.shape != (len(array),) or beside.dtype.kind not in "iu":
            raise ValueError(
                f"{path} must have an integer in {ids!r} for each of {len(array)} rows, got {beside.shape}"
            )
    return _from_array(array, path, holds, None, format, beside)


def _from_arrow(
    source: Any, path: str, parquet: bool, holds: Holds, column: str | None, ids: str | None, format: str | None
) -> Rows:
    schema, n_rows, batches = arrow.open_file(source, parquet=parquet, name=path)
    names = [name for name in schema.names if name != ids]
    if ids is not None and ids not in schema.names:
        raise ValueError(f"{path} must have a column {ids!r}, it has {', '.join(schema.names)}")
    chosen = _arrow_columns(schema, names, holds, column, path)
    convert = _converter(path, holds, format)

    def read(most: int) -> Iterator[Block]:
        for batch in batches([*chosen, *([] if ids is None else [ids])], most):
            columns = [arrow.to_numpy(batch.column(name), name) for name in chosen]
            if holds == "features" and (len(columns) > 1 or columns[0].ndim == 1):
                values = np.stack(columns, axis=1).astype(np.float32)
            else:
                values = columns[0]
            yield Block(convert(values), None if ids is None else arrow.to_numpy(batch.column(ids), ids))

    field = schema.field(chosen[0])
    n_bits = None
    if holds == "codes" and field.metadata and arrow.N_BITS_KEY in field.metadata:
        n_bits = arrow.n_bits_of(field, 0)
    return Rows(path, n_rows, read, None, n_bits)


def _arrow_columns(schema: Any, names: list[str], holds: Holds, column: str | None, path: str) -> list[str]:
    """The columns that make a row: one of lists, or for features all columns of numbers if there is none."""
    import pyarrow as pa

    kinds = {name: schema.field(name).type for name in names}
    if holds == "features":
        fitting = [name for name in names if arrow.holds_features(kinds[name])]
        numbers = [name for name in names if pa.types.is_floating(kinds[name]) or pa.types.is_integer(kinds[name])]
        if column is None and not fitting and numbers:
            return numbers
    elif holds == "codes":
        fitting = [name for name in names if arrow.holds_codes(kinds[name])]
        usual = [name for name in names if name.lower() in text.CODE_COLUMNS]
        column = usual[0] if column is None and len(usual) == 1 else column
        fitting = names if column is not None else fitting
    else:
        fitting = names
    return [safetensors.choose(column, fitting, f"column of {holds}", path)]


def _from_text(file: Any, path: str, holds: Holds, column: str | None, ids: str | None, format: str | None) -> Rows:
    try:
        opened = text.open_text(file, path)
        chosen, beside = _text_columns(opened, holds, column, ids)
    except ValueError:
        file.close()
        raise
    convert = _converter(path, holds, format)

    def read(n_rows: int) -> Iterator[Block]:
        with file:
            for line, block in opened.blocks(n_rows):
                if chosen is None:
                    values: NDArray[Any] = text.to_features(opened, line, block, beside)
                elif holds == "codes" and format in (None, "hex"):
                    values = np.array([row[chosen].strip() for row in block], object)
                else:
                    values = text.to_column(block, chosen)
                yield Block(convert(values), None if beside is None else text.to_column(block, beside))

    return Rows(path, None, read)


def _text_columns(
    file: text.TextFile, holds: Holds, column: str | None, ids: str | None
) -> tuple[int | None, int | None]:
    """The numbers of the columns of codes or values, None for features, and of the ids, None if there are none."""
    if ids is not None and ids not in file.columns:
        raise ValueError(f"{file.path} must have a column {ids!r}, it has {', '.join(file.columns)}")
    if holds == "features" and column is not None:
        raise ValueError(f"{file.path} holds a feature in each column: leave the column out, got {column!r}")
    chosen = None if holds == "features" else text.code_column(file, column, ids)
    return chosen, None if ids is None else file.columns.index(ids)


def _from_standard_input(holds: Holds, column: str | None, ids: str | None, format: str | None) -> Rows:
    file: Any = sys.stdin.buffer
    if not hasattr(file, "peek"):
        file = io.BytesIO(file.read())
    start = (file.peek(8) if hasattr(file, "peek") else file.getvalue())[:8]
    name = "standard input"
    if start.startswith(b"\x93NUMPY"):
        try:
            array = np.load(io.BytesIO(file.read()), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{name} is no readable .npy file of numbers or strings") from error
        return _from_array(array, name, holds, column or ids, format)
    if start.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):
        whole = file if start[0] == 0xFF else io.BytesIO(file.read())
        return _from_arrow(whole, name, start.startswith(b"PAR1"), holds, column, ids, format)
    return _from_text(io.TextIOWrapper(file, "utf-8-sig", newline=""), name, holds, column, ids, format)
