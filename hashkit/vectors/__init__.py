"""Float vectors over an index of codes: asymmetric scores, exact re-ranking, and recall that is stated."""

from hashkit.vectors.calibration import Recall
from hashkit.vectors.formats import Int8Calibration, from_format, to_format
from hashkit.vectors.index import VectorIndex
from hashkit.vectors.rescoring import rescore
from hashkit.vectors.suggesting import Suggestion, suggest_bits

__all__ = [
    "Int8Calibration",
    "Recall",
    "Suggestion",
    "VectorIndex",
    "from_format",
    "rescore",
    "suggest_bits",
    "to_format",
]
