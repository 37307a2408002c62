"""Builds one vector index file from blocks that stream in from all machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray.data
from numpy.typing import NDArray

from hashkit.checks import check_int
from hashkit.scale.columns import feature_matrix, require_columns
from hashkit.storage import Path
from hashkit.vectors import VectorIndex


def build_vectors(
    dataset: ray.data.Dataset, path: Path, *, column: str = "features", batch_size: int = 8192, **options: Any
) -> VectorIndex:
    """Build the vector index of a data set directly into a file.

    Reading and preprocessing run on all machines. Encoding, a few microseconds a vector, runs in this process. Vectors
    are written to a folder beside `path` as they arrive. After an interruption, call it again: it compares the vectors
    with those already written, encodes only the rest, and returns the same index.

    Parameters
    ----------
    dataset : ray.data.Dataset
        Rows are read in order; row numbers are the ids.
    path : str or path
        A local file, replaced in one step at the end.
    column : str
        The column of vectors, of float32 or float16: lists of numbers or tensors.
    batch_size : int
        Rows fetched at a time.
    **options
        Further arguments of :meth:`hashkit.VectorIndex.build`, such as `recall`, `metric` and `keep`.

    Returns
    -------
    index : VectorIndex
        The file, mapped. It equals the result of :meth:`hashkit.VectorIndex.build` on the same rows.

    Raises
    ------
    TypeError, ValueError, OSError
        If the column is missing or has another type, and as :meth:`hashkit.VectorIndex.build`.
    """
    return VectorIndex.build(_blocks(dataset, column, check_int(batch_size, "batch_size", 1)), path, **options)


def _blocks(dataset: ray.data.Dataset, column: str, batch_size: int) -> Iterator[NDArray[Any]]:
    """Yield the vectors of a data set in row order."""
    settings = dataset.context.execution_options
    before = settings.preserve_order
    settings.preserve_order = True
    try:
        for batch in dataset.iter_batches(batch_size=batch_size, batch_format="pyarrow"):
            table: pa.Table = batch
            require_columns(table, column)
            yield feature_matrix(table[column], column)
    finally:
        settings.preserve_order = before
