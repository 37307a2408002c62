"""Measures of how similar two sets of bits are, as ratios of counts; see csrc/jaccard/limits.hpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from hashkit.checks import check_number, describe

Measure = Literal["jaccard", "dice", "containment"] | Sequence[float]

LARGEST = 1000
"""The largest weight of Tversky's, and the largest denominator of one: so all counting is in integers below 2**53."""


class Weights(NamedTuple):
    """What the bits of two codes count for, as integers without a common divisor.

    The similarity is ``common * c / (common * c + left * l + right * r)`` with c bits in both codes, l only in the left
    and r only in the right one.
    """

    common: int
    left: int
    right: int


JACCARD = Weights(1, 1, 1)
NAMED = {"jaccard": JACCARD, "dice": Weights(2, 1, 1), "containment": Weights(1, 1, 0)}


def check_measure(measure: Any) -> Weights:
    """The weights that `measure` names, Jaccard's for None."""
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
    """The fraction that a weight is, as far as a float can say it."""
    number = check_number(weight, "a weight of measure", 0, most=LARGEST)
    fraction = Fraction(number).limit_denominator(LARGEST)
    if float(fraction) != number:
        raise ValueError(
            f"a weight of measure must be a fraction with a denominator of at most {LARGEST:,}, such as 0.95 or 1/3, "
            f"got {weight}"
        )
    return fraction
