"""What the metrics return: a mean, the values behind it, and what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, repr=False)
class Score:
    """A metric averaged over queries.

    Attributes
    ----------
    value : float
        Mean over the queries that have a relevant item; nan when there is none.
    per_query : float64 array of shape (n_queries,)
        nan where a query has no relevant item.
    n_without_relevant : int
        Queries without any relevant item: they are left out of ``value``.
    n_empty : int
        Only for precision within a radius: queries with relevant items but no code within the radius. They count as 0.
    """

    value: float
    per_query: NDArray[np.float64]
    n_without_relevant: int
    n_empty: int = 0

    @property
    def n_queries(self) -> int:
        return len(self.per_query)

    def __repr__(self) -> str:
        empty = f", n_empty={self.n_empty}" if self.n_empty else ""
        return (
            f"Score(value={self.value:.6g}, n_queries={self.n_queries}, n_without_relevant={self.n_without_relevant}"
            f"{empty})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Curve:
    """Precision and recall of everything within a radius, for every radius.

    Attributes
    ----------
    precision, recall : float64 arrays of shape (n_bits + 1,)
        Indexed by radius. Precision is nan where no query has a code within the radius.
    n_queries, n_without_relevant : int
        Number of queries, and of those without any relevant item, which are left out of the mean.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    n_queries: int
    n_without_relevant: int

    def __repr__(self) -> str:
        return (
            f"Curve(radii 0 to {len(self.precision) - 1}, n_queries={self.n_queries}, "
            f"n_without_relevant={self.n_without_relevant})"
        )


def mean_score(per_query: NDArray[np.float64], *, n_empty: int = 0) -> Score:
    """Average over the queries whose value is not nan."""
    known = per_query[~np.isnan(per_query)]
    value = float(known.mean()) if len(known) else float("nan")
    return Score(value, per_query, n_without_relevant=len(per_query) - len(known), n_empty=n_empty)


def divide(numerators: NDArray[np.generic], denominators: NDArray[np.generic]) -> NDArray[np.float64]:
    """Divide, with nan where the denominator is 0."""
    quotients = np.full(np.broadcast_shapes(numerators.shape, denominators.shape), np.nan)
    np.divide(numerators, denominators, out=quotients, where=denominators != 0)
    return quotients
