"""`hashkit vectors`: names and help of its arguments; no logic of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(help="Search embeddings with a stated recall.", no_args_is_help=True)

IndexFile = Annotated[Path, typer.Argument(help="File that `hashkit vectors build` wrote.")]


@app.command()
def build(
    source: Annotated[Path, typer.Argument(help="Vectors: .npy, .safetensors or .parquet.")],
    index: Annotated[Path, typer.Argument(help="File to write.")],
    recall: Annotated[float, typer.Option(help="Share of the 10 true nearest that results must contain.")] = 0.95,
    metric: Annotated[Literal["cosine", "ip", "l2"], typer.Option(help="Measure of similarity.")] = "cosine",
    bits: Annotated[
        int | None, typer.Option(help="Length of the codes [default: one bit a dimension, or more if needed]")
    ] = None,
    keep: Annotated[
        Literal["as_came", "float16", "int8", "none"],
        typer.Option(help="Type in which vectors are stored for the last stage."),
    ] = "as_came",
    column: Annotated[str | None, typer.Option(help="Tensor or column, if there are several.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of all random numbers.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Build an index in bounded memory; after a crash, the same command continues."""
    from hashkit.vectors import VectorIndex

    built = VectorIndex.build(
        source,
        index,
        recall=recall,
        metric=metric,
        n_bits=bits,
        keep=keep,
        column=column,
        random_state=seed,
        progress=not quiet,
    )
    typer.echo(_described(built.describe()))


@app.command()
def query(
    index: IndexFile,
    queries: Annotated[
        Path, typer.Argument(help="Vectors to search for: .npy, .safetensors, .parquet, .arrow, .csv, or -.")
    ],
    k: Annotated[int, typer.Option("-k", help="Nearest vectors per query.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="Write to this .npz, .parquet, .arrow or .csv file instead of printing.")
    ] = None,
) -> None:
    """Print query, rank, id and score, tab-separated, the best first."""
    from hashkit.cli import searching

    for text in searching.query_vectors(index, queries, k, out):
        typer.echo(text)


@app.command()
def info(index: IndexFile) -> None:
    """Describe an index: contents, costs, expected recall."""
    from hashkit.vectors import VectorIndex

    typer.echo(_described(VectorIndex.load(index, mmap=True).describe()))


def _described(description: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in description.items())
