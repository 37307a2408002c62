"""What the pages show: tiles with pictures, distances and links, and the HTML around them."""

from __future__ import annotations

import base64
import functools
import hashlib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import jinja2
import numpy as np
from numpy.typing import NDArray

from hashkit.images.decoding import ImageError, read_image
from hashkit.images.duplicates import Group
from hashkit.images.gallery import Gallery
from hashkit.images.layout import Layout, folder_of
from hashkit.images.photos import Match, Photo
from hashkit.images.selection import RULES, Facts, facts_of, kept_row
from hashkit.images.thumbnails import ASKED_SIDE, shrink, thumbnail

CHART_WIDTH, CHART_HEIGHT = 600, 200
END_LETTERS = 10  # a counter and a suffix, as in IMG_20240501_120000.jpg
# Least correlation of pixels: what is compressed, resized, mirrored or turned has .999; crops and borders have .98.
SAME, NEAR = 0.998, 0.97


@dataclass(frozen=True)
class Tile:
    """One picture on a page; `distance` and `similarity` where it is a result.

    `large` is the address of a larger copy, `full` that of all its pixels; `width` and `height` keep its room, 0 if
    they are not known. `id`, `facts`, `kept_by` (the rules that keep it), `chosen` and `away` are for pictures of a
    group.
    """

    name: str
    picture: str
    link: str = ""
    distance: int | None = None
    similarity: float | None = None
    large: str = ""
    full: str = ""
    id: int | None = None
    facts: str = ""
    width: int = 0
    height: int = 0
    n_bytes: int = 0
    kept_by: str = ""
    chosen: bool = False
    away: bool = False


@dataclass(frozen=True)
class TileGroup:
    """A group of pictures, of which `tiles` are shown."""

    id: int
    size: int
    tiles: list[Tile]
    least: float | None
    words: str


def address(asked: dict[str, object], **more: object) -> str:
    """The query of an address; what is None or empty is left out."""
    values = {name: value for name, value in {**asked, **more}.items() if value is not None and value != ""}
    return "?" + urlencode(values, errors="surrogateescape") if values else ""


