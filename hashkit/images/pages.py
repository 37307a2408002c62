"""Routes of the pages themselves: each also works without JavaScript, and its address says what it shows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse

from hashkit.images import views
from hashkit.images.advice import advise, within
from hashkit.images.background import NotReadyError
from hashkit.images.duplicates import Groups
from hashkit.images.listing import SORTS, listing_of
from hashkit.images.pairing import THRESHOLDS
from hashkit.images.selection import RULES
from hashkit.images.state import State
from hashkit.images.words import row_of_text

PER_PAGE, SHOWN_OF_GROUP = 60, 12  # pictures: what a browser shows at once; more is loaded when it is wanted
MAX_GROUP_RADIUS = 16
READ = ["GET", "HEAD"]

Page = functools.partial(Query, 1, ge=1, le=10**9)
Order = Literal["features", "codes"]
Sort = Literal["name", "newest", "oldest", "largest", "smallest"]
Rule = Literal["", "largest", "oldest", "newest", "sharpest"]


@dataclass(frozen=True)
class Shown:
    """Which results of a search are shown, and in which order."""

    radius: int | None
    order: Order
    page: int


def shown(radius: int | None = Query(None, ge=0, le=4096), order: Order = "features", page: int = Page()) -> Shown:
    """The same out of an address."""
    return Shown(radius, order, page)


AsShown = Annotated[Shown, Depends(shown)]


def add_pages(app: FastAPI, state: State) -> None:
    """Add the routes."""

    def show(template: str, view: str, **values: Any) -> str:
        return views.render(template, view=view, changed=state.changed(), **values)

    _add_pictures(app, state, show)
    _add_duplicates(app, state, show)
    _add_results(app, state, show)

    @app.api_route("/map", methods=READ, response_class=HTMLResponse)
    def collection_map() -> str:
        return show("map.html", "map", map=state.map(), n=len(state.gallery))

    @app.api_route("/map.bin", methods=READ)
    def places() -> Response:
        return Response(state.map().places, media_type="application/octet-stream")

    @app.api_route("/quality", methods=READ, response_class=HTMLResponse)
    def quality() -> str:
        found, settings = state.quality(), state.gallery.settings
        return show(
            "quality.html",
            "quality",
            quality=found,
            settings=settings,
            advice=advise(found, settings),
            within=within(found),
        )

    @app.exception_handler(NotReadyError)
    async def wait(request: Request, error: NotReadyError) -> Response:
        view = request.url.path.split("/")[1]
        if view == "map.bin":
            return Response(status_code=202)
        return HTMLResponse(show("waiting.html", view, computing=error), headers={"Cache-Control": "no-store"})


def _add_pictures(app: FastAPI, state: State, show: Callable[..., str]) -> None:
    @app.api_route("/", methods=READ, response_class=HTMLResponse)
    def pictures(
        page: int = Page(),
        q: str = Query("", max_length=200),
        folder: str = Query("", max_length=1000),
        sort: Sort = "name",
    ) -> str:
        gallery = state.gallery
        listing = listing_of(gallery)
        wanted = listing.find(q, folder, sort)
        n_pages, page = views.pages(len(wanted), PER_PAGE, page)
        tiles = [views.photo_tile(photo) for photo in wanted[(page - 1) * PER_PAGE : page * PER_PAGE]]
        return show(
            "pictures.html",
            "pictures",
            tiles=tiles,
            page=page,
            n_pages=n_pages,
            q=q,
            folder=folder,
            sort=sort,
            sorts=SORTS,
            folders=listing.folders,
            n_found=len(wanted),
            n_photos=len(gallery),
            settings=gallery.settings,
            by_words=state.text_model is not None,
        )


def _add_duplicates(app: FastAPI, state: State, show: Callable[..., str]) -> None:
    def groups_for(
        way: Literal["copies", "similar"], similarity: float | None, radius: int | None
    ) -> tuple[Groups, float]:
        least = THRESHOLDS[way][0] if similarity is None else max(similarity, THRESHOLDS[way][1])
        return state.groups(way, least) if radius is None else state.near(radius), least

    @app.api_route("/duplicates", methods=READ, response_class=HTMLResponse)
    def duplicates(
        page: int = Page(),
        way: Literal["copies", "similar"] = "copies",
        similarity: float | None = Query(None, ge=0, le=1),
        radius: int | None = Query(None, ge=0, le=MAX_GROUP_RADIUS),
        select: Rule = "",
    ) -> str:
        groups, least = groups_for(way, similarity, radius)
        away = state.mover.moved() if state.mover else set()
        starts = groups.pages(PER_PAGE, SHOWN_OF_GROUP)
        n_pages, page = views.pages(len(starts) - 1, 1, page)
        numbers = range(len(groups))[starts[page - 1] : starts[page]]
        shown = [views.group_of(state.gallery, groups[number], SHOWN_OF_GROUP, select, away) for number in numbers]
        # What is chosen by default is left out of the addresses of other pages.
        asked = {"way": way if way != "copies" else None, "similarity": similarity, "radius": radius}
        return show(
            "duplicates.html",
            "duplicates",
            groups=shown,
            way=way,
            least=least,
            lowest=THRESHOLDS[way][1],
            radius=radius,
            max_radius=MAX_GROUP_RADIUS,
            select=select,
            rules=list(RULES),
            asked=asked,
            page=page,
            n_pages=n_pages,
            n_before=numbers.start,
            n_groups=len(groups),
            n_photos=len(groups.rows),
            has_features=state.gallery.has_features,
            mover=state.mover,
            n_away=len(away),
        )

    @app.api_route("/duplicates/{id}", methods=READ, response_class=HTMLResponse)
    def group(
        id: int,
        page: int = Page(),
        way: Literal["copies", "similar"] = "copies",
        similarity: float | None = Query(None, ge=0, le=1),
        radius: int | None = Query(None, ge=0, le=MAX_GROUP_RADIUS),
    ) -> str:
        groups, _ = groups_for(way, similarity, radius)
        place = groups.place_of(state.gallery.row_of(state.photo(id).id))
        if place is None:
            raise HTTPException(404, "there is no such group any more")
        found = state.gallery.matches_of(groups[place])
        n_pages, page = views.pages(len(found), PER_PAGE, page)
        tiles = views.match_tiles(found[(page - 1) * PER_PAGE : page * PER_PAGE])
        asked = {"way": way, "similarity": similarity, "radius": radius}
        return show("group.html", "duplicates", tiles=tiles, n=len(found), page=page, n_pages=n_pages, asked=asked)


def _add_results(app: FastAPI, state: State, show: Callable[..., str]) -> None:
    def results(row: Any, code: Any, asked: views.Tile, shown: Shown, more: dict[str, str] | None = None) -> str:
        gallery, radius = state.gallery, shown.radius
        if radius is not None and radius > gallery.n_bits:
            raise HTTPException(422, f"this address has no page (radius: at most {gallery.n_bits})")
        by_features = shown.order == "features" and row is not None and gallery.has_features
        n_results = len(gallery) if radius is None else gallery.count_within(code, radius)
        n_pages, page = views.pages(n_results, PER_PAGE, shown.page)
        start = (page - 1) * PER_PAGE
        matches = gallery.rank(row if by_features else None, code, PER_PAGE, radius, start=start)
        greatest = max((match.distance for match in matches), default=0)
        shown_radius = greatest if radius is None else radius
        has_features = gallery.has_features and row is not None
        own = {**(more or {}), "order": "codes" if has_features and not by_features else None}
        return show(
            "results.html",
            "results",
            asked=asked,
            tiles=views.match_tiles(matches),
            radius=shown_radius,
            n_within=gallery.count_within(code, shown_radius),
            n_bits=gallery.n_bits,
            order="features" if by_features else "codes",
            has_features=has_features,
            more=more or {},
            own=own,
            page=page,
            n_pages=n_pages,
            pages_of={**own, "radius": radius},
        )

    @app.api_route("/neighbors/{id}", methods=READ, response_class=HTMLResponse)
    def neighbors(id: int, shown: AsShown) -> str:
        photo, gallery = state.photo(id), state.gallery
        return results(gallery.features_of(photo), gallery.code_of(id), views.asked_tile(gallery, photo), shown)

    @app.api_route("/search/{key}", methods=READ, response_class=HTMLResponse)
    def searched(key: str, shown: AsShown) -> str:
        row = state.search(key).row
        code = state.gallery.encode(row[None])[0]
        return results(row, code, views.Tile("Your picture", f"/searched/{key}", large=f"/searched/{key}"), shown)

    @app.api_route("/words", methods=READ, response_class=HTMLResponse)
    def words(shown: AsShown, q: str = Query(min_length=1, max_length=200)) -> str:
        if state.text_model is None:
            raise HTTPException(404, "this server was not started with --text-model")
        try:
            row = row_of_text(state.text_model, q, state.gallery.n_dims)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        code = state.gallery.encode(row[None])[0]
        return results(row, code, views.Tile(f"“{q}”", ""), shown, {"q": q})

    @app.api_route("/searches", methods=READ, response_class=HTMLResponse)
    def searches() -> str:
        with state.lock:
            keys = list(reversed(state.searches))
        tiles = [views.Tile(f"Your picture {n}", f"/searched/{key}", f"/search/{key}") for n, key in enumerate(keys, 1)]
        return show("searches.html", "", tiles=tiles)
