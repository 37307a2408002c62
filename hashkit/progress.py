"""Progress bars, made only where one is asked for: tqdm starts a thread even for a bar that shows nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Any


class NoBar:
    """What stands for a bar where none is asked for."""

    def __enter__(self) -> NoBar:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        return

    def update(self, n: int = 1) -> None:
        """Nothing is shown."""

    def set_description(self, description: str) -> None:
        """Nothing is shown."""

    def set_postfix(self, **values: Any) -> None:
        """Nothing is shown."""


def progress_bar(shown: bool, **options: Any) -> Any:
    """A tqdm bar made with `options` if it is to be shown, else a NoBar; either is a context manager.

    Where tqdm is not installed nothing is shown. With `disable=None` tqdm shows it on a terminal only.
    """
    if not shown:
        return NoBar()
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return NoBar()
    return tqdm(**options)
