"""Principal directions from moments."""

from __future__ import annotations

import numpy as np

from hashkit.hashers.features import Float64


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
