"""What is known of each picture, which one of a group to keep, and lists of pictures for other programs."""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit.checks import check_choice
from hashkit.images.gallery import Gallery
from hashkit.images.names import one_line
from hashkit.images.pairing import Measures
from hashkit.images.photos import Match, Photo

__all__ = ["FORMATS", "RULES", "Facts", "as_text", "facts_of", "kept_of", "kept_row"]

_DIGITS = 3  # of the sharpness
FORMATS = {"paths": "text/plain", "csv": "text/csv", "json": "application/json"}


@dataclass(frozen=True)
class Facts:
    """What a person decides by.

    Attributes
    ----------
    photo : Photo
    path : str
        Of the file.
    width, height : int
        0 where the file could not be read again.
    n_bytes : int
    modified : datetime
    sharpness : float
        See :class:`hashkit.images.looks.Look`.
    """

    photo: Photo
    path: str
    width: int
    height: int
    n_bytes: int
    modified: datetime.datetime
    sharpness: float


def facts_of(gallery: Gallery, photo: Photo) -> Facts:
    """The facts of a picture of a gallery."""
    measures, row = gallery.findings.measures, gallery.row_of(photo.id)
    return Facts(
        photo,
        gallery.file_of(photo),
        int(measures.width[row]),
        int(measures.height[row]),
        photo.stamp.size,
        datetime.datetime.fromtimestamp(photo.stamp.mtime_ns / 1e9, datetime.timezone.utc),
        round(float(measures.sharpness[row]), _DIGITS),
    )


# Which of a group is kept: the one with the greatest value; among equals more pixels, more bytes, the first path.
RULES: dict[str, Callable[[Measures], NDArray[Any]]] = {
    "largest": lambda measures: measures.width * measures.height,
    "oldest": lambda measures: -measures.mtime_ns,
    "newest": lambda measures: measures.mtime_ns,
    "sharpest": lambda measures: measures.sharpness.round(_DIGITS),
}


def kept_of(gallery: Gallery, group: Sequence[Match], rule: str) -> Photo:
    """The picture of a group that a rule keeps."""
    check_choice(rule, "keep", tuple(RULES))
    rows = np.array([gallery.row_of(match.photo.id) for match in group])
    return gallery.findings.photos[kept_row(gallery, rows, rule)]


def kept_row(gallery: Gallery, rows: NDArray[np.int64], rule: str) -> int:
    """The same by rows, which are in the order of paths."""
    measures = gallery.findings.measures.of(rows)
    pixels = measures.width * measures.height
    return int(rows[np.lexsort((rows, -measures.n_bytes, -pixels, -RULES[rule](measures)))[0]])


def as_text(gallery: Gallery, photos: Sequence[Photo], form: str, groups: dict[int, int] | None = None) -> str:
    """A list of pictures as ``paths``, one a line, ``csv`` or ``json``, with their groups' numbers if given."""
    check_choice(form, "format", tuple(FORMATS))
    facts = [facts_of(gallery, photo) for photo in photos]
    if form == "paths":
        return "".join(f"{one_line(one.path)}\n" for one in facts)
    rows = [_row(one, groups) for one in facts]
    if form == "json":
        return json.dumps(rows, indent=1) + "\n"
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else ["path"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _row(facts: Facts, groups: dict[int, int] | None) -> dict[str, Any]:
    row: dict[str, Any] = {} if groups is None else {"group": groups[facts.photo.id]}
    return row | {
        "path": one_line(facts.path),
        "name": os.path.basename(one_line(facts.photo.path)),
        "width": facts.width,
        "height": facts.height,
        "bytes": facts.n_bytes,
        "modified": facts.modified.isoformat(timespec="seconds"),
        "sharpness": facts.sharpness,
    }
