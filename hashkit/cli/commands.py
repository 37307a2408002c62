"""What the commands of the command line do, file in, file or text out; `hashkit.cli` only names their arguments."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import hashkit
from hashkit import _native, collection, evaluation, storage
from hashkit.checks import check_codes, check_n_threads
from hashkit.datasets import Dataset, digits, read_array, read_dataset
from hashkit.evaluation import comparison
from hashkit.hashers import fit, load
from hashkit.index import Index
from hashkit.progress import progress_bar
from hashkit.storage.replacing import Replacement
from hashkit.vectors import VectorIndex

DEMO_METHODS = ("udhpl", "itq", "random_hyperplanes")
DEMO_BITS = (16, 64)
ROWS_PER_BLOCK = 1 << 16


def demo(features: Path | None, labels: Path | None, n_queries: int | None, seed: int, picture: Path | None) -> str:
    """Compare hashers on digits or on a user's features; return the table and tell where the picture is."""
    if labels is not None and features is None:
        raise ValueError("--labels needs --features")
    _check_picture(picture)
    data = digits() if features is None else read_dataset(features, labels)
    split = comparison.split_dataset(data, n_queries, random_state=seed)
    trials = comparison.run_trials(split, DEMO_METHODS, DEMO_BITS, random_state=seed, progress=True)
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


def fit_file(features: Path, hasher: Path, method: str, n_bits: int, seed: int, *, progress: bool) -> str:
    """Learn a hasher from features and save it."""
    rows = read_dataset(features).features
    fit(rows, n_bits=n_bits, method=method, random_state=seed, progress=progress).save(hasher)
    return f"{hasher}: {method}, {n_bits} bits, learnt from {len(rows):,} rows of {rows.shape[1]:,} dimensions"


def encode_file(hasher: Path, features: Path, codes: Path, *, progress: bool) -> str:
    """Encode features, block by block, and save the codes."""
    learnt, rows = load(hasher), read_dataset(features).features
    blocks = []
    with progress_bar(progress, total=len(rows), desc="encode", disable=None, leave=False) as bar:
        for start in range(0, len(rows), ROWS_PER_BLOCK):
            blocks.append(learnt.encode(rows[start : start + ROWS_PER_BLOCK]))
            bar.update(len(blocks[-1]))
    encoded = np.concatenate(blocks) if blocks else learnt.encode(rows)
    write_array(codes, encoded)
    return f"{codes}: {len(encoded):,} codes of {learnt.n_bits_} bits, {encoded.shape[1]} bytes each"


def query_file(codes: Path, queries: Path, k: int, radius: int | None, n_bits: int | None, out: Path | None) -> str:
    """Search for the nearest codes, or for all within a radius; return a line per result, or save them all."""
    index = open_codes(codes, n_bits)
    arrays: dict[str, NDArray[Any]]
    asked = read_codes(queries)
    if radius is not None:
        within = index.radius(asked, radius)
        arrays = {"offsets": within.offsets, "distances": within.distances, "ids": within.ids}
        results = list(within)
    else:
        distances, ids = index.query(asked, k=k)
        arrays = {"distances": distances, "ids": ids}
        results = list(zip(distances, ids, strict=True))
    if out is not None:
        write_arrays(out, arrays)
        return f"{out}: {', '.join(f'{name} {array.shape}' for name, array in arrays.items())}"
    lines = ["query\trank\tid\tdistance"]
    for query, (row, found) in enumerate(results):
        lines.extend(f"{query}\t{rank}\t{item}\t{far}" for rank, (far, item) in enumerate(zip(row, found, strict=True)))
    return "\n".join(lines)


def query_vectors(index: Path, queries: Path, k: int, out: Path | None) -> str:
    """Search a vector index; return a line per result, or save them all."""
    scores, ids = VectorIndex.load(index, mmap=True).query(read_array(queries), k)
    if out is not None:
        write_arrays(out, {"scores": scores, "ids": ids})
        return f"{out}: scores {scores.shape}, ids {ids.shape}"
    lines = ["query\trank\tid\tscore"]
    for query, row in enumerate(zip(scores, ids, strict=True)):
        lines += [f"{query}\t{rank}\t{id}\t{score:.6g}" for rank, (score, id) in enumerate(zip(*row, strict=True))]
    return "\n".join(lines)


