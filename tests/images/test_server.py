"""The page's server: what it shows, and what it refuses to whom."""

import io
import os
import re
import shutil
import socket

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra images")

from PIL import Image

from hashkit.images import Gallery, index_folder

pytest.importorskip("fastapi", reason="needs the extra explore")

from page_server import ask, serving

from hashkit.images import server


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, crops):
    top = tmp_path_factory.mktemp("server") / "pictures"
    for number, picture in enumerate(crops):
        path = top / ("temple" if number % 2 == 0 else "flower") / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    shutil.copy(top / "temple/00.jpg", top / "copy.jpg")
    (top / "<b>bold & 'quoted'.jpg").write_bytes((top / "flower/01.jpg").read_bytes())
    (top / "secret.txt").write_text("not a picture")
    return top


@pytest.fixture(scope="module")
def gallery(pictures):
    index_folder(pictures, pictures.parent / "g", model="dct")
    return Gallery(pictures.parent / "g")


@pytest.fixture(scope="module")
def site(gallery):
    with serving(gallery) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(gallery):
    with serving(gallery, host="0.0.0.0", hosts=("gallery.example",)) as running:
        yield running


def text(answer):
    return answer.data.decode()


def post(running, data, **headers):
    return ask(running, "/search", method="POST", body=data, **{"Content_Type": "application/octet-stream", **headers})


def test_pages_show_the_pictures(site, gallery):
    page = text(ask(site, "/"))
    assert page.count('class="tile"') == 42
    assert "42 pictures" in page
    ids = [int(id) for id in re.findall(r'href="/neighbors/(\d+)"', page)]
    assert ids == list(gallery.photos)
    assert text(ask(site, "/?q=FLOWER/")).count('class="tile"') == 20
    assert text(ask(site, "/?page=999")).count('class="tile"') == 42


def mean_colors(pictures):
    return np.stack([np.asarray(picture.resize((4, 4)), np.float32).ravel() for picture in pictures])


def test_neighbors_by_features_or_by_codes_and_back(tmp_path, folder):
    index_folder(folder, tmp_path / "g", model=mean_colors, n_bits=16)
    gallery = Gallery(tmp_path / "g", model=mean_colors)
    row, code = gallery.features_of(gallery.photos[3]), gallery.code_of(3)
    by_features, by_codes = gallery.rank(row, code, 60), gallery.nearest(code, 60)
    assert by_features != by_codes
    with serving(gallery) as site:
        for address, expected in (("", by_features), ("?order=features", by_features), ("?order=codes", by_codes)):
            page = text(ask(site, f"/neighbors/3{address}"))
            ids = [int(id) for id in re.findall(r'href="/neighbors/(\d+)"', page)]
            assert ids == [match.photo.id for match in expected]
            assert 'href="?order=features"' in page
            assert 'href="?order=codes"' in page
            assert ('name="order" value="codes"' in page) == (address == "?order=codes")  # goes with the slider


def test_the_page_s_own_files_are_kept_under_addresses_that_change_with_them(site):
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', text(ask(site, "/map")) + text(ask(site, "/")))
    assert {address.partition("?")[0] for address in addresses} >= {"/static/gallery.css", "/static/gallery.js"}
    for address in addresses:
        assert re.search(r"\?v=[0-9a-f]{12}$", address)
        answer = ask(site, address)
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]


def test_neighbors_are_those_of_the_gallery(site, gallery):
    for radius in (None, 0, 20, 64):
        address = "/neighbors/7" + ("" if radius is None else f"?radius={radius}")
        page = text(ask(site, address))
        expected = gallery.nearest(gallery.code_of(7), 240, radius)
        assert [int(id) for id in re.findall(r'href="/neighbors/(\d+)"', page)] == [m.photo.id for m in expected]
        assert [int(d) for d in re.findall(r"distance </span>(\d+)", page)] == [m.distance for m in expected]


def test_search_by_a_file(site, pictures):
    answer = post(site, (pictures / "temple/06.jpg").read_bytes())
    address = re.fullmatch(r'\{"location":"(/search/[0-9a-f]{32})"\}', text(answer)).group(1)
    page = text(ask(site, address))
    assert "temple/06.jpg" in page[page.index('id="results"') :].split("</li>")[0]
    assert ask(site, address.replace("search", "searched")).headers["Content-Type"] == "image/jpeg"
    assert text(ask(site, address + "?radius=0")).count('class="tile"') == 1


def test_duplicates_and_quality(site):
    page = text(ask(site, "/duplicates?radius=0"))
    assert "<b>2</b> groups of 4 pictures" in page
    page = text(ask(site, "/quality"))
    assert page.count("<rect") == 64 + 65
    assert "2 folders are taken as kinds of pictures" in page  # the top folder names none
    assert page.count('<th scope="row">') >= 3
    assert "mAP@1000" in page


def test_pictures_are_drawn_anew_and_thumbnails_kept(site, gallery, pictures):
    id = next(photo.id for photo in gallery.photos.values() if photo.path == "temple/02.jpg")
    small, large = ask(site, f"/thumbnails/{id}"), ask(site, f"/pictures/{id}")
    assert max(Image.open(io.BytesIO(small.data)).size) <= 256
    assert large.data != (pictures / "temple/02.jpg").read_bytes()
    kept = pictures.parent / "g/thumbnails/0" / f"{id}.jpg"
    assert kept.read_bytes() == small.data
    assert kept.stat().st_mtime_ns == gallery.photos[id].stamp.mtime_ns
    assert ask(site, f"/thumbnails/{id}").data == small.data


