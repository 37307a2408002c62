"""Progress bars, made only where one is asked for: tqdm starts a thread even for a bar that shows nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


Progress = Callable[[float], None]
"""A function that is given the share of the work that is done, from 0 to 1, from time to time."""


def ignore(share: float) -> None:
    """Where nobody looks at the progress."""


def part_of(progress: Progress, start: float, stop: float) -> Progress:
    """The progress of a part of the work, which starts and stops at these shares of the whole."""
    return lambda share: progress(start + share * (stop - start))


@contextmanager
def percent_bar(shown: bool, description: str) -> Iterator[Progress]:
    """A bar of percents, as a function of the share that is done."""
    with progress_bar(shown, total=100, desc=description, unit="%", disable=None) as bar:
        done = 0

        def show(share: float) -> None:
            nonlocal done
            fresh = int(100 * share) - done
            if fresh > 0:
                bar.update(fresh)
                done += fresh

        yield show
