"""What takes a while: computed once, in threads of its own, while the page says how far it is."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hashkit.progress import Progress

WAIT_SECONDS = 1.0  # before the page says that something is being computed
T = TypeVar("T")


@dataclass(eq=False)
class NotReadyError(Exception):
    """Something is not there yet.

    Attributes
    ----------
    what : str
        What is being done, in words.
    share : float
        How much of it is done, from 0 to 1.
    seconds : float or None
        How long the rest will take at the speed so far; None before anything can be said.
    """

    what: str
    share: float
    seconds: float | None


@dataclass(eq=False)
class _Task:
    future: Future[Any]
    started: float = field(default_factory=time.monotonic)
    share: float = 0.0

    def seconds_left(self) -> float | None:
        passed = time.monotonic() - self.started
        return passed * (1 - self.share) / self.share if self.share > 0 else None


class Background:
    """A few threads and what they have computed, by key."""

    def __init__(self, n_threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(n_threads, "hashkit-compute")
        self._tasks: dict[Hashable, _Task] = {}
        self._lock = threading.Lock()

    def result(self, key: Hashable, what: str, compute: Callable[[Progress], T], wait: float = WAIT_SECONDS) -> T:
        """What a function returns; it is called once for a key, again only after it has failed.

        Raises
        ------
        NotReadyError
            If it is not done after `wait` seconds.
        """
        task = self._task(key, compute)
        try:
            found: T = task.future.result(timeout=wait)
        except concurrent.futures.TimeoutError:  # before Python 3.11 not the built-in one
            raise NotReadyError(what, task.share, task.seconds_left()) from None
        except BaseException:
            with self._lock:
                self._tasks.pop(key, None)
            raise
        return found

    def _task(self, key: Hashable, compute: Callable[[Progress], object]) -> _Task:
        with self._lock:
            if key not in self._tasks:
                task = self._tasks[key] = _Task(Future())

                def show(share: float) -> None:
                    task.share = share

                task.future = self._pool.submit(compute, show)
            return self._tasks[key]
