"""Names the extra of hashkit that brings a missing package. Imports nothing else: lazy rooms import it at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

DISTRIBUTION = "hashkit-codes"
"""What pip installs: the name `hashkit` belongs to another project in the public index. pyproject.toml repeats it."""


def install_line(extra: str | None) -> str:
    """The command that installs an extra, or for None hashkit with all that it depends on."""
    return f"pip install {DISTRIBUTION}" if extra is None else f"pip install '{DISTRIBUTION}[{extra}]'"


@contextmanager
def needs_extra(what: str, extra: str | None) -> Iterator[None]:
    """Add to a failed import the extra of hashkit that installs the missing package; None if every installation has
    it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "hashkit").partition(".")[0] == "hashkit":
            raise
        raise ModuleNotFoundError(
            f"{what} needs {error.name}: {install_line(extra)}", name=error.name, path=error.path
        ) from error


def require(package: str, what: str, extra: str, *, otherwise: str = "") -> None:
    """Refuse early what would fail later because a package is missing.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed: names the extra, and what to do `otherwise`.
    """
    try:
        found = find_spec(package)
    except ModuleNotFoundError:  # of a finder that hides it
        found = None
    if found is None:
        raise ModuleNotFoundError(f"{what} needs {package}: {install_line(extra)}{otherwise}", name=package)
