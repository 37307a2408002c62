"""Signs of the features themselves, or of their random rotation: nothing is learned but where to cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.checks import check_choice, check_int
from hashkit.cosines import row_squares
from hashkit.hashers.arrays import Arrays, Expected
from hashkit.hashers.features import Float32, Float64, gather_rows, moments, sample_rows
from hashkit.hashers.linear import LinearHasher

THRESHOLDS = ("zero", "mean", "median")
ROTATIONS = ("none", "random")

_HELD_OUT = 500
"""Rows that choose: the standard error of a recall of .9 is then about .01."""
_TRUE, _FIRST = 10, 100
"""What chooses is the share of a row's 10 nearest by the features that are among the first 100 by Hamming distance."""


class Sign(LinearHasher):
    """
    Signs of the features around a threshold, with or without a random rotation before.

    A fixed threshold can ruin codes: which of zero, mean and median keeps most neighbors differs between embedders. By
    default the choice is made on rows held out, by recall.

    Parameters
    ----------
    n_bits : int
        Length of the codes. Without a rotation at most the number of features: the first `n_bits` of them are cut, as
        fits Matryoshka embeddings. With one it may be larger.
    threshold : {"auto", "zero", "mean", "median"}
        Where each dimension is cut. The median is that of the rows that are drawn.
    rotation : {"auto", "none", "random"}
        Whether the features are rotated first. The rows of the random matrix are orthonormal, or its columns if there
        are fewer of these.
    normalize : bool
        Scale every row to length 1 first.
    max_rows : int
        Medians, and the choice, come from at most this many rows, drawn uniformly.
    random_state : int, RandomState or None
        Seed of the rotation and of the draw.

    Attributes
    ----------
    threshold_, rotation_ : str
        What was chosen.
    recalls_ : dict of (str, str) to float
        Of every threshold and rotation that was compared, its recall; empty where nothing was left to choose, and
        after loading.
    """

    _state = ("weights_", "offsets_", "choice_")

    choice_: npt.NDArray[np.uint8]
    recalls_: dict[tuple[str, str], float]

    def __init__(
        self,
        n_bits: int = 64,
        *,
        threshold: str = "auto",
        rotation: str = "auto",
        normalize: bool = True,
        max_rows: int = 10_000,
        random_state: Any = None,
    ) -> None:
        self.n_bits = n_bits
        self.threshold = threshold
        self.rotation = rotation
        self.normalize = normalize
        self.max_rows = max_rows
        self.random_state = random_state

    @property
    def threshold_(self) -> str:
        """Where each dimension is cut."""
        return THRESHOLDS[self.choice_[0]]

    @property
    def rotation_(self) -> str:
        """Whether the features are rotated first."""
        return ROTATIONS[self.choice_[1]]

    def _check_parameters(self, shape: tuple[int, ...]) -> None:
        super()._check_parameters(shape)
        check_choice(self.threshold, "threshold", ("auto", *THRESHOLDS))
        check_choice(self.rotation, "rotation", ("auto", *ROTATIONS))
        check_int(self.max_rows, "max_rows", 100)
        if self.rotation == "none" and self.n_bits > shape[1]:
            raise ValueError(
                f"n_bits must be at most the number of features without a rotation, got n_bits={self.n_bits} with "
                f"n_features={shape[1]}"
            )

    def _expected_arrays(self, arrays: Arrays) -> dict[str, Expected]:
        return super()._expected_arrays(arrays) | {"choice_": Expected(np.uint8, (2,))}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], n_features: object) -> None:
        super()._set_state(arrays, n_features)
        if not (self.choice_ < (len(THRESHOLDS), len(ROTATIONS))).all():
            raise ValueError(f"choice_ must name a threshold and a rotation, got {self.choice_}")
        self.recalls_ = {}

    def _fit(self, X: npt.NDArray[Any]) -> None:
        rng = self._rng()
        thresholds = THRESHOLDS if self.threshold == "auto" else (self.threshold,)
        rotations = ROTATIONS if self.rotation == "auto" else (self.rotation,)
        if self.n_bits > X.shape[1]:
            rotations = ("random",)
        mean = moments(X, normalize=self.normalize)[0]
        rows = gather_rows(X, sample_rows(len(X), self.max_rows, rng), normalize=self.normalize)
        chosen, self.weights_, self.offsets_, self.recalls_ = choose_map(
            rows, mean, self.n_bits, rng, thresholds=thresholds, rotations=rotations
        )
        self.choice_ = np.array([THRESHOLDS.index(chosen[0]), ROTATIONS.index(chosen[1])], np.uint8)


