"""`hashkit dedup`: near-duplicates among the codes of a file, written as they are found."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import Codes, check_codes, check_n_bits
from hashkit.extras import needs_extra
from hashkit.index import Index
from hashkit.progress import progress_bar
from hashkit.storage.replacing import Replacement
from hashkit.tables import check_target, open_rows

ENDINGS = (".parquet", ".tsv", ".txt")
LINES_PER_WRITE = 1 << 16

Arrays = dict[str, NDArray[Any]]
Write = Callable[[Arrays], None]


def dedup_file(
    source: Path,
    *,
    what: str,
    radius: int | None,
    similarity: float | None,
    measure: str | None,
    column: str | None,
    ids: str | None,
    format: str | None,
    n_bits: int | None,
    n_threads: int | None,
    out: Path | None,
    progress: bool,
) -> None:
    """Write pairs, groups, or the ids to keep, to `out` or to standard output.

    A similarity is by the measure, Jaccard's by default; a radius is a Hamming distance.
    """
    if (radius is None) == (similarity is None):
        raise ValueError(f"one of --radius and --similarity must be given, got {'none' if radius is None else 'both'}")
    if measure is not None and similarity is None:
        raise ValueError(f"--measure must be given with --similarity only, got {measure!r}")
    if out is not None:
        check_target(out, ENDINGS)
    codes, numbers, n_bits = _read(source, column, ids, format, n_bits, progress)
    metric: Any = "hamming" if similarity is None else "jaccard"
    index = Index(codes, ids=numbers, n_bits=n_bits, metric=metric, method="scan")
    options: dict[str, Any] = {"n_threads": n_threads, "progress": progress}
    options |= {"similarity": similarity, "measure": _read_measure(measure)}
    with _writing(out) as write:
        for arrays in _answers(index, what, radius, options):
            write(arrays)


def _read_measure(text: str | None) -> Any:
    """A name as it is; weights separated by a comma as numbers, where they are."""
    if text is None or "," not in text:
        return text
    with contextlib.suppress(ValueError):
        return [float(Fraction(weight.strip())) for weight in text.split(",")]
    raise ValueError(f"--measure must be a name or two weights such as 0.9,0.1, got {text!r}")


def _read(
    source: Path, column: str | None, ids: str | None, format: str | None, n_bits: int | None, progress: bool
) -> tuple[Codes, NDArray[Any] | None, int]:
    """Codes, ids if there is a column of them, and length; of the file no more than these is kept."""
    rows = open_rows(source, holds="codes", column=column, ids=ids, format=format)
    data, numbers, width = bytearray(), [], None
    with progress_bar(progress, desc="read", total=rows.n_rows, unit=" codes") as bar:
        for block in rows.blocks():
            if width not in (None, block.values.shape[1]):
                raise ValueError(
                    f"{source} must have codes of one length, got {width} and {block.values.shape[1]} bytes"
                )
            width = block.values.shape[1]
            if rows.mapped is None:
                data += block.values.tobytes()
            if block.ids is not None:
                numbers.append(block.ids)
            bar.update(len(block.values))
    codes = rows.mapped if rows.mapped is not None else np.frombuffer(data, np.uint8).reshape(-1, width or 1)
    n_bits = check_n_bits(n_bits if n_bits is not None else rows.n_bits or 8 * codes.shape[1], "--bits")
    for block_ids in numbers:
        if block_ids.dtype.kind not in "iu":
            raise TypeError(f"{source} must have integers in column {ids!r}, got {block_ids[0]!r}")
    return check_codes(codes, f"{source}", n_bits), np.concatenate(numbers) if numbers else None, n_bits


def _answers(index: Index, what: str, radius: int | None, options: dict[str, Any]) -> Iterator[Arrays]:
    """Pieces of the answer, at least one, so that the columns are known."""
    if what == "pairs":
        pairs = index.pairs(radius, **options)
        none = np.empty(0, np.int64)
        yield {"left": none, "right": none, "distance": np.empty(0, pairs.distance_dtype)}
        for block in pairs:
            yield {"left": block.left, "right": block.right, "distance": block.distances}
        return
    ids, labels = index.ids, index.groups(radius, **options)
    if what == "keep":
        yield {"id": ids[ids == labels]}
    else:
        yield {"id": ids, "group": labels}


@contextlib.contextmanager
def _writing(out: Path | None) -> Iterator[Write]:
    """A function that writes arrays of one length behind what it wrote before; a file is replaced in one step."""
    if out is None:
        yield _text_writer(sys.stdout.write)
        return
    with Replacement(str(out)) as new:
        if out.suffix == ".parquet":
            with _parquet_writer(new.file) as write:
                yield write
        else:
            yield _text_writer(lambda text: new.file.write(text.encode()))


def _text_writer(write_text: Callable[[str], Any]) -> Write:
    """Tab-separated lines below one with the names."""
    named = False

    def write(arrays: Arrays) -> None:
        nonlocal named
        if not named:
            write_text("\t".join(arrays) + "\n")
            named = True
        columns = list(arrays.values())
        for start in range(0, len(columns[0]), LINES_PER_WRITE):
            rows = zip(*(column[start : start + LINES_PER_WRITE].tolist() for column in columns), strict=True)
            write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))

    return write


@contextlib.contextmanager
def _parquet_writer(file: Any) -> Iterator[Write]:
    with needs_extra("hashkit dedup to a .parquet file", "arrow"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    with contextlib.ExitStack() as stack:
        writer: Any = None

        def write(arrays: Arrays) -> None:
            nonlocal writer
            batch = pa.RecordBatch.from_pydict({name: pa.array(array) for name, array in arrays.items()})
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(file, batch.schema))
            writer.write_batch(batch)

        yield write
