"""Which stored items are relevant to which query, in blocks that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_codes, describe, refuse_mask
from hashkit.codes import hamming_distances

# Pairs of a query and an item that are held at once: 2 bytes for a distance and a few for flags.
PAIRS_PER_BLOCK = 1 << 23


@dataclass(frozen=True, eq=False)
class JudgedBlock:
    """Some queries against all codes.

    Attributes
    ----------
    distances : uint16 array of shape (n_queries, n_codes)
    relevant : uint8 array of shape (n_queries, n_codes), 0 or 1
    n_bits : int
        No distance is larger.
    """

    distances: NDArray[np.uint16]
    relevant: NDArray[np.uint8]
    n_bits: int

    @property
    def n_relevant(self) -> NDArray[np.int64]:
        return np.asarray(self.relevant.sum(axis=1, dtype=np.int64))


def row_blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Cut the rows of a wide matrix into blocks of about ``PAIRS_PER_BLOCK`` elements."""
    step = max(1, PAIRS_PER_BLOCK // max(1, n_columns))
    return (slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step))


def judged_blocks(
    queries: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    query_labels: NDArray[np.generic],
    labels: NDArray[np.generic],
) -> Iterator[JudgedBlock]:
    """Check everything at once, then yield judged blocks one at a time."""
    check_code_pair(queries, codes)
    check_labels(query_labels, labels)
    check_length(query_labels, "query_labels", queries, "queries")
    check_length(labels, "labels", codes, "codes")
    return _judge(queries, codes, query_labels, labels)


def _judge(
    queries: NDArray[np.uint8],
    codes: NDArray[np.uint8],
    query_labels: NDArray[np.generic],
    labels: NDArray[np.generic],
) -> Iterator[JudgedBlock]:
    for rows in row_blocks(len(queries), len(codes)):
        distances = hamming_distances(queries[rows], codes)
        yield JudgedBlock(distances, same_label(query_labels[rows], labels), 8 * codes.shape[1])


def same_label(query_labels: NDArray[np.generic], labels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Say which pairs share their label, or at least one of their labels: uint8 of shape (n_queries, n_items)."""
    if labels.ndim == 1:
        return np.asarray(query_labels[:, None] == labels).view(np.uint8)
    n_shared = query_labels.astype(np.float32) @ labels.astype(np.float32).T
    return np.asarray(n_shared > 0).view(np.uint8)


def check_code_pair(queries: NDArray[np.uint8], codes: NDArray[np.uint8]) -> None:
    check_codes(queries, "queries")
    check_codes(codes, "codes")
    if queries.ndim != 2 or queries.shape[1] != codes.shape[1]:
        raise ValueError(
            f"queries must have shape (n_queries, {codes.shape[1]}), as many bytes as codes, got {describe(queries)}"
        )


def check_labels(query_labels: NDArray[np.generic], labels: NDArray[np.generic]) -> None:
    """Refuse what is neither one label per row nor one bool per row and label."""
    for array, name in ((query_labels, "query_labels"), (labels, "labels")):
        refuse_mask(array, name)
        one = isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype.kind in "biuSU"
        several = isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype == np.bool_
        if not one and not several:
            raise TypeError(
                f"{name} must be an array of integers or strings of shape (n,), or of bool of shape (n, n_labels), "
                f"got {describe(array)}"
            )
    texts = [array.dtype.kind in "SU" for array in (query_labels, labels)]
    if query_labels.shape[1:] != labels.shape[1:] or texts[0] != texts[1]:
        raise ValueError(f"query_labels and labels must be alike, got {describe(query_labels)} and {describe(labels)}")


def check_length(array: NDArray[np.generic], name: str, other: NDArray[np.generic], other_name: str) -> None:
    if len(array) != len(other):
        raise ValueError(f"{name} must have one row for each of {other_name}' {len(other)}, got {describe(array)}")
