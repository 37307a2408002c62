"""What the page does: lists of chosen pictures, moving them away and back, showing a renewed index; and for whom."""

import csv
import io
import json
import os
import re
import shutil

import pytest

pytest.importorskip("PIL", reason="needs the extra images")
pytest.importorskip("fastapi", reason="needs the extra explore")

from page_server import ask, serving
from PIL import Image

from hashkit.images import Gallery, index_folder
from hashkit.images.moving import LOG, Mover

FORM = {"Content_Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def gallery(tmp_path, folder):
    shutil.copy(folder / "flower/01.jpg", folder / "again.jpg")
    index_folder(folder, tmp_path / "g", model="dct")
    return Gallery(tmp_path / "g")


@pytest.fixture
def site(gallery, tmp_path):
    with serving(gallery, move_to=tmp_path / "away") as running:
        yield running


def id_of(gallery, path):
    return next(photo.id for photo in gallery.photos.values() if photo.path == path)


def post(site, path, body, **headers):
    own = {"Origin": f"http://127.0.0.1:{site.port}", **FORM}
    return ask(site, path, method="POST", body=body, **(own | headers))


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_chosen_pictures_are_listed(site, gallery, folder):
    ids = [id_of(gallery, "again.jpg"), id_of(gallery, "temple/04.jpg")]
    body = "&".join(f"id={id}" for id in [*ids, ids[0]])
    answer = post(site, "/export", body + "&format=paths")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="pictures.txt"'
    assert answer.data.decode().splitlines() == [str(folder / "again.jpg"), str(folder / "temple/04.jpg")]
    rows = list(csv.DictReader(io.StringIO(post(site, "/export", body + "&format=csv").data.decode())))
    assert [row["name"] for row in rows] == ["again.jpg", "04.jpg"]
    assert int(rows[0]["bytes"]) == (folder / "again.jpg").stat().st_size
    assert [row["name"] for row in json.loads(post(site, "/export", body + "&format=json").data)] == [
        "again.jpg",
        "04.jpg",
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 422),
        ("format=csv", 422),
        ("id=x", 422),
        ("id=-1", 422),
        ("id=9999", 404),
        ("id=" + 30 * "9", 422),
        ("id=0&format=exe", 422),
        ("id=%00", 422),
        ("id=\xb2", 422),
    ],
)
def test_bad_choices_are_refused(site, body, status):
    assert post(site, "/export", body.encode("latin-1")).status == status
    if "exe" not in body:
        assert post(site, "/move", body.encode("latin-1")).status == status


def test_copies_are_chosen_by_a_rule_without_javascript(site, gallery):
    page = ask(site, "/duplicates?select=largest").data.decode()
    assert page.count(" checked>") == 1
    assert page.count('name="id"') == 2
    page = ask(site, "/duplicates").data.decode()
    assert " checked>" not in page
    assert "the same picture" in page
    assert "13 pictures" not in page


def test_pictures_are_moved_away_and_back(site, gallery, folder, tmp_path):
    before = files_below(folder)
    id = id_of(gallery, "flower/01.jpg")
    data = (folder / "flower/01.jpg").read_bytes()
    page = post(site, "/move", f"id={id}").data.decode()
    assert "1 picture moved" in page
    assert files_below(folder) == [path for path in before if path != "flower/01.jpg"]
    assert (tmp_path / "away/flower/01.jpg").read_bytes() == data
    assert "moved away" in ask(site, "/duplicates").data.decode()
    log = [json.loads(line) for line in (tmp_path / "g" / LOG).read_text().splitlines()]
    assert [(line["from"], line["to"]) for line in log] == [
        (str(folder / "flower/01.jpg"), str(tmp_path / "away/flower/01.jpg"))
    ]
    assert "1 picture moved back" in post(site, "/undo", "").data.decode()
    assert files_below(folder) == before
    assert (folder / "flower/01.jpg").read_bytes() == data
    assert "0 pictures moved back" in post(site, "/undo", "").data.decode()


def test_nothing_is_overwritten_or_deleted_by_a_move(gallery, folder, tmp_path):
    mover = Mover(gallery, tmp_path / "away")
    photos = {photo.path: photo for photo in gallery.photos.values()}
    (tmp_path / "away/flower").mkdir()
    (tmp_path / "away/flower/01.jpg").write_text("somebody's")
    (folder / "flower/03.jpg").write_text("changed since")
    (folder / "flower/05.jpg").unlink()
    done = mover.move([photos[f"flower/{name}.jpg"] for name in ("01", "03", "05", "07")])
    assert done.n_moved == 1
    assert done.refused == {
        "flower/01.jpg": "there is a file of that name already",
        "flower/03.jpg": "it has changed since it was indexed",
        "flower/05.jpg": "it is not there: it may have been moved or deleted",
    }
    assert (tmp_path / "away/flower/01.jpg").read_text() == "somebody's"
    assert (folder / "flower/01.jpg").exists()
    (folder / "flower/07.jpg").write_text("new at its old place")
    assert mover.undo().refused == {"flower/07.jpg": "there is a file of that name already"}
    assert (folder / "flower/07.jpg").read_text() == "new at its old place"
    assert (tmp_path / "away/flower/07.jpg").exists()


