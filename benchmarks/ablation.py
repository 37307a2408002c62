"""What every stage and constant of UDHPL is worth: one left out, halved or doubled at a time.

    python benchmarks/ablation.py digits kernel_docs letters --cache sets --rows 2000 --bits 32 --results ablation.jsonl

Prints, for development and test sets apart (benchmarks/sets.py), how mAP@1000 changes, the mean over the sets and
seeds, beside the standard error of that mean. A constant that can be halved and doubled at no loss is worth nothing.

Measurements are kept and continued as those of benchmarks/quality.py are.
"""

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from quality import CUT, load, read_rows
from sets import is_development
from tqdm import tqdm

from hashkit.evaluation.comparison import Split, markdown_table, run_trial, score_labels, split_dataset
from hashkit.udhpl import Configuration

# A stage left out: options of the estimator, and constants that switch it off.
STAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no smoothing along the graph": ({}, {"n_smoothing": 0}),
    "no clusters: float neighbors are preserved": ({"preserve": "neighbors"}, {}),
    "no whitening": ({}, {"ridge": 1e6}),
    "one round": ({}, {"max_rounds": 1}),
    "no rotation": ({}, {"n_rotations": 0}),
    "no network": ({"network": "never"}, {}),
    "no choice: the network encodes": ({"network": "always"}, {}),
}
NAMES = ("data", "rows", "change", "n_bits", "seed")
AS_IT_IS = "as it is"
Change = tuple[dict[str, Any], Configuration]


def main(
    data: Annotated[list[str], typer.Argument(help=".npz files with features and labels, or names of sets.")],
    rows: Annotated[int, typer.Option(help="Use so many rows of each set, 0 for all; a sixth are queries.")] = 3000,
    bits: Annotated[int, typer.Option(help="Code length.")] = 32,
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Stages or constants whose name holds this.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of the sets that are made from packages.")] = None,
    results: Annotated[Path | None, typer.Option(help="JSON lines to continue and to add to.")] = None,
) -> None:
    """Measure UDHPL as it is and with every change, and lay out what each change does."""
    changes = {name: change for name, change in list_changes() if is_chosen(name, only)}
    done = read_rows(results, identity)
    shown = []
    for name in tqdm(data, disable=None, leave=False):
        dataset = load(name, rows, cache)
        split = split_dataset(dataset)
        for seed in range(seeds):
            for change, how in tqdm(changes.items(), desc=f"{name}, seed {seed}", disable=None, leave=False):
                row = dict(zip(NAMES, (dataset.name, rows, change, bits, seed), strict=True))
                if identity(row) not in done:
                    done[identity(row)] = {**row, "mAP@1000": measure(split, bits, seed, how)}
                    if results is not None:
                        with results.open("a") as file:
                            file.write(f"{json.dumps(done[identity(row)])}\n")
                shown.append(done[identity(row)])
    typer.echo(table(shown))


def list_changes() -> Iterator[tuple[str, Change]]:
    """By name, what is changed: the estimator's options and the configuration."""
    own = Configuration()
    yield AS_IT_IS, ({}, own)
    for name, (options, constants) in STAGES.items():
        yield name, (options, replace(own, **constants))
    for field in fields(own):
        for word, factor in (("half", 0.5), ("double", 2.0)):
            value = scaled(getattr(own, field.name), factor)
            try:
                if value is not None and value != getattr(own, field.name):
                    yield f"{field.name}: {word}", ({}, replace(own, **{field.name: value}))
            except (TypeError, ValueError):  # a bound of the configuration's own: that way it cannot go
                continue


def scaled(value: Any, factor: float) -> Any:
    """A constant, or each of several, times the factor; whole numbers stay whole."""
    if isinstance(value, tuple):
        return tuple(scaled(part, factor) for part in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value * factor) if isinstance(value, int) else value * factor


def is_chosen(name: str, only: list[str] | None) -> bool:
    return name == AS_IT_IS or not only or any(part in name for part in only)


def measure(split: Split, n_bits: int, seed: int, how: Change) -> float:
    options, config = how
    trial = run_trial(split, "udhpl", n_bits, random_state=seed, config=config, **options)
    return score_labels(split, trial, k=CUT, ties="id").value


def identity(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in NAMES)


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each change: by how much it moves mAP@1000 on development and on test sets."""
    base = {(row["data"], row["seed"]): row["mAP@1000"] for row in rows if row["change"] == AS_IT_IS}
    moves: dict[str, dict[bool, list[float]]] = {}
    for row in rows:
        found = moves.setdefault(row["change"], {True: [], False: []})
        move = row["mAP@1000"] - (base[row["data"], row["seed"]] if row["change"] != AS_IT_IS else 0)
        found[is_development(row["data"])].append(move)
    lines = [[change, *(shown(found[role], change) for role in (True, False))] for change, found in moves.items()]
    return markdown_table(["change", "development sets", "test sets"], lines)


def shown(values: list[float], change: str) -> str:
    if not values:
        return ""
    sign = "" if change == AS_IT_IS else "+"
    error = f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.3f}{error}"


if __name__ == "__main__":
    typer.run(main)
