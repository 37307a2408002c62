"""What the page's server costs at most: pixels and bytes at work, time for headers and bodies, and its end."""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("PIL", reason="needs the extra images")
pytest.importorskip("fastapi", reason="needs the extra explore")

from page_server import ask, serving

import hashkit
from hashkit.images import Gallery, index_folder
from hashkit.images.budget import PixelBudget
from hashkit.images.decoding import ImageError, decoded

SOURCE = str(Path(hashkit.__file__).parents[1])
EXPLORE = """
import signal
from hashkit.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # the jobs of a shell in the background ignore it
main()
"""
UPLOAD = {"Content_Type": "application/octet-stream"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def large_png(width, height):
    """A legal picture of some kilobytes: black, with transparency."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row, packer = bytes(1 + 4 * width), zlib.compressobj(1)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def gallery_path(tmp_path_factory, crops):
    top = tmp_path_factory.mktemp("limits")
    (top / "pictures").mkdir()
    for number, picture in enumerate(crops[:8]):
        picture.save(top / "pictures" / f"{number}.jpg")
    (top / "pictures/large.png").write_bytes(large_png(7000, 7100))
    index_folder(top / "pictures", top / "g", model="dct")
    return top / "g"


@pytest.fixture(scope="module")
def site(gallery_path):
    with serving(Gallery(gallery_path)) as running:
        yield running


@contextlib.contextmanager
def explored(path):
    """The command in a process of its own: its address, process, and what it has printed to standard error."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": SOURCE}
    command = [sys.executable, "-c", EXPLORE, "images", "explore", str(path)]
    with (
        open(path.parent / "errors.txt", "w+b") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
    ):
        try:
            port = int(re.search(r":(\d+)/", process.stdout.readline()).group(1))
            yield SimpleNamespace(port=port, process=process, errors=errors)
        finally:
            process.kill()


