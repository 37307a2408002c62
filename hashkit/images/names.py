"""File names as they are printed."""

from __future__ import annotations


def one_line(path: str) -> str:
    """A path that can be printed on a line: what cannot be shown is escaped as in Python."""
    return path if path.isprintable() else path.encode("unicode_escape").decode("ascii")
