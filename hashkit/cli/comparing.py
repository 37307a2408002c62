"""`hashkit compare`: methods on a user's own splits."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import IO

from hashkit.datasets import Dataset, digits, read_dataset
from hashkit.evaluation import results
from hashkit.evaluation.comparison import Split, make_split, split_dataset
from hashkit.tables import open_rows
from hashkit.tables.writing import check_target, replace


def compare_files(
    database: Path | None,
    queries: Path | None,
    train: Path | None,
    labels: Path | None,
    query_labels: Path | None,
    *,
    methods: str,
    bits: str,
    k: int,
    seeds: str,
    csv: Path | None,
    latex: Path | None,
    modules: list[str],
) -> str:
    """Compare methods; return the table, and write the figures to files."""
    for path, ending in ((csv, ".csv"), (latex, ".tex")):
        if path is not None:
            check_target(path, [ending])
    _import(modules)
    split = _split(database, queries, train, labels, query_labels)
    found = results.compare(
        split, methods.split(","), _ints(bits, "--bits"), k=k, seeds=_ints(seeds, "--seeds"), progress=True
    )
    if csv is not None:
        replace(csv, lambda file: _write(file, results.to_csv(found)))
    if latex is not None:
        replace(latex, lambda file: _write(file, results.to_latex(found, k)))
    n_train = len(split.items if split.train is None else split.train)
    notes = f"{len(split.queries):,} queries, {len(split.items):,} items; methods learn from {n_train:,} rows."
    return f"{results.to_markdown(found, k)}\n\n{notes}"


def _write(file: IO[bytes], text: str) -> None:
    file.write(text.encode())


def _import(modules: list[str]) -> None:
    """Import the modules that define methods of the user's own; the current folder is searched too."""
    sys.path.insert(0, os.getcwd())
    try:
        for name in modules:
            importlib.import_module(name.removesuffix(".py"))
    except ModuleNotFoundError as error:
        raise ValueError(f"--import must name a module of Python, got {error.name}: {error}") from error
    finally:
        sys.path.remove(os.getcwd())


def _split(
    database: Path | None, queries: Path | None, train: Path | None, labels: Path | None, query_labels: Path | None
) -> Split:
    if database is None:
        if queries is not None or train is not None or labels is not None or query_labels is not None:
            raise ValueError("--queries, --train and labels need --database")
        return split_dataset(digits(), random_state=0)
    data = read_dataset(database, labels)
    if queries is None:
        if train is not None or query_labels is not None:
            raise ValueError("--train and --query-labels need --queries")
        return split_dataset(Dataset(data.name, data.features, data.labels), random_state=0)
    asked = read_dataset(queries, query_labels)
    learned = None if train is None else open_rows(train, holds="features").whole().values
    return make_split(asked.features, data.features, asked.labels, data.labels, train=learned)


def _ints(text: str, name: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name} must be whole numbers with commas between them, got {text!r}") from None
