"""What is kept of vectors beside an index: codes with factors, the vectors themselves, and the id of every row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import Codes
from hashkit.vectors.encoding import PreparedQueries
from hashkit.vectors.rescoring import rescore_rows
from hashkit.vectors.rows import Float32, Vectors

Slots = NDArray[np.int64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Segment:
    """Rows that came together: slots [start, start + len) of a store. Never changed; rows may be appended behind."""

    start: int
    codes: Codes
    factors: Float32
    vectors: Vectors | None

    def __len__(self) -> int:
        return len(self.codes)

    def local(self, slots: Slots) -> Slots:
        """Row numbers here; -1 for the slots of other segments."""
        rows = slots - self.start
        return np.where((rows >= 0) & (rows < len(self)), rows, -1)

    def slots(self, rows: Slots) -> Slots:
        """The slots of row numbers here; -1 for -1."""
        return rows if self.start == 0 else np.where(rows < 0, -1, rows + self.start)


@dataclass(frozen=True, eq=False)
class Store:
    """Every row that was ever given, by slot; an id's row is the last one that came under it.

    Attributes
    ----------
    segments : tuple of Segment
    ids : int64 array of shape (n_slots,), or None
        The id of each slot; None if they are the slots.
    """

    segments: tuple[Segment, ...]
    ids: Ids | None
    _order: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def n_slots(self) -> int:
        """Rows, those that were removed or replaced too."""
        return sum(len(segment) for segment in self.segments)

    def check(self) -> None:
        """Compare all vectors of a mapped file with their checksums."""
        for segment in self.segments:
            if segment.vectors is not None:
                segment.vectors.check(0, len(segment))

    def ids_of(self, slots: Slots) -> Ids:
        """The id of each slot; -1 for -1."""
        return slots if self.ids is None else np.where(slots < 0, -1, self.ids[slots])

    def slots_of(self, ids: Ids) -> Slots:
        """The slot of each id, which must be here; -1 for -1."""
        if self.ids is None:
            return ids
        ordered, slots = self._by_id()
        return np.where(ids < 0, -1, slots[np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)])

    def _by_id(self) -> tuple[Ids, Slots]:
        """Different ids ascending, and the last slot of each."""
        assert self.ids is not None
        if "by_id" not in self._order:
            order = np.argsort(self.ids, kind="stable")
            ordered = self.ids[order]
            last = np.append(ordered[1:] != ordered[:-1], True)
            self._order["by_id"] = ordered[last], order[last]
        found: tuple[Ids, Slots] = self._order["by_id"]
        return found

    def _local(self, segment: Segment, slots: Slots) -> Slots:
        """Row numbers in a segment; where there is but one they are the slots."""
        return slots if len(self.segments) == 1 else segment.local(slots)

    def appended(self, codes: Codes, factors: Float32, vectors: Vectors | None, ids: Ids) -> Store:
        """With rows behind; the last segment takes them in while it is small beside the first."""
        segments, start = list(self.segments), self.n_slots
        added = Segment(start, codes, factors, vectors)
        while len(segments) > 1 and len(segments[-1]) <= 2 * len(added):
            added = _joined(segments.pop(), added)
        known = np.arange(start) if self.ids is None else self.ids
        same = self.ids is None and len(ids) and np.array_equal(ids, np.arange(start, start + len(ids)))
        return Store((*segments, added), None if same else np.concatenate([known, ids]))

    def compacted(self, ids: Ids) -> Store:
        """One segment with the rows of `ids` alone, which ascend."""
        slots = self.slots_of(ids)
        if len(self.segments) == 1 and len(slots) == self.n_slots and np.array_equal(slots, np.arange(len(slots))):
            return self
        whole = self.segments[0]
        for segment in self.segments[1:]:
            whole = _joined(whole, segment)
        chosen = Segment(0, whole.codes[slots], whole.factors[slots], _taken(whole.vectors, slots))
        return Store((chosen,), None if np.array_equal(ids, np.arange(len(ids))) else ids)

    def scan(
        self, prepared: PreparedQueries, k: int, n_planes: int, allowed: Slots | None, n_threads: int
    ) -> tuple[Float32, Slots]:
        """Estimates and slots of the k highest, among all slots or those allowed."""
        mask = None
        if allowed is not None:
            mask = np.zeros(self.n_slots, np.bool_)
            mask[allowed] = True
        answers = []
        for segment in self.segments:
            within = None
            if mask is not None:
                part = mask[segment.start : segment.start + len(segment)]
                within = np.packbits(part, bitorder="little")
            estimates, rows = _native.scan_planes(
                segment.codes,
                segment.factors,
                *prepared.planes(n_planes),
                prepared.encoder.n_bits,
                min(k, len(segment)),
                n_threads,
                within,
            )
            answers.append((estimates, segment.slots(rows)))
        return _best(answers, k, falling=True)

    def score(
        self, prepared: PreparedQueries, slots: Slots, k: int, n_planes: int, n_threads: int
    ) -> tuple[Float32, Slots]:
        """Estimates and slots of the k highest of each query's own candidates."""
        answers = []
        for segment in self.segments:
            estimates, rows = _native.score_planes(
                segment.codes,
                segment.factors,
                *prepared.planes(n_planes),
                prepared.encoder.n_bits,
                self._local(segment, slots),
                min(k, slots.shape[1]),
                n_threads,
            )
            answers.append((estimates, segment.slots(rows)))
        return _best(answers, k, falling=True)

    def rescore(self, queries: Float32, slots: Slots, k: int, metric: str, n_threads: int) -> tuple[Float32, Ids]:
        """Exact scores by the kept vectors, and ids, of the k best of each query's own candidates."""
        ids, answers = self.ids_of(slots), []
        for segment in self.segments:
            assert segment.vectors is not None
            local = self._local(segment, slots)
            segment.vectors.check_rows(local)
            answers.append(
                rescore_rows(queries, segment.vectors, local, min(k, slots.shape[1]), metric, n_threads, ids)
            )
        return _best(answers, k, falling=metric != "l2")

    def vectors_of(self, ids: Ids) -> Float32:
        """The kept vectors of `ids`, as float32."""
        slots = self.slots_of(ids)
        vectors = np.empty((len(slots), self.segments[0].vectors.n_dims if self.segments[0].vectors else 0), np.float32)
        for segment in self.segments:
            rows = segment.local(slots)
            if segment.vectors is not None and (rows >= 0).any():
                segment.vectors.check_rows(rows)
                vectors[rows >= 0] = segment.vectors.to_float32(rows[rows >= 0])
        return vectors


