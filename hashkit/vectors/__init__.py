"""Float vectors over an index of codes: asymmetric scores, exact re-ranking, and recall that is stated."""

from hashkit.vectors.rescoring import rescore

__all__ = ["rescore"]