def choose_map(
    rows: Float32,
    mean: Float64,
    n_bits: int,
    rng: np.random.Generator,
    *,
    thresholds: Sequence[str] = THRESHOLDS,
    rotations: Sequence[str] = ROTATIONS,
) -> tuple[tuple[str, str], Float32, Float32, dict[tuple[str, str], float]]:
    """
    The threshold and rotation that keep most neighbors of some rows.

    Parameters
    ----------
    rows : float32 array of shape (n_rows, n_features)
        Of length 1 if the map is for such rows.
    mean : float64 array of shape (n_features,)
        Of all rows.

    Returns
    -------
    (threshold, rotation)
    weights, offsets : float32 arrays of shape (n_features, n_bits) and (n_bits,)
    recalls : dict of (str, str) to float
        Of all that were compared; empty where there was nothing to choose.
    """
    maps = {}
    for rotation in rotations:
        weights = _weights(rows.shape[1], n_bits, rotation, rng)
        for threshold in thresholds:
            maps[threshold, rotation] = weights, _offsets(weights, threshold, mean, rows)
    recalls = {} if len(maps) == 1 else _recalls(rows[rng.permutation(len(rows))], maps)
    # The first of the best: what is plainest stands first.
    chosen = max(recalls, key=recalls.__getitem__) if recalls else next(iter(maps))
    return chosen, *maps[chosen], recalls


def _weights(n_features: int, n_bits: int, rotation: str, rng: np.random.Generator) -> Float32:
    if rotation == "none":
        return np.eye(n_features, n_bits, dtype=np.float32)
    size = max(n_features, n_bits)
    whole = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return np.ascontiguousarray(whole[:n_features, :n_bits], dtype=np.float32)


def _offsets(weights: Float32, threshold: str, mean: Float64, rows: Float32) -> Float32:
    if threshold == "zero":
        return np.zeros(weights.shape[1], np.float32)
    if threshold == "mean":
        return (mean @ weights.astype(np.float64)).astype(np.float32)
    medians: Float32 = np.median(rows @ weights, axis=0).astype(np.float32)
    return medians


def _recalls(rows: Float32, maps: dict[tuple[str, str], tuple[Float32, Float32]]) -> dict[tuple[str, str], float]:
    """The recall of each map: the first rows are queries, the others what they are compared with."""
    n_queries = min(_HELD_OUT, len(rows) // 5)
    queries, items = rows[:n_queries], rows[n_queries:]
    n_true, n_first = min(_TRUE, len(items)), min(_FIRST, max(1, len(items) // 10))
    if n_queries == 0:
        return {}
    squares = row_squares(items)
    nearest = np.argsort(squares - 2 * (queries @ items.T), axis=1, kind="stable")[:, :n_true]
    recalls = {}
    for name, (weights, offsets) in maps.items():
        signs = [np.where(values @ weights > offsets, np.float32(1), np.float32(-1)) for values in (queries, items)]
        # Whole numbers of 16 bits are sorted digit by digit, several times faster than floats.
        order = -(signs[0] @ signs[1].T).astype(np.int16)
        first = np.argsort(order, axis=1, kind="stable")[:, :n_first]
        found = [np.isin(a, b).mean() for a, b in zip(nearest, first, strict=True)]
        recalls[name] = float(np.mean(found))
    return recalls
