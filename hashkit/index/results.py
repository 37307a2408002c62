"""The results of searches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, repr=False)
class RadiusResult:
    """The codes within a radius of each query, a different number for each.

    Attributes
    ----------
    offsets : int64 array of shape (n_queries + 1,)
        What was found for query i stands at ``[offsets[i], offsets[i + 1])`` in the other two.
    distances : int32 or float64 array of shape (n_found,)
        Hamming distances, or Jaccard distances as float64, for each query ascending.
    ids : int64 array of shape (n_found,)
        Ids in the order of the distances; among equal distances ascending.
    """

    offsets: NDArray[np.int64]
    distances: NDArray[Any]
    ids: NDArray[np.int64]

    def __len__(self) -> int:
        """The number of queries."""
        return len(self.offsets) - 1

    def __getitem__(self, query: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return ``(distances, ids)`` of one query; negative numbers count from the last."""
        if not -len(self) <= query < len(self):
            raise IndexError(f"query must be between {-len(self)} and {len(self) - 1}, got {query}")
        start, stop = self.offsets[query % len(self)], self.offsets[query % len(self) + 1]
        return self.distances[start:stop], self.ids[start:stop]

    def __iter__(self) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
        """Yield ``(distances, ids)`` of each query."""
        return (self[query] for query in range(len(self)))

    def __repr__(self) -> str:
        return f"<hashkit.RadiusResult of {len(self):,} queries: {len(self.ids):,} codes>"

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of codes found for each query, shape (n_queries,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True, eq=False, repr=False)
class QueryStats:
    """Work done for each query of a search. The counts are reproducible; printing shows a summary.

    Attributes
    ----------
    probes : int64 array of shape (n_queries,)
        Keys that were looked up in tables; cells that were read, at a recall below 1 or by bounds.
    candidates : int64 array of shape (n_queries,)
        Codes from tables or cells that were compared with the query, not counting those of a scan.
    radius : int64 array of shape (n_queries,)
        Every code within this distance was a candidate; -1 where no table was probed.
    scanned : bool array of shape (n_queries,)
        Whether the search, or that of a part of the codes, was done or finished by scanning.
    exact : bool array of shape (n_queries,)
        Whether the answer is proven to be exact; False only where the search was cut short on request, or read cells.
    """

    probes: NDArray[np.int64]
    candidates: NDArray[np.int64]
    radius: NDArray[np.int64]
    scanned: NDArray[np.bool_]
    exact: NDArray[np.bool_]

    def __repr__(self) -> str:
        n_queries = len(self.probes)
        lines = [f"<QueryStats of {n_queries:,} queries"]
        if n_queries:
            for name in ("probes", "candidates", "radius"):
                counts = getattr(self, name)
                lines.append(f"{name}: {counts.min():,} to {counts.max():,}, mean {counts.mean():,.1f}")
            lines += [f"{name}: {np.count_nonzero(getattr(self, name)):,}" for name in ("scanned", "exact")]
        return "; ".join(lines) + ">"

    @classmethod
    def of_parts(cls, counts: list[NDArray[np.int64] | None], n_queries: int) -> QueryStats:
        """Combine the counts of several parts of an index; None stands for a scan."""
        by_part = np.empty((len(counts), n_queries, 5), np.int64)
        for number, of_part in enumerate(counts):
            by_part[number] = [0, 0, -1, True, True] if of_part is None else of_part
        return cls(
            probes=by_part[:, :, 0].sum(axis=0),
            candidates=by_part[:, :, 1].sum(axis=0),
            radius=by_part[:, :, 2].max(axis=0, initial=-1),
            scanned=by_part[:, :, 3].max(axis=0, initial=0) > 0,
            exact=by_part[:, :, 4].min(axis=0, initial=1) > 0,
        )


def others_than(own: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Select, of the rows found for each row of a collection, all but that row itself: one less than were found.

    A row is among its own nearest, unless many have its code. Where it is not found, the last one is left out.

    Parameters
    ----------
    own : int64 array of shape (n_rows,)
    found : int64 array of shape (n_rows, k + 1)

    Returns
    -------
    bool array of shape (n_rows, k + 1)
        True at k places of each row.
    """
    are_others: NDArray[np.bool_] = found != own[:, None]
    are_others[are_others.all(axis=1), -1] = False
    return are_others
