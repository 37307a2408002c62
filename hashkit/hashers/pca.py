"""Principal components: of moments, and of features beside a sample of rows to learn more from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.hashers.features import Float32, Float64, gather_rows, moments, sample_rows


@dataclass(frozen=True, eq=False)
class PrincipalRows:
    """
    Principal components of all rows, and a sample of rows projected on them.

    Attributes
    ----------
    mean : float64 array of shape (n_features,)
    variances : float64 array of shape (n_components,)
    components : float64 array of shape (n_features, n_components)
        One a column, that of the largest variance first.
    row_numbers : int64 array of shape (n_sample,)
        Which rows were drawn, in ascending order.
    rows : float32 array of shape (n_sample, n_features)
    values : float32 array of shape (n_sample, n_components)
        The rows, centered, by component.
    n_rows : int
        How many rows there are in all.
    """

    mean: Float64
    variances: Float64
    components: Float64
    row_numbers: npt.NDArray[np.int64]
    rows: Float32
    values: Float32
    n_rows: int


def principal_rows(
    X: npt.NDArray[Any], n_components: int, *, normalize: bool, max_rows: int, rng: np.random.Generator
) -> PrincipalRows:
    """
    Mean and principal components of all rows, in one pass, and at most `max_rows` rows drawn uniformly.

    Parameters
    ----------
    n_components : int
        More than there are features means all.
    normalize : bool
        Scale every row to length 1 first.
    """
    mean, covariance = moments(X, normalize=normalize)
    variances, components = descending_eigenvectors(covariance, n_components)
    row_numbers = sample_rows(len(X), max_rows, rng)
    rows = gather_rows(X, row_numbers, normalize=normalize)
    values: Float32 = (rows - mean.astype(np.float32)) @ components.astype(np.float32)
    return PrincipalRows(mean, np.maximum(variances, 0), components, row_numbers, rows, values, len(X))


def descending_eigenvectors(symmetric: Float64, n_vectors: int) -> tuple[Float64, Float64]:
    """
    Eigenvalues and eigenvectors of a symmetric matrix, largest first, each vector's largest entry positive.

    Returns
    -------
    values : float64 array of shape (n_vectors,)
    vectors : float64 array of shape (n, n_vectors)
        One eigenvector a column.
    """
    values, vectors = np.linalg.eigh(symmetric)
    values, vectors = values[::-1][:n_vectors], vectors[:, ::-1][:, :n_vectors]
    largest = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(vectors.shape[1])]
    return values, vectors * np.where(largest < 0, -1.0, 1.0)
