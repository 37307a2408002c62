"""How a vector index is made: what is learned, how many bits, and how many candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hashkit.checks import MAX_BITS, Codes, check_int, check_number, describe
from hashkit.index import Index
from hashkit.progress import progress_bar
from hashkit.vectors.calibration import (
    LEAST_ROWS,
    N_QUERIES,
    N_UNTARGETED,
    HeldOut,
    Recall,
    choose_plan,
    cost_of_first,
)
from hashkit.vectors.encoding import Encoder, learn
from hashkit.vectors.exact import ExactNeighbors
from hashkit.vectors.funnel import Plan, State
from hashkit.vectors.rows import Float32, Vectors, as_queries, refuse_non_finite, rows_of_block
from hashkit.vectors.store import Ids, Segment, Store, kept_as

LEARNING_ROWS = 20_000
"""Rows that an encoder is learned from: a mean, and principal components where there are fewer bits than dimensions."""
MOST_RESCORED = 100
"""Vectors that are read for a query, at most, unless told otherwise."""
UNCALIBRATED, UNCALIBRATED_BITS = 1000, 3200
"""Candidates by Hamming distance where no recall was asked for; more where bits alone decide the order."""

KEEPS = ("as_came", "float16", "int8", "none")


@dataclass(frozen=True)
class Wish:
    """What was asked for, checked."""

    recall: float | None
    k: int
    metric: str
    n_bits: tuple[int, ...]
    keep: str
    most: int
    random_state: int
    n_threads: int
    progress: bool


def bits_to_try(n_bits: int | None, n_dims: int, keep: str) -> tuple[int, ...]:
    """Lengths of codes, the shortest first: half a bit a dimension, one, two and four."""
    if n_bits is not None:
        return (n_bits,)
    one = min(-(-n_dims // 8) * 8, MAX_BITS)
    if keep == "none":
        return (one,)
    choices = [max(8, -(-n_dims // 16) * 8), one, 2 * one, 4 * one]
    return tuple(dict.fromkeys(bits for bits in choices if bits <= MAX_BITS))


def check_recall(recall: Any) -> float | None:
    """A share between 0 and 1, both left out, or None."""
    if recall is None:
        return None
    if not 0 < check_number(recall, "recall", 0) < 1:
        raise ValueError(f"recall must be between 0 and 1, both left out, got {recall}; None measures without a target")
    return float(recall)


def fit(vectors: Vectors, wish: Wish, queries: Any = None) -> tuple[State, Encoder, Plan, Recall | None, Any]:
    """A state with the encoder and plan that reach the recall, the recall measured, and what was tried.

    Raises
    ------
    ValueError
        If there are too few rows, or if no number of bits that was tried reaches the recall; the message has the
        recalls reached.
    """
    rng = np.random.default_rng(wish.random_state)
    own = held_out_rows(vectors, wish, rng) if queries is None else None
    if own is None and queries is None:  # too few rows, and nothing asked for
        encoder = learn(sample_of(vectors, own, rng), wish.n_bits[0], wish.metric, wish.random_state)
        state = encoded(vectors, encoder, wish)
        return state, encoder, uncalibrated(state, wish), None, []
    asked = finite_rows(vectors, own) if own is not None else as_queries(queries, "queries", vectors.n_dims)[0]
    sample = sample_of(vectors, own, rng)
    return reach(
        wish.n_bits,
        lambda n_bits: learn(sample, n_bits, wish.metric, wish.random_state),
        lambda encoder, nearest: encoded(vectors, encoder, wish, nearest),
        vectors,
        asked,
        own,
        wish,
    )


def reach(
    choices: Iterable[int],
    make_encoder: Callable[[int], Encoder],
    encode: Callable[[Encoder, ExactNeighbors | None], State],
    vectors: Vectors,
    asked: Float32,
    own: Ids | None,
    wish: Wish,
) -> tuple[State, Encoder, Plan, Recall, list[tuple[int, Recall]]]:
    """The first of some numbers of bits that reaches the recall, as `fit` returns it.

    Parameters
    ----------
    choices : iterable of int
        Numbers of bits.
    make_encoder, encode : functions
        From a number of bits to an encoder, and from an encoder to a state. While they are encoded all vectors pass by
        the exact search, unless that is None because its result is known.
    asked : float32 array of shape (n_queries, n_dims)
    own : int64 array of shape (n_queries,), or None
        If the queries are rows of `vectors`: their numbers.
    """
    tried: list[tuple[int, Recall]] = []
    nearest, true = ExactNeighbors(asked, wish.k, wish.metric, own), None
    for n_bits in choices:
        encoder = make_encoder(n_bits)
        state = encode(encoder, nearest if true is None else None)
        true = nearest.rows(vectors, wish.n_threads) if true is None else true
        held_out = HeldOut(encoder.prepare(asked, wish.n_threads), true, own)
        plan = plan_of(state, held_out, wish)
        if plan is not None:
            recall = Recall.of(held_out.found(state, plan, wish.n_threads), wish.recall)
            return state, encoder, plan, recall, tried
        tried.append((n_bits, best_recall(state, held_out, wish)))
    raise ValueError(unreachable(wish, tried))


def plan_of(state: State, held_out: HeldOut, wish: Wish) -> Plan | None:
    """The cheapest plan that reaches the recall, or None."""
    if wish.recall is None:
        return uncalibrated(state, wish)
    kept = state.store.segments[0].vectors
    most = wish.k if kept is None else max(wish.most, wish.k)
    row_bytes = 0 if kept is None else kept.data.itemsize * kept.n_dims
    return choose_plan(state, held_out, wish.recall, most, row_bytes, wish.n_threads)


def uncalibrated(state: State, wish: Wish) -> Plan:
    """The plan where no recall was asked for."""
    n_candidates = UNCALIBRATED_BITS if wish.keep == "none" else UNCALIBRATED
    plans = Plan("codes", n_candidates, wish.most), Plan("estimates", 0, wish.most)
    return min(plans, key=lambda plan: cost_of_first(state.index, plan, wish.n_threads))


def best_recall(state: State, held_out: HeldOut, wish: Wish) -> Recall:
    """What all estimates reach, with as many vectors read as may be."""
    plan = Plan("estimates", 0, max(wish.most, wish.k))
    return Recall.of(held_out.found(state, plan, wish.n_threads))


def unreachable(wish: Wish, tried: list[tuple[int, Recall]]) -> str:
    """Why a recall cannot be met, and what can be."""
    found = ", ".join(f"{recall.mean:.3f} with {n_bits} bits" for n_bits, recall in tried)
    read = "from bits alone (keep='none')" if wish.keep == "none" else f"from {wish.most} vectors read a query"
    advice = {
        "none": "keep vectors, or lower the recall",
        "int8": "raise max_rescored or n_bits, keep float16, or lower the recall",
    }.get(wish.keep, "raise max_rescored or n_bits, or lower the recall")
    return f"recall of {wish.recall} cannot be met {read}: {found} were reached; {advice}"


def held_out_rows(vectors: Vectors, wish: Wish, rng: np.random.Generator) -> Ids | None:
    """Rows that measure recall; None if there are too few and no recall was asked for."""
    if len(vectors) < max(LEAST_ROWS, 4 * wish.k):
        if wish.recall is None:
            return None
        raise ValueError(
            f"vectors must have at least {max(LEAST_ROWS, 4 * wish.k)} rows to hold some out and state a recall, got "
            f"{len(vectors)}; recall=None makes an index without"
        )
    n_queries = min(N_UNTARGETED if wish.recall is None else N_QUERIES, len(vectors) // 10)
    return np.sort(rng.choice(len(vectors), n_queries, replace=False))


def sample_of(vectors: Vectors, own: Ids | None, rng: np.random.Generator) -> Float32:
    """Rows to learn from, none of them held out."""
    chosen = np.ones(len(vectors), np.bool_)
    if own is not None:
        chosen[own] = False
    rows = np.flatnonzero(chosen)
    if len(rows) > LEARNING_ROWS:
        rows = np.sort(rng.choice(rows, LEARNING_ROWS, replace=False))
    return finite_rows(vectors, rows)


def finite_rows(vectors: Vectors, rows: Ids) -> Float32:
    """Some rows as float32; a ValueError names one that is not finite."""
    vectors.check_rows(rows)
    found = vectors.to_float32(rows)
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        raise ValueError(f"vectors must be finite, row {rows[int(finite.argmin())]} is not")
    return found


def encoded(vectors: Vectors, encoder: Encoder, wish: Wish, nearest: ExactNeighbors | None = None) -> State:
    """All rows encoded, block by block, with row numbers as ids; they pass by `nearest` on the way."""
    codes = np.empty((len(vectors), -(-encoder.n_bits // 8)), np.uint8)
    factors = np.empty((len(vectors), 2), np.float32)
    parts: list[Vectors] = []
    with progress_bar(wish.progress, total=len(vectors), desc=f"encode {encoder.n_bits} bits") as bar:
        for chosen, own_codes, own_factors in encoded_blocks(vectors, encoder, wish.n_threads, nearest):
            codes[chosen], factors[chosen] = own_codes, own_factors
            if wish.keep in ("float16", "int8"):
                parts.append(kept_as(vectors.to_float32(chosen), wish.keep))
            bar.update(chosen.stop - chosen.start)
    kept = {"none": None, "as_came": vectors}.get(wish.keep) if wish.keep in ("none", "as_came") else _joined(parts)
    store = Store((Segment(0, codes, factors, kept),), None)
    return State(Index(codes, n_bits=encoder.n_bits, method="scan"), store, len(codes))


def encoded_blocks(
    vectors: Vectors, encoder: Encoder, n_threads: int, nearest: ExactNeighbors | None, start: int = 0
) -> Iterator[tuple[slice, Codes, Float32]]:
    """Slices of rows with their codes and factors; the rows pass by `nearest`, unless it is None."""
    step = rows_of_block(vectors.n_dims)
    room = None if nearest is None else np.empty((step, vectors.n_dims), np.float32)
    for first in range(start, len(vectors), step):
        last = min(first + step, len(vectors))
        units = None if room is None else room[: last - first]
        codes, factors = encoder.encode(vectors, first, last, n_threads, units)
        if nearest is not None and units is not None:
            nearest.add(first, units)
        yield slice(first, last), codes, factors


def _joined(parts: list[Vectors]) -> Vectors:
    scales = None if parts[0].row_scales is None else np.concatenate([part.row_scales for part in parts])
    return Vectors(np.concatenate([part.data for part in parts]), parts[0].type, scales)


def check_rows(vectors: Vectors, least: int) -> None:
    """Refuse fewer rows than needed."""
    if len(vectors) < least:
        raise ValueError(f"vectors must have at least {least} rows to learn from, got {len(vectors)}")


def check_new_rows(values: Any, n_dims: int, name: str) -> Float32:
    """Rows to add, as finite float32."""
    rows, single = as_queries(values, name, n_dims)
    if single:
        raise ValueError(f"{name} must have shape (n_rows, {n_dims}), got {describe(values)}")
    refuse_non_finite(rows, name, 0)
    return rows


def wish_of(
    vectors: Vectors,
    recall: Any,
    k: Any,
    metric: str,
    n_bits: int | None,
    keep: str,
    max_rescored: Any,
    random_state: Any,
    n_threads: int,
    progress: bool,
) -> Wish:
    """The arguments of :meth:`VectorIndex.fit`, checked."""
    bits = bits_to_try(n_bits, vectors.n_dims, keep)
    return Wish(
        check_recall(recall),
        check_int(k, "k", 1),
        metric,
        bits,
        keep,
        check_int(max_rescored, "max_rescored", 1),
        check_int(random_state, "random_state", 0),
        n_threads,
        progress,
    )
