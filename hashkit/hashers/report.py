"""How good a hasher's codes are, told without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hashkit.codes import hamming_distances
from hashkit.hashers.features import Float32, gather_rows, sample_rows

if TYPE_CHECKING:
    from hashkit.hashers.base import Hasher

_QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class HasherReport:
    """
    What codes of some rows look like.

    Attributes
    ----------
    n_rows : int
        Rows looked at.
    bit_balance : float64 array of shape (n_bits,)
        Share of ones of each bit; best is 0.5.
    dead_bits : int64 array
        Bits that are the same in all rows.
    bit_correlation : float
        Mean absolute correlation of two different bits, dead ones left out; best is 0.
    quantization_error : float
        Mean squared difference between projections, scaled to mean square 1, and their signs; best is 0.
    neighbor_recall : dict of int to float
        k -> share of a row's 10 nearest other rows by cosine of the features among its first k by Hamming distance,
        equal distances by row number.
    distance_quantiles : dict of float to int
        Share -> Hamming distance that this share of all pairs does not exceed.
    n_distinct : int
        Different codes among the rows.
    """

    n_rows: int
    bit_balance: npt.NDArray[np.float64]
    dead_bits: npt.NDArray[np.int64]
    bit_correlation: float
    quantization_error: float
    neighbor_recall: dict[int, float]
    distance_quantiles: dict[float, int]
    n_distinct: int

    def __str__(self) -> str:
        recall = ", ".join(f"{value:.3f} in the first {k}" for k, value in self.neighbor_recall.items())
        spread = ", ".join(f"{share:.0%}: {distance}" for share, distance in self.distance_quantiles.items())
        return "\n".join(
            [
                f"rows                  {self.n_rows:,}: {self.n_distinct:,} codes of {len(self.bit_balance)} bits",
                f"bit balance           {self.bit_balance.min():.3f} to {self.bit_balance.max():.3f} ones",
                f"dead bits             {len(self.dead_bits)}",
                f"bit correlation       {self.bit_correlation:.3f} on average",
                f"quantization error    {self.quantization_error:.3f}",
                f"10 nearest by float   {recall}",
                f"distances of pairs    {spread}",
            ]
        )


def describe_codes(hasher: Hasher, X: npt.NDArray[Any], *, n_rows: int, random_state: int) -> HasherReport:
    """The report on a uniform sample of checked rows, all of them if they are fewer."""
    chosen = sample_rows(len(X), n_rows, np.random.default_rng(random_state))
    rows = gather_rows(X, chosen, normalize=True)
    original = X[chosen]
    projections, codes = hasher.project(original), hasher.encode(original)
    bits = projections > 0
    balance = bits.mean(axis=0, dtype=np.float64)
    alive = (balance > 0) & (balance < 1)
    distances = hamming_distances(codes, codes)
    pairs = distances[np.triu_indices(len(rows), 1)]
    quantiles = np.quantile(pairs, _QUANTILES, method="inverted_cdf") if len(pairs) else np.zeros(len(_QUANTILES))
    return HasherReport(
        n_rows=len(rows),
        bit_balance=balance,
        dead_bits=np.flatnonzero(~alive),
        bit_correlation=_mean_correlation(bits[:, alive]),
        quantization_error=_scaled_error(projections),
        neighbor_recall=_neighbor_recall(rows, distances),
        distance_quantiles={share: int(value) for share, value in zip(_QUANTILES, quantiles, strict=True)},
        n_distinct=len(np.unique(codes, axis=0)),
    )


def _mean_correlation(bits: npt.NDArray[np.bool_]) -> float:
    if bits.shape[1] < 2:
        return 0.0
    others = ~np.eye(bits.shape[1], dtype=bool)
    return float(np.abs(np.corrcoef(bits, rowvar=False))[others].mean())


def _scaled_error(projections: Float32) -> float:
    scale = float(np.sqrt(np.mean(np.square(projections, dtype=np.float64))))
    signs = np.where(projections > 0, 1.0, -1.0)
    return float(np.mean(np.square(projections / (scale or 1.0) - signs)))


def _neighbor_recall(rows: Float32, distances: npt.NDArray[np.uint16]) -> dict[int, float]:
    n_rows = len(rows)
    n_near = min(10, n_rows - 1)
    if n_near < 1:
        return {}
    own = np.arange(n_rows)
    similarities = rows @ rows.T
    similarities[own, own] = -np.inf
    near = np.argpartition(-similarities, n_near - 1, axis=1)[:, :n_near]
    # The rank of every row by distance, ties by row number, with the row itself last.
    far = distances.astype(np.int32)
    far[own, own] = np.iinfo(np.int32).max
    ranks = far.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    found = np.take_along_axis(ranks, near, axis=1)
    return {k: float((found < k).mean()) for k in (10, 100, 1000) if k < n_rows}
