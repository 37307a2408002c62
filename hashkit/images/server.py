"""The page's server: pictures, neighbors, duplicates and quality of one gallery, for one person on this machine."""

from __future__ import annotations

import functools
import hashlib
import secrets
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from hashkit.checks import Codes
from hashkit.images import thumbnails, views
from hashkit.images.decoding import ImageError, read_image
from hashkit.images.extraction import extract_one
from hashkit.images.gallery import Gallery, Photo
from hashkit.images.guard import LOOPBACK, Guard
from hashkit.images.quality import measure_quality

MAX_UPLOAD = 32 << 20
PER_PAGE, GROUPS_PER_PAGE, SHOWN_OF_GROUP = 120, 40, 24
NEAREST, NEAREST_WITHIN = 60, 240
MAX_GROUP_RADIUS, GROUP_RADIUS = 16, 4
KEPT_SEARCHES = 50

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

    def remember(self, data: bytes) -> str:
        """Encode a file's contents; the key of the search."""
        picture = read_image(data, least_side=thumbnails.ASKED_SIDE)
        row = extract_one(data, self.gallery.model)[None]
        search = Search(self.gallery.encode(row)[0], thumbnails.shrink(picture, thumbnails.ASKED_SIDE))
        key = hashlib.sha256(data).hexdigest()[:32]
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


def make_app(gallery: Gallery, guard: Guard) -> FastAPI:
    """The pages of a gallery, behind a guard."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    state = State(gallery)
    app.middleware("http")(guard)
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

    @app.get("/", response_class=HTMLResponse)
    def pictures(page: int = Page(), q: str = Query("", max_length=200)) -> str:
        photos = list(gallery.photos.values())
        wanted = [photo for photo in photos if q.lower() in photo.path.lower()] if q else photos
        n_pages, page = views.pages(len(wanted), PER_PAGE, page)
        tiles = [views.photo_tile(photo) for photo in wanted[(page - 1) * PER_PAGE : page * PER_PAGE]]
        facts = {"n_found": len(wanted), "n_photos": len(photos), "settings": gallery.settings}
        return views.render("pictures.html", view="pictures", tiles=tiles, page=page, n_pages=n_pages, q=q, **facts)

    @app.get("/duplicates", response_class=HTMLResponse)
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

    @app.get("/quality", response_class=HTMLResponse)
    def quality() -> str:
        return views.render("quality.html", view="quality", quality=state.quality, settings=gallery.settings)

    @app.get("/neighbors/{id}", response_class=HTMLResponse)
    def neighbors(id: int, radius: int | None = Query(None, ge=0, le=gallery.n_bits)) -> str:
        photo = state.photo(id)
        large = f"/pictures/{id}?v={photo.stamp.mtime_ns}"
        return _results(state, gallery.code_of(id), views.Tile(views.readable(photo.path), large), radius)

    @app.get("/search/{key}", response_class=HTMLResponse)
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
    def jpeg(make: Callable[[Gallery, Photo], bytes], id: int) -> Response:
        try:
            data = make(state.gallery, state.photo(id))
        except (ImageError, OSError) as error:
            raise HTTPException(410, f"this picture cannot be shown: {error}") from error
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    @app.get("/thumbnails/{id}")
    def small(id: int) -> Response:
        return jpeg(thumbnails.thumbnail, id)

    @app.get("/pictures/{id}")
    def large(id: int) -> Response:
        return jpeg(thumbnails.preview, id)

    @app.get("/searched/{key}")
    def asked(key: str) -> Response:
        return Response(state.search(key).picture, media_type="image/jpeg")


def _add_search(app: FastAPI, state: State) -> None:
    @app.post("/search")
    async def search(request: Request) -> dict[str, str]:
        # A form cannot send this type: together with the guard's look at Origin, no other site can search.
        if request.headers.get("content-type") != "application/octet-stream":
            raise HTTPException(415, "a picture must come as application/octet-stream")
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > MAX_UPLOAD:
                raise HTTPException(413, f"a picture may have {MAX_UPLOAD >> 20} MB at most")
        try:
            key = await run_in_threadpool(state.remember, bytes(data))
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
        app = make_app(gallery, Guard(number, token, (shown, *hosts)))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", server_header=False))
        started(f"http://{shown}:{number}/" + (f"?token={token}" if token else ""), server)
        server.run(sockets=[listener])
