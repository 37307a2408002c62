"""The page's server: pictures, neighbors, duplicates and quality of one gallery, for one person on this machine."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import secrets
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from hashkit.checks import Codes
from hashkit.images import thumbnails, views
from hashkit.images.budget import PixelBudget
from hashkit.images.decoding import MAX_PIXELS, ImageError, reason
from hashkit.images.extraction import extract_one
from hashkit.images.gallery import Gallery, Photo
from hashkit.images.guard import LOOPBACK, Guard
from hashkit.images.protocol import TimedProtocol
from hashkit.images.quality import measure_quality
from hashkit.images.uploads import Uploads

PER_PAGE, GROUPS_PER_PAGE, SHOWN_OF_GROUP = 120, 40, 24
NEAREST, NEAREST_WITHIN = 60, 240
MAX_GROUP_RADIUS, GROUP_RADIUS = 16, 4
KEPT_SEARCHES = 50

DECODERS = 4  # threads; the budget of pixels holds them back
SHUTDOWN_SECONDS = 2  # for requests that are open at Ctrl-C
READ = ["GET", "HEAD"]

UVICORN: dict[str, Any] = {
    "http": TimedProtocol,
    "ws": "none",
    "log_level": "error",  # what a client does wrong is answered to it alone
    "server_header": False,
    "limit_concurrency": 256,
    "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
}

T = TypeVar("T")
Page = functools.partial(Query, 1, ge=1, le=10**9)


@dataclass
class Search:
    """A picture that somebody dropped on the page: its code, and a small copy to show."""

    code: Codes
    picture: bytes


@dataclass
class State:
    """What the pages show."""

    gallery: Gallery
    searches: OrderedDict[str, Search] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    budget: PixelBudget = field(default_factory=lambda: PixelBudget(MAX_PIXELS))
    # Pictures are decoded in threads of their own: however many are asked for, the pages come at once.
    decoders: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(DECODERS, "hashkit-decode"))

    async def decode(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that decodes a picture."""
        return await asyncio.get_running_loop().run_in_executor(self.decoders, function, *arguments)

    def photo(self, id: int) -> Photo:
        """A picture of the gallery; anything else is not found."""
        if id not in self.gallery.photos:
            raise HTTPException(404, "there is no such picture")
        return self.gallery.photos[id]

    def search(self, key: str) -> Search:
        """A search that is still remembered."""
        with self.lock:
            if key not in self.searches:
                raise HTTPException(404, "this search has been forgotten: drop the picture again")
            self.searches.move_to_end(key)
            return self.searches[key]

    def remember(self, file: BinaryIO) -> str:
        """Encode a file; the key of the search."""
        small: list[bytes] = []
        row = extract_one(
            file,
            self.gallery.model,
            budget=self.budget,
            look_at=lambda picture: small.append(thumbnails.shrink(picture, thumbnails.ASKED_SIDE)),
        )
        search = Search(self.gallery.encode(row[None])[0], small[0])
        key = _digest(file)
        with self.lock:
            self.searches[key] = search
            while len(self.searches) > KEPT_SEARCHES:
                self.searches.popitem(last=False)
        return key

    @functools.cached_property
    def groups(self) -> Callable[[int], list[list[Photo]]]:
        """Groups of duplicates by radius; the last few radii are remembered."""
        return functools.lru_cache(4)(self.gallery.duplicates)

    @functools.cached_property
    def quality(self) -> Any:
        """Measured once."""
        return measure_quality(self.gallery)


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()[:32]