def test_a_picture_that_has_changed_is_not_served(site, gallery, pictures):
    photo = next(photo for photo in gallery.photos.values() if photo.path == "flower/11.jpg")
    before = (pictures / photo.path).read_bytes()
    (pictures / photo.path).write_bytes((pictures / "flower/13.jpg").read_bytes())
    assert ask(site, f"/pictures/{photo.id}").status == 410
    (pictures / photo.path).unlink()
    (pictures / photo.path).symlink_to("/etc/passwd")
    answer = ask(site, f"/thumbnails/{photo.id}")
    assert answer.status == 410
    assert b"root" not in answer.data
    (pictures / photo.path).unlink()
    (pictures / photo.path).write_bytes(before)
    os.utime(pictures / photo.path, ns=(0, photo.stamp.mtime_ns))
    assert ask(site, f"/pictures/{photo.id}").status == 200


def test_names_are_escaped(site):
    page = text(ask(site, "/"))
    assert "&lt;b&gt;bold &amp; &#39;quoted&#39;.jpg" in page
    assert "<b>bold" not in page
    assert "<script>alert" not in text(ask(site, "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"))


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/../secret.txt",
        "/static/../guard.py",
        "/static/%2e%2e/guard.py",
        "/static/..%2f..%2f..%2fetc/passwd",
        "/static//etc/passwd",
        "/thumbnails/%2e%2e%2fsecret.txt",
        "/thumbnails/-1",
        "/pictures/99999",
        "/pictures/9999999999999999999999",
        "/neighbors/99999",
        "/search/" + "0" * 32,
        "/searched/../../secret.txt",
        "/docs",
        "/openapi.json",
        "/static/%00",
        "/?page=<script>",
        "/neighbors/3?radius=65",
    ],
)
def test_nothing_but_the_gallery_is_served(site, path):
    answer = ask(site, path)
    assert answer.status in (404, 422)
    assert b"<h1>That did not work</h1>" in answer.data
    assert b"<script>" not in answer.data
    for secret in (b"not a picture", b"root:", b"class Guard"):
        assert secret not in answer.data


def test_every_answer_binds_the_browser(site):
    for path in ("/", "/static/gallery.js", "/thumbnails/0", "/nowhere"):
        headers = ask(site, path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; img-src 'self'; script-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    page = text(ask(site, "/")) + text(ask(site, "/static/gallery.css")) + text(ask(site, "/static/gallery.js"))
    assert not re.search(r"""(src|href|url|fetch)\W{1,3}(https?:)?//""", page)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "192.168.0.9:{port}", "", "localhost:"]
)
def test_foreign_hosts_are_refused(site, host):
    assert ask(site, "/", Host=host.format(port=site.port)).status in (400, 421)


def test_own_names_are_accepted(site):
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert ask(site, "/", Host=f"{name}:{site.port}").status == 200


def test_requests_of_other_sites_are_refused(site, pictures):
    data = (pictures / "temple/06.jpg").read_bytes()
    own = f"http://127.0.0.1:{site.port}"
    assert post(site, data, Origin=own, Sec_Fetch_Site="same-origin").status == 200
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{site.port + 1}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        assert post(site, data, **headers).status == 403
    assert ask(site, "/thumbnails/0", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403
    assert ask(site, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200


def test_bad_uploads_are_refused(site):
    assert post(site, b"no picture").status == 422
    assert "it is empty" in text(post(site, b""))
    for kind in ("multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencoded"):
        assert post(site, b"x", Content_Type=kind).status == 415
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert ask(site, "/", method=method).status == 405


def test_oversized_uploads_are_cut_off(site, monkeypatch):
    monkeypatch.setattr("hashkit.images.uploads.MAX_UPLOAD", 100_000)
    assert post(site, bytes(100_001)).status == 413
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        head = f"POST /search HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nTransfer-Encoding: chunked\r\n"
        connection.sendall(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n")
        connection.sendall(b"20000\r\n" + bytes(0x20000) + b"\r\n")  # and never an end
        assert b" 413 " in connection.recv(100)


def test_old_searches_are_forgotten(site, pictures, monkeypatch):
    monkeypatch.setattr("hashkit.images.state.KEPT_SEARCHES", 2)
    paths = sorted((pictures / "temple").iterdir())[:3]
    addresses = [re.search(r"/search/\w+", text(post(site, path.read_bytes()))).group() for path in paths]
    assert [ask(site, address).status for address in addresses] == [404, 200, 200]


def test_beyond_this_machine_a_token_is_needed(guarded):
    token = guarded.address.split("token=")[1]
    assert len(token) >= 32
    assert ask(guarded, "/").status == 401
    assert ask(guarded, "/thumbnails/0", Cookie="hashkit_token=wrong").status == 401
    assert ask(guarded, "/?token=wrong").status == 401
    answer = ask(guarded, f"/neighbors/3?radius=4&token={token}")
    assert (answer.status, answer.headers["Location"]) == (303, "/neighbors/3?radius=4")
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    assert ask(guarded, "/neighbors/3?radius=4", Cookie=cookie.split(";")[0]).status == 200
    assert ask(guarded, "/", Host=f"192.168.0.9:{guarded.port}", Cookie=cookie.split(";")[0]).status == 200
    assert ask(guarded, "/", Host=f"gallery.example:{guarded.port}", Cookie=cookie.split(";")[0]).status == 200
    assert ask(guarded, "/", Host=f"evil.example:{guarded.port}", Cookie=cookie.split(";")[0]).status == 421


def test_a_port_in_use_is_told(gallery, site):
    with pytest.raises(OSError, match="in use"):
        server.serve(gallery, port=site.port)