def open_codes(path: Path, n_bits: int | None) -> Index | collection.Collection:
    """What can be searched: an array of codes, an index that was saved, or the folder of a collection."""
    if path.suffix == ".npy":
        return Index(read_codes(path), n_bits=n_bits, method="scan")
    if path.is_dir():
        with collection.Collection(
            path, method="scan"
        ) as found:  # closed it can still be searched, and be opened by others
            index: Index | collection.Collection = found
    else:
        index = Index.load(path, mmap=True)
    if n_bits not in (None, index.n_bits):
        raise ValueError(f"--bits must be {index.n_bits} for {path}, got {n_bits}")
    return index


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
    task = read_codes(queries), read_codes(codes), read_array(query_labels), read_array(labels)
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
    items, asked = (read_dataset(path).features for path in features)
    if (len(items), len(asked)) != (len(codes), len(queries)):
        raise ValueError(
            f"{features[0]} and {features[1]} must have a row for each of {len(codes)} codes and {len(queries)} "
            f"queries, got {len(items)} and {len(asked)}"
        )
    n_neighbors, n_ranks = comparison.N_NEIGHBORS, comparison.NEIGHBOR_CUT
    neighbors = evaluation.float_neighbors(asked, items, n_neighbors=n_neighbors)
    recall = evaluation.neighbor_recall(queries, codes, neighbors, k=n_ranks, ties=ties)
    return f"recall of the {n_neighbors} nearest by cosine in the first {n_ranks}", recall


def describe_file(path: Path | None) -> str:
    """Tell what a file or a collection's folder holds, after checking all of it, or what this installation runs on."""
    if path is None:
        versions = f"hashkit {hashkit.__version__}, Python {platform.python_version()}, numpy {np.__version__}"
        isas = f"instruction sets: {', '.join(_native.supported_isas())}; in use: {_native.default_isa()}"
        return f"{versions}\n{isas}\nCPUs for this process: {check_n_threads(None)}"
    if path.suffix == ".npy":
        array = read_array(path)
        kind = f": {len(array):,} codes of up to {8 * array.shape[1]} bits" if _looks_packed(array) else ""
        return f"{path}: array of shape {array.shape} and dtype {array.dtype}{kind}"
    if path.is_dir():
        facts = [f"  {name}: {value}" for name, value in collection.describe(path).items()]
        return "\n".join([f"{path}: collection", *facts, "contents: whole"])
    file = storage.open_tensors(path)
    if file.kind == "index":
        hashkit.Index.load(path)
    file.verify()
    settings = [f"  {name}: {_plain(value)}" for name, value in sorted(file.settings.items())]
    arrays = [f"  {name}: {array.dtype} {array.shape}" for name, array in sorted(file.tensors.items())]
    return "\n".join(
        [
            f"{path}: {file.kind}, format version {file.version}",
            "settings:",
            *settings,
            "arrays:",
            *arrays,
            "contents: whole",
        ]
    )


def recover_folder(path: Path) -> str:
    """Make a new journal for the newest index file of a collection, and say what it holds."""
    with collection.Collection.recover(path) as recovered:
        return f"{path}: recovered {len(recovered):,} codes of {recovered.n_bits} bits"


def _plain(value: Any) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted(value.items())) if isinstance(value, dict) else f"{value}"


def _looks_packed(array: NDArray[Any]) -> bool:
    return array.dtype == np.uint8 and array.ndim == 2


def read_codes(path: Path) -> NDArray[np.uint8]:
    """Memory-map packed codes; an error names the file."""
    return check_codes(read_array(path), f"{path}")


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write a ``.npy`` file in one step: an older file is whole until the new one is."""
    _replace(path, lambda file: np.save(file, array))


def write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write an ``.npz`` file in one step."""
    _replace(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def _replace(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write in one step what `write` puts into a file; pipes and devices are refused."""
    with Replacement(str(path)) as new:
        write(new.file)
