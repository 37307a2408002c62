"""Names the extra of hashkit that brings a missing package. Imports nothing else: lazy rooms import it at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Let an import that fails for want of another package name the extra of hashkit that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "hashkit").partition(".")[0] == "hashkit":
            raise
        raise ModuleNotFoundError(
            f"{what} needs {error.name}: pip install 'hashkit[{extra}]'", name=error.name, path=error.path
        ) from error
