"""Features in: what is accepted, and how it is read a block at a time in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.checks import from_tensor, refuse_mask
from hashkit.cosines import row_squares, scaled_norms, unit_rows

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# A block of float32 rows of about 4 MiB: large enough for the matrix product, small enough for the cache.
_BLOCK_VALUES = 2**20


def as_array(X: Any) -> Any:
    """A torch tensor as a numpy array (see `from_tensor`), anything else unchanged; masked arrays are refused."""
    refuse_mask(X, "X")
    return from_tensor(X, "X")


def block_rows(n_features: int) -> int:
    """How many rows make a block."""
    return max(64, _BLOCK_VALUES // max(1, n_features))


def to_float32(rows: npt.NDArray[Any], row_numbers: npt.NDArray[np.int64] | range) -> Float32:
    """
    Rows as float32, refused if a value is not finite.

    Parameters
    ----------
    rows : array of shape (n_rows, n_features)
        A block of the features.
    row_numbers : sequence of int
        Where the rows stand among the features, for the error.

    Raises
    ------
    ValueError
        If a row holds NaN, an infinity, or a value that float32 cannot hold.
    """
    # The sum of squares is finite unless a value is not, or is huge: only those blocks pay for the exact test.
    block = _as_float32(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(np.vdot(block, block))
    if suspicious:
        _refuse_non_finite(block, row_numbers)
    return block


def rows_and_norms(rows: npt.NDArray[Any], row_numbers: npt.NDArray[np.int64] | range) -> tuple[Float32, Float32]:
    """
    Rows as float32, refused like `to_float32` does, and their norms: both found in one pass over the rows.

    Returns
    -------
    block, norms
        As `row_norms` gives them.
    """
    block = _as_float32(rows)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = row_squares(block)
    if not squares.max(initial=0) < np.inf:
        _refuse_non_finite(block, row_numbers)
    return scaled_norms(block, squares)


def _as_float32(rows: npt.NDArray[Any]) -> Float32:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(rows, dtype=np.float32)


def _refuse_non_finite(block: Float32, row_numbers: npt.NDArray[np.int64] | range) -> None:
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        row = row_numbers[int(np.argmin(finite))]
        raise ValueError(f"X must be finite, but row {row} holds NaN, inf or a value beyond float32")


def feature_blocks(X: npt.NDArray[Any], *, normalize: bool) -> Iterator[tuple[int, Float32]]:
    """Pairs of first row and float32 block, over all rows of X, of length 1 if `normalize`."""
    step = block_rows(X.shape[1])
    for start in range(0, len(X), step):
        block = to_float32(X[start : start + step], range(start, len(X)))
        yield start, unit_rows(block) if normalize else block


def gather_rows(X: npt.NDArray[Any], rows: npt.NDArray[np.int64], *, normalize: bool) -> Float32:
    """The chosen rows as one float32 array, converted a block at a time."""
    out = np.empty((len(rows), X.shape[1]), dtype=np.float32)
    step = block_rows(X.shape[1])
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        block = to_float32(X[chosen], chosen)
        out[start : start + step] = unit_rows(block) if normalize else block
    return out


def sample_rows(n_rows: int, n_sample: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Row numbers in ascending order: all, or `n_sample` drawn uniformly without replacement."""
    if n_rows <= n_sample:
        return np.arange(n_rows)
    return np.sort(rng.choice(n_rows, size=n_sample, replace=False))


def distinct_rows(rows: Float32) -> npt.NDArray[np.int64]:
    """Numbers, in ascending order, of the first of every set of equal rows."""
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    return np.sort(np.unique(whole, return_index=True)[1])


def moments(X: npt.NDArray[Any], *, normalize: bool) -> tuple[Float64, Float64]:
    """
    Mean and covariance (divided by the number of rows) over all rows, in one pass.

    Returns
    -------
    mean : float64 array of shape (n_features,)
    covariance : float64 array of shape (n_features, n_features)
    """
    n_features = X.shape[1]
    total = np.zeros(n_features)
    products = np.zeros((n_features, n_features))
    shift = np.zeros(n_features, dtype=np.float32)
    for start, block in feature_blocks(X, normalize=normalize):
        if start == 0:
            # Sums of squares around a point near the mean keep their digits when all rows are alike.
            shift = block.mean(axis=0)
        centered = block - shift
        total += centered.sum(axis=0, dtype=np.float64)
        products += centered.T @ centered
    mean = total / len(X)
    return mean + shift, products / len(X) - np.outer(mean, mean)
