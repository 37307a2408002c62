"""Scores in float64, whose signs are the codes, and codes of single rows by a file's map without scikit-learn.

Importing scikit-learn takes a second, which a command that encodes one row does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hashkit import storage
from hashkit.hashers.arrays import FILE_KIND, Arrays
from hashkit.hashers.features import Float32, Float64, rows_and_norms, to_float32

# Classes whose maps are those below; any other hasher is loaded whole.
_KNOWN = {"BiHalf", "GreedyHash", "ITQ", "PCASign", "RandomHyperplanes", "RankMatching", "UDHPL"}


class Layers(NamedTuple):
    """The arrays of a :class:`~hashkit.hashers.network.NetworkHasher`, without the last underscores."""

    weights: npt.NDArray[Any]
    offsets: npt.NDArray[Any]
    hidden_weights: npt.NDArray[Any]
    hidden_offsets: npt.NDArray[Any]
    output_weights: npt.NDArray[Any]
    output_offsets: npt.NDArray[Any]


def linear_scores(
    weights: Float32, offsets: Float32, rows: Float32, norms: Float32, bits: npt.NDArray[np.int64]
) -> Float64:
    """One score of a linear map per row, that of the bit beside it, times the row's norm; shape (n_rows,)."""
    # A sum along contiguous rows adds each row in an order of its own length only.
    products = rows.astype(np.float64) * weights.T[bits]
    values: Float64 = products.sum(axis=1) - norms.astype(np.float64) * offsets[bits]
    return values


def network_scores(layers: Layers, rows: Float32, norms: Float32) -> Float64:
    """All scores of a network, times the norms of the rows; row by row, as products of one row have one shape."""
    weights, hidden_weights, output_weights = (
        layer.astype(np.float64) for layer in (layers.weights, layers.hidden_weights, layers.output_weights)
    )
    out = np.empty((len(rows), output_weights.shape[1]))
    for i, (row, norm) in enumerate(zip(rows.astype(np.float64), norms.astype(np.float64), strict=True)):
        values = row @ weights / norm - layers.offsets
        hidden = np.maximum(values @ hidden_weights + layers.hidden_offsets, 0)
        out[i] = norm * (hidden @ output_weights + layers.output_offsets)
    return out


def load_encoder(path: str | PathLike[str]) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.uint8]]:
    """What encodes a few rows by the map in a hasher's file, with the codes that the hasher itself gives.

    Parameters
    ----------
    path : path

    Returns
    -------
    encode : function
        From finite rows of shape (n_rows, n_features) to codes of shape (n_rows, n_bytes). It computes in float64: for
        many rows `hashkit.load` is much faster.

    Raises
    ------
    hashkit.storage.FormatError
        As `hashkit.load`, which is also what reads files that are not quite as they should be.
    """
    arrays, settings = storage.read_tensors(path, FILE_KIND)
    parameters = settings.get("parameters")
    if settings.get("method") not in _KNOWN or not isinstance(parameters, dict) or not _are_layers(arrays, settings):
        from hashkit.hashers import load

        whole: Callable[[npt.NDArray[Any]], npt.NDArray[np.uint8]] = load(path).encode
        return whole
    is_normalized = parameters.get("normalize") is True

    def encode(rows: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        if is_normalized:
            block, norms = rows_and_norms(rows, range(len(rows)))
        else:
            block, norms = to_float32(rows, range(len(rows))), np.ones(len(rows), np.float32)
        return np.packbits(_scores(arrays, block, norms) > 0, axis=1)

    return encode


def _scores(arrays: Arrays, block: Float32, norms: Float32) -> Float64:
    if _is_deep(arrays):
        return network_scores(Layers(*(arrays[f"{name}_"] for name in Layers._fields)), block, norms)
    weights, offsets = arrays["weights_"], arrays["offsets_"]
    bits = np.arange(len(offsets))
    values = [
        linear_scores(weights, offsets, np.broadcast_to(row, (len(bits), len(row))), np.full(len(bits), norm), bits)
        for row, norm in zip(block, norms, strict=True)
    ]
    return np.array(values, np.float64).reshape(len(block), len(bits))


def _is_deep(arrays: Arrays) -> bool:
    return "hidden_weights_" in arrays and arrays["hidden_weights_"].size > 0


def _are_layers(arrays: Arrays, settings: dict[str, Any]) -> bool:
    """Whether the arrays of a file fit each other."""
    names = [f"{name}_" for name in Layers._fields] if _is_deep(arrays) else ["weights_", "offsets_"]
    if any(name not in arrays or arrays[name].dtype != np.float32 for name in names):
        return False
    if not all(np.isfinite(arrays[name]).all() for name in names):
        return False
    size: object = settings.get("n_features")
    for weights, offsets in zip(names[::2], names[1::2], strict=True):
        if arrays[weights].shape != (size, arrays[offsets].size) or arrays[offsets].ndim != 1:
            return False
        size = arrays[offsets].size
    return bool(size == settings["parameters"].get("n_bits"))
