"""How many bits? The question everybody starts with, answered by measuring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hashkit.checks import check_choice, check_int, check_n_threads
from hashkit.vectors import fitting
from hashkit.vectors.calibration import HeldOut, Recall
from hashkit.vectors.encoding import learn
from hashkit.vectors.exact import exact_neighbors
from hashkit.vectors.funnel import Plan
from hashkit.vectors.rescoring import METRICS, Metric
from hashkit.vectors.rows import as_vectors


@dataclass(frozen=True)
class Suggestion:
    """What lengths of codes reach.

    Attributes
    ----------
    n_bits : int or None
        The shortest codes that reach the recall, or None if no length that was tried does.
    recalls : dict of int to Recall
        Of every length that was tried, the recall that was measured.
    """

    n_bits: int | None
    recalls: dict[int, Recall]

    def __str__(self) -> str:
        lines = [
            f"{n_bits} bits ({-(-n_bits // 8) + 8} bytes a vector): recall@{found.k} {found.mean:.3f}, "
            f"{found.low:.3f} to {found.high:.3f}"
            for n_bits, found in self.recalls.items()
        ]
        return "\n".join([*lines, "none suffices" if self.n_bits is None else f"{self.n_bits} bits suffice"])


def suggest_bits(
    vectors: Any,
    *,
    recall: float = 0.95,
    candidates: int = 100,
    k: int = 10,
    metric: Metric = "cosine",
    scales: Any = None,
    random_state: int = 0,
    n_threads: int | None = None,
) -> Suggestion:
    """Find how many bits reach a recall when so many vectors are read for a query.

    Parameters
    ----------
    vectors : array, torch tensor or memory map of shape (n_rows, n_dims)
        As for :meth:`VectorIndex.fit`; at least 200 rows.
    recall : float, default=0.95
        Of the `k` true nearest, the share that must be among the candidates.
    candidates : int, default=100
        Vectors that are read for a query: the best by estimates, which are then ordered exactly.
    k : int, default=10
    metric : {"cosine", "ip", "l2"}, default="cosine"
    scales : float array, optional
        For int8, as in :func:`hashkit.rescore`.
    random_state : int, default=0
        Seed.
    n_threads : int, optional
        Threads; by default every CPU that this process may use.

    Returns
    -------
    suggestion : Suggestion
        Lengths are tried from a quarter of a bit a dimension on, each twice the one before, until one suffices. Each
        is measured on 1,000 held-out rows (a tenth of fewer) in the whole database.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or there are fewer rows than needed to measure.
    """
    check_choice(metric, "metric", METRICS)
    stored, threads = as_vectors(vectors, "vectors", scales), check_n_threads(n_threads)
    candidates = check_int(candidates, "candidates", check_int(k, "k", 1))
    target = fitting.check_recall(recall)
    if target is None:
        raise TypeError("recall must be a number, got None")
    wish = fitting.wish_of(stored, recall, k, metric, None, "as_came", candidates, random_state, threads, False)
    rng = np.random.default_rng(random_state)
    own = fitting.held_out_rows(stored, wish, rng)
    assert own is not None
    sample, asked = fitting.sample_of(stored, own, rng), fitting.finite_rows(stored, own)
    true, recalls = None, {}
    for n_bits in dict.fromkeys([max(8, wish.n_bits[0] // 16 * 8), *wish.n_bits]):
        encoder = learn(sample, n_bits, metric, random_state)
        if true is None:
            true = exact_neighbors(stored, asked, k, metric, threads, own)
        held_out = HeldOut(encoder.prepare(asked, threads), true, own)
        plan = Plan("estimates", 0, candidates)
        recalls[n_bits] = Recall.of(held_out.found(fitting.encoded(stored, encoder, wish), plan, threads), target)
        if recalls[n_bits].mean >= target:
            return Suggestion(n_bits, recalls)
    return Suggestion(None, recalls)
