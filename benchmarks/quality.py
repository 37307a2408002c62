"""What codes keep of real features: every method at every code length, by label and by float neighbors.

    python benchmarks/quality.py FEATURES.npz OTHER.npz digits kernel_docs --cache sets --results results.jsonl

A FILE.npz holds `features` of shape (n, n_dims) and `labels` of shape (n,); without labels only recall is measured. The
other names are those of benchmarks/sets.py, which also says which are development sets: constants were chosen on them.
The first rows are the queries, the others are the database and what hashers learn from, without labels.

Every measurement is a line of the file given by --results and is not repeated while it stands there: a long run can be
stopped and continued. Delete the lines of a method that has changed.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.stats import rankdata
from sets import is_development, load_set
from tqdm import tqdm

from hashkit import evaluation
from hashkit.datasets import Dataset
from hashkit.evaluation.comparison import (
    N_NEIGHBORS,
    NEIGHBOR_CUT,
    Split,
    markdown_table,
    run_trial,
    score_float_features,
    score_labels,
    split_dataset,
)
from hashkit.hashers import METHODS

CUT = 1000
FLOATS = "float features"
# What is measured: the methods by their names, and UDHPL's second setting.
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    **{method: (method, {}) for method in METHODS},
    "udhpl_neighbors": ("udhpl", {"preserve": "neighbors"}),
}
SCORES = ("mAP@1000", "mAP@all", "precision r=2", "recall@10")
IDENTITY = ("data", "n_queries", "n_items", "method", "n_bits", "seed")

DEFINITIONS = """\
Hashers learn from the items, without labels. mAP@1000: average precision over the first 1,000 by Hamming distance,
divided by the relevant items among them. mAP@all: over the whole ranking. precision r=2: share of relevant items within
Hamming distance 2, nothing found counts as 0. recall@10: share of the 10 nearest items by cosine of the features that
are among the first 100 by Hamming distance. Relevant is what has the query's label; equal distances are ranked by row
number."""

Row = dict[str, Any]


def main(
    data: Annotated[list[str], typer.Argument(help=".npz files with features and labels, or names of sets.")],
    queries: Annotated[
        list[int] | None, typer.Option(help="The first rows are queries; one for all data or one each [default: 1000]")
    ] = None,
    rows: Annotated[
        list[int] | None, typer.Option(help="Use only so many rows; one for all data or one each, 0 for all rows")
    ] = None,
    bits: Annotated[list[int] | None, typer.Option(help="Code length, may be repeated [default: 16 32 64 128]")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Method, may be repeated [default: all]")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Hashers are learned with the seeds 0, 1, ...")] = 3,
    cache: Annotated[Path | None, typer.Option(help="Folder of the sets that are made from packages.")] = None,
    results: Annotated[Path | None, typer.Option(help="JSON lines to continue and to add to.")] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write instead of standard output.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Picture to draw; needs the extra plots.")] = None,
) -> None:
    """Measure every method at every code length on every data set, and lay the means and spreads out in tables."""
    unknown = sorted(set(method or []) - set(SETTINGS))
    if unknown:
        raise typer.BadParameter(f"unknown method {unknown[0]}; there are {', '.join(sorted(SETTINGS))}")
    done = read_rows(results)
    shown: list[Row] = []
    for name, n_queries, n_rows in zip(
        data, one_each(queries or [1000], data), one_each(rows or [0], data), strict=True
    ):
        dataset = load(name, n_rows, cache)
        split = split_dataset(dataset, n_queries)
        jobs = list_jobs(dataset.name, split, method or sorted(SETTINGS), bits or [16, 32, 64, 128], seeds)
        shown += run_jobs(split, jobs, done, results)
    text = "\n\n".join([*describe_roles(shown), DEFINITIONS])
    if out is None:
        typer.echo(text)
    else:
        out.write_text(f"{text}\n")
    if picture is not None:
        draw(picture, shown)


def one_each(values: list[int], data: list[str]) -> list[int]:
    if len(values) not in (1, len(data)):
        raise typer.BadParameter(f"give one number for all {len(data)} data sets, or one each, got {len(values)}")
    return values * len(data) if len(values) == 1 else values


def load(name: str, n_rows: int, cache: Path | None = None) -> Dataset:
    dataset = load_set(name, cache)
    stop = n_rows or len(dataset.features)
    labels = None if dataset.labels is None else dataset.labels[:stop]
    return Dataset(dataset.name, dataset.features[:stop], labels)


def list_jobs(data: str, split: Split, methods: list[str], bits: list[int], seeds: int) -> list[Row]:
    """What is to be measured, by `IDENTITY`; lengths beyond the number of dimensions are left out."""
    lengths = [n_bits for n_bits in bits if n_bits <= split.items.shape[1]]
    pairs = [(method, n_bits, seed) for seed in range(seeds) for n_bits in lengths for method in methods]
    sizes = (data, len(split.queries), len(split.items))
    return [dict(zip(IDENTITY, (*sizes, *job), strict=True)) for job in [(FLOATS, 0, 0), *pairs]]


def run_jobs(split: Split, jobs: list[Row], done: dict[tuple[Any, ...], Row], results: Path | None) -> list[Row]:
    """Measure what is not done yet, and keep each row as soon as it is known."""
    neighbors = evaluation.float_neighbors(split.queries, split.items, n_neighbors=N_NEIGHBORS)
    rows = []
    bar = tqdm(jobs, disable=None, leave=False)
    for job in bar:
        bar.set_description(f"{job['data']}: {job['method']}, {job['n_bits']} bits, seed {job['seed']}")
        row = done.get(identity(job))
        if row is None:
            row = {**job, **(measure_floats(split) if job["method"] == FLOATS else measure(split, job, neighbors))}
            if results is not None:
                with results.open("a") as file:
                    file.write(f"{json.dumps(row)}\n")
        rows.append(row)
    return rows


def measure(split: Split, job: Row, neighbors: Any) -> Row:
    method, options = SETTINGS[job["method"]]
    trial = run_trial(split, method, job["n_bits"], random_state=job["seed"], **options)
    codes = trial.query_codes, trial.codes
    by_label: tuple[float | None, ...] = (None, None, None)
    if split.labels is not None:
        near = evaluation.precision_within_radius(*codes, split.query_labels, split.labels, radius=2)
        scores = score_labels(split, trial, k=CUT, ties="id"), score_labels(split, trial, ties="id"), near
        by_label = tuple(score.value for score in scores)
    recall = evaluation.neighbor_recall(*codes, neighbors, k=NEIGHBOR_CUT).value
    values = dict(zip(SCORES, (*by_label, recall), strict=True))
    return {**values, "fit_seconds": trial.fit_seconds, "encode_seconds": trial.encode_seconds}


def measure_floats(split: Split) -> Row:
    known = split.labels is not None
    scores = (score_float_features(split, k=CUT), score_float_features(split)) if known else (None, None)
    return dict(zip(SCORES, (*(score.value if score else None for score in scores), None, 1.0), strict=True))


def identity(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in IDENTITY)


def read_rows(results: Path | None, key: Callable[[Row], tuple[Any, ...]] = identity) -> dict[tuple[Any, ...], Row]:
    """Rows measured before, by what they measure; a last line that was cut off is measured again."""
    if results is None or not results.exists():
        return {}
    text = results.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        results.write_text(whole)
    return {key(row): row for row in map(json.loads, whole.splitlines())}


def by_data(rows: list[Row]) -> list[list[Row]]:
    return [[row for row in rows if row["data"] == data] for data in dict.fromkeys(row["data"] for row in rows)]


def values_of(rows: list[Row], method: str, n_bits: int, score: str) -> list[float]:
    """A score over the seeds."""
    return [row[score] for row in rows if (row["method"], row["n_bits"]) == (method, n_bits) and row[score] is not None]


def mean_and_spread(values: list[float]) -> str:
    """Mean, and standard deviation where there are several seeds."""
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def describe_roles(rows: list[Row]) -> list[str]:
    """Development and test sets apart: how often each method comes where, then every set."""
    parts = []
    for title, is_wanted in (("Development sets", True), ("Test sets", False)):
        chosen = [row for row in rows if is_development(row["data"]) == is_wanted]
        if chosen:
            parts += [f"## {title}", "Mean rank by mAP@1000 over sets, 1 is best:", mean_ranks(chosen)]
            parts += [describe_data(part) for part in by_data(chosen)]
    return parts


def mean_ranks(rows: list[Row]) -> str:
    """The mean place of each method among all by mAP@1000, a column for each length; equal means share a place."""
    methods, lengths = contestants(rows)
    ranks: dict[tuple[str, int], list[float]] = {}
    for part in by_data(rows):
        for n_bits in lengths:
            values = {method: values_of(part, method, n_bits, SCORES[0]) for method in methods}
            found = {method: float(np.mean(seeds)) for method, seeds in values.items() if seeds}
            for method, place in zip(found, rankdata([-mean for mean in found.values()]), strict=True):
                ranks.setdefault((method, n_bits), []).append(float(place))
    cells = {key: f"{np.mean(places):.1f}" for key, places in ranks.items()}
    lines = [[method, *(cells.get((method, n_bits), "") for n_bits in lengths)] for method in methods]
    return markdown_table(["method", *(f"{n_bits} bits" for n_bits in lengths)], lines)


def describe_data(rows: list[Row]) -> str:
    """One data set: mAP@1000 and mAP@all by method and length, where UDHPL is best, and everything in detail."""
    first = rows[0]
    n_seeds = len({row["seed"] for row in rows})
    return "\n\n".join(
        [
            f"### {first['data']}: {first['n_queries']:,} queries, {first['n_items']:,} items, {n_seeds} seeds",
            "mAP@1000 / mAP@all, means over the seeds:",
            summary(rows),
            "\n".join(f"- {line}" for line in verdicts(rows)),
            "Mean ± standard deviation over the seeds:",
            details(rows),
        ]
    )


def contestants(rows: list[Row]) -> tuple[list[str], list[int]]:
    methods = sorted({row["method"] for row in rows} - {FLOATS})
    return methods, sorted({row["n_bits"] for row in rows} - {0})


def summary(rows: list[Row]) -> str:
    methods, lengths = contestants(rows)

    def cell(method: str, n_bits: int) -> str:
        means = [values_of(rows, method, n_bits, score) for score in SCORES[:2]]
        return " / ".join(f"{np.mean(values):.3f}" if values else "" for values in means)

    lines = [[FLOATS, *[cell(FLOATS, 0)] * len(lengths)]]
    lines += [[method, *(cell(method, n_bits) for n_bits in lengths)] for method in methods]
    return markdown_table(["method", *(f"{n_bits} bits" for n_bits in lengths)], lines)


def verdicts(rows: list[Row]) -> list[str]:
    """Which method is best by each score and length, and by how much UDHPL is ahead of, or behind, the next."""
    methods, lengths = contestants(rows)
    lines = []
    for score, own in zip(SCORES, ("udhpl", "udhpl", "udhpl", "udhpl_neighbors"), strict=True):
        parts = []
        for n_bits in lengths:
            found = {method: values_of(rows, method, n_bits, score) for method in methods}
            means = {method: float(np.mean(values)) for method, values in found.items() if values}
            others = {method: mean for method, mean in means.items() if not method.startswith("udhpl")}
            if own in means and others:
                rival = max(others, key=others.__getitem__)
                parts.append(f"{n_bits} bits {means[own] - others[rival]:+.3f} ({rival})")
        if parts:
            lines.append(f"{score}, {own} minus the best other method: {', '.join(parts)}")
    return lines


def details(rows: list[Row]) -> str:
    methods, lengths = contestants(rows)
    lines = [[FLOATS, "", *(mean_and_spread(values_of(rows, FLOATS, 0, score)) for score in SCORES), "", ""]]
    for n_bits in lengths:
        for method in methods:
            scores = [mean_and_spread(values_of(rows, method, n_bits, score)) for score in SCORES]
            fit, encode = (
                float(np.mean(values_of(rows, method, n_bits, time))) for time in ("fit_seconds", "encode_seconds")
            )
            lines.append([method, f"{n_bits}", *scores, f"{fit:.2f}", f"{encode * 1e6 / rows[0]['n_items']:.2f}"])
    return markdown_table(["method", "bits", *SCORES, "fit s", "encode µs/row"], lines)


def draw(path: Path, rows: list[Row]) -> None:
    """Draw mAP@1000 by code length, a panel for each data set; bars show the standard deviation over the seeds."""
    from matplotlib.figure import Figure

    parts = by_data(rows)
    figure = Figure(figsize=(4.2 * len(parts) + 2.2, 4), layout="constrained")
    panels = figure.subplots(1, len(parts), squeeze=False)[0]
    for panel, part in zip(panels, parts, strict=True):
        methods, lengths = contestants(part)
        for number, method in enumerate(methods):
            own = method.startswith("udhpl")
            values = [values_of(part, method, n_bits, SCORES[0]) for n_bits in lengths]
            panel.errorbar(
                range(len(lengths)),
                [np.mean(seeds) for seeds in values],
                yerr=[np.std(seeds, ddof=1) if len(seeds) > 1 else 0 for seeds in values],
                label=method,
                color="black" if own else f"C{number}",
                linestyle="--" if method == "udhpl_neighbors" else "-",
                linewidth=2.4 if own else 1.2,
                marker="o",
                markersize=4,
                capsize=3,
            )
        for value in values_of(part, FLOATS, 0, SCORES[0]):
            panel.axhline(value, color="gray", linestyle=":", label=FLOATS)
        panel.set(title=part[0]["data"], xlabel="bits", xticks=range(len(lengths)), xticklabels=lengths)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(SCORES[0])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    typer.run(main)
