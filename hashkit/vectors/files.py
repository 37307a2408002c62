"""A vector index as a file: codes, factors, vectors, and all that was learned, so that nothing can be mixed up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_n_bits, check_n_threads
from hashkit.index import Index
from hashkit.storage import FormatError, TensorFile
from hashkit.vectors import cells
from hashkit.vectors.calibration import Recall
from hashkit.vectors.encoding import LEAST_ROTATED, ROUNDS, Encoder
from hashkit.vectors.funnel import FIRST_STAGES, Plan
from hashkit.vectors.rescoring import METRICS
from hashkit.vectors.rows import TYPES, Vectors
from hashkit.vectors.store import Segment, Store

KIND = "vectors"
LEARNED = ("center", "signs", "weights", "offsets")
"""What an encoder is made of: signs, or weights with offsets."""


def to_tensors(
    encoder: Encoder, store: Store, index: Index, next_id: int, plan: Plan, recall: Recall | None, keep: str
) -> tuple[Any, Any]:
    """Arrays and settings of a compacted store, and of the cells of its codes."""
    (segment,) = store.segments
    tensors = {**learned(encoder), "codes": segment.codes, "factors": segment.factors}
    vectors = segment.vectors
    if store.ids is not None:
        tensors["ids"] = store.ids
    if vectors is not None:
        tensors["vectors"] = vectors.data
        for name, scales in (("row_scales", vectors.row_scales), ("column_scales", vectors.column_scales)):
            if scales is not None:
                tensors[name] = scales
    settings = {
        "n_bits": encoder.n_bits,
        "metric": encoder.metric,
        "keep": keep,
        "next_id": next_id,
        "type": None if vectors is None else vectors.type,
        "plan": plan.to_settings(),
        "recall": None if recall is None else recall.to_settings(),
    }
    more, others = cells.to_store(index, plan, check_n_threads(None))
    return {**tensors, **more}, {**settings, **others}


def learned(encoder: Encoder) -> dict[str, NDArray[Any]]:
    """The arrays that an encoder is made of."""
    found = {name: getattr(encoder, name) for name in LEARNED}
    return {name: array for name, array in found.items() if array is not None}


def from_file(file: TensorFile) -> tuple[Encoder, Store, int, Plan, Recall | None, str]:
    """What :func:`to_tensors` wrote, after checking that all of it fits together.

    Raises
    ------
    FormatError
        If the file is no vector index.
    """
    tensors, settings = file.tensors, file.settings
    try:
        file.verify([name for name in LEARNED if name in tensors])
        encoder = encoder_of(tensors, settings)
        segment = _segment(file, encoder)
        plan = Plan(**settings["plan"])
        recall = None if settings["recall"] is None else Recall(**settings["recall"])
        if type(settings["next_id"]) is not int or not -(2**63) <= settings["next_id"] <= 2**63:
            raise ValueError("its next id is none")
        numbers = (plan.n_candidates, plan.n_rescored)
        if plan.first not in FIRST_STAGES or not all(type(n) is int and 0 <= n < 2**31 for n in numbers):
            raise ValueError("its plan does not fit")
        if type(plan.code_recall) is not float or not 0 < plan.code_recall <= 1:
            raise ValueError("its plan does not fit")
        for number in (plan.slack, plan.mean_rescored):
            if number is not None and not (type(number) is float and 0 <= number < np.inf):
                raise ValueError("its plan does not fit")
        return encoder, Store((segment,), tensors.get("ids")), settings["next_id"], plan, recall, str(settings["keep"])
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{file.path!r} holds no vector index: {error}") from error


def encoder_of(tensors: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Encoder:
    """The encoder of arrays and settings; a ValueError says what does not fit."""
    center, signs, weights, offsets = (tensors.get(name) for name in LEARNED)
    n_bits, metric = check_n_bits(settings["n_bits"]), settings["metric"]
    if metric not in METRICS:
        raise ValueError(f"its metric is {metric!r}")
    if center is None or center.ndim != 1 or (signs is None) == (weights is None or offsets is None):
        raise ValueError("what was learned is not complete")
    for floats in (center, weights, offsets):
        if floats is not None and (floats.dtype != np.float32 or not np.isfinite(floats).all()):
            raise ValueError("what was learned is not finite float32")
    shapes = {"signs": (ROUNDS, -(-n_bits // 8)), "weights": (len(center), n_bits), "offsets": (n_bits,)}
    if any(name in tensors and tensors[name].shape != shape for name, shape in shapes.items()):
        raise ValueError(f"what was learned does not fit {n_bits} bits")
    if signs is not None and (signs.dtype != np.uint8 or n_bits < max(LEAST_ROTATED, len(center))):
        raise ValueError(f"what was learned does not fit {n_bits} bits")
    return Encoder(n_bits, center, metric, signs, weights, offsets)


def _segment(file: TensorFile, encoder: Encoder) -> Segment:
    tensors, codes = file.tensors, file.tensors["codes"]
    if codes.dtype != np.uint8 or codes.shape != (len(codes), -(-encoder.n_bits // 8)):
        raise ValueError(f"its codes do not have {encoder.n_bits} bits")
    if tensors["factors"].dtype != np.float32 or tensors["factors"].shape != (len(codes), 2):
        raise ValueError("its factors do not fit its codes")
    ids = tensors.get("ids")
    if ids is not None and (ids.dtype != np.int64 or ids.shape != (len(codes),)):
        raise ValueError("its ids do not fit its codes")
    return Segment(0, codes, tensors["factors"], _vectors(file, len(codes), encoder.n_dims))


def _vectors(file: TensorFile, n_rows: int, n_dims: int) -> Vectors | None:
    tensors, kind = file.tensors, file.settings["type"]
    if kind is None:
        return None
    data, rows, columns = tensors["vectors"], tensors.get("row_scales"), tensors.get("column_scales")
    if kind not in TYPES or data.dtype != TYPES[kind] or data.shape != (n_rows, n_dims):
        raise ValueError("its vectors do not fit its codes")
    for scales, n in ((rows, n_rows), (columns, n_dims)):
        if scales is not None and (scales.dtype != np.float32 or scales.shape != (n,)):
            raise ValueError("its scales do not fit its vectors")
    return Vectors(data, kind, rows, columns, file.blocks)


def verify_codes(file: TensorFile) -> None:
    """Compare a mapped file with its checksums: all but vectors and cells whose pages have checksums of their own.

    Raises
    ------
    FormatError
        If something is not what was written.
    """
    later = () if file.blocks is None else ("vectors", "cells/")
    file.verify([name for name in file.tensors if not name.startswith(later)])
