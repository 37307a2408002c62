"""The work of the commands: files in, files or text out; `hashkit.cli.app` defines their arguments."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hashkit import collection, evaluation
from hashkit.cli.searching import read_codes
from hashkit.datasets import Dataset, digits, read_dataset
from hashkit.evaluation import comparison
from hashkit.hashers import fit, load
from hashkit.progress import progress_bar
from hashkit.tables import Block, check_target, open_rows, write_codes
from hashkit.tables.writing import CODE_ENDINGS

DEMO_METHODS = ("udhpl", "itq", "random_hyperplanes")
DEMO_BITS: tuple[int, ...] = (16, 64)
DIGITS_BITS: tuple[int, ...] = (32,)  # one: a first look should take ten seconds, most of it fitting
ROWS_PER_BLOCK = 1 << 16


def demo(features: Path | None, labels: Path | None, n_queries: int | None, seed: int, picture: Path | None) -> str:
    """Compare hashers on digits or on a user's features; return the table and the path of the picture."""
    if labels is not None and features is None:
        raise ValueError("--labels needs --features")
    _check_picture(picture)
    data = digits() if features is None else read_dataset(features, labels)
    split = comparison.split_dataset(data, n_queries, random_state=seed)
    bits = DIGITS_BITS if features is None else DEMO_BITS
    trials = comparison.run_trials(split, DEMO_METHODS, bits, random_state=seed, progress=True)
    lines = [f"Data: {data.name}", "", comparison.report(split, trials), ""]
    lines.append(_picture(data, split, trials, picture))
    return "\n".join(lines)


def _check_picture(path: Path | None) -> None:
    """Refuse a picture that could not be written before hours of work rather than after."""
    if path is None:
        return
    if find_spec("matplotlib") is None:
        raise ValueError("--picture needs matplotlib, the extra 'plots'")
    if path.suffix not in (".pdf", ".png", ".svg"):
        raise ValueError(f"--picture must be a .png, .pdf or .svg file, got {path}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"--picture must be in a folder that exists, got {path}")


def _picture(data: Dataset, split: comparison.Split, trials: list[comparison.Trial], path: Path | None) -> str:
    if find_spec("matplotlib") is None:
        return "No picture: it needs matplotlib, the extra 'plots'."
    if data.labels is None and data.images is None:
        return "No picture: it needs labels."
    from hashkit.evaluation.plots import save_picture

    target = path or Path("hashkit-demo.png")
    save_picture(target, split, trials, data.images)
    return f"Picture: {target}"


def fit_file(
    features: Path, hasher: Path, method: str, n_bits: int, seed: int, *, column: str | None, progress: bool
) -> str:
    """Learn a hasher from features and save it."""
    rows = read_dataset(features, column=column).features
    fit(rows, n_bits=n_bits, method=method, random_state=seed, progress=progress).save(hasher)
    return f"{hasher}: {method}, {n_bits} bits, learned from {len(rows):,} rows of {rows.shape[1]:,} dimensions"


def encode_file(
    hasher: Path, features: Path, codes: Path, *, column: str | None, ids: str | None, progress: bool
) -> str:
    """Encode features, block by block, and save the codes, with the ids beside them."""
    check_target(codes, CODE_ENDINGS)
    learned = load(hasher)
    rows = open_rows(features, holds="features", column=column, ids=ids)
    with progress_bar(progress, total=rows.n_rows, unit="row", desc="encode", disable=None, leave=False) as bar:

        def encoded() -> Iterator[Block]:
            for block in rows.blocks(ROWS_PER_BLOCK):
                yield Block(learned.encode(block.values), block.ids)
                bar.update(len(block.values))

        n_codes = write_codes(codes, encoded(), learned.n_bits_)
    n_bytes = -(-learned.n_bits_ // 8)
    return "" if str(codes) == "-" else f"{codes}: {n_codes:,} codes of {learned.n_bits_} bits, {n_bytes} bytes each"


def evaluate_files(
    codes: Path,
    labels: Path,
    queries: Path,
    query_labels: Path,
    features: tuple[Path, Path] | None,
    *,
    k: int,
    radius: int,
    ties: evaluation.Ties,
) -> str:
    """Measure codes by labels, and by the features (of codes and of queries) if they are given, in one table."""
    known = [open_rows(path, holds="column").whole().values for path in (query_labels, labels)]
    task = read_codes(queries), read_codes(codes), *known
    whole = evaluation.mean_average_precision(*task, ties=ties)
    within = evaluation.precision_within_radius(*task, radius=radius)
    cut = [
        (
            f"mAP@{k}, divided by the relevant in the first {k}",
            evaluation.mean_average_precision(*task, k=k, ties=ties),
        ),
        (
            f"mAP@{k}, divided by the relevant in the database",
            evaluation.mean_average_precision(*task, k=k, denominator="relevant_in_database", ties=ties),
        ),
        ("mAP over the whole ranking", whole),
        (f"precision@{k}", evaluation.precision_at_k(*task, k=k, ties=ties)),
        (f"recall@{k}", evaluation.recall_at_k(*task, k=k, ties=ties)),
        (f"precision within radius {radius}", within),
    ]
    if features is not None:
        cut.append(_float_neighbor_recall(task[0], task[1], features, ties))
    table = comparison.markdown_table(["metric", "value"], [[name, f"{score.value:.4f}"] for name, score in cut])
    notes = (
        f"{whole.n_queries:,} queries, of which {whole.n_without_relevant:,} have no relevant item and are left out; "
        f"{within.n_empty:,} find nothing within radius {radius} and count there as 0. Ties: {ties}."
    )
    return f"{table}\n\n{notes}"


def _float_neighbor_recall(
    queries: NDArray[np.uint8], codes: NDArray[np.uint8], features: tuple[Path, Path], ties: evaluation.Ties
) -> tuple[str, evaluation.Score]:
    """Recall of the true neighbors by cosine, and its name; the features are those of the codes and of the queries."""
    items, asked = (open_rows(path, holds="features").whole().values for path in features)
    if (len(items), len(asked)) != (len(codes), len(queries)):
        raise ValueError(
            f"{features[0]} and {features[1]} must have a row for each of {len(codes)} codes and {len(queries)} "
            f"queries, got {len(items)} and {len(asked)}"
        )
    n_neighbors, n_ranks = comparison.N_NEIGHBORS, comparison.NEIGHBOR_CUT
    neighbors = evaluation.float_neighbors(asked, items, n_neighbors=n_neighbors)
    recall = evaluation.neighbor_recall(queries, codes, neighbors, k=n_ranks, ties=ties)
    return f"recall of the {n_neighbors} nearest by cosine in the first {n_ranks}", recall


def recover_folder(path: Path) -> str:
    """Make a new journal for the newest index file of a collection, and describe the collection."""
    with collection.Collection.recover(path) as recovered:
        return f"{path}: recovered {len(recovered):,} codes of {recovered.n_bits} bits"
