"""Stage 1: features become the principal components of a sample of distinct rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.hashers.features import Float32, Float64, distinct_rows
from hashkit.hashers.pca import PrincipalRows, principal_rows
from hashkit.udhpl.configuration import Configuration


def reduce_features(
    X: npt.NDArray[Any],
    n_bits: int,
    config: Configuration,
    rng: np.random.Generator,
    *,
    normalize: bool,
    max_rows: int,
) -> PrincipalRows:
    """
    Principal components of all rows, as many as bits at least, and a sample of rows projected on them.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
    normalize : bool
        Scale every row to length 1 first.
    max_rows : int
        Of the sample, at most.
    """
    n_components = max(config.n_components, n_bits)
    return principal_rows(X, n_components, normalize=normalize, max_rows=max_rows, rng=rng)


def take_rows(rows: PrincipalRows, chosen: npt.NDArray[np.int64]) -> PrincipalRows:
    """Some rows of the sample, by their place in it."""
    return replace(rows, row_numbers=rows.row_numbers[chosen], rows=rows.rows[chosen], values=rows.values[chosen])


def without_copies(rows: PrincipalRows, n_bits: int, config: Configuration, rng: np.random.Generator) -> PrincipalRows:
    """
    The same of distinct rows alone, if many rows of the sample are copies and enough of them are distinct.

    Copies are each other's neighbors and clusters, and pull mean and components towards them.
    """
    first = distinct_rows(rows.rows)
    is_enough = len(first) > max(n_bits, config.least_distinct_rows)
    if not is_enough or len(first) > config.max_distinct_share * len(rows.rows):
        return rows
    n_components = max(config.n_components, n_bits)
    distinct = principal_rows(rows.rows[first], n_components, normalize=False, max_rows=len(first), rng=rng)
    return replace(distinct, row_numbers=rows.row_numbers[first])


def whitening(rows: PrincipalRows, config: Configuration) -> Float64:
    """Factors of shape (n_components,) that bring components near variance 1, the nearer the larger they are."""
    variances = rows.variances + 1e-12
    factors: Float64 = 1 / np.sqrt(variances + config.ridge * variances.mean())
    return factors


def mean_square_scale(values: Float32) -> np.float32:
    """Factor that brings the mean square of the values to 1."""
    return np.float32(1 / np.sqrt(max(float(np.mean(np.square(values))), 1e-12)))
