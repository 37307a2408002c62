"""Similarity measures of sets of bits, as ratios of counts; see csrc/jaccard/limits.hpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from hashkit.checks import check_number, describe

Measure = Literal["jaccard", "dice", "containment"] | Sequence[float]

LARGEST = 1000
"""Largest weight of Tversky's measure, and largest denominator of one: all counts are then integers below 2**53."""


class Weights(NamedTuple):
    """Weights of the bits of two codes, as integers without a common divisor.

    The similarity is ``common * c / (common * c + left * l + right * r)`` with c bits in both codes, l only in the left
    and r only in the right one.
    """

    common: int
    left: int
    right: int


JACCARD = Weights(1, 1, 1)
NAMED = {"jaccard": JACCARD, "dice": Weights(2, 1, 1), "containment": Weights(1, 1, 0)}


def check_measure(measure: Any) -> Weights:
    """Return the weights of `measure`, Jaccard's for None."""
    if measure is None:
        return JACCARD
    if isinstance(measure, str):
        if measure not in NAMED:
            raise ValueError(f"measure must be one of {', '.join(NAMED)}, or two weights, got {measure!r}")
        return NAMED[measure]
    if not isinstance(measure, (tuple, list)) or len(measure) != 2:
        raise TypeError(f"measure must be one of {', '.join(NAMED)}, or two weights, got {describe(measure)}")
    left, right = (_to_fraction(weight) for weight in measure)
    if not left and not right:
        raise ValueError(f"measure must have a weight above 0, got {measure}")
    common = math.lcm(left.denominator, right.denominator)
    return Weights(common, int(left * common), int(right * common))


def _to_fraction(weight: Any) -> Fraction:
    """Return a weight as a fraction, to the precision of a float."""
    number = check_number(weight, "a weight of measure", 0, most=LARGEST)
    fraction = Fraction(number).limit_denominator(LARGEST)
    if float(fraction) != number:
        raise ValueError(
            f"a weight of measure must be a fraction with a denominator of at most {LARGEST:,}, such as 0.95 or 1/3, "
            f"got {weight}"
        )
    return fraction
