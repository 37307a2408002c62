"""The command `hashkit`: names and help of its arguments, exit codes and errors of one line; no logic of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

import hashkit
from hashkit.cli.vectors import app as vectors_app
from hashkit.images.cli import app as images_app


class _Commands(TyperGroup):
    """Reports a user's error in one line, with exit code 1; wrong arguments of the command exit with 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of the output has closed it: typer ends the command silently
            raise
        except (OSError, TypeError, ValueError) as error:
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Features = Annotated[
    Path,
    typer.Argument(help="Features: .npy, .npz, .safetensors, .parquet, .arrow, .csv, or - for standard input."),
]
Column = Annotated[str | None, typer.Option(help="Tensor or column of the features, if there are several.")]
Format = Annotated[
    str | None,
    typer.Option(help="Format of the codes, as in hashkit.pack: hex, uint64, bool, signs, int8, int8_offset."),
]
Bits = Annotated[int, typer.Option("--bits", help="Length of the codes.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all random numbers.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hashkit {hashkit.__version__}")
        raise typer.Exit


@app.callback()
def hashkit_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Learn short binary codes from features without labels, and search them exactly."""


def _tell(text: str) -> None:
    """Print the message of a command, unless its result went to standard output."""
    if text:
        typer.echo(text)


@app.command()
def demo(
    features: Annotated[
        Path | None, typer.Option(help="Your own features, .npy or .npz; scikit-learn's digits by default.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="A label for each row of the features, .npy.")] = None,
    queries: Annotated[
        int | None, typer.Option(help="Number of rows used as queries; by default a sixth, at most 1,000.")
    ] = None,
    seed: Seed = 0,
    picture: Annotated[Path | None, typer.Option(help="Picture to write [default: hashkit-demo.png]")] = None,
) -> None:
    """Compare hashers: a table and a picture.

    UDHPL, ITQ and random hyperplanes: how well their codes retrieve, and how long they take.
    """
    from hashkit.cli import commands

    typer.echo(commands.demo(features, labels, queries, seed, picture))


@app.command()
def fit(
    features: Features,
    hasher: Annotated[Path, typer.Argument(help="File to write, .safetensors.")],
    bits: Bits = 64,
    method: Annotated[str, typer.Option(help="Name of the method.")] = "udhpl",
    seed: Seed = 0,
    column: Column = None,
    quiet: Quiet = False,
) -> None:
    """Learn a hasher from features."""
    from hashkit.cli import commands

    typer.echo(commands.fit_file(features, hasher, method, bits, seed, column=column, progress=not quiet))


@app.command()
def encode(
    hasher: Annotated[Path, typer.Argument(help="File that `hashkit fit` wrote.")],
    features: Features,
    codes: Annotated[
        Path,
        typer.Argument(help="File to write: .npy, .safetensors, .parquet, .arrow, .csv; - prints CSV."),
    ],
    column: Column = None,
    ids: Annotated[
        str | None, typer.Option(help="Column of ids, integers or strings, to write beside the codes.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Encode features with a fitted hasher, in blocks."""
    from hashkit.cli import commands

    _tell(commands.encode_file(hasher, features, codes, column=column, ids=ids, progress=not quiet))


@app.command()
def query(
    codes: Annotated[
        Path,
        typer.Argument(help="What to search: codes in any file that encode writes, a saved index, a collection."),
    ],
    queries: Annotated[Path, typer.Argument(help="Codes to search for, in any such file, or - for standard input.")],
    k: Annotated[int, typer.Option("-k", help="Nearest codes per query.")] = 10,
    radius: Annotated[
        int | None, typer.Option(help="Find all codes within this distance, inclusive, instead of the k nearest.")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Length of the codes, if it is not a multiple of 8.")] = None,
    ids: Annotated[str | None, typer.Option(help="Column of the codes' ids, integers or strings.")] = None,
    query_ids: Annotated[str | None, typer.Option(help="Column of the queries' ids.")] = None,
    format: Format = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the results to this .npz, .parquet, .arrow or .csv file instead of printing them; - prints CSV."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Search codes exactly, in blocks of queries.

    Prints query, rank, id and distance, tab-separated, in the order of (distance, id).
    """
    from hashkit.cli import searching

    found = searching.query_file(
        codes, queries, k, radius, bits, out, ids=ids, query_ids=query_ids, format=format, progress=not quiet
    )
    for text in found:
        _tell(text)


@app.command()
def dedup(
    source: Annotated[Path, typer.Argument(help="Codes in any file that encode writes, or - for standard input.")],
    radius: Annotated[int | None, typer.Option(help="Codes within this Hamming distance are near.")] = None,
    similarity: Annotated[
        float | None,
        typer.Option(help="Codes of at least this Jaccard (Tanimoto) similarity are near, instead of a radius."),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(help="Similarity by jaccard, dice or containment, or by Tversky's weights such as 0.9,0.1."),
    ] = None,
    what: Annotated[
        Literal["pairs", "groups", "keep"],
        typer.Option(help="Write all pairs, each code's group, or the ids to keep: the smallest of each group."),
    ] = "pairs",
    column: Column = None,
    ids: Annotated[str | None, typer.Option(help="Column of integer ids; rows are counted from 0 by default.")] = None,
    format: Format = None,
    bits: Annotated[int | None, typer.Option(help="Length of the codes, if it is not a multiple of 8.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write this .parquet, .tsv or .txt file, print nothing.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; by default one for each CPU.")] = None,
    quiet: Quiet = False,
) -> None:
    """Find near-duplicate codes.

    Codes are kept in memory, all else is read and written piece by piece. Output is tab-separated, in the order of ids.
    """
    from hashkit.cli.dedup import dedup_file

    dedup_file(
        source,
        what=what,
        radius=radius,
        similarity=similarity,
        measure=measure,
        column=column,
        ids=ids,
        format=format,
        n_bits=bits,
        n_threads=threads,
        out=out,
        progress=not quiet,
    )


@app.command()
def evaluate(
    codes: Annotated[Path, typer.Argument(help="Codes of the database, .npy.")],
    labels: Annotated[Path, typer.Argument(help="Their labels, .npy.")],
    queries: Annotated[Path, typer.Argument(help="Codes of the queries, .npy.")],
    query_labels: Annotated[Path, typer.Argument(help="Their labels, .npy.")],
    features: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Features of the codes and of the queries, to measure the recall of float neighbors too."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Cut-off of mAP@k, precision@k and recall@k.")] = 1000,
    radius: Annotated[int, typer.Option(help="For the precision within a radius.")] = 2,
    ties: Annotated[
        Literal["id", "expectation"], typer.Option(help="Rank codes at one distance by id, or average over all orders.")
    ] = "id",
) -> None:
    """Measure codes by labels, and by neighbors among the features.

    An item is relevant to a query if both have the same label.
    """
    from hashkit.cli import commands

    text = commands.evaluate_files(codes, labels, queries, query_labels, features, k=k, radius=radius, ties=ties)
    typer.echo(text)


@app.command()
def compare(
    database: Annotated[
        Path | None, typer.Option(help="Features of the database; by default scikit-learn's digits.")
    ] = None,
    queries: Annotated[Path | None, typer.Option(help="Features of queries; by default rows of the database.")] = None,
    train: Annotated[Path | None, typer.Option(help="Features to learn from; by default the database.")] = None,
    labels: Annotated[Path | None, typer.Option(help="A label for each row of the database.")] = None,
    query_labels: Annotated[Path | None, typer.Option(help="A label for each query.")] = None,
    methods: Annotated[
        str, typer.Option(help="Names of methods, separated by commas.")
    ] = "udhpl,itq,random_hyperplanes",
    bits: Annotated[str, typer.Option(help="Lengths of the codes, separated by commas.")] = "16,32,64",
    k: Annotated[int, typer.Option("-k", help="Cut-off of mAP@k and precision@k.")] = 1000,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas; figures are means over seeds.")] = "0",
    csv: Annotated[Path | None, typer.Option(help="Write every figure to this .csv file.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Write the table to this .tex file, for booktabs.")] = None,
    modules: Annotated[
        list[str] | None, typer.Option("--import", help="Module that defines methods of your own (hashkit.OwnHasher).")
    ] = None,
) -> None:
    """Compare methods on your own data, over code lengths and seeds."""
    from hashkit.cli import comparing

    typer.echo(
        comparing.compare_files(
            database,
            queries,
            train,
            labels,
            query_labels,
            methods=methods,
            bits=bits,
            k=k,
            seeds=seeds,
            csv=csv,
            latex=latex,
            modules=modules or [],
        )
    )


@app.command()
def info(
    file: Annotated[
        Path | None,
        typer.Argument(help="A file of hashkit's, .npy, .parquet or .arrow; by default the installation is described."),
    ] = None,
) -> None:
    """Describe a file.

    Without a file: describe the installation, for a bug report.
    """
    from hashkit.cli import describing

    typer.echo(describing.describe_file(file))


@app.command()
def recover(
    folder: Annotated[Path, typer.Argument(help="Folder of a collection whose journal.sqlite is missing or empty.")],
) -> None:
    """Restore a collection that has lost its journal, with the codes of its newest index file.

    Later changes and all metadata were in the journal and cannot be restored.
    """
    from hashkit.cli import commands

    typer.echo(commands.recover_folder(folder))


app.add_typer(images_app, name="images")
app.add_typer(vectors_app, name="vectors")


def main() -> None:
    """Run the command."""
    app()
