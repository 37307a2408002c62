"""An index of more vectors than memory holds: encoded block by block into files, and resumed after a crash."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.index import Index
from hashkit.progress import progress_bar
from hashkit.storage import Path, read_tensors, write_tensors
from hashkit.storage.replacing import replace_file
from hashkit.vectors import files, fitting
from hashkit.vectors.calibration import Recall
from hashkit.vectors.encoding import Encoder, learn, units_of
from hashkit.vectors.exact import ExactNeighbors
from hashkit.vectors.funnel import Plan, State
from hashkit.vectors.rows import TYPES, Float32, Vectors, blocks_of
from hashkit.vectors.sources import open_source
from hashkit.vectors.store import Segment, Store, kept_as

CHECKPOINT_BYTES = 64 << 20
"""Of vectors between two checkpoints: what is done again after a crash."""


@dataclass(frozen=True)
class Folder:
    """Where a build keeps what is done, beside the file that it makes."""

    path: str

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)

    def note(self, name: str, content: dict[str, Any]) -> None:
        """Replace a small file in one step, flushed to disk."""
        replace_file(self.file(name), [json.dumps(content).encode()])

    def noted(self, name: str) -> dict[str, Any]:
        """What was noted; empty if nothing was, or it cannot be read."""
        try:
            with open(self.file(name), "rb") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def begin(self, fingerprint: dict[str, Any]) -> None:
        """Go on with what is there if it is of the same source and settings, else start anew."""
        if self.noted("source.json") != json.loads(json.dumps(fingerprint)):
            shutil.rmtree(self.path, ignore_errors=True)
            os.makedirs(self.path)
            self.note("source.json", fingerprint)

    def array(self, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        """A mapped array that survives the process."""
        path, dtype = self.file(name), np.dtype(dtype)
        size = dtype.itemsize * int(np.prod(shape))
        if not size:
            return np.empty(shape, dtype)
        mode: Any = "r+" if os.path.exists(path) and os.path.getsize(path) == size else "w+"
        return np.memmap(path, dtype, mode, shape=shape)


def build(source: Any, path: Path, wish: fitting.Wish, n_bits: int | None, column: str | None, scales: Any) -> None:
    """Write the index of a source to `path`; what was done before a crash is not done again.

    Raises
    ------
    TypeError, ValueError, OSError
        If the source cannot be read, a row is not finite, or the recall cannot be reached. What was at `path` before
        is still there, and what was done stays in the folder ``path + ".building"``.
    """
    target = os.path.realpath(os.fspath(path))
    opened = open_source(source, column, scales)
    folder = Folder(target + ".building")
    same_result = replace(wish, n_threads=1, progress=False)  # other values of these make the same index
    folder.begin({"source": _fingerprint(source), "wish": repr(same_result), "n_bits": n_bits, "column": column})
    vectors = opened if isinstance(opened, Vectors) else spool(folder, opened, wish.progress)
    fitting.check_rows(vectors, 2)
    rng = np.random.default_rng(wish.random_state)
    own = fitting.held_out_rows(vectors, wish, rng)
    sample = fitting.sample_of(vectors, own, rng)
    encoder, state, plan, recall = _reach(folder, vectors, sample, own, wish, n_bits)
    kept = state.store.segments[0].vectors
    keep = "none" if kept is None else kept.type
    tensors, settings = files.to_tensors(encoder, state.store, state.index, len(vectors), plan, recall, keep)
    write_tensors(path, files.KIND, tensors, settings, block_sums=True)
    shutil.rmtree(folder.path)


def _fingerprint(source: Any) -> Any:
    """What tells one file from another; other sources are compared block by block."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    found = os.stat(source)
    return [os.path.realpath(os.fspath(source)), found.st_size, found.st_mtime_ns]


