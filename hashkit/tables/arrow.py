"""Columns of Arrow as arrays of numpy, and back; Parquet and Arrow files in batches. All of it needs pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes, check_n_bits
from hashkit.extras import needs_extra

if TYPE_CHECKING:
    import pyarrow

N_BITS_KEY = b"hashkit.n_bits"
"""Metadata of a column of codes: how many bits each has."""
PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".feather", ".ipc")


def is_matrix(kind: Any) -> bool:
    """Whether a row of this type is a list of values."""
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def holds_codes(kind: Any) -> bool:
    """Whether a column of this type can hold codes: bytes, lists of uint8, numbers of 64 bits."""
    import pyarrow as pa

    is_bytes = pa.types.is_fixed_size_binary(kind) or _is_binary(kind)
    is_list = is_matrix(kind) and kind.value_type == pa.uint8()
    return bool(is_bytes or is_list or kind == pa.uint64())


def holds_text(kind: Any) -> bool:
    """Whether a column of this type holds strings; Polars gives views."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view")


def _is_binary(kind: Any) -> bool:
    """Whether a column of this type holds bytes of any lengths; Polars gives views."""
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or str(kind) == "binary_view")


def holds_features(kind: Any) -> bool:
    """Whether a column of this type can hold features: lists of floats."""
    import pyarrow as pa

    return is_matrix(kind) and bool(pa.types.is_floating(kind.value_type))


def to_numpy(column: Any, name: str) -> NDArray[Any]:
    """A column without nulls: bytes and lists of one length as a matrix, anything else as one value for each row.

    Raises
    ------
    ValueError
        If there are nulls, or bytes or lists of several lengths.
    """
    import pyarrow as pa

    array = column
    if isinstance(column, pa.ChunkedArray):  # one chunk is read as it lies
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if array.null_count:
        raise ValueError(f"column {name!r} must have no nulls, it has {array.null_count}")
    kind = array.type
    if _is_binary(kind):
        array = array.cast(pa.large_binary())  # lengths of views are not implemented
        lengths = pa.compute.unique(pa.compute.binary_length(array)).to_pylist()
        if len(lengths) != 1:
            raise ValueError(f"column {name!r} must hold bytes of one length, it has {sorted(lengths) or 'no rows'}")
        array, kind = array.cast(pa.binary(lengths[0])), pa.binary(lengths[0])
    if pa.types.is_fixed_size_binary(kind):
        raw = np.frombuffer(array.buffers()[1] or b"", np.uint8)
        width = kind.byte_width
        return raw[array.offset * width : (array.offset + len(array)) * width].reshape(len(array), width)
    if not is_matrix(kind):
        values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return values
    flat = array.flatten()
    width = kind.list_size if pa.types.is_fixed_size_list(kind) else len(flat) // max(1, len(array))
    lengths = pa.compute.list_value_length(array)
    if flat.null_count or (len(array) and pa.compute.min_max(lengths).as_py() != {"min": width, "max": width}):
        raise ValueError(f"column {name!r} must have lists of one length without nulls")
    matrix: NDArray[Any] = flat.to_numpy(zero_copy_only=False)
    return matrix.reshape(len(array), width)


def codes_column(codes: Codes, n_bits: int, *, lists: bool = False) -> tuple[Any, Any]:
    """A column of codes and its field, named ``code``; no code is copied."""
    import pyarrow as pa

    n_bytes = codes.shape[1]
    if lists:
        column = pa.FixedSizeListArray.from_arrays(pa.array(codes.reshape(-1)), n_bytes)
    else:
        column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(n_bytes), len(codes), [None, pa.py_buffer(codes)])
    return column, pa.field("code", column.type, metadata={N_BITS_KEY: str(n_bits)})


def n_bits_of(field: Any, n_bytes: int) -> int:
    """What the metadata of a column says, else all bits.

    Raises
    ------
    TypeError, ValueError
        If it says anything but a number of bits.
    """
    metadata = field.metadata or {}
    if N_BITS_KEY not in metadata:
        return 8 * n_bytes
    return check_n_bits(int(metadata[N_BITS_KEY]), f"{N_BITS_KEY.decode()} of column {field.name!r}")


def open_file(source: Any, *, parquet: bool, name: str | None = None) -> tuple[Any, int | None, Any]:
    """The schema of a file, how many rows it has, and a function that reads columns in batches.

    Parameters
    ----------
    source : path or binary file
        An Arrow stream if it is neither Parquet nor an Arrow file.
    parquet : bool
        Whether it is a Parquet file, or else an Arrow file or stream.
    name : str, optional
        For messages, by default the path.

    Returns
    -------
    schema : pyarrow.Schema
    n_rows : int or None
        None for a stream.
    read : callable
        Columns and the most rows of a batch -> iterator of pyarrow.RecordBatch.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    with needs_extra("reading Parquet and Arrow files", "arrow"):
        import pyarrow as pa
        import pyarrow.parquet
    try:
        if parquet:
            file = pyarrow.parquet.ParquetFile(source)
            return file.schema_arrow, file.metadata.num_rows, lambda columns, n: file.iter_batches(n, columns=columns)
        return _open_ipc(pa.memory_map(source) if isinstance(source, str) else source)
    except pa.ArrowInvalid as error:
        kind = "Parquet" if parquet else "Arrow"
        raise ValueError(f"{name or source} is no readable {kind} file: {error}") from None


def _open_ipc(source: Any) -> tuple[Any, int | None, Any]:
    import pyarrow as pa

    if not source.seekable() or source.read(6) != b"ARROW1":
        if source.seekable():
            source.seek(0)
        stream = pa.ipc.open_stream(source)
        return stream.schema, None, lambda columns, n: _cut(stream, columns, n)
    source.seek(0)
    reader: Any = pa.ipc.open_file(source)
    n_rows = sum(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))
    batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
    return reader.schema, n_rows, lambda columns, n: _cut(batches, columns, n)


def _cut(batches: Any, columns: list[str], n_rows: int) -> Iterator[pyarrow.RecordBatch]:
    for batch in batches:
        chosen = batch.select(columns)
        for first in range(0, chosen.num_rows, n_rows):
            yield chosen.slice(first, n_rows)