def _best(answers: list[tuple[Float32, Slots]], k: int, *, falling: bool) -> tuple[Float32, Slots]:
    """The k best of several answers, by (score, number); those numbered -1 last."""
    if len(answers) == 1:
        return answers[0]
    scores = np.concatenate([scores for scores, _ in answers], axis=1)
    numbers = np.concatenate([numbers for _, numbers in answers], axis=1)
    order = np.lexsort((numbers, -scores if falling else scores, numbers < 0), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(numbers, order, axis=1)


def _joined(first: Segment, second: Segment) -> Segment:
    vectors = None
    if first.vectors is not None and second.vectors is not None:
        scales = [part.row_scales for part in (first.vectors, second.vectors)]
        joined = np.concatenate([first.vectors.data, second.vectors.data])
        row_scales = None if scales[0] is None or scales[1] is None else np.concatenate([scales[0], scales[1]])
        vectors = replace(first.vectors, data=joined, row_scales=row_scales, blocks=None)
    codes = np.concatenate([first.codes, second.codes])
    return Segment(first.start, codes, np.concatenate([first.factors, second.factors]), vectors)


def _taken(vectors: Vectors | None, rows: Slots) -> Vectors | None:
    if vectors is None:
        return None
    scales = None if vectors.row_scales is None else vectors.row_scales[rows]
    vectors.check_rows(rows)
    return replace(vectors, data=vectors.data[rows], row_scales=scales, blocks=None)


def kept_as(rows: Float32, kind: str) -> Vectors:
    """Finite rows in the type in which they are kept; int8 with the scale of each row."""
    if kind == "float32":
        return Vectors(rows, kind)
    if kind == "float16":
        with np.errstate(over="ignore"):
            halves = rows.astype(np.float16)
        if not np.isfinite(halves).all():
            raise ValueError("vectors must fit float16 to be kept so, a value is beyond 65,504; keep them as float32")
        return Vectors(halves, kind)
    if kind == "bfloat16":
        bits = rows.view(np.uint32)  # rounded to nearest, ties to even
        return Vectors(((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16), kind)
    scales = np.abs(rows).max(axis=1, initial=0) / np.float32(127)
    scales = np.where(scales > 0, scales, np.float32(1)).astype(np.float32)
    return Vectors(np.rint(rows / scales[:, None]).astype(np.int8), "int8", scales)
