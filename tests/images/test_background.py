"""What takes a while is computed once, says how far it is, and is tried again after a failure."""

import sqlite3
import threading
from contextlib import closing

import pytest

pytest.importorskip("PIL", reason="needs the extra images")
pytest.importorskip("fastapi", reason="needs the extra explore")

from page_server import ask, serving

from hashkit.images import Gallery, index_folder
from hashkit.images.background import Background, NotReadyError
from hashkit.images.listing import SORTS, Listing
from hashkit.images.quality import measure_quality
from hashkit.progress import ignore, part_of, percent_bar


def test_a_result_is_computed_once_and_says_how_far_it_is():
    background, go, calls = Background(), threading.Event(), []

    def slow(progress):
        calls.append(1)
        progress(0.25)
        go.wait(30)
        return 7

    with pytest.raises(NotReadyError) as early:
        background.result("a", "It is computed", slow, wait=0.05)
    assert (early.value.what, early.value.share) == ("It is computed", 0.25)
    assert early.value.seconds > 0
    go.set()
    assert background.result("a", "It is computed", slow, wait=30) == 7
    assert background.result("a", "It is computed", slow, wait=0) == 7
    assert calls == [1]


def test_a_failure_is_told_and_tried_again():
    background, calls = Background(), []

    def fails_once(progress):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("the disk is full")
        return 7

    with pytest.raises(OSError, match="the disk is full"):
        background.result("a", "It is computed", fails_once, wait=30)
    assert background.result("a", "It is computed", fails_once, wait=30) == 7


def test_parts_of_the_progress():
    shares = []
    part = part_of(shares.append, 0.5, 0.75)
    part(0)
    part(1)
    ignore(0.5)
    assert shares == [0.5, 0.75]
    with percent_bar(True, "comparing") as progress:
        for share in (0, 0.004, 0.5, 1):
            progress(share)


def test_the_page_says_how_far_a_comparison_is(folder, monkeypatch):
    index_folder(folder, folder.parent / "g", model="dct")
    go = threading.Event()
    find = Gallery(folder.parent / "g").findings.__class__._copies

    def slow(self, progress):
        progress(0.4)
        go.wait(30)
        return find(self, progress)

    monkeypatch.setattr("hashkit.images.findings.Findings._copies", slow)
    with serving(Gallery(folder.parent / "g")) as site:
        page = ask(site, "/duplicates").data.decode()
        assert "The pictures are being compared, once for this index: 40 % done" in page
        assert '<progress max="1" value="0.400"' in page
        assert 'http-equiv="refresh"' in page
        assert "groups of" in ask(site, "/duplicates?radius=0").data.decode()  # codes need not wait
        go.set()
        while "being compared" in (page := ask(site, "/duplicates").data.decode()):
            pass
        assert "groups of" in page


def test_pictures_of_an_older_index_are_measured_in_view(folder):
    index_folder(folder, folder.parent / "g", model="dct")
    with closing(sqlite3.connect(folder.parent / "g/rows.sqlite")) as db, db:
        db.execute("DELETE FROM looks")
    shares = []
    measures = Gallery(folder.parent / "g").findings.measure(shares.append)
    assert (measures.width > 0).all()
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_the_quality_page_says_how_far_it_is(folder, monkeypatch):
    index_folder(folder, folder.parent / "g", model="dct")
    go = threading.Event()

    def slow(gallery, progress):
        go.wait(30)
        return measure_quality(gallery, progress)

    monkeypatch.setattr("hashkit.images.state.measure_quality", slow)
    with serving(Gallery(folder.parent / "g")) as site:
        page = ask(site, "/quality").data.decode()
        assert "The codes are being measured, once for this index. This page" in page  # nothing to tell yet
        assert '<progress max="1" aria-label' in page
        go.set()
        while "being measured" in (page := ask(site, "/quality").data.decode()):
            pass
        assert "How well the codes" in page
    shares = []
    measure_quality(Gallery(folder.parent / "g"), shares.append)
    assert 0 < shares[0] < shares[-1] < 1


def test_the_listing_is_that_of_plain_filters(folder):
    index_folder(folder, folder.parent / "g", model="dct")
    gallery = Gallery(folder.parent / "g")
    listing, photos = Listing(gallery), list(gallery.photos.values())
    for words, below, sort in [
        ("", "", "name"),
        ("0 JPG", "", "newest"),
        ("", "flower/", "oldest"),
        ("9", "flower", "largest"),
    ]:
        expected = [
            photo
            for photo in sorted(photos, key=SORTS[sort][1])
            if all(word in photo.path.lower() for word in words.lower().split())
            and (not below or photo.path.startswith(below.strip("/") + "/"))
        ]
        assert listing.find(words, below, sort) == expected
        assert listing.find(words, below, sort) == expected
    assert listing.folders == [("flower", 6), ("temple", 6)]
    assert listing.find("nothing") == []
