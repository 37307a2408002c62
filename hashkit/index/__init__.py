"""Exact search over packed codes."""

from hashkit.index.core import Index
from hashkit.index.joins import PairBlock
from hashkit.index.results import RadiusResult

__all__ = ["Index", "PairBlock", "RadiusResult"]