def megabytes(process, what):
    """`VmRSS`, the memory that a process has now, or `VmHWM`, the most that it had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+) kB", status).group(1)) / 1024


@linux
def test_five_large_pictures_at_once_take_the_memory_of_one(gallery_path):
    large = next(id for id, photo in Gallery(gallery_path).photos.items() if photo.path == "large.png")
    data = (gallery_path.parent / "pictures/large.png").read_bytes()
    with explored(gallery_path) as site:
        assert ask(site, "/thumbnails/0").status == 200
        before = megabytes(site.process, "VmRSS")
        with ThreadPoolExecutor(5) as pool:
            previews = pool.map(lambda _: ask(site, f"/pictures/{large}"), range(5))
            assert [answer.status for answer in previews] == [200] * 5
        # One picture of 50 megapixels takes 199 MB at 4 bytes a pixel; five took 2.8 GB.
        assert megabytes(site.process, "VmHWM") - before < 400
        searches = ask(site, "/search", method="POST", body=data, **UPLOAD), ask(site, "/")
        assert [answer.status for answer in searches] == [200, 200]
        assert megabytes(site.process, "VmHWM") - before < 550  # for the hash it is decoded in full: twice 199 MB
        assert megabytes(site.process, "VmRSS") - before < 100


@linux
def test_aborted_uploads_keep_no_memory_and_print_nothing(gallery_path):
    head = "POST /search HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 33000000\r\n"
    with explored(gallery_path) as site:
        assert ask(site, "/").status == 200
        before = megabytes(site.process, "VmRSS")
        for _ in range(40):
            with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
                connection.sendall(head.format(site.port).encode() + b"Content-Type: application/octet-stream\r\n\r\n")
                connection.sendall(bytes(20_000_000))
        time.sleep(0.5)
        assert ask(site, "/").status == 200
        assert megabytes(site.process, "VmRSS") - before < 60  # 40 of them kept 210 MB
        site.errors.seek(0)
        assert site.errors.read() == b""


def test_ctrl_c_ends_the_server_while_an_upload_is_stalled(gallery_path):
    head = "POST /search HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 1000\r\n"
    with explored(gallery_path) as site, socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        connection.sendall(head.format(site.port).encode() + b"Content-Type: application/octet-stream\r\n\r\nabc")
        assert ask(site, "/").status == 200
        start = time.monotonic()
        site.process.send_signal(signal.SIGINT)
        site.process.wait(10)
        assert time.monotonic() - start < 6
        site.errors.seek(0)
        assert b"Traceback" not in site.errors.read()


def test_headers_have_a_time_limit(site, monkeypatch):
    monkeypatch.setattr("hashkit.images.protocol.HEADER_SECONDS", 0.3)
    for sent in (b"", b"GET / HTTP/1.1\r\nHost:", b"G"):
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
            connection.sendall(sent)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(100) == b""
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:  # after a first request too
        connection.sendall(f"HEAD / HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n\r\n".encode())
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET / HT")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""


def test_bodies_have_a_time_limit(site, monkeypatch):
    monkeypatch.setattr("hashkit.images.uploads.PART_SECONDS", 0.2)
    with upload_of_three_bytes(site) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_uploads_at_once_are_counted(site, monkeypatch):
    monkeypatch.setattr("hashkit.images.uploads.MAX_UPLOADS", 2)
    with upload_of_three_bytes(site), upload_of_three_bytes(site):
        time.sleep(0.2)
        assert ask(site, "/search", method="POST", body=b"x", **UPLOAD).status == 503
    for _ in range(100):
        if ask(site, "/search", method="POST", body=b"x", **UPLOAD).status == 422:
            break
        time.sleep(0.05)
    else:
        pytest.fail("uploads that were aborted are still counted")


@contextlib.contextmanager
def upload_of_three_bytes(site):
    head = f"POST /search HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Length: 1000\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"Content-Type: application/octet-stream\r\n\r\nabc")
        yield connection


def test_head_is_answered_as_get_without_a_body(site):
    for path in ("/", "/duplicates", "/quality", "/neighbors/0", "/thumbnails/0", "/pictures/0", "/static/gallery.js"):
        answer = ask(site, path, method="HEAD")
        assert (answer.status, answer.data) == (200, b"")
        assert answer.headers["Content-Type"] == ask(site, path).headers["Content-Type"]


def test_a_picture_that_is_gone_does_not_show_where_it_was(site, gallery_path):
    picture = gallery_path.parent / "pictures/7.jpg"
    id = next(id for id, photo in Gallery(gallery_path).photos.items() if photo.path == "7.jpg")
    before, times = picture.read_bytes(), picture.stat().st_mtime_ns
    picture.unlink()
    try:
        answer = ask(site, f"/pictures/{id}")
    finally:
        picture.write_bytes(before)
        os.utime(picture, ns=(times, times))
    assert answer.status == 410
    assert b"this picture cannot be shown: it is not there: it may have been moved or deleted" in answer.data
    assert str(gallery_path.parent).encode() not in answer.data


def test_a_budget_of_pixels_is_kept_and_first_come_first_served():
    budget, lock = PixelBudget(10), threading.Lock()
    used, most, order = 0, 0, []

    def work(number, n_pixels):
        nonlocal used, most
        with budget.lease(n_pixels):
            with lock:
                used, order[:] = used + n_pixels, [*order, number]
                most = max(most, used)
            time.sleep(0.02)
            with lock:
                used -= n_pixels

    threads = [threading.Thread(target=work, args=(n, p)) for n, p in enumerate([4, 4, 9, 1, 1, 10, 3, 3, 3])]
    for thread in threads:
        thread.start()
        time.sleep(0.002)
    for thread in threads:
        thread.join(10)
    assert most == 10
    assert used == 0
    assert order.index(2) < order.index(3) < order.index(5) < order.index(6)
    with budget.lease(1000):  # more than there is: alone
        pass


def test_a_budget_is_given_back_whatever_happens(photographs, tmp_path):
    photographs[0].save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:5000])
    budget = PixelBudget(300_000)
    for _ in range(3):
        with pytest.raises(ImageError, match="damaged"), decoded(tmp_path / "cut.png", budget=budget):
            pass
    with budget.lease(300_000):
        pass
