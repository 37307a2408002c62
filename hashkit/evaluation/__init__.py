"""Metrics over rankings. Each states which items are relevant, the cut-off, the denominator and how ties count.

Every function takes arrays: packed codes and labels, or the ids that any search returned. A query without any relevant
item has no average precision and no recall: the mean leaves it out, and the result states how many there were.
"""

from hashkit.evaluation.metrics import (
    Denominator,
    Ties,
    mean_average_precision,
    precision_at_k,
    precision_recall_curve,
    precision_within_radius,
    recall_at_k,
)
from hashkit.evaluation.neighbors import float_neighbors, neighbor_recall
from hashkit.evaluation.rankings import (
    mean_average_precision_of_rankings,
    precision_of_rankings,
    recall_of_rankings,
)
from hashkit.evaluation.scores import Curve, Score

__all__ = [
    "Curve",
    "Denominator",
    "Score",
    "Ties",
    "float_neighbors",
    "mean_average_precision",
    "mean_average_precision_of_rankings",
    "neighbor_recall",
    "precision_at_k",
    "precision_of_rankings",
    "precision_recall_curve",
    "precision_within_radius",
    "recall_at_k",
    "recall_of_rankings",
]
