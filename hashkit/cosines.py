"""Rows of length 1, and the nearest rows by cosine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int32 = npt.NDArray[np.int32]

# Similarities held at a time while neighbors are sought: 16 MiB, and the row numbers to sort them twice as much.
_SIMILARITY_VALUES = 2**22


# BLAS splits longer products among threads, and the sum would depend on their number.
_ADDED_AT_ONCE = 8192


def row_squares(rows: Float32) -> Float32:
    """Sums of squares of float32 rows (n_rows, n_features), each a function of its row alone; shape (n_rows,)."""
    squares = np.zeros(len(rows), dtype=np.float32)
    for start in range(0, rows.shape[1], _ADDED_AT_ONCE):
        part = rows[:, start : start + _ADDED_AT_ONCE]
        squares += np.vecdot(part, part)
    return squares


def row_norms(block: Float32) -> tuple[Float32, Float32]:
    """
    The block and the Euclidean norms of its rows, 1 for a row of zeros.

    A row whose squares float32 cannot hold comes back multiplied by a power of two, in a copy of the block.

    Parameters
    ----------
    block : float32 array of shape (n_rows, n_features)
        Finite rows.

    Returns
    -------
    block : float32 array of shape (n_rows, n_features)
    norms : float32 array of shape (n_rows,)
    """
    with np.errstate(over="ignore", under="ignore"):
        squares = row_squares(block)
    return scaled_norms(block, squares)


def scaled_norms(block: Float32, squares: Float32) -> tuple[Float32, Float32]:
    """Norms from the sums of squares, and the block, where float32 could not hold them all, with those rows scaled."""
    odd = np.flatnonzero(~((squares > 1e-24) & (squares < 1e24)))
    odd = odd[block[odd].any(axis=1)]
    if len(odd):
        exponents = np.frexp(np.abs(block[odd]).max(axis=1))[1]
        block = block.copy()
        block[odd] = np.ldexp(block[odd], -exponents[:, None])
        squares[odd] = row_squares(block[odd])
    norms = np.sqrt(squares)
    norms[norms == 0] = 1
    return block, norms


def unit_rows(block: Float32) -> Float32:
    """A copy of the block with rows of length 1; rows of zeros stay zero."""
    block, norms = row_norms(block)
    unit: Float32 = block / norms[:, None]
    return unit


def nearest_neighbors(rows: Float32, n_neighbors: int) -> Int32:
    """
    The nearest rows of each row by cosine, itself left out.

    Parameters
    ----------
    rows : float32 array of shape (n_rows, n_features)
    n_neighbors : int
        Less than n_rows.

    Returns
    -------
    int32 array of shape (n_rows, n_neighbors)
        The nearest first, equally near ones by row number.
    """
    unit = unit_rows(rows)
    found = np.empty((len(rows), n_neighbors), dtype=np.int32)
    step = max(1, _SIMILARITY_VALUES // len(rows))
    for start in range(0, len(rows), step):
        part = np.arange(start, min(start + step, len(rows)))
        found[part] = nearest_rows(unit, n_neighbors, part)
    return found


def nearest_rows(unit: Float32, n_neighbors: int, queries: npt.NDArray[np.int64]) -> Int32:
    """
    The nearest rows of some of them by cosine, each query itself left out.

    Parameters
    ----------
    unit : float32 array of shape (n_rows, n_features)
        Rows of length 1 or 0.
    n_neighbors : int
        Less than n_rows.
    queries : int64 array
        Row numbers; their similarities to all rows are held at once.

    Returns
    -------
    int32 array of shape (n_queries, n_neighbors)
        The nearest first, equally near ones by row number.
    """
    similarities = unit[queries] @ unit.T
    similarities[np.arange(len(queries)), queries] = -np.inf
    return largest_columns(similarities, n_neighbors).astype(np.int32)


def largest_columns(values: Float32, n_columns: int) -> npt.NDArray[np.int64]:
    """Column numbers of the `n_columns` largest values of every row, in falling order; equal values by column."""
    n_columns = min(n_columns, values.shape[1])
    if n_columns == 0:
        return np.zeros((len(values), 0), np.int64)
    last = -np.partition(-values, n_columns - 1, axis=1)[:, n_columns - 1 : n_columns]
    rows, columns = np.nonzero(values >= last)  # at least `n_columns` of every row, in the order of rows and columns
    order = np.lexsort((-values[rows, columns], rows))  # stable: equal values stay in the order of columns
    starts = np.searchsorted(rows, np.arange(len(values)))
    return np.asarray(columns[order[starts[:, None] + np.arange(n_columns)]])
