"""Pictures that are sent to the page: kept in an unnamed file on disk, never wholly in memory, with limits on all."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

MAX_UPLOAD = 32 << 20
MAX_UPLOADS = 8  # at the same time; a browser sends one after the other
PART_SECONDS, UPLOAD_SECONDS = 15.0, 120.0  # between two parts, and for all of them
TICK_SECONDS = 0.2


class Uploads:
    """Counts the uploads that are open."""

    def __init__(self) -> None:
        self._n_open = 0

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[BinaryIO]:
        """The body of a request, as a file that is gone afterwards.

        Raises
        ------
        HTTPException
            413 where it is too large, 408 where it takes too long, 503 where too many are open already, 400 where the
            sender went away.
        """
        if self._n_open >= MAX_UPLOADS:
            raise HTTPException(503, "too many pictures are being sent at once: try again in a moment")
        self._n_open += 1
        try:
            with tempfile.TemporaryFile(prefix="hashkit-upload-") as file:
                await _write(request, file)
                yield file
        finally:
            self._n_open -= 1


async def _write(request: Request, file: BinaryIO) -> None:
    end = asyncio.get_running_loop().time() + UPLOAD_SECONDS
    parts, size = request.stream(), 0
    while (part := await _next_part(request, parts, end)) is not None:
        size += len(part)
        if size > MAX_UPLOAD:
            raise HTTPException(413, f"a picture may have {MAX_UPLOAD >> 20} MB at most")
        file.write(part)
    file.seek(0)


async def _next_part(request: Request, parts: AsyncIterator[bytes], end: float) -> bytes | None:
    """The next part of a body, or None after the last; looks up meanwhile whether the server is to end."""
    loop = asyncio.get_running_loop()
    end = min(end, loop.time() + PART_SECONDS)
    waiting = asyncio.ensure_future(anext(parts, None))
    try:
        while not (await asyncio.wait({waiting}, timeout=min(TICK_SECONDS, max(0, end - loop.time()))))[0]:
            if request.app.state.closing():
                raise HTTPException(503, "the server is ending")
            if loop.time() >= end:
                raise HTTPException(408, "the picture did not arrive in time: send it again")
        return waiting.result()
    except ClientDisconnect as error:
        raise HTTPException(400, "the sender went away") from error
    finally:
        waiting.cancel()
