"""Hashers that encode by a network: a linear map, and on top of it one hidden layer where it helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hashkit.extras import require
from hashkit.hashers.arrays import Arrays, Expected, length_of
from hashkit.hashers.encoding import Layers, network_scores
from hashkit.hashers.features import Float32, Float64
from hashkit.hashers.linear import LinearHasher

if TYPE_CHECKING:
    from hashkit.networks.modules import HashNetwork

# Rows per matrix product, always the same number: on most processors a product then adds the values of each row in one
# order, wherever the row is. OpenBLAS's products for AVX2 have two orders, by the place of the row; there the signs
# depend on the row alone because of the margin below. With 128 the products take 1.02 times as long as with all rows at
# once, with 64 1.16 times; a single row costs as much as 128.
_ROWS_AT_ONCE = 128

# Rows on which the error of float32 is measured, and how many times the largest one seen is taken to be possible.
# Values this close to zero are computed again in float64, so that another library or processor gives their signs too.
_CALIBRATION_ROWS = 256
_SAFETY = 16


class NetworkHasher(LinearHasher):
    """
    project(x) = relu(v @ hidden_weights_ + hidden_offsets_) @ output_weights_ + output_offsets_, where
    v = u @ weights_ - offsets_ and u is the row x, of length 1 if `normalize`; without hidden units project(x) = v.

    Encoding is numpy's work: torch is needed to learn, not to encode.

    Attributes
    ----------
    weights_, offsets_ : float32 arrays of shape (n_features, n_inputs) and (n_inputs,)
    hidden_weights_, hidden_offsets_ : float32 arrays of shape (n_inputs, n_hidden) and (n_hidden,)
    output_weights_, output_offsets_ : float32 arrays of shape (n_hidden, n_bits) and (n_bits,)
    rounding_ : float32 array of shape (n_bits + 1,)
        Outputs this close to zero are computed again in float64, for the same signs on other machines; last the length
        of the longest row it was found on.
    """

    hidden_weights_: Float32
    hidden_offsets_: Float32
    output_weights_: Float32
    output_offsets_: Float32
    rounding_: Float32

    _state: tuple[str, ...] = (
        "weights_",
        "offsets_",
        "hidden_weights_",
        "hidden_offsets_",
        "output_weights_",
        "output_offsets_",
        "rounding_",
    )

    @property
    def network_(self) -> HashNetwork:
        """The map as a torch module from features to projections, a copy to build on."""
        require("torch", "network_", "learn")
        from hashkit.networks.modules import HashNetwork

        layers = [(self.weights_, -self.offsets_)]
        if self._is_deep:
            layers.append((self.hidden_weights_, self.hidden_offsets_))
            layers.append((self.output_weights_, self.output_offsets_))
        return HashNetwork(layers, normalize=self.normalize_).eval()

    def _expected_arrays(self, arrays: Arrays) -> dict[str, Expected]:
        # Each layer has as many inputs as the one before has outputs; without hidden units the first one gives bits.
        n_hidden = length_of(arrays, "hidden_offsets_")
        n_inputs = length_of(arrays, "offsets_") if n_hidden else self.n_bits_
        n_in, n_out = (n_inputs, self.n_bits_) if n_hidden else (0, 0)
        return {
            "weights_": Expected(np.float32, (self.n_features_in_, n_inputs)),
            "offsets_": Expected(np.float32, (n_inputs,)),
            "hidden_weights_": Expected(np.float32, (n_in, n_hidden)),
            "hidden_offsets_": Expected(np.float32, (n_hidden,)),
            "output_weights_": Expected(np.float32, (n_hidden, n_out)),
            "output_offsets_": Expected(np.float32, (n_out,)),
            "rounding_": Expected(np.float32, (self.n_bits_ + 1,), least=0),
        }

    @property
    def _is_deep(self) -> bool:
        return self.hidden_weights_.size > 0

    def _set_layers(self, layers: list[tuple[Float32, Float32]], sample: Float32) -> None:
        """
        Store the hidden and the output layer, none for a linear map, and how far rounding takes their outputs.

        Parameters
        ----------
        layers : list of (weights, offsets)
        sample : float32 array of shape (n_rows, n_features)
            Rows, of length 1 if `normalize`, on which float32 is compared with float64.
        """
        empty = (np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.float32))
        hidden, output = layers or (empty, empty)
        self.hidden_weights_, self.hidden_offsets_ = hidden
        self.output_weights_, self.output_offsets_ = output
        self.rounding_ = np.zeros(self.n_bits_ + 1, dtype=np.float32)
        if layers:
            rows = sample[:: max(1, len(sample) // _CALIBRATION_ROWS)]
            ones = np.ones(len(rows), dtype=np.float32)
            exact = self._exact_rows(rows, ones)
            error = np.maximum(np.abs(self._scores(rows, ones) - exact), 2.0**-24 * np.abs(exact)).max(axis=0)
            self.rounding_[:-1] = _SAFETY * error
            self.rounding_[-1] = np.linalg.norm(rows, axis=1).max() or 1

    def _scores(self, block: Float32, norms: Float32) -> Float32:
        if not self._is_deep:
            return super()._scores(block, norms)
        out = np.empty((len(block), self.n_bits_), dtype=np.float32)
        for start in range(0, len(block), _ROWS_AT_ONCE):
            rows, lengths = block[start : start + _ROWS_AT_ONCE], norms[start : start + _ROWS_AT_ONCE]
            n_rows = len(rows)
            if n_rows < _ROWS_AT_ONCE:
                rows = np.concatenate([rows, np.zeros((_ROWS_AT_ONCE - n_rows, rows.shape[1]), dtype=np.float32)])
                lengths = np.concatenate([lengths, np.ones(_ROWS_AT_ONCE - n_rows, dtype=np.float32)])
            out[start : start + n_rows] = self._layers(rows, lengths)[:n_rows]
        return out

    def _layers(self, rows: Float32, norms: Float32) -> Float32:
        values = super()._scores(rows, norms)
        values /= norms[:, None]
        hidden: Float32 = values @ self.hidden_weights_
        hidden += self.hidden_offsets_
        np.maximum(hidden, 0, out=hidden)
        outputs: Float32 = hidden @ self.output_weights_
        outputs += self.output_offsets_
        outputs *= norms[:, None]
        return outputs

    def _exact_scores(self, rows: Float32, norms: Float32, bits: npt.NDArray[np.int64]) -> Float64:
        if not self._is_deep:
            return super()._exact_scores(rows, norms, bits)
        # A row stands here once for each of its doubtful bits, one after another.
        firsts = np.flatnonzero(np.r_[True, (rows[1:] != rows[:-1]).any(axis=1)])
        exact = self._exact_rows(rows[firsts], norms[firsts])
        repeats = np.diff(np.r_[firsts, len(rows)])
        values: Float64 = np.repeat(exact, repeats, axis=0)[np.arange(len(rows)), bits]
        return values

    def _exact_rows(self, rows: Float32, norms: Float32) -> Float64:
        """Scores in float64."""
        layers = Layers(*(getattr(self, f"{name}_") for name in Layers._fields))
        return network_scores(layers, rows, norms)

    def _score_error(self, block: Float32, norms: Float32) -> Float32:
        if not self._is_deep:
            return super()._score_error(block, norms)
        if self.normalize_:
            return norms[:, None] * self.rounding_[:-1]
        lengths: Float32 = np.maximum(np.linalg.norm(block, axis=1) / self.rounding_[-1], np.float32(1))
        return lengths[:, None] * self.rounding_[:-1]
