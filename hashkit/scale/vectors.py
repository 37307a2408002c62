"""A vector index of a data set: blocks stream from all machines into one file."""

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
    """Make a vector index of a data set, straight into a file.

    Reading and preprocessing run on all machines; encoding costs a few microseconds a vector and runs here. Vectors are
    written to a folder beside `path` as they arrive. If the call was cut off, a repeated call compares what arrives
    with what was written, encodes only the rest, and returns the same index.

    Parameters
    ----------
    dataset : ray.data.Dataset
        Its rows are read in their order; row numbers are the ids.
    path : str or path
        A file of this machine, replaced in one step at the end.
    column : str
        The column of vectors, of float32 or float16: lists of numbers or tensors.
    batch_size : int
        Rows that are fetched at a time.
    **options
        Further arguments of :meth:`hashkit.VectorIndex.build`, such as `recall`, `metric` and `keep`.

    Returns
    -------
    index : VectorIndex
        The file, mapped; what :meth:`hashkit.VectorIndex.build` makes of the same rows.

    Raises
    ------
    TypeError, ValueError, OSError
        If the column is missing or of another type; or as :meth:`hashkit.VectorIndex.build`.
    """
    return VectorIndex.build(_blocks(dataset, column, check_int(batch_size, "batch_size", 1)), path, **options)


def _blocks(dataset: ray.data.Dataset, column: str, batch_size: int) -> Iterator[NDArray[Any]]:
    """The vectors of a data set, in the order of its rows."""
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
