"""Routes that give pictures and lists, and those that do something: search by a picture, move, undo, reload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from hashkit.images import thumbnails, views
from hashkit.images.budget import PixelBudget
from hashkit.images.decoding import ImageError, reason
from hashkit.images.gallery import Gallery
from hashkit.images.moving import Moved, Mover
from hashkit.images.photos import Photo
from hashkit.images.running import proof
from hashkit.images.selection import FORMATS, as_text
from hashkit.images.state import State
from hashkit.images.uploads import Uploads

READ = ["GET", "HEAD"]
MAX_FORM = 16 << 20  # a million ids
FORM = "application/x-www-form-urlencoded"


def add_actions(app: FastAPI, state: State) -> None:
    """Add the routes."""
    _add_pictures(app, state)
    _add_search(app, state)
    _add_lists(app, state)
    _add_moves(app, state)


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

    @app.api_route("/full/{id}", methods=READ)
    async def full(id: int) -> Response:
        return await jpeg(thumbnails.full, id)

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
            except ImportError as error:
                raise HTTPException(503, str(error)) from error
        return {"location": f"/search/{key}"}

    @app.api_route("/matches/{key}", methods=READ)
    def matches(key: str, k: int = Query(20, ge=1, le=10**6), rerank: bool = False) -> dict[str, Any]:
        if state.changed():
            raise HTTPException(409, "the index has been renewed: load it anew")
        if rerank and not state.gallery.has_features:
            raise HTTPException(422, "the index holds no features to compare")
        found = state.gallery.query_row(state.search(key).row, k, rerank=rerank)
        rows = [
            {"path": state.gallery.file_of(one.photo), "distance": one.distance, "similarity": one.similarity}
            for one in found
        ]
        return {"matches": rows}

    @app.api_route("/proof/{challenge}", methods=READ)
    def prove(challenge: str) -> dict[str, str]:
        return {"proof": proof(state.secret, challenge)}


def _add_lists(app: FastAPI, state: State) -> None:
    @app.post("/export")
    async def export(request: Request) -> Response:
        form = await _form(request)
        photos = _chosen(state, form)
        kind = form.get("format", ["paths"])[-1]
        if kind not in FORMATS:
            raise HTTPException(422, f"format must be one of {', '.join(FORMATS)}")
        text = await run_in_threadpool(as_text, state.gallery, photos, kind)
        name = f"pictures.{'txt' if kind == 'paths' else kind}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text, media_type=f"{FORMATS[kind]}; charset=utf-8", headers=headers)

    @app.api_route("/changed", methods=READ)
    def changed() -> dict[str, bool]:
        return {"changed": state.changed()}

    @app.post("/reload")
    async def reload(request: Request) -> Response:
        await _form(request)
        try:
            await run_in_threadpool(state.reload)
        except OSError as error:
            raise HTTPException(503, "the index is being changed at this moment: try again soon") from error
        return RedirectResponse("/", 303)


def _add_moves(app: FastAPI, state: State) -> None:
    def describe(verb: str, done: Moved) -> Response:
        body = views.render(
            "moved.html",
            view="duplicates",
            changed=False,
            verb=verb,
            done=done,
            target=state.mover and state.mover.target,
        )
        return HTMLResponse(body)

    @app.post("/move")
    async def move(request: Request) -> Response:
        mover = _mover(request, state)
        photos = _chosen(state, await _form(request))
        return describe("moved", await run_in_threadpool(mover.move, photos))

    @app.post("/undo")
    async def undo(request: Request) -> Response:
        mover = _mover(request, state)
        await _form(request)
        return describe("moved back", await run_in_threadpool(mover.undo))


def _mover(request: Request, state: State) -> Mover:
    if state.mover is None:
        raise HTTPException(403, "this server was not started with --allow-move")
    # The guard lets a request without Origin pass, for it comes from no page. This one must come from this page.
    if request.headers.get("origin") != f"http://{request.headers.get('host', '')}":
        raise HTTPException(403, "pictures can be moved from this page only")
    return state.mover


async def _form(request: Request) -> dict[str, list[str]]:
    if request.headers.get("content-type", "").split(";")[0] != FORM:
        raise HTTPException(415, f"a form must come as {FORM}")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM:
            raise HTTPException(413, "too many pictures are chosen at once")
    return parse_qs(body.decode("ascii", "replace"), max_num_fields=1_000_000)


def _chosen(state: State, form: dict[str, list[str]]) -> list[Photo]:
    texts = form.get("id", [])
    if not texts:
        raise HTTPException(422, "no picture is chosen: tick some first")
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in texts):
        raise HTTPException(422, "what is chosen are no pictures")
    return [state.photo(id) for id in dict.fromkeys(map(int, texts))]
