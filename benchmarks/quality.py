"""What codes keep of real features: every method at every code length, by label and by float neighbors.

    python benchmarks/quality.py FEATURES.npz --queries 1000

FEATURES.npz holds `features` of shape (n, n_dims) and `labels` of shape (n,). The first rows are the queries, the
others are the database and what hashers learn from.

mAP@1000: average precision over the first 1,000 by Hamming distance, divided by the relevant items among them.
mAP@all: over the whole ranking. recall@10: share of the 10 nearest items by cosine of the features that are among the
first 100 by Hamming distance. Relevant is what has the query's label; equal distances are ranked by row number.
"""

from pathlib import Path
from typing import Annotated

import typer

from hashkit import evaluation
from hashkit.comparison import (
    N_NEIGHBORS,
    NEIGHBOR_CUT,
    Split,
    Trial,
    markdown_table,
    run_trials,
    score_float_features,
    score_labels,
    split_dataset,
)
from hashkit.datasets import read_dataset
from hashkit.hashers import METHODS

CUT = 1000


def main(
    features: Annotated[Path, typer.Argument(help=".npz file with features and labels.")],
    queries: Annotated[int, typer.Option(help="The first rows are queries.")] = 1000,
    bits: Annotated[list[int] | None, typer.Option(help="Code length, may be repeated [default: 16 32 64 128]")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Method, may be repeated [default: all]")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the hashers.")] = 0,
) -> None:
    """Print mAP@1000, mAP@all and recall of float neighbors of every method as a Markdown table."""
    split = split_dataset(read_dataset(features), queries)
    if split.labels is None:
        raise typer.BadParameter(f"{features} holds no labels")
    trials = run_trials(split, method or sorted(METHODS), bits or [16, 32, 64, 128], random_state=seed, progress=True)
    typer.echo(f"{features.name}: {len(split.queries):,} queries, {len(split.items):,} items, seed {seed}\n")
    typer.echo(table(split, trials))


def table(split: Split, trials: list[Trial]) -> str:
    neighbors = evaluation.float_neighbors(split.queries, split.items, n_neighbors=N_NEIGHBORS)
    float_scores = [score_float_features(split, k=CUT), score_float_features(split)]
    rows = [["float features", "", *(f"{score.value:.3f}" if score else "" for score in float_scores), "1.000", ""]]
    for trial in sorted(trials, key=lambda trial: (trial.method, trial.n_bits)):
        scores = [score_labels(split, trial, k=CUT, ties="id"), score_labels(split, trial, ties="id")]
        recall = evaluation.neighbor_recall(trial.query_codes, trial.codes, neighbors, k=NEIGHBOR_CUT)
        values = [f"{score.value:.3f}" for score in (*scores, recall)]
        rows.append([trial.method, f"{trial.n_bits}", *values, f"{trial.fit_seconds:.1f}"])
    return markdown_table(["method", "bits", f"mAP@{CUT}", "mAP@all", f"recall@{N_NEIGHBORS}", "fit s"], rows)


if __name__ == "__main__":
    typer.run(main)
