"""What a vector index says of itself: what it holds and costs, and what its stages lose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.vectors.calibration import HeldOut, Recall, ranks_of
from hashkit.vectors.encoding import Encoder
from hashkit.vectors.funnel import Plan, State, nearest_codes


def description(state: State, encoder: Encoder, plan: Plan, recall: Recall | None, keep: str) -> dict[str, Any]:
    """What :meth:`VectorIndex.describe` returns."""
    kept = state.store.segments[0].vectors
    by_codes = plan.first == "codes"
    row_bytes = 0 if kept is None else kept.data.itemsize * kept.n_dims + (4 if kept.row_scales is not None else 0)
    places = " in the nearest cells" if plan.code_recall < 1 else ""
    stages = [
        f"{plan.n_candidates} candidates by Hamming distance{places}" if by_codes else "estimates of all codes",
        "estimates" if kept is None else f"estimates choose {_in_words(plan)}",
    ]
    return {
        "n_vectors": len(state.index),
        "n_dims": encoder.n_dims,
        "n_bits": encoder.n_bits,
        "metric": encoder.metric,
        "keep": keep,
        "bytes_per_vector": {
            "codes": -(-encoder.n_bits // 8),
            "factors": 8,
            "cells": -(-state.index.describe()["memory"] // max(1, len(state.index))),
            "vectors": row_bytes,
        },
        "vectors_on_disk": kept is not None and not kept.data.flags.owndata and _is_mapped(kept.data),
        "stages": stages if kept is None else [*stages, f"{kept.type} vectors order them"],
        "n_candidates": plan.n_candidates if by_codes else None,
        "n_rescored": plan.n_rescored if kept is not None else 0,
        "recall": recall,
    }


def losses(state: State, plan: Plan, held_out: HeldOut, n_threads: int) -> dict[str, Any]:
    """What each stage loses of the true nearest."""
    k, n_rows = held_out.true.shape[1], len(state.index)
    kept = state.store.segments[0].vectors is not None
    read = held_out.estimates(state, plan, min(max(plan.n_rescored, k) if kept else k, n_rows), n_threads)[1]
    in_read = ranks_of(held_out.true, read) < read.shape[1]
    if plan.first == "codes":
        slots = nearest_codes(state, plan, held_out.prepared.codes, read.shape[1], None, n_threads)
        in_candidates = ranks_of(held_out.true, slots) < slots.shape[1]
    else:
        in_candidates = np.ones_like(in_read)
    found = held_out.found(state, plan, n_threads)
    return {
        "recall": Recall.of(found),
        "lost_to_candidates": float(1 - in_candidates.mean()),
        "lost_to_bits": float((in_candidates & ~in_read).mean()),
        "lost_to_vectors": float((in_read & ~found).mean()),
    }


def _in_words(plan: Plan) -> str:
    """How many vectors are read for a query."""
    if plan.slack is None or plan.mean_rescored is None:
        return str(plan.n_rescored)
    return f"at most {plan.n_rescored}, {plan.mean_rescored:.0f} on average,"


def _is_mapped(data: NDArray[Any]) -> bool:
    """Whether an array's memory is a file's."""
    base: Any = data
    while base is not None:
        if type(base).__name__ in ("mmap", "memmap"):
            return True
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return False
