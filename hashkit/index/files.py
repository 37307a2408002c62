"""An index as a file: the arrays of a snapshot in one part, and its other properties, as settings.

Tables and cells go with it if they are asked for (:mod:`hashkit.index.stored`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_codes, check_n_bits
from hashkit.index import stored
from hashkit.index.ids import MAX_ID, is_ascending
from hashkit.index.snapshot import METRICS, Part, Snapshot
from hashkit.storage import FormatError, Path, TensorFile, write_tensors

KIND = "index"


def save(snapshot: Snapshot, path: Path, *, tables: bool = False) -> None:
    """Write a compact snapshot with its `tables` and cells. Ids that are row numbers are not written."""
    (part,) = snapshot.parts
    tensors: dict[str, NDArray[Any]] = {"codes": part.codes}
    if part.ids is not None:
        tensors["ids"] = part.ids
    settings = {
        "n_bits": snapshot.n_bits,
        "next_id": snapshot.next_id,
        "arrived_in_order": snapshot.arrived_in_order,
        "metric": snapshot.metric,
    }
    more, others = stored.to_store(part) if tables else ({}, {})
    write_tensors(path, KIND, {**tensors, **more}, {**settings, **others}, block_sums=bool(more))


def from_file(file: TensorFile) -> Snapshot:
    """Return the snapshot in `file`. Checks shapes and settings, but not the contents of the arrays."""
    ids = file.tensors.get("ids")
    next_id, arrived_in_order = file.settings.get("next_id"), file.settings.get("arrived_in_order")
    metric = file.settings.get("metric", "hamming")  # older files have no other
    try:
        n_bits = check_n_bits(file.settings.get("n_bits", 0))
        codes = check_codes(file.tensors.get("codes"), "codes")
    except (TypeError, ValueError) as error:
        raise FormatError(f"{file.path!r} holds no index: {error}") from None
    if codes.shape[1] != (n_bits + 7) // 8 or type(next_id) is not int or type(arrived_in_order) is not bool:
        raise FormatError(f"{file.path!r} holds no index: its settings do not fit")
    if ids is not None and (ids.dtype != np.int64 or ids.shape != (len(codes),)):
        raise FormatError(f"{file.path!r} holds no index: its ids do not fit")
    if metric not in METRICS:
        raise FormatError(f"{file.path!r} holds an index of an unknown metric: {metric!r}")
    return Snapshot(n_bits, (Part(codes, ids, None, len(codes)),), next_id, arrived_in_order, metric)


def verify(file: TensorFile, snapshot: Snapshot, *, everything: bool = False) -> None:
    """Check the contents of the arrays of `file`, which are those of `snapshot`.

    Of a mapped file that is codes and ids, if not `everything`: tables and cells are verified page by page as they are
    used.

    Raises
    ------
    FormatError
        If they are not what was saved, or not an index.
    """
    (part,) = snapshot.parts
    partly = file.is_mapped and not everything
    file.verify([name for name in ("codes", "ids") if name in file.tensors] if partly else None)
    last_id = len(part.codes) - 1 if part.ids is None else int(part.ids[-1]) if len(part.ids) else -1
    if (part.ids is not None and not is_ascending(part.ids)) or not last_id < snapshot.next_id <= MAX_ID + 1:
        raise FormatError(f"{file.path!r} holds no index: its ids are not in order")
    try:
        check_codes(part.codes, "codes", snapshot.n_bits)
    except ValueError as error:
        raise FormatError(f"{file.path!r} holds no index: {error}") from None
    if not partly:
        stored.check_contents(file, part)
