"""Do two small gray pictures show the same after one of them is shifted and scaled a little?

Lucas and Kanade's method (1981), for many pairs at once: Gauss-Newton steps on the sum of squared differences over the
scale and shift of both axes and a gain, from blurred pictures to sharp ones. The answer is the correlation of gray
values where the two overlap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# A crop by a tenth and a border of a tenth scale by 0.9 and 1.1; the rest is room for crops at one side only.
_LEAST_SCALE, _MOST_SCALE, _MOST_SHIFT = 0.8, 1.25, 0.2
_MOST_SQUEEZE = 1.15  # the two scales of a pair: a border of equal width on a long picture squeezes by this
_LEAST_OVERLAP = 0.6
_STAGES = ((4, 6), (1, 5))  # passes of blur, and steps
_PAIRS_AT_ONCE = 128  # keeps what a step writes in the processor's cache


def correlate(a: Floats, b: Floats) -> Floats:
    """Correlation of the gray values of each pair of pictures, without moving them.

    Parameters
    ----------
    a, b : float32 arrays of shape (..., side, side)
    """
    a, b = _standard(a), _standard(b)
    result: Floats = (a * b).mean((-2, -1))
    return result


def align(fixed: Floats, moving: Floats) -> Floats:
    """Correlation of the gray values of each pair of pictures after the second is moved over the first.

    Parameters
    ----------
    fixed, moving : float32 arrays of shape (n_pairs, side, side)

    Returns
    -------
    correlations : float32 array of shape (n_pairs,)
        -1 where the two overlap too little, or would have to be squeezed too much.
    """
    parts = [
        _align(fixed[start : start + _PAIRS_AT_ONCE], moving[start : start + _PAIRS_AT_ONCE])
        for start in range(0, len(fixed), _PAIRS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def blur(pictures: Floats, n_passes: int) -> Floats:
    """Every picture smoothed by (1 2 1) / 4 along both axes, several times; its edge is repeated outward."""
    for _ in range(n_passes):
        for axis in (-1, -2):
            p: Any = np.moveaxis(pictures, axis, -1)
            p = np.concatenate([p[..., :1], p, p[..., -1:]], axis=-1)
            pictures = np.moveaxis((p[..., :-2] + 2 * p[..., 1:-1] + p[..., 2:]) / 4, -1, axis)
    return pictures


def _standard(pictures: Floats) -> Floats:
    pictures = pictures - pictures.mean((-2, -1), keepdims=True)
    norms = np.sqrt((pictures**2).mean((-2, -1), keepdims=True))
    result: Floats = pictures / np.maximum(norms, 1e-3)
    return result


def _align(fixed: Floats, moving: Floats) -> Floats:
    n, side = fixed.shape[:2]
    places = np.arange(side, dtype=np.float32) - (side - 1) / 2
    moves = np.tile(np.array([1, 0, 1, 0], np.float32), (n, 1))  # x scale, x shift, y scale, y shift
    for n_passes, n_steps in _STAGES:
        f, m = blur(fixed, n_passes), blur(moving, n_passes)
        slopes = np.gradient(m, axis=(1, 2))
        for _ in range(n_steps):
            moves += _step(f, m, slopes[1], slopes[0], places, moves)
            np.clip(moves[:, ::2], _LEAST_SCALE, _MOST_SCALE, out=moves[:, ::2])
            np.clip(moves[:, 1::2], -_MOST_SHIFT * side, _MOST_SHIFT * side, out=moves[:, 1::2])
    (moved,), inside = _sample([moving], places, moves)
    correlations = _correlate_within(fixed, moved, inside)
    squeeze = np.abs(np.log(moves[:, 0] / moves[:, 2]))
    wrong = (inside.mean((1, 2)) < _LEAST_OVERLAP) | (squeeze > np.log(_MOST_SQUEEZE))
    return np.where(wrong, np.float32(-1), correlations)


def _step(f: Floats, m: Floats, slope_x: Floats, slope_y: Floats, places: Floats, moves: Floats) -> Floats:
    """One Gauss-Newton step of each pair's four parameters."""
    (moved, along_x, along_y), inside = _sample([m, slope_x, slope_y], places, moves)
    n_inside = np.maximum(inside.sum((1, 2), keepdims=True), 1)
    target = (f - (f * inside).sum((1, 2), keepdims=True) / n_inside) * inside
    moved = (moved - (moved * inside).sum((1, 2), keepdims=True) / n_inside) * inside
    gain = (target * moved).sum((1, 2), keepdims=True) / ((moved**2).sum((1, 2), keepdims=True) + 1e-3)
    gain = np.clip(gain, 0.3, 3)
    rest = (target - gain * moved).reshape(len(f), -1, 1)
    weight = gain * inside
    along_x, along_y = along_x * weight, along_y * weight
    slopes = np.stack([along_x * places, along_x, along_y * places[:, None], along_y], -1).reshape(len(f), -1, 4)
    across = slopes.transpose(0, 2, 1)
    curvature = across @ slopes
    damping = 1e-2 * np.trace(curvature, axis1=1, axis2=2)[:, None, None] / 4 + 1e-3
    steps: Floats = np.linalg.solve(curvature + damping * np.eye(4, dtype=np.float32), across @ rest)[..., 0]
    return steps


def _sample(images: list[Floats], places: Floats, moves: Floats) -> tuple[list[Floats], Floats]:
    """Images moved, with linear interpolation, and where they have values (1, else 0).

    The moves are along the axes, so that one axis is interpolated after the other.
    """
    side = len(places)
    x = moves[:, 0, None] * places + moves[:, 1, None] + (side - 1) / 2
    y = moves[:, 2, None] * places + moves[:, 3, None] + (side - 1) / 2
    to_x, to_y = _interpolation(x, side), _interpolation(y, side)
    moved: list[Any] = [to_y @ image @ to_x.transpose(0, 2, 1) for image in images]
    inside_x, inside_y = ((at >= 0) & (at <= side - 1) for at in (x, y))
    return moved, (inside_y[:, :, None] & inside_x[:, None, :]).astype(np.float32)


def _interpolation(at: Floats, side: int) -> Floats:
    """Matrices that take values at 0 ... side - 1 to those at `at`, shape (n, side, side)."""
    distance = np.abs(np.clip(at, 0, side - 1)[:, :, None] - np.arange(side, dtype=np.float32))
    weights: Floats = np.maximum(0, 1 - distance)
    return weights


def _correlate_within(a: Floats, b: Floats, inside: Floats) -> Floats:
    n_inside = np.maximum(inside.sum((1, 2), keepdims=True), 1)

    def standard(values: Any) -> Any:
        values = (values - (values * inside).sum((1, 2), keepdims=True) / n_inside) * inside
        return values / np.sqrt((values**2).sum((1, 2), keepdims=True) / n_inside + 1e-6)

    result: Floats = (standard(a) * standard(b)).sum((1, 2)) / n_inside[:, 0, 0]
    return result