def make_app(gallery: Gallery) -> FastAPI:
    """The pages of a gallery."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.closing = bool  # whether the server is about to end: `serve` sets it
    state = State(gallery)
    app.mount("/static", StaticFiles(packages=[("hashkit.images", "static")]))
    _add_pages(app, state)
    _add_pictures(app, state)
    _add_search(app, state)

    # Starlette's own also comes where nothing lies under an address.
    @app.exception_handler(StarletteHTTPException)
    async def refuse(request: Request, error: StarletteHTTPException) -> Response:
        return HTMLResponse(views.render("error.html", message=error.detail, view=""), error.status_code)

    @app.exception_handler(RequestValidationError)
    async def misread(request: Request, error: RequestValidationError) -> Response:
        parts = ", ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors())
        return HTMLResponse(views.render("error.html", message=f"this address has no page ({parts})", view=""), 422)

    return app


def _add_pages(app: FastAPI, state: State) -> None:
    gallery = state.gallery

    @app.api_route("/", methods=READ, response_class=HTMLResponse)
    def pictures(page: int = Page(), q: str = Query("", max_length=200)) -> str:
        photos = list(gallery.photos.values())
        wanted = [photo for photo in photos if q.lower() in photo.path.lower()] if q else photos
        n_pages, page = views.pages(len(wanted), PER_PAGE, page)
        tiles = [views.photo_tile(photo) for photo in wanted[(page - 1) * PER_PAGE : page * PER_PAGE]]
        facts = {"n_found": len(wanted), "n_photos": len(photos), "settings": gallery.settings}
        return views.render("pictures.html", view="pictures", tiles=tiles, page=page, n_pages=n_pages, q=q, **facts)

    @app.api_route("/duplicates", methods=READ, response_class=HTMLResponse)
    def duplicates(page: int = Page(), radius: int = Query(GROUP_RADIUS, ge=0, le=MAX_GROUP_RADIUS)) -> str:
        groups = state.groups(radius)
        n_pages, page = views.pages(len(groups), GROUPS_PER_PAGE, page)
        shown = [
            (len(group), [views.photo_tile(photo) for photo in group[:SHOWN_OF_GROUP]])
            for group in groups[(page - 1) * GROUPS_PER_PAGE : page * GROUPS_PER_PAGE]
        ]
        facts = {"n_groups": len(groups), "n_photos": sum(map(len, groups)), "max_radius": MAX_GROUP_RADIUS}
        return views.render(
            "duplicates.html", view="duplicates", groups=shown, radius=radius, page=page, n_pages=n_pages, **facts
        )

    @app.api_route("/quality", methods=READ, response_class=HTMLResponse)
    def quality() -> str:
        return views.render("quality.html", view="quality", quality=state.quality, settings=gallery.settings)

    @app.api_route("/neighbors/{id}", methods=READ, response_class=HTMLResponse)
    def neighbors(id: int, radius: int | None = Query(None, ge=0, le=gallery.n_bits)) -> str:
        photo = state.photo(id)
        large = f"/pictures/{id}?v={photo.stamp.mtime_ns}"
        return _results(state, gallery.code_of(id), views.Tile(views.readable(photo.path), large), radius)

    @app.api_route("/search/{key}", methods=READ, response_class=HTMLResponse)
    def searched(key: str, radius: int | None = Query(None, ge=0, le=gallery.n_bits)) -> str:
        search = state.search(key)
        return _results(state, search.code, views.Tile("Your picture", f"/searched/{key}"), radius)


def _results(state: State, code: Codes, asked: views.Tile, radius: int | None) -> str:
    gallery = state.gallery
    matches = gallery.nearest(code, NEAREST if radius is None else NEAREST_WITHIN, radius)
    shown_radius = radius if radius is not None else max((match.distance for match in matches), default=0)
    return views.render(
        "results.html",
        view="results",
        asked=asked,
        tiles=views.match_tiles(matches),
        radius=shown_radius,
        n_within=gallery.count_within(code, shown_radius),
        n_bits=gallery.n_bits,
    )


def _add_pictures(app: FastAPI, state: State) -> None:
    async def jpeg(make: Callable[[Gallery, Photo, PixelBudget], bytes], id: int) -> Response:
        photo = state.photo(id)
        try:
            data = await state.decode(make, state.gallery, photo, state.budget)
        except (ImageError, OSError) as error:
            why = reason(error) if isinstance(error, OSError) else error
            raise HTTPException(410, f"this picture cannot be shown: {why}") from error
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    @app.api_route("/thumbnails/{id}", methods=READ)
    async def small(id: int) -> Response:
        return await jpeg(thumbnails.thumbnail, id)

    @app.api_route("/pictures/{id}", methods=READ)
    async def large(id: int) -> Response:
        return await jpeg(thumbnails.preview, id)

    @app.api_route("/searched/{key}", methods=READ)
    def asked(key: str) -> Response:
        return Response(state.search(key).picture, media_type="image/jpeg")


def _add_search(app: FastAPI, state: State) -> None:
    uploads = Uploads()

    @app.post("/search")
    async def search(request: Request) -> dict[str, str]:
        # A form cannot send this type: together with the guard's look at Origin, no other site can search.
        if request.headers.get("content-type") != "application/octet-stream":
            raise HTTPException(415, "a picture must come as application/octet-stream")
        async with uploads.receive(request) as file:
            try:
                key = await state.decode(state.remember, file)
            except ImageError as error:
                raise HTTPException(422, f"this file cannot be shown: {error}") from error
        return {"location": f"/search/{key}"}


def serve(
    gallery: Gallery,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    hosts: tuple[str, ...] = (),
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
    started : function
        Called with the address to open, token included, and the server, once it listens.

    Raises
    ------
    OSError
        If it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        token = None if shown in LOOPBACK else secrets.token_urlsafe(24)
        number = listener.getsockname()[1]
        app = make_app(gallery)
        guard = Guard(number, token, (shown, *hosts))
        server = uvicorn.Server(uvicorn.Config(guard.around(app), **UVICORN))
        app.state.closing = lambda: server.should_exit
        started(f"http://{shown}:{number}/" + (f"?token={token}" if token else ""), server)
        server.run(sockets=[listener])
