"""The commands `hashkit images ...`: arguments, help and output; no logic of their own."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from hashkit.extras import install_line
from hashkit.images.running import query_running
from hashkit.progress import percent_bar

SKIPPED_NAMED = 20

app = typer.Typer(
    help="Index a folder of pictures, search it by picture, find duplicates, and browse it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

GalleryPath = Annotated[Path, typer.Argument(metavar="GALLERY", help="Index that `hashkit images index` wrote.")]


@app.callback()
def images() -> None:
    """Index a folder of pictures, search it by picture, find duplicates, and browse it."""
    if importlib.util.find_spec("PIL") is None:
        raise ValueError(f"pictures need more packages: {install_line('images')}")
    # Pillow warns of odd headers; what cannot be decoded is named at the end.
    warnings.filterwarnings("ignore", module="PIL")


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures, including its subfolders.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the index, created or updated.")],
    model: Annotated[
        str | None,
        typer.Option(help="efficientnet-lite0 (default: the content of a picture), dct or difference (its look)."),
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Length of the codes [default: 64].")] = None,
    method: Annotated[str | None, typer.Option(help="Method that learns the codes [default: udhpl].")] = None,
    features: Annotated[
        bool | None, typer.Option("--features/--no-features", help="Keep features on disk, for --rerank and --refit.")
    ] = None,
    refit: Annotated[bool, typer.Option(help="Learn the codes again from all pictures.")] = False,
    batch_size: Annotated[int, typer.Option(help="Pictures that a thread processes at a time.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Index the pictures of a folder; a later run processes only new, changed and deleted ones."""
    from hashkit.images.decoding import hint_for
    from hashkit.images.names import one_line
    from hashkit.images.updating import index_folder

    try:
        report = index_folder(
            folder,
            output,
            model=model,
            n_bits=bits,
            method=method,
            keep_features=features,
            refit=refit,
            batch_size=batch_size,
            random_state=seed,
            progress=not quiet,
        )
    except ImportError as error:
        raise ValueError(str(error)) from error
    except KeyboardInterrupt:
        typer.echo("stopped; what was done is kept: start the same command again to go on", err=True)
        raise typer.Exit(130) from None
    _tell_skipped(report.skipped)
    if report.passed_over:
        counts = sorted(report.passed_over.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{n:,} {one_line(suffix)}{hint_for(suffix)}" for suffix, n in counts[:SKIPPED_NAMED])
        typer.echo(f"passed over by name: {named}", err=True)
    if report.learned and report.method == "random_hyperplanes" and method != "random_hyperplanes":
        typer.echo("too few pictures to learn from: codes by random hyperplanes until a later run finds more")
    changes = f"{report.n_added:,} new, {report.n_changed:,} changed, {report.n_removed:,} gone"
    typer.echo(f"{output}: {report.n_images:,} pictures ({changes}, {len(report.skipped):,} skipped)")


@app.command()
def query(
    gallery: GalleryPath,
    picture: Annotated[Path, typer.Argument(help="The picture to search by.")],
    k: Annotated[int, typer.Option("-k", help="Number of pictures.", min=1)] = 20,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Order the nearest by similarity of their features.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the results to this self-contained file.")] = None,
) -> None:
    """Print the most similar pictures: distance and path, tab-separated."""
    from hashkit.images.names import one_line

    # The page's server, if one runs, has loaded the model already; what it cannot answer is reported below.
    answered = query_running(str(gallery), str(picture), k, rerank) if html is None else None
    if answered is None:
        answered = _query(gallery, picture, k, rerank, html)
    for match in answered:
        similarity = "" if match["similarity"] is None else f"{match['similarity']:.4f}\t"
        typer.echo(f"{match['distance']}\t{similarity}{one_line(match['path'])}")
    if html is not None:
        typer.echo(f"wrote {html}", err=True)


def _query(gallery: Path, picture: Path, k: int, rerank: bool, html: Path | None) -> list[dict[str, Any]]:
    from hashkit.images.decoding import ImageError, reason
    from hashkit.images.gallery import Gallery

    opened = Gallery(gallery, model=_quick_model(gallery))
    try:
        matches = opened.query(picture, k, rerank=rerank)
    except (ImageError, OSError) as error:
        if isinstance(error, OSError) and error.filename != str(picture):
            raise
        why = reason(error) if isinstance(error, OSError) else error
        raise ValueError(f"{str(picture)!r} cannot be searched by: {why}") from error
    if html is not None:
        from hashkit.images.views import results_as_file

        html.write_text(results_as_file(opened, str(picture), matches), encoding="utf-8")
    return [
        {"path": opened.file_of(match.photo), "distance": match.distance, "similarity": match.similarity}
        for match in matches
    ]


def _quick_model(gallery: Path) -> Any:
    """The gallery's model if it needs no torch, whose import takes two seconds; else None."""
    from hashkit.images.models import DEFAULT_MODEL, model_of_one_picture
    from hashkit.images.settings import read_settings

    if read_settings(str(gallery)).model != DEFAULT_MODEL:
        return None
    try:
        return model_of_one_picture()
    except (ImportError, ValueError):  # torch reports what is wrong when it loads it
        return None


@app.command()
def duplicates(
    gallery: GalleryPath,
    similarity: Annotated[
        float | None, typer.Option(help="Least similarity [default: 0.97, for similar pictures 0.85].", min=0, max=1)
    ] = None,
    similar: Annotated[
        bool, typer.Option("--similar", help="Find similar pictures, by features, instead of copies.")
    ] = False,
    radius: Annotated[
        int | None,
        typer.Option("-r", "--radius", help="Compare only codes: bits in which neighbors may differ.", min=0),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(help="List all but one picture of each group: keep the largest, oldest, newest or sharpest."),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="paths, csv or json.")] = "paths",
    out: Annotated[Path | None, typer.Option(help="Write the list to this file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Print groups of copies, the tightest first: one path a line, an empty line between groups."""
    from hashkit.images.gallery import Gallery
    from hashkit.images.photos import Match
    from hashkit.images.selection import as_text, kept_of

    if radius is not None and (similar or similarity is not None):
        raise ValueError("--radius compares codes alone: it goes with neither --similar nor --similarity")
    opened = Gallery(gallery)
    if radius is not None:
        groups = [[Match(photo, 0) for photo in group] for group in opened.duplicates(radius)]
    else:
        with percent_bar(not quiet, "comparing pictures") as progress:
            groups = opened.groups("similar" if similar else "copies", similarity, progress=progress)
    listed = [
        [match.photo for match in group if keep is None or match.photo != kept]
        for group, kept in ((group, keep and kept_of(opened, group, keep)) for group in groups)
    ]
    if form == "paths":
        text = "".join(as_text(opened, group, form) + ("" if keep else "\n") for group in listed)
    else:
        numbers = {photo.id: number for number, group in enumerate(listed, 1) for photo in group}
        text = as_text(opened, [photo for group in listed for photo in group], form, numbers)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
    plural = "" if len(groups) == 1 else "s"
    listing = f", {sum(map(len, listed)):,} listed" if keep else ""
    typer.echo(f"{len(groups):,} group{plural} of {sum(map(len, groups)):,} pictures{listing}", err=True)


@app.command()
def explore(
    gallery: GalleryPath,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines need the token that is shown.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 0,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another host name under which the page may be requested.")
    ] = None,
    allow_move: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Allow the page to move chosen pictures to this folder, and back."),
    ] = None,
    text_model: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION", help="Function from texts to rows of the index's model, for search by words."
        ),
    ] = None,
) -> None:
    """Serve a page of the pictures, their neighbors, duplicates and the quality of the codes."""
    from hashkit.images.gallery import Gallery
    from hashkit.images.words import load_text_model

    try:
        from hashkit.images.server import serve
    except ImportError as error:
        raise ValueError(f"the page needs more packages: {install_line('explore')} ({error})") from error
    serve(
        Gallery(gallery),
        host=host,
        port=port,
        hosts=tuple(allow_host or ()),
        move_to=allow_move,
        text_model=None if text_model is None else load_text_model(text_model),
        started=lambda address, _: typer.echo(f"open {address} (Ctrl-C ends)"),
    )


def _tell_skipped(skipped: dict[str, str]) -> None:
    from hashkit.images.names import one_line

    for path, why in list(skipped.items())[:SKIPPED_NAMED]:
        typer.echo(f"skipped {one_line(path)}: {' '.join(why.split())}", err=True)
    if len(skipped) > SKIPPED_NAMED:
        typer.echo(f"skipped {len(skipped) - SKIPPED_NAMED:,} more", err=True)