def test_moves_of_several_batches_are_undone_one_after_the_other(gallery, folder, tmp_path):
    mover, photos = Mover(gallery, tmp_path / "away"), list(gallery.photos.values())
    before = files_below(folder)
    assert mover.move(photos[:2]).n_moved == 2
    assert mover.move(photos[2:5]).n_moved == 3
    assert mover.moved() == {photo.path for photo in photos[:5]}
    again = Mover(gallery, tmp_path / "away")  # after a restart
    assert again.undo().n_moved == 3
    assert again.undo().n_moved == 2
    assert files_below(folder) == before
    assert again.moved() == set()


def test_a_folder_among_the_pictures_is_no_place_to_move_to(gallery, folder):
    for inside in (folder, folder / "temple", folder / "new"):
        with pytest.raises(ValueError, match="must lie outside of"):
            Mover(gallery, inside)


def test_moving_cannot_be_triggered_from_elsewhere(site, gallery, folder):
    before, body = files_below(folder), f"id={id_of(gallery, 'flower/01.jpg')}"
    foreign = [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{site.port + 1}"},
        {"Origin": f"http://localhost:{site.port}"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": f"evil.example:{site.port}"},
    ]
    for headers in foreign:
        assert post(site, "/move", body, **headers).status in (403, 421)
        assert post(site, "/undo", "", **headers).status in (403, 421)
    assert ask(site, "/move", method="POST", body=body, **FORM).status == 403  # a browser always names the origin
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/json", ""):
        assert post(site, "/move", body, Content_Type=kind).status == 415
    for method in ("GET", "HEAD"):
        assert ask(site, f"/move?{body}", method=method).status == 405
    assert files_below(folder) == before


def test_without_allow_move_nothing_moves(gallery, folder):
    before = files_below(folder)
    with serving(gallery) as site:
        assert post(site, "/move", "id=0").status == 403
        assert post(site, "/undo", "").status == 403
        assert 'formaction="/move"' not in ask(site, "/duplicates").data.decode()
    assert files_below(folder) == before


def test_a_renewed_index_is_noticed_and_shown(site, gallery, folder, crops):
    assert json.loads(ask(site, "/changed").data)["changed"] is False
    crops[20].save(folder / "new.jpg")
    index_folder(folder, gallery.path)
    assert json.loads(ask(site, "/changed").data)["changed"] is True
    assert "13 pictures" in ask(site, "/").data.decode()
    assert post(site, "/reload", "", Origin="http://evil.example").status == 403
    assert post(site, "/reload", "").status == 303
    assert "14 pictures" in ask(site, "/").data.decode()
    assert json.loads(ask(site, "/changed").data)["changed"] is False


def test_filters_folders_and_orders(site, gallery, folder):
    def names(address):
        page = ask(site, address).data.decode()
        return re.findall(r'class="tile" href="[^"]*" title="([^"]*)"', page)

    assert names("/?q=FLOWER+1") == ["flower/01.jpg", "flower/11.jpg"]
    assert names("/?folder=flower&q=01") == ["flower/01.jpg"]
    assert names("/?folder=flow") == []
    assert "No picture matches" in ask(site, "/?q=nothing+of+the+kind").data.decode()
    os.utime(folder / "again.jpg", (1, 1))
    assert names("/?sort=smallest") == sorted(names("/"), key=lambda name: ((folder / name).stat().st_size, name))
    assert ask(site, "/?sort=best").status == 422
    page = ask(site, "/").data.decode()
    assert '<option value="flower">6 pictures</option>' in page


def test_the_next_page_keeps_a_radius_of_zero(tmp_path, folder):
    (folder / "copies").mkdir()
    for number in range(45):  # more groups than a page shows
        pixels = os.urandom(8 * 8 * 3)
        picture = Image.frombytes("RGB", (8, 8), pixels).resize((64, 64))
        for copy in "ab":
            picture.save(folder / "copies" / f"{number}{copy}.png")
    index_folder(folder, tmp_path / "many", model="dct")
    with serving(Gallery(tmp_path / "many")) as site:
        page = ask(site, "/duplicates?radius=0").data.decode()
        assert 'rel="next" class="button" href="?radius=0&amp;page=2"' in page
        assert "distances of at most 0" in ask(site, "/duplicates?radius=0&page=2").data.decode()
        assert 'href="?similarity=0.99&amp;page=2"' in ask(site, "/duplicates?similarity=0.99").data.decode()


def test_groups_of_many_can_be_seen_whole(tmp_path, folder):
    for number in range(30):
        shutil.copy(folder / "flower/01.jpg", folder / f"copy-{number:02}.jpg")
    index_folder(folder, tmp_path / "many", model="dct")
    with serving(Gallery(tmp_path / "many")) as site:
        page = ask(site, "/duplicates").data.decode()
        assert "31 pictures" in page
        link = page.split('href="/duplicates/')[1].split('"')[0]
        assert ask(site, f"/duplicates/{link}").data.decode().count('class="tile"') == 31
        assert ask(site, "/duplicates/99999").status == 404
