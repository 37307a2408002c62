"""Codes for the databases and files that people already have, and back.

Every format here keeps hashkit's own order of bits: bit 0, the first projection, is the most significant bit of the
first byte and the leftmost digit of a bit string; padding bits are zero. So distances are the same on both sides.

**PostgreSQL** holds codes of `n_bits` in a column of type ``bit(n_bits)``. A value goes in as text
(:func:`to_bit_strings`), many rows as binary ``COPY`` (:func:`to_postgres_copy`), for example with psycopg::

    with cursor.copy("COPY items (id, code) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(hashkit.interop.to_postgres_copy(codes, ids, n_bits))
    with cursor.copy("COPY items (id, code) TO STDOUT (FORMAT BINARY)") as copy:
        codes, ids, n_bits = hashkit.interop.from_postgres_copy(b"".join(copy))

The nearest codes in the order of :meth:`hashkit.Index.query`, in plain PostgreSQL 14 or newer and with pgvector 0.7 or
newer (an approximate index of pgvector's is used only where ``id`` is left out of the order)::

    SELECT bit_count(code # %s::bit(64)) AS distance, id FROM items ORDER BY distance, id LIMIT 100
    SELECT (code <~> %s::bit(64))::int AS distance, id FROM items ORDER BY distance, id LIMIT 100

**Arrow and Parquet** hold codes as fixed-size binary (:func:`to_arrow`, then ``pyarrow.parquet.write_table``).
:func:`from_arrow` also reads data frames of pandas and Polars, and codes as numbers of 64 bits or hexadecimal strings.

**Pairs** come out of a join batch by batch (:func:`pairs_to_arrow`), into Parquet for example::

    with hashkit.interop.pairs_to_arrow(index.pairs(3)) as batches:
        with pyarrow.parquet.ParquetWriter("pairs.parquet", batches.schema) as file:
            for batch in batches:
                file.write_batch(batch)

**LanceDB** needs a vector column, a fixed-size list of bytes: ``to_arrow(codes, ids, lists=True)``, and
``table.search(query, vector_column_name="code").distance_type("hamming")``; without an index it is exact.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hashkit.checks import Codes, check_codes, check_n_bits, describe
from hashkit.codes import pack, unpack
from hashkit.extras import needs_extra
from hashkit.index.ids import Ids, check_ids
from hashkit.index.joins import PairBlocks
from hashkit.tables import arrow, to_codes

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "CodeTable",
    "from_arrow",
    "from_bit_strings",
    "from_postgres_copy",
    "pairs_to_arrow",
    "to_arrow",
    "to_bit_strings",
    "to_postgres_copy",
]

_COPY_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)  # no flags, no header extension
_COPY_END = struct.pack(">h", -1)


class CodeTable(NamedTuple):
    """Codes with their ids, as they came from elsewhere: ``hashkit.Index(codes, ids=ids, n_bits=n_bits)``."""

    codes: Codes
    ids: Ids
    n_bits: int


def to_bit_strings(codes: Codes, n_bits: int | None = None) -> list[str]:
    """Codes as strings of ``0`` and ``1``, the text form of PostgreSQL's ``bit(n_bits)``.

    Parameters
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
        Packed codes.
    n_bits : int, optional
        Bits per code, by default all: ``8 * n_bytes``.

    Returns
    -------
    strings : list of str
        Each of `n_bits` digits, the first bit leftmost.

    Raises
    ------
    TypeError, ValueError
        If the codes are not packed codes of `n_bits`.
    """
    digits = unpack(codes, n_bits).view(np.uint8) + np.uint8(ord("0"))
    return [bytes(row).decode("ascii") for row in digits]


def from_bit_strings(strings: Sequence[str]) -> Codes:
    """The codes of strings of ``0`` and ``1``; the inverse of :func:`to_bit_strings`.

    Parameters
    ----------
    strings : sequence of str
        At least one, all of one length.

    Returns
    -------
    codes : uint8 array of shape (n_codes, ceil(n_bits / 8))

    Raises
    ------
    TypeError, ValueError
        If they are no such strings; names the first one that is not.
    """
    if isinstance(strings, (str, bytes)) or not isinstance(strings, Sequence):
        raise TypeError(f"strings must be a sequence of str, got {describe(strings)}")
    if not strings:
        raise ValueError("strings must not be empty: the length of a code would be unknown")
    for number, text in enumerate(strings):
        if not isinstance(text, str) or text.strip("01") or len(text) != len(strings[0]):
            raise ValueError(f"strings[{number}] must be {len(strings[0])} digits 0 and 1 like the first, got {text!r}")
    n_bits = check_n_bits(len(strings[0]), "the length of strings[0]")
    digits = np.frombuffer("".join(strings).encode("ascii"), np.uint8).reshape(len(strings), n_bits)
    return pack(digits == ord("1"))


def to_postgres_copy(codes: Codes, ids: Ids | None = None, n_bits: int | None = None) -> bytes:
    """Rows of ``(bigint, bit(n_bits))`` for ``COPY ... FROM STDIN (FORMAT BINARY)``.

    Parameters
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
        Packed codes.
    ids : int64 array of shape (n_codes,), optional
        By default the row numbers.
    n_bits : int, optional
        Bits per code, by default all: ``8 * n_bytes``.

    Returns
    -------
    data : bytes
        The whole stream: signature, rows and end.

    Raises
    ------
    TypeError, ValueError
        If the codes are not packed codes of `n_bits`, or the ids not one integer for each.
    """
    codes, ids, n_bits = _check_table(codes, ids, n_bits)
    rows = np.empty(len(codes), _copy_row(codes.shape[1]))
    rows["n_fields"], rows["id_length"], rows["code_length"] = 2, 8, 4 + codes.shape[1]
    rows["id"], rows["n_bits"], rows["code"] = ids, n_bits, codes
    return _COPY_SIGNATURE + rows.tobytes() + _COPY_END


def from_postgres_copy(data: bytes) -> CodeTable:
    """What ``COPY (SELECT id, code ...) TO STDOUT (FORMAT BINARY)`` wrote of a bigint and a ``bit(n_bits)`` column.

    Parameters
    ----------
    data : bytes
        The whole stream, of at least one row.

    Returns
    -------
    table : CodeTable

    Raises
    ------
    TypeError, ValueError
        If it is no such stream, or a field is null.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data must be bytes, got {describe(data)}")
    data = bytes(data)
    if not data.startswith(_COPY_SIGNATURE) or not data.endswith(_COPY_END):
        raise ValueError("data must be a whole binary COPY stream, from its signature to its end")
    body = data[len(_COPY_SIGNATURE) : -len(_COPY_END)]
    if len(body) < 22:
        raise ValueError("data must hold at least one row: the length of a code would be unknown")
    n_bits = int.from_bytes(body[18:22], "big")
    if not 1 <= n_bits <= 4096 or len(body) % (22 + (n_bits + 7) // 8):
        raise ValueError("data must hold rows of a bigint and a bit(n) column that are not null")
    rows = np.frombuffer(body, _copy_row((n_bits + 7) // 8))
    expected = {"n_fields": 2, "id_length": 8, "code_length": 4 + (n_bits + 7) // 8, "n_bits": n_bits}
    for field, value in expected.items():
        different = np.flatnonzero(rows[field] != value)
        if len(different):
            raise ValueError(f"data must hold rows of a bigint and a bit({n_bits}) column, row {different[0]} is none")
    codes = check_codes(np.ascontiguousarray(rows["code"]), "data", n_bits)
    return CodeTable(codes, rows["id"].astype(np.int64), n_bits)


def _copy_row(n_bytes: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("n_fields", ">i2"),
            ("id_length", ">i4"),
            ("id", ">i8"),
            ("code_length", ">i4"),
            ("n_bits", ">i4"),
            ("code", np.uint8, (n_bytes,)),
        ]
    )


def to_arrow(
    codes: Codes, ids: Ids | Sequence[str] | None = None, n_bits: int | None = None, *, lists: bool = False
) -> pyarrow.Table:
    """Codes as an Arrow table with the columns ``id`` and ``code``; needs pyarrow. No code is copied.

    Parameters
    ----------
    codes : uint8 array of shape (n_codes, n_bytes)
        Packed codes.
    ids : int64 array of shape (n_codes,) or sequence of str, optional
        By default the row numbers.
    n_bits : int, optional
        Bits per code, by default all: ``8 * n_bytes``. Kept as metadata of the column.
    lists : bool, default=False
        Make ``code`` a fixed-size list of uint8, which LanceDB searches, instead of fixed-size binary.

    Returns
    -------
    table : pyarrow.Table

    Raises
    ------
    TypeError, ValueError
        If the codes are not packed codes of `n_bits`, or the ids not one integer or string for each.
    """
    with needs_extra("hashkit.interop.to_arrow", "arrow"):
        import pyarrow as pa

    names = _strings(ids, len(codes)) if isinstance(codes, np.ndarray) else None
    codes, numbers, n_bits = _check_table(codes, None if names is not None else ids, n_bits)
    column, field = arrow.codes_column(codes, n_bits, lists=lists)
    left = pa.array(numbers) if names is None else pa.array(names, pa.string())
    return pa.table([left, column], schema=pa.schema([pa.field("id", left.type), field]))


def _strings(ids: object, n_codes: int) -> list[str] | None:
    """Ids that are strings, one for each code; None if they are anything else."""
    values = ids.tolist() if isinstance(ids, np.ndarray) and ids.dtype.kind in "OTU" else ids
    if isinstance(values, str) or not isinstance(values, Sequence) or not values or not isinstance(values[0], str):
        return None
    wrong = next((value for value in values if not isinstance(value, str)), None)
    if wrong is not None or len(values) != n_codes:
        raise ValueError(f"ids must be one string for each of {n_codes} codes, got {len(values)}{_also(wrong)}")
    return list(values)


def _also(wrong: object) -> str:
    return "" if wrong is None else f", among them {wrong!r}"


def pairs_to_arrow(pairs: PairBlocks) -> pyarrow.RecordBatchReader:
    """Pairs of codes as Arrow record batches, one after the other; needs pyarrow. No pair is copied.

    Parameters
    ----------
    pairs : PairBlocks
        What :meth:`hashkit.Index.pairs` or :meth:`hashkit.Collection.pairs` returns. The reader searches for a block
        when it is asked for the next batch, so that memory holds one block however many pairs there are.

    Returns
    -------
    batches : pyarrow.RecordBatchReader
        With the columns ``left`` and ``right`` (int64 ids) and ``distance`` (int32, or float64 for Jaccard distance),
        by (left, right), at most 2**20 rows a batch, or the pairs of a single code if these are more.

    Raises
    ------
    TypeError
        If `pairs` is something else.
    """
    with needs_extra("hashkit.interop.pairs_to_arrow", "arrow"):
        import pyarrow as pa

    if not isinstance(pairs, PairBlocks):
        raise TypeError(f"pairs must be what Index.pairs returns, got {describe(pairs)}")
    distance = pa.from_numpy_dtype(pairs.distance_dtype)
    fields = [("left", pa.int64()), ("right", pa.int64()), ("distance", distance)]
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])

    def batches() -> Iterator[pyarrow.RecordBatch]:
        for block in pairs:
            columns = [pa.array(column) for column in (block.left, block.right, block.distances)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def from_arrow(
    table: pyarrow.Table, *, ids: str | None = "id", codes: str = "code", format: str | None = None
) -> CodeTable:
    """Codes and ids out of an Arrow table, such as ``pyarrow.parquet.read_table`` returns.

    Parameters
    ----------
    table : pyarrow.Table, or a data frame of pandas or Polars
    ids : str or None
        Name of the column of integers; None numbers the rows. Strings stay beside the index: number the rows, and
        ``table["name"].to_numpy()[ids]`` names what a search finds.
    codes : str
        Name of the column: bytes or lists of uint8 of one length, numbers of 64 bits, or hexadecimal strings with or
        without ``0x``.
    format : str, optional
        What the column holds, as in :func:`hashkit.pack`, if it is none of these.

    Returns
    -------
    table : CodeTable
        `n_bits` is what the column's metadata says, else all bits: ``8 * n_bytes``.

    Raises
    ------
    TypeError, ValueError
        If a column is missing, of another type, or has nulls, or padding bits are not zero.
    """
    with needs_extra("hashkit.interop.from_arrow", "arrow"):
        import pyarrow as pa

    if hasattr(table, "__arrow_c_stream__") and not isinstance(table, pa.Table):
        table = pa.table(table)
    if not isinstance(table, pa.Table):
        raise TypeError(f"table must be a pyarrow.Table or a data frame, got {describe(table)}")
    for name in (codes,) if ids is None else (ids, codes):
        if name not in table.column_names:
            raise ValueError(f"table must have a column {name!r}, it has {table.column_names}")
    if ids is not None and not pa.types.is_integer(table[ids].type):
        raise TypeError(
            f"column {ids!r} must hold integers, it holds {table[ids].type}: ids=None numbers the rows, and "
            f"table[{ids!r}].to_numpy()[ids] names what a search finds"
        )
    matrix = _codes_of(table[codes], codes, format)
    n_bits = arrow.n_bits_of(table.schema.field(codes), matrix.shape[1])
    numbers = np.arange(len(matrix)) if ids is None else arrow.to_numpy(table[ids], ids)
    return CodeTable(check_codes(matrix, f"column {codes!r}", n_bits), check_ids(numbers, f"column {ids!r}"), n_bits)


def _codes_of(column: Any, name: str, format: str | None) -> Codes:
    kind = column.type
    if format is None and not (arrow.holds_codes(kind) or arrow.holds_text(kind)):
        raise TypeError(
            f"column {name!r} must hold bytes or lists of uint8 of one length, uint64, or hexadecimal strings, it "
            f"holds {kind}; format= reads others, as in hashkit.pack"
        )
    return to_codes(arrow.to_numpy(column, name), f"column {name!r}", format)


def _check_table(codes: Codes, ids: Any, n_bits: int | None) -> CodeTable:
    check_codes(codes, "codes")
    n_bits = 8 * codes.shape[1] if n_bits is None else check_n_bits(n_bits)
    check_codes(codes, "codes", n_bits)
    numbers = np.arange(len(codes), dtype=np.int64) if ids is None else check_ids(ids, "ids", len(codes))
    return CodeTable(codes, numbers, n_bits)
