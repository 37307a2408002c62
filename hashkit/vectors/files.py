"""A vector index as a file: codes, factors, vectors, and all that was learned, so that nothing can be mixed up."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_n_bits
from hashkit.storage import FormatError, TensorFile
from hashkit.vectors.calibration import Recall
from hashkit.vectors.encoding import Encoder
from hashkit.vectors.funnel import FIRST_STAGES, Plan
from hashkit.vectors.rescoring import METRICS
from hashkit.vectors.rows import TYPES, Vectors, as_bytes
from hashkit.vectors.store import Segment, Slots, Store

KIND = "vectors"
GUARDED_BYTES = 1 << 16
"""A mapped file's vectors are compared with their checksums in pieces of so many bytes, each when it is first read."""
LEARNT = ("weights", "offsets", "center")


def piece_checksums(vectors: Vectors) -> NDArray[np.uint32]:
    """CRC-32 of every piece of GUARDED_BYTES bytes."""
    flat = as_bytes(vectors.data).reshape(-1)
    return np.array(
        [zlib.crc32(flat[at : at + GUARDED_BYTES].data) for at in range(0, len(flat), GUARDED_BYTES)], np.uint32
    )


@dataclass(frozen=True, eq=False)
class GuardedVectors(Vectors):
    """Vectors of a mapped file, which may have been written to since."""

    path: str = ""
    checksums: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    verified: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    def check(self, rows: Slots) -> None:
        """Compare the pieces in which rows lie with their checksums, those that were not yet.

        Raises
        ------
        FormatError
            If a piece's bytes are not those that were written.
        """
        n_bytes = self.data.itemsize * self.n_dims
        pieces = [rows * n_bytes // GUARDED_BYTES, ((rows + 1) * n_bytes - 1) // GUARDED_BYTES]
        wanted = np.zeros(len(self.checksums), np.bool_)
        for number in pieces:
            wanted[number] = True
        flat = as_bytes(self.data).reshape(-1)
        for piece in np.flatnonzero(wanted & ~self.verified):
            at = int(piece) * GUARDED_BYTES
            if zlib.crc32(flat[at : at + GUARDED_BYTES].data) != self.checksums[piece]:
                first = at // n_bytes
                raise FormatError(f"{self.path!r} is damaged: its vectors from row {first} on are not what was saved")
            self.verified[piece] = True


def to_tensors(
    encoder: Encoder, store: Store, next_id: int, plan: Plan, recall: Recall | None, keep: str
) -> tuple[Any, Any]:
    """Arrays and settings of a compacted store."""
    (segment,) = store.segments
    tensors: dict[str, NDArray[Any]] = {
        "weights": encoder.hasher.weights_,
        "offsets": encoder.hasher.offsets_,
        "center": encoder.center,
        "codes": segment.codes,
        "factors": segment.factors,
    }
    vectors = segment.vectors
    if store.ids is not None:
        tensors["ids"] = store.ids
    if vectors is not None:
        tensors["vectors"] = vectors.data
        tensors["piece_checksums"] = piece_checksums(vectors)
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
    return tensors, settings


def from_file(file: TensorFile, guarded: bool) -> tuple[Encoder, Store, int, Plan, Recall | None, str]:
    """What :func:`to_tensors` wrote, after checking that all of it fits together.

    Raises
    ------
    FormatError
        If the file is no vector index.
    """
    tensors, settings = file.tensors, file.settings
    try:
        file.verify([name for name in LEARNT if name in tensors])
        encoder = encoder_of(tensors, settings)
        segment = _segment(file, encoder, guarded)
        plan = Plan(**settings["plan"])
        recall = None if settings["recall"] is None else Recall(**settings["recall"])
        if type(settings["next_id"]) is not int or not -(2**63) <= settings["next_id"] <= 2**63:
            raise ValueError("its next id is none")
        numbers = (plan.n_candidates, plan.n_rescored)
        if plan.first not in FIRST_STAGES or not all(type(n) is int and 0 <= n < 2**31 for n in numbers):
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
    from hashkit.hashers.linear import LinearHasher
    from hashkit.hashers.random_hyperplanes import RandomHyperplanes

    weights, offsets, center = (tensors[name] for name in LEARNT)
    n_bits, metric = check_n_bits(settings["n_bits"]), settings["metric"]
    if metric not in METRICS:
        raise ValueError(f"its metric is {metric!r}")
    if any(tensor.dtype != np.float32 or not np.isfinite(tensor).all() for tensor in (weights, offsets, center)):
        raise ValueError("what was learned is not finite float32")
    if weights.shape != (len(center), n_bits) or offsets.shape != (n_bits,) or center.ndim != 1:
        raise ValueError(f"what was learned does not fit {n_bits} bits")
    # Any linear map of these weights encodes alike; this one needs nothing else.
    hasher: LinearHasher = RandomHyperplanes(n_bits, normalize=metric == "cosine")
    hasher._set_state({"weights_": weights, "offsets_": offsets}, len(center))
    return Encoder(hasher, center, metric)


def _segment(file: TensorFile, encoder: Encoder, guarded: bool) -> Segment:
    tensors, codes = file.tensors, file.tensors["codes"]
    if codes.dtype != np.uint8 or codes.shape != (len(codes), -(-encoder.n_bits // 8)):
        raise ValueError(f"its codes do not have {encoder.n_bits} bits")
    if tensors["factors"].dtype != np.float32 or tensors["factors"].shape != (len(codes), 2):
        raise ValueError("its factors do not fit its codes")
    ids = tensors.get("ids")
    if ids is not None and (ids.dtype != np.int64 or ids.shape != (len(codes),)):
        raise ValueError("its ids do not fit its codes")
    return Segment(0, codes, tensors["factors"], _vectors(file, len(codes), encoder.n_dims, guarded))


def _vectors(file: TensorFile, n_rows: int, n_dims: int, guarded: bool) -> Vectors | None:
    tensors, kind = file.tensors, file.settings["type"]
    if kind is None:
        return None
    data, rows, columns = tensors["vectors"], tensors.get("row_scales"), tensors.get("column_scales")
    if kind not in TYPES or data.dtype != TYPES[kind] or data.shape != (n_rows, n_dims):
        raise ValueError("its vectors do not fit its codes")
    for scales, n in ((rows, n_rows), (columns, n_dims)):
        if scales is not None and (scales.dtype != np.float32 or scales.shape != (n,)):
            raise ValueError("its scales do not fit its vectors")
    if not guarded:
        return Vectors(data, kind, rows, columns)
    checksums = tensors["piece_checksums"]
    if checksums.dtype != np.uint32 or checksums.shape != (-(-data.nbytes // GUARDED_BYTES),):
        raise ValueError("its checksums do not fit its vectors")
    file.verify(["piece_checksums"])
    return GuardedVectors(data, kind, rows, columns, file.path, checksums, np.zeros(len(checksums), np.bool_))
