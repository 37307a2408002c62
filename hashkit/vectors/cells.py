"""The cells of a large index of codes, by which it finds candidates without a scan (see :mod:`hashkit.index.cells`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.index import Index, stored
from hashkit.index.cells import search_rule
from hashkit.storage import TensorFile
from hashkit.vectors.funnel import Plan

MOST_SAMPLED_BYTES = 1 << 28
"""A search is calibrated with the candidates of 1,000 codes: no more than take so many bytes together."""


def most_candidates(index: Index) -> int:
    """How many candidates a search of cells can be calibrated for."""
    return MOST_SAMPLED_BYTES // (1000 * -(-index.n_bits // 8))


def work_of(index: Index, n_candidates: int, code_recall: float, n_threads: int) -> float | None:
    """What a search of cells reads, as a share of a scan's bytes; None where a scan is less work.

    The first call makes the cells of the index, and the first for these numbers calibrates the search.
    """
    found = search_rule(index._state.parts[0], index.n_bits, n_candidates, code_recall, False, n_threads)
    return None if found is None else found[1].work


def keep(index: Index, renamed: Index) -> None:
    """Give the cells of an index to another of the same codes, if their order is the same."""
    (part,), (other,) = index._state.parts, renamed._state.parts
    if other.codes is part.codes:
        other.derived.update(part.derived)


def to_store(index: Index, plan: Plan, n_threads: int) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and settings of the cells that the plan searches, made if need be; the index is compacted."""
    if plan.code_recall == 1:
        return {}, {}
    index.compact()
    work_of(index, plan.n_candidates, plan.code_recall, n_threads)
    return stored.to_store(index._state.parts[0])


def index_of(codes: NDArray[np.uint8], ids: NDArray[np.int64] | None, n_bits: int, file: TensorFile) -> Index:
    """The index of the codes in a file, with the cells that are there too.

    Raises
    ------
    hashkit.storage.FormatError
        If the cells are damaged, or not of these codes.
    """
    index = Index(codes, ids=ids, n_bits=n_bits, method="scan")
    stored.attach(file, index._state, method="scan", verify=file.is_mapped)
    if not file.is_mapped:
        stored.check_contents(file, index._state.parts[0])
    return index