def end_of(name: str) -> str:
    """The last letters of a file's name, where the names of a series differ; never the whole of it."""
    file = name.rpartition("/")[2]
    return file[-min(END_LETTERS, len(file) // 2) :] if len(file) > 1 else ""


def tail(name: str) -> str:
    """The last two parts of a path: the rest is often the same for all."""
    return "/".join(name.split("/")[-2:])


def readable(path: str) -> str:
    """A path as it can be shown: bytes that are no UTF-8 become question marks."""
    return os.fsencode(path).decode("utf-8", "replace")


def photo_tile(photo: Photo, match: Match | None = None) -> Tile:
    """A tile that links to the picture's neighbors."""
    return Tile(
        readable(photo.path),
        f"/thumbnails/{photo.id}?v={photo.stamp.mtime_ns}",
        f"/neighbors/{photo.id}",
        match.distance if match else None,
        match.similarity if match else None,
        large=f"/pictures/{photo.id}?v={photo.stamp.mtime_ns}",
        full=f"/full/{photo.id}?v={photo.stamp.mtime_ns}",
        id=photo.id,
    )


def match_tiles(matches: Iterable[Match]) -> list[Tile]:
    """Tiles of what was found, in its order."""
    return [photo_tile(match.photo, match) for match in matches]


def asked_tile(gallery: Gallery, photo: Photo) -> Tile:
    """The picture whose neighbors are shown, with its facts."""
    tile, facts = photo_tile(photo), facts_of(gallery, photo)
    words = facts_in_words(facts)
    return replace(tile, picture=tile.large, link="", facts=words, width=facts.width, height=facts.height)


def group_of(gallery: Gallery, group: Group, most: int, select: str, away: set[str]) -> TileGroup:
    """A group of copies or similar pictures; all but the one that the rule `select` keeps are chosen."""
    kept = {rule: kept_row(gallery, group.rows, rule) for rule in RULES}
    shown = Group(group.rows[:most], None if group.similarities is None else group.similarities[:most])
    tiles = []
    for match, row in zip(gallery.matches_of(shown), shown.rows.tolist(), strict=True):
        facts = facts_of(gallery, match.photo)
        gone = match.photo.path in away
        tiles.append(
            replace(
                photo_tile(match.photo),
                similarity=match.similarity,
                facts=facts_in_words(facts),
                n_bytes=facts.n_bytes,
                kept_by=" ".join(rule for rule, its in kept.items() if its == row),
                chosen=bool(select) and kept[select] != row and not gone,
                away=gone,
            )
        )
    least = None if group.similarities is None else float(group.similarities[-1])  # they fall
    words = "" if least is None else words_for(least)
    return TileGroup(tiles[0].id or 0, len(group.rows), tiles, least, words)


def clusters_of(gallery: Gallery, layout: Layout) -> tuple[list[Tile], list[Tile]]:
    """A tile for each cluster, named for the folder that most of it is in, and tiles of the outliers."""
    photos = list(gallery.photos.values())
    members: list[list[Photo]] = [[] for _ in layout.representatives]
    for photo, cluster in zip(photos, layout.clusters.tolist(), strict=True):
        members[cluster].append(photo)
    tiles = [
        replace(photo_tile(photos[row]), facts=f"{len(inside):,} pictures, most in {readable(folder_of(inside))}")
        for row, inside in zip(layout.representatives.tolist(), members, strict=True)
    ]
    return tiles, [photo_tile(photos[row]) for row in layout.outliers.tolist()]


def places_of(gallery: Gallery, layout: Layout) -> bytes:
    """What the map draws: ids (uint32), places (2 x uint16), clusters (uint8), one array after the other."""
    ids = np.fromiter(gallery.photos, np.uint32, len(gallery))
    return b"".join(
        [ids.astype("<u4").tobytes(), layout.places.astype("<u2").tobytes(), layout.clusters.astype("u1").tobytes()]
    )


def words_for(least: float) -> str:
    """What a group's least similarity of pixels means."""
    if least >= SAME:
        return "the same picture"
    return "near copies" if least >= NEAR else "perhaps copies: look before you choose"


def facts_in_words(facts: Facts) -> str:
    """Dimensions, size and date of a picture."""
    size = f"{facts.width:,} x {facts.height:,} · " if facts.width else ""
    return f"{size}{bytes_in_words(facts.n_bytes)} · {facts.modified:%Y-%m-%d}"


def bytes_in_words(n_bytes: int) -> str:
    """A number of bytes as 12 kB or 3.4 MB."""
    if n_bytes < 999_500:
        return f"{max(1, round(n_bytes / 1e3)) if n_bytes else 0} kB"
    return f"{n_bytes / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Seconds as they are said: 20 s, or 3 minutes."""
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} minutes"


def results_as_file(gallery: Gallery, source: str, matches: list[Match]) -> str:
    """The page of results as one self-contained HTML file.

    Parameters
    ----------
    gallery : Gallery
    source : str
        The file that was asked for.
    matches : list of Match

    Returns
    -------
    html : str
        With style and thumbnails inside; it loads nothing and runs nothing.
    """
    tiles = [
        Tile(readable(match.photo.path), _inline(gallery, match.photo), "", match.distance, match.similarity)
        for match in matches
    ]
    asked = Tile(
        readable(os.path.basename(source)), _data_url(shrink(read_image(source, least_side=ASKED_SIDE), ASKED_SIDE))
    )
    style = jinja2.PackageLoader("hashkit.images", "static").get_source(environment(), "gallery.css")[0]
    return render("results_file.html", asked=asked, tiles=tiles, style=style, n_bits=gallery.n_bits)


def render(template: str, **values: Any) -> str:
    """The HTML of a template; every value is escaped."""
    return environment().get_template(template).render(**values)


@functools.cache
def static(name: str) -> str:
    """The address of a file of the page's own, which changes with its contents."""
    data = files("hashkit.images").joinpath("static", name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(data).hexdigest()[:12]}"


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of this package."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("hashkit.images", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters.update(tail=tail, end_of=end_of, readable=readable, address=address, duration=duration)
    made.globals.update(static=static, bars=bars, line=line, chart_width=CHART_WIDTH, chart_height=CHART_HEIGHT)
    return made


def bars(values: NDArray[np.float64], greatest: float | None = None) -> list[tuple[float, float, float, float, float]]:
    """Bars of a chart: x, y, width and height in its units, and the value."""
    top = max(float(values.max()) if greatest is None else greatest, 1e-9)
    width = CHART_WIDTH / len(values)
    heights = [CHART_HEIGHT * value / top for value in values.tolist()]
    return [
        (round(i * width, 2), round(CHART_HEIGHT - height, 2), round(0.82 * width, 2), round(height, 2), float(value))
        for i, (height, value) in enumerate(zip(heights, values, strict=True))
    ]


def line(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Points of a line from (0, 0) to (1, 1), as SVG takes them; those without a value are left out."""
    return " ".join(
        f"{CHART_WIDTH * a:.1f},{CHART_HEIGHT * (1 - b):.1f}"
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
        if math.isfinite(a) and math.isfinite(b)
    )


def _inline(gallery: Gallery, photo: Photo) -> str:
    try:
        return _data_url(thumbnail(gallery, photo))
    except (ImageError, OSError):  # changed or gone since it was indexed: its name is still a result
        return ""


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def pages(n_items: int, per_page: int, page: int) -> tuple[int, int]:
    """The number of pages, at least one, and `page` brought between 1 and it."""
    n_pages = max(1, -(-n_items // per_page))
    return n_pages, min(max(page, 1), n_pages)