def spool(folder: Folder, blocks: Iterator[Vectors], progress: bool) -> Vectors:
    """Blocks written to one file, in their type; those that were written before are compared with it.

    Raises
    ------
    ValueError
        If blocks differ in type or width, or are not those that came before the crash.
    """
    noted = folder.noted("spooled.json")
    path, n_done = folder.file("vectors"), int(noted.get("n_bytes", 0))
    kind, n_dims, at = noted.get("type"), noted.get("n_dims"), 0
    with open(path, "ab") as file, progress_bar(progress, unit="row", desc="read") as bar:
        file.truncate(n_done)
        written = n_done
        for number, block in enumerate(blocks):
            kind, n_dims = kind or block.type, n_dims or block.n_dims
            if (block.type, block.n_dims) != (kind, n_dims) or block.type == "int8":
                raise ValueError(f"block {number} of source must be {kind} of {n_dims} values, no int8, as the first")
            raw = block.data.tobytes()
            before = raw[: max(0, n_done - at)]
            if before and _read(path, at, len(before)) != before:
                raise ValueError(f"block {number} of source is not the one that was read before the build was cut off")
            file.write(raw[len(before) :])
            at += len(raw)
            bar.update(len(block))
            if at - written >= CHECKPOINT_BYTES:
                file.flush()
                os.fsync(file.fileno())
                folder.note("spooled.json", {"n_bytes": at, "type": kind, "n_dims": n_dims})
                written = at
    if not at or kind is None or n_dims is None:
        raise ValueError("source must have rows, got none")
    folder.note("spooled.json", {"n_bytes": at, "type": kind, "n_dims": n_dims})
    dtype = np.dtype(TYPES[kind])
    return Vectors(np.memmap(path, dtype, "r", shape=(at // n_dims // dtype.itemsize, n_dims)), kind)


def _read(path: str, at: int, n_bytes: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(n_bytes)


def _reach(
    folder: Folder, vectors: Vectors, sample: Float32, own: Any, wish: fitting.Wish, n_bits: int | None
) -> tuple[Encoder, State, Plan, Recall | None]:
    """The shortest codes of one bit a dimension or more that reach the recall."""
    one = fitting.bits_to_try(n_bits, vectors.n_dims, "none")[0]
    choices = [bits for bits in fitting.bits_to_try(n_bits, vectors.n_dims, wish.keep) if bits >= one]
    if own is None:
        encoder = _encoder(folder, sample, choices[0], wish)
        state = encode(folder, vectors, encoder, wish)
        return encoder, state, fitting.uncalibrated(state, wish), None
    state, encoder, plan, recall, _ = fitting.reach(
        choices,
        lambda bits: _encoder(folder, sample, bits, wish),
        lambda encoder, nearest: encode(folder, vectors, encoder, wish, nearest),
        vectors,
        fitting.finite_rows(vectors, own),
        own,
        wish,
    )
    return encoder, state, plan, recall


def _encoder(folder: Folder, sample: Float32, bits: int, wish: fitting.Wish) -> Encoder:
    """What was learned before a crash, or now."""
    path = folder.file(f"encoder-{bits}")
    if not os.path.exists(path):
        encoder = learn(sample, bits, wish.metric, wish.random_state)
        write_tensors(path, "encoder", files.learned(encoder), {"n_bits": bits, "metric": wish.metric})
    # Read back in any case: a build that was cut off goes on with exactly the same.
    return files.encoder_of(*read_tensors(path, "encoder"))


def encode(
    folder: Folder, vectors: Vectors, encoder: Encoder, wish: fitting.Wish, nearest: ExactNeighbors | None = None
) -> State:
    """All rows encoded into files, from the last checkpoint on; all pass by `nearest`."""
    n_rows, n_bytes = len(vectors), -(-encoder.n_bits // 8)
    codes = folder.array(f"codes-{encoder.n_bits}", np.uint8, (n_rows, n_bytes))
    factors = folder.array(f"factors-{encoder.n_bits}", np.float32, (n_rows, 2))
    kept = _room_for_kept(folder, vectors, wish.keep)
    mapped = [codes, factors, *([kept.data, kept.row_scales] if kept is not None and kept is not vectors else [])]
    noted = f"encoded-{encoder.n_bits}.json"
    done = int(folder.noted(noted).get("n_rows", 0))
    row_bytes, since = vectors.data.itemsize * vectors.n_dims, 0
    if nearest is not None:
        for first, block in blocks_of(vectors, "vectors", 0, done):
            nearest.add(first, units_of(block, wish.metric))
    with progress_bar(wish.progress, total=n_rows, initial=done, unit="row", desc="encode") as bar:
        for chosen, own_codes, own_factors in fitting.encoded_blocks(vectors, encoder, wish.n_threads, nearest, done):
            codes[chosen], factors[chosen] = own_codes, own_factors
            if kept is not None and kept is not vectors:
                part = kept_as(vectors.to_float32(chosen), wish.keep)
                kept.data[chosen] = part.data
                if kept.row_scales is not None and part.row_scales is not None:
                    kept.row_scales[chosen] = part.row_scales
            n_new = chosen.stop - chosen.start
            bar.update(n_new)
            since += n_new * row_bytes
            if since >= CHECKPOINT_BYTES or chosen.stop == n_rows:
                for array in mapped:
                    if isinstance(array, np.memmap):
                        array.flush()
                folder.note(noted, {"n_rows": chosen.stop})
                since = 0
    store = Store((Segment(0, codes, factors, kept),), None)
    return State(Index(codes, n_bits=encoder.n_bits, method="scan"), store, n_rows)


def _room_for_kept(folder: Folder, vectors: Vectors, keep: str) -> Vectors | None:
    if keep == "none":
        return None
    if keep == "as_came":
        return vectors
    data = folder.array("kept", TYPES[keep], vectors.data.shape)
    scales = folder.array("scales", np.float32, (len(vectors),)) if keep == "int8" else None
    return Vectors(data, keep, scales)
