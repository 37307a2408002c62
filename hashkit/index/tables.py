"""Decides which parts of a snapshot get tables for multi-index hashing, and makes them.

Tables are made where an index is built, loaded or changed, never in a query. They go with the codes of a part from
snapshot to snapshot; what is removed from the part is passed over when they are searched. They are saved where that is
asked for, which makes a file several times as large (:mod:`hashkit.index.stored`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hashkit import _native
from hashkit.checks import check_choice, describe
from hashkit.index.bounds import bounds_of, can_have_bounds
from hashkit.index.cells import can_have_cells, cells_of
from hashkit.index.snapshot import Derived, Part, Snapshot

METHODS = ("auto", "scan", "mih", "cells")
DESCRIBED = ("cells", "bounds")
LEAST_CODES = 2**15
"""A scan of this many codes takes a few microseconds, so tables for fewer gain nothing."""
MOST_CODES = 2**32 - 1
"""Tables store row numbers in 32 bits."""
MOST_BITS = 512
"""With longer codes, neighbors are seldom near enough for tables, whose memory grows with the square of the length."""


@dataclass(frozen=True)
class TablePolicy:
    """Which parts get tables.

    Attributes
    ----------
    method : {"auto", "scan", "mih", "cells"}
        Parts that are large enough and have codes short enough, none, all, or none but cells and bounds.
    compact : bool
        Keep only row numbers in the tables, not the codes beside them.
    """

    method: str = "auto"
    compact: bool = False

    def __post_init__(self) -> None:
        check_choice(self.method, "method", METHODS)
        if not isinstance(self.compact, bool):
            raise TypeError(f"compact must be a bool, got {describe(self.compact)}")

    def applies_to(self, part: Part, n_bits: int) -> bool:
        """Whether a part should have tables."""
        if self.method == "auto":
            return LEAST_CODES <= len(part.codes) <= MOST_CODES and n_bits <= MOST_BITS
        return self.method == "mih" and len(part.codes) > 0


def make_tables(snapshot: Snapshot, policy: TablePolicy, n_threads: int) -> Snapshot:
    """Return the snapshot with tables in every part that the policy covers."""
    if snapshot.metric == "hamming":
        for part in snapshot.parts:
            if part.tables is None and policy.applies_to(part, snapshot.n_bits):
                tables = _native.build_tables(part.codes, snapshot.n_bits, policy.compact, n_threads)
                part.derived["tables"] = tables
            if policy.method == "cells" and can_have_cells(part, snapshot.n_bits):
                cells_of(part, snapshot.n_bits, policy.compact, n_threads)
                if can_have_bounds(part, snapshot.n_bits, policy.compact):
                    bounds_of(part, snapshot.n_bits, n_threads)
    return snapshot


def lack_tables(snapshot: Snapshot, policy: TablePolicy) -> bool:
    """Whether :func:`make_tables` would make any tables."""
    return snapshot.metric == "hamming" and any(
        (part.tables is None and policy.applies_to(part, snapshot.n_bits))
        or (policy.method == "cells" and "cells" not in part.derived and can_have_cells(part, snapshot.n_bits))
        or (
            policy.method == "cells"
            and "bounds" not in part.derived
            and can_have_bounds(part, snapshot.n_bits, policy.compact)
        )
        for part in snapshot.parts
    )


def with_tables(snapshot: Snapshot, policy: TablePolicy, n_threads: int) -> Snapshot:
    """Return a copy of `snapshot` with the tables of the policy, where ``"scan"`` counts as ``"auto"``."""
    parts = tuple(replace(part, derived=Derived(part.derived)) for part in snapshot.parts)
    if policy.method == "scan":
        policy = replace(policy, method="auto")
    return make_tables(replace(snapshot, parts=parts), policy, n_threads)


def describe_parts(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Describe how each part is searched."""
    return [
        {
            "n_codes": len(part.codes),
            "n_removed": len(part.codes) - part.n_live,
            "method": _method(part),
            **({} if part.tables is None else {**_native.describe_tables(part.tables), **_source(part, "tables")}),
            **{kind: part.derived[kind].describe() | _source(part, kind) for kind in DESCRIBED if kind in part.derived},
        }
        for part in snapshot.parts
    ]


def _method(part: Part) -> str:
    if part.tables is not None:
        return "mih"
    return "cells" if "bounds" in part.derived and part.derived["bounds"].pay else "scan"


def _source(part: Part, kind: str) -> dict[str, str]:
    """Return where the tables, cells or bounds of a part come from."""
    return {"source": part.derived.get(f"source of {kind}", "built")}
