"""A bound on the pixels that are decoded at the same time, and memory that goes back when they are done."""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Below this, what is freed is soon used again: malloc_trim takes milliseconds, a picture of 4 megapixels about 30.
TRIM_PIXELS = 4_000_000


class PixelBudget:
    """A semaphore counted in pixels: whoever decodes a picture waits until there is room for all of its pixels.

    Requests are served in the order in which they came, so that a large picture is not overtaken for ever by small
    ones. A picture of more pixels than the budget waits until it is alone.

    Parameters
    ----------
    n_pixels : int
        The pixels that may be in work at the same time.
    """

    def __init__(self, n_pixels: int) -> None:
        self._n_pixels = n_pixels
        self._used = 0
        self._is_untidy = False  # whether a large picture has been in work since memory was given back
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def lease(self, n_pixels: int) -> Iterator[None]:
        """Wait for room for so many pixels, and keep it meanwhile."""
        n_pixels = min(n_pixels, self._n_pixels)
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._used + n_pixels <= self._n_pixels)
                self._used += n_pixels
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._used -= n_pixels
                self._changed.notify_all()
                self._is_untidy |= n_pixels >= TRIM_PIXELS

    def tidy(self) -> None:
        """Return freed memory to the operating system, where the C library can (glibc) and it pays.

        To be called when nothing refers to the pictures any more.
        """
        if self._is_untidy:
            self._is_untidy = False
            _trim()(0)


@functools.cache
def _trim() -> Callable[[int], object]:
    if sys.platform == "linux":
        try:
            trim = ctypes.CDLL(None).malloc_trim
        except (AttributeError, OSError):  # another C library
            return bool
        trim.argtypes = [ctypes.c_size_t]
        return trim
    return bool
