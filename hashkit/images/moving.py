"""Moving pictures out of the way: into one folder, never over another file, written down first, and undone at will."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from hashkit.images.decoding import Stamp, reason
from hashkit.images.gallery import Gallery
from hashkit.images.photos import Photo

LOG = "moved.jsonl"


@dataclass
class Moved:
    """What was done.

    Attributes
    ----------
    n_moved : int
    refused : dict of str to str
        Paths below the gallery's folder, and why their files were left where they are.
    """

    n_moved: int = 0
    refused: dict[str, str] = field(default_factory=dict)


class Mover:
    """Moves pictures of a gallery to a folder and back.

    Every move is written to ``moved.jsonl`` beside the index before it is made: one line a file, with the batch it
    belongs to and the file's size and time. A file that is no longer as it was stays; where a name is taken, both stay.

    Parameters
    ----------
    gallery : Gallery
    target : path
        Made if there is none. On the same disk as the pictures: nothing is copied, nothing deleted.

    Raises
    ------
    ValueError
        If the folder would be searched for pictures at the next indexing, or lies on another disk.
    """

    def __init__(self, gallery: Gallery, target: str | os.PathLike[str]) -> None:
        self._gallery = gallery
        self.target = os.path.abspath(target)
        folder = os.path.realpath(gallery.settings.folder)
        os.makedirs(self.target, exist_ok=True)
        if os.path.commonpath([folder, os.path.realpath(self.target)]) == folder:
            raise ValueError(f"the folder to move to must lie outside of {folder!r}, got {self.target!r}")
        if os.stat(folder).st_dev != os.stat(self.target).st_dev:
            raise ValueError(f"the folder to move to must be on the disk of {folder!r}, got {self.target!r}")
        self._log = os.path.join(gallery.path, LOG)
        self._lock = threading.Lock()

    def move(self, photos: Iterable[Photo]) -> Moved:
        """Move the files of some pictures, each to its path below the target."""
        batch, done = secrets.token_hex(8), Moved()
        with self._lock:
            for photo in photos:
                source = self._gallery.file_of(photo)
                goal = os.path.join(self.target, photo.path)
                self._try(photo.path, source, goal, photo.stamp, {"batch": batch}, done)
        return done

    def undo(self) -> Moved:
        """Move the last batch that was moved back to where its files were."""
        done = Moved()
        with self._lock:
            lines = self._lines()
            undone = {line["undoes"] for line in lines if "undoes" in line}
            open_ones = (line for line in reversed(lines) if "batch" in line and line["batch"] not in undone)
            batch = next((line["batch"] for line in open_ones if _is_away(line)), None)
            for line in lines:
                if batch is not None and line.get("batch") == batch and _is_away(line):
                    stamp = Stamp(line["size"], line["mtime_ns"])
                    self._try(line["path"], line["to"], line["from"], stamp, {"undoes": batch}, done)
        return done

    def moved(self) -> set[str]:
        """Paths of pictures that are away at the moment."""
        with self._lock:
            return {line["path"] for line in self._lines() if "batch" in line and _is_away(line)}

    def _try(self, path: str, source: str, goal: str, stamp: Stamp, note: dict[str, str], done: Moved) -> None:
        try:
            if _stamp(source) != stamp:
                done.refused[path] = "it has changed since it was indexed"
                return
            os.makedirs(os.path.dirname(goal), exist_ok=True)
            self._write({"path": path, "from": source, "to": goal, **asdict(stamp), **note})
            # The name is taken by an empty file first: os.replace alone would replace a file of that name.
            os.close(os.open(goal, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                os.replace(source, goal)
            except OSError:
                os.unlink(goal)  # the empty file of the line before
                raise
            done.n_moved += 1
        except FileExistsError:
            done.refused[path] = "there is a file of that name already"
        except OSError as error:
            done.refused[path] = reason(error)

    def _write(self, line: dict[str, object]) -> None:
        with open(self._log, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _lines(self) -> list[dict[str, Any]]:
        try:
            with open(self._log, encoding="utf-8") as file:
                return [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []


def _stamp(path: str) -> Stamp:
    facts = os.lstat(path)
    return Stamp(facts.st_size, facts.st_mtime_ns)


def _is_away(line: dict[str, Any]) -> bool:
    """Whether the very file that a line tells of is where it was to be moved."""
    try:
        return _stamp(line["to"]) == Stamp(line["size"], line["mtime_ns"])
    except OSError:
        return False
