"""How good a hasher's codes are, measured without labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hashkit.codes import hamming_distances
from hashkit.cosines import Float32
from hashkit.hashers.ranks import neighbor_ranks

N_NEAREST = 10
_CUTS = (10, 100, 1000)
# Where the 10 nearest of all are like the nearest one that was drawn; beyond, recalls are extrapolated by so many
# before, from the first tenth of the rows: farther ones say nothing about near ones.
LARGEST_FACTOR, _N_FACTORS, _LARGEST_SHARE = (N_NEAREST + 1) / 2, 8, 0.1
_QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class HasherReport:
    """
    Statistics of the codes of some rows.

    Attributes
    ----------
    n_rows : int
        Rows in the sample.
    bit_balance : float64 array of shape (n_bits,)
        Share of ones of each bit; best is 0.5.
    dead_bits : int64 array
        Bits with the same value in all rows.
    bit_correlation : float
        Mean absolute correlation of two different bits, without dead ones; best is 0.
    quantization_error : float
        Mean squared difference between projections, scaled to mean square 1, and their signs; best is 0.
    neighbor_recall : dict of int to float
        k -> share of a row's 10 nearest other rows by cosine of the features among its first k by Hamming distance in
        a database of `database_size` rows, equal distances by row number; see `predict_recall`.
    database_size : int
    n_drawn : int
        Rows whose ranks the recall is predicted from; where the database is more than 5.5 times as large it is
        extrapolated.
    distance_quantiles : dict of float to int
        Share -> the largest Hamming distance among this share of all pairs, the nearest first.
    n_distinct : int
        Number of distinct codes among the rows.
    """

    n_rows: int
    bit_balance: npt.NDArray[np.float64]
    dead_bits: npt.NDArray[np.int64]
    bit_correlation: float
    quantization_error: float
    neighbor_recall: dict[int, float]
    database_size: int
    n_drawn: int
    distance_quantiles: dict[float, int]
    n_distinct: int

    def __str__(self) -> str:
        recall = ", ".join(f"{value:.3f} in the first {k}" for k, value in self.neighbor_recall.items()) or "unknown"
        beyond = " (extrapolated)" if self.database_size > LARGEST_FACTOR * self.n_drawn else ""
        spread = ", ".join(f"{share:.0%}: {distance}" for share, distance in self.distance_quantiles.items())
        return "\n".join(
            [
                f"rows                  {self.n_rows:,}: {self.n_distinct:,} codes of {len(self.bit_balance)} bits",
                f"bit balance           {self.bit_balance.min():.3f} to {self.bit_balance.max():.3f} ones",
                f"dead bits             {len(self.dead_bits)}",
                f"bit correlation       {self.bit_correlation:.3f} on average",
                f"quantization error    {self.quantization_error:.3f}",
                f"10 nearest by float   {recall} of {self.database_size:,} rows{beyond}",
                f"distances of pairs    {spread}",
            ]
        )


def describe_codes(
    projections: Float32,
    codes: npt.NDArray[np.uint8],
    neighbor_recall: dict[int, float],
    *,
    database_size: int,
    n_drawn: int,
) -> HasherReport:
    """The report on projections (n_rows, n_bits) and codes of some rows, all pairs of which are compared."""
    bits = projections > 0
    balance = bits.mean(axis=0, dtype=np.float64)
    alive = (balance > 0) & (balance < 1)
    pairs = hamming_distances(codes, codes)[np.triu_indices(len(codes), 1)]
    quantiles = np.quantile(pairs, _QUANTILES, method="inverted_cdf") if len(pairs) else np.zeros(len(_QUANTILES))
    return HasherReport(
        n_rows=len(codes),
        bit_balance=balance,
        dead_bits=np.flatnonzero(~alive),
        bit_correlation=_mean_correlation(bits[:, alive]),
        quantization_error=_scaled_error(projections),
        neighbor_recall=neighbor_recall,
        database_size=database_size,
        n_drawn=n_drawn,
        distance_quantiles={share: int(value) for share, value in zip(_QUANTILES, quantiles, strict=True)},
        n_distinct=len(np.unique(codes, axis=0)),
    )


def predict_recall(
    rows: Float32, codes: npt.NDArray[np.uint8], queries: npt.NDArray[np.int64], database_size: int
) -> dict[int, float]:
    """
    Share of a row's 10 nearest by cosine among its first k by Hamming distance in a database that rows are drawn from.

    A row at rank r among m rows drawn from N is near rank r N/m among all. So with c = N/m the 10 nearest of all, whose
    mean rank is 5.5, are like the first 11/c - 1 nearest drawn, and the first k of all like the first k/c drawn. Beyond
    c = 5.5 not one drawn row is as near: there the log-odds of the recall are continued along a line in log N, that of
    c from 2.75 to 5.5.

    Parameters
    ----------
    rows : float32 array of shape (m, n_features)
        Of length 1 or zero.
    codes : uint8 array of shape (m, n_bytes)
    queries : int64 array
        Numbers of the rows that are queries; each is left out of its own results.
    database_size : int
        N, at least m.

    Returns
    -------
    dict of int to float
        By k, of 10, 100 and 1000 those below N; beyond c = 5.5 only those whose line uses at most the first tenth of
        the rows drawn.
    """
    n_near = min(N_NEAREST, len(rows) - 1)
    if n_near < 1:
        return {}
    ranks = neighbor_ranks(rows, codes, queries, n_near)
    factor = database_size / len(rows)
    cuts = [k for k in _CUTS if k < database_size]
    if factor > LARGEST_FACTOR:
        cuts = [k for k in cuts if 2 * k / LARGEST_FACTOR <= _LARGEST_SHARE * len(rows)]
    recalls = np.maximum.accumulate([_recall(ranks, k, factor) for k in cuts]) if cuts else np.zeros(0)
    return dict(zip(cuts, recalls.tolist(), strict=True))


def _recall(ranks: npt.NDArray[np.int64], k: int, factor: float) -> float:
    """Predicted share of the nearest among the first k of a database `factor` times as large."""
    if factor == 1:
        return float((ranks < k).mean())
    if factor <= LARGEST_FACTOR:
        return _scaled_recall(ranks, k, factor)
    factors = np.geomspace(LARGEST_FACTOR / 2, LARGEST_FACTOR, _N_FACTORS)
    measured = np.array([_scaled_recall(ranks, k, one) for one in factors])
    # A half of one hit keeps the log-odds finite where all or none is found.
    half = 0.5 / ranks.size
    odds = np.log((measured + half) / (1 - measured + half))
    slope, base = np.polyfit(np.log(factors), odds, 1)
    last = base + slope * np.log(LARGEST_FACTOR)
    return float(1 / (1 + np.exp(-last - min(slope, 0.0) * np.log(factor / LARGEST_FACTOR))))


def _scaled_recall(ranks: npt.NDArray[np.int64], k: int, factor: float) -> float:
    """Share of the first 11/factor - 1 nearest among the first k/factor; parts of a rank count in proportion."""
    n_near = ((N_NEAREST + 1) / factor - 1) * ranks.shape[1] / N_NEAREST
    weights = np.clip(n_near - np.arange(ranks.shape[1]), 0, 1)
    found = np.clip(k / factor - ranks, 0, 1)
    return float((found * weights).sum() / (weights.sum() * len(ranks)))


def _mean_correlation(bits: npt.NDArray[np.bool_]) -> float:
    if bits.shape[1] < 2:
        return 0.0
    others = ~np.eye(bits.shape[1], dtype=bool)
    return float(np.abs(np.corrcoef(bits, rowvar=False))[others].mean())


def _scaled_error(projections: Float32) -> float:
    scale = float(np.sqrt(np.mean(np.square(projections, dtype=np.float64))))
    signs = np.where(projections > 0, 1.0, -1.0)
    return float(np.mean(np.square(projections / (scale or 1.0) - signs)))
