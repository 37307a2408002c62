"""The page's server: pictures, neighbors, duplicates and quality of one gallery, for one person on this machine."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from hashkit.images import views
from hashkit.images.actions import add_actions
from hashkit.images.gallery import Gallery
from hashkit.images.guard import LOOPBACK, Guard
from hashkit.images.pages import add_pages
from hashkit.images.protocol import TimedProtocol
from hashkit.images.running import announced
from hashkit.images.state import State
from hashkit.images.words import TextModel

SHUTDOWN_SECONDS = 2  # for requests that are open at Ctrl-C
UVICORN: dict[str, Any] = {
    "http": TimedProtocol,
    "ws": "none",
    "log_level": "error",  # what a client does wrong is answered to it alone
    "server_header": False,
    "limit_concurrency": 256,
    "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
}


class Static(StaticFiles):
    """Files whose addresses change with their contents (see :func:`hashkit.images.views.static`): kept for good."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        """The answer, which a browser need not look for again."""
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "max-age=31536000, immutable"
        return response


def make_app(state: State) -> FastAPI:
    """The pages of a gallery."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.closing = bool  # whether the server is about to end: `serve` sets it
    app.mount("/static", Static(packages=[("hashkit.images", "static")]))
    add_pages(app, state)
    add_actions(app, state)

    def error_page(message: str, status: int) -> Response:
        return HTMLResponse(views.render("error.html", message=message, view="", changed=False), status)

    # Starlette's own also comes where nothing lies under an address.
    @app.exception_handler(StarletteHTTPException)
    async def refuse(request: Request, error: StarletteHTTPException) -> Response:
        return error_page(error.detail, error.status_code)

    @app.exception_handler(RequestValidationError)
    async def misread(request: Request, error: RequestValidationError) -> Response:
        parts = ", ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors())
        return error_page(f"this address has no page ({parts})", 422)

    return app


def serve(
    gallery: Gallery,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    hosts: tuple[str, ...] = (),
    move_to: str | os.PathLike[str] | None = None,
    text_model: TextModel | None = None,
    started: Callable[[str, uvicorn.Server], Any] = lambda address, server: None,
) -> None:
    """Serve the pages of a gallery until it is interrupted.

    Parameters
    ----------
    gallery : Gallery
    host : str
        Where to listen. Anything but this machine's own addresses makes a token necessary.
    port : int
        0 takes a free one.
    hosts : tuple of str
        Further names under which the server may be asked.
    move_to : path, optional
        A folder to which the page may move pictures; without it nothing can be moved.
    text_model : function, optional
        From texts to rows of the gallery's model, for searching by words; see :mod:`hashkit.images.words`.
    started : function
        Called with the address to open, token included, and the server, once it listens.

    Raises
    ------
    OSError
        If it cannot listen there.
    ValueError
        If pictures cannot be moved to `move_to`, see :class:`hashkit.images.moving.Mover`, or the gallery has no
        features for a text model.
    """
    if text_model is not None and gallery.n_dims == 0:
        raise ValueError(f"a text model needs an index of features: {gallery.settings.model!r} gives codes")
    state = State(gallery, move_to, text_model)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        token = None if shown in LOOPBACK else secrets.token_urlsafe(24)
        number = listener.getsockname()[1]
        app = make_app(state)
        guard = Guard(number, token, (shown, *hosts))
        server = uvicorn.Server(uvicorn.Config(guard.around(app), **UVICORN))
        app.state.closing = lambda: server.should_exit
        state.warm_up()
        started(f"http://{shown}:{number}/" + (f"?token={token}" if token else ""), server)
        with announced(gallery.path, number, state.secret) if token is None else nullcontext():
            server.run(sockets=[listener])
