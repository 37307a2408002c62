"""Hashers of users: two methods to write; the rest is inherited."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from hashkit.checks import describe
from hashkit.hashers.arrays import Arrays, Expected
from hashkit.hashers.base import Hasher
from hashkit.hashers.features import Float32, Float64, gather_rows, sample_rows

# Rows that `apply` gets at once, always as many: most processors then add the values of each row in one order (see
# hashkit/hashers/network.py).
_ROWS_AT_ONCE = 128
_COMMON = {"n_bits_", "normalize_", "n_features_in_", "feature_names_in_"}

OWN: dict[str, type[OwnHasher]] = {}
"""The methods that users have defined, by name."""


class OwnHasher(Hasher):
    """
    Base of a method of your own: write `learn` and `apply`, and name it.

    The name makes it a method like hashkit's own: ``hashkit.fit(features, method="rotated")``, the comparison and its
    pictures take it, `report` and `save` work, and `hashkit.load` reads it wherever the class has been defined::

        class Rotated(hashkit.OwnHasher, method="rotated"):
            def learn(self, rows, rng):
                self.weights_ = rng.standard_normal((rows.shape[1], self.n_bits))

            def apply(self, rows):
                return rows @ self.weights_

    Options of a method are parameters of an ``__init__`` that stores them under their names, as scikit-learn requires.

    Parameters
    ----------
    n_bits : int
        Length of the codes.
    normalize : bool
        Scale every row to length 1 first.
    random_state : int, Generator, RandomState or None
        Seed of the generator that `learn` gets.

    Attributes
    ----------
    max_rows : int
        Of the class: `learn` gets at most this many rows, drawn uniformly.
    """

    max_rows: int = 100_000

    def __init__(self, n_bits: int = 64, *, normalize: bool = True, random_state: Any = None) -> None:
        self.n_bits = n_bits
        self.normalize = normalize
        self.random_state = random_state

    def __init_subclass__(cls, *, method: str | None = None, **options: Any) -> None:
        """Make a class known under the name of its method; a later class of that name takes its place."""
        from hashkit.hashers import METHODS

        super().__init_subclass__(**options)
        if method is None:
            return
        if not isinstance(method, str) or not method or method in METHODS:
            raise ValueError(f"method must be a name that no method of hashkit has, got {method!r}")
        OWN[method] = cls
        cls.method_name = method

    method_name: str | None = None

    @abstractmethod
    def learn(self, rows: Float32, rng: np.random.Generator) -> None:
        """
        Learn from rows, and store the result.

        Parameters
        ----------
        rows : float32 array of shape (n_rows, n_features)
            Finite, of length 1 if `normalize`.
        rng : numpy.random.Generator
            The only source of chance: the same `random_state` then gives the same codes.

        Notes
        -----
        Store results in attributes that are numpy arrays of numbers and whose names end with ``_``: `save` writes
        these, and `apply` may use nothing else.
        """

    @abstractmethod
    def apply(self, rows: Float32) -> npt.NDArray[Any]:
        """
        Map rows to real values or to packed codes, each row by itself.

        Parameters
        ----------
        rows : float32 array of shape (n_rows, n_features)
            Finite, of length 1 if `normalize`. The number of rows is always the same, so that a row's values depend
            on the batch by the rounding of a matrix product at most.

        Returns
        -------
        float array of shape (n_rows, n_bits), or uint8 array of shape (n_rows, ceil(n_bits / 8))
            Values, whose bits are 1 where they are > 0; or codes as `hashkit.pack` makes them.
        """

    def _fit(self, X: npt.NDArray[Any]) -> None:
        rng = self._rng()
        rows = gather_rows(X, sample_rows(len(X), self.max_rows, rng), normalize=self.normalize)
        self.learn(rows, rng)
        for name in self._learned():
            value = getattr(self, name)
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
                raise TypeError(f"learn must store arrays of numbers, got {name}: {describe(value)}")
        self._scores(rows[:1], np.ones(1, np.float32))  # a map that does not fit is refused now

    def _learned(self) -> list[str]:
        return sorted(name for name in vars(self) if name.endswith("_") and name not in _COMMON)

    def _get_state(self) -> dict[str, npt.NDArray[Any]]:
        return {name: getattr(self, name) for name in self._learned()}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], n_features: object) -> None:
        super()._set_state(arrays, n_features)
        for name, array in arrays.items():
            if not name.endswith("_") or not name.isidentifier() or name in _COMMON or name.startswith("_"):
                raise ValueError(f"{name} is no name of what a hasher learns")
            setattr(self, name, array)

    def _expected_arrays(self, arrays: Arrays) -> dict[str, Expected]:
        return {name: Expected(array.dtype, array.shape) for name, array in arrays.items()}

    def _scores(self, block: Float32, norms: Float32) -> Float32:
        out = np.empty((len(block), self.n_bits_), dtype=np.float32)
        for start in range(0, len(block), _ROWS_AT_ONCE):
            lengths = norms[start : start + _ROWS_AT_ONCE, None]
            rows = np.zeros((_ROWS_AT_ONCE, block.shape[1]), dtype=np.float32)
            rows[: len(lengths)] = block[start : start + _ROWS_AT_ONCE] / lengths
            out[start : start + _ROWS_AT_ONCE] = self._values(rows)[: len(lengths)] * lengths
        return out

    def _values(self, rows: Float32) -> Float32:
        """What `apply` gives, checked; a code's bits as -1 and 1."""
        found = self.apply(rows)
        n_bytes = -(-self.n_bits_ // 8)
        if isinstance(found, np.ndarray) and found.dtype == np.uint8 and found.shape == (len(rows), n_bytes):
            bits = np.unpackbits(found, axis=1, count=self.n_bits_)
            return 2 * bits.astype(np.float32) - 1
        shape = (len(rows), self.n_bits_)
        if not isinstance(found, np.ndarray) or found.dtype.kind != "f" or found.shape != shape:
            raise ValueError(
                f"apply must give floats of shape {shape} or packed uint8 of shape "
                f"{(len(rows), n_bytes)}, got {describe(found)}"
            )
        values: Float32 = found.astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("apply must give finite values")
        return values

    def _exact_scores(self, rows: Float32, norms: Float32, bits: npt.NDArray[np.int64]) -> Float64:
        raise AssertionError("no value of a map whose batches have one shape is doubtful")

    def _score_error(self, block: Float32, norms: Float32) -> Float32:
        return np.full((1, 1), -1, np.float32)  # no value is doubtful
