"""Which files of a folder are its images."""

import os
import sys
from collections import Counter

import pytest

pytest.importorskip("PIL", reason="needs the extra images")

from hashkit.images.files import MARKER, find_images


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_images_by_name_in_the_order_of_their_paths(tmp_path):
    for name in ("b.JPG", "a/z.png", "a/b/c.webp", "notes.txt", ".hidden.jpg", ".cache/x.jpg", "jpg"):
        touch(tmp_path / name)
    assert list(find_images(tmp_path)) == ["a/b/c.webp", "a/z.png", "b.JPG"]


def test_stamps(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"12345")
    os.utime(tmp_path / "a.jpg", ns=(0, 1_000_000_007))
    stamp = find_images(tmp_path)["a.jpg"]
    assert (stamp.size, stamp.mtime_ns) == (5, 1_000_000_007)


def test_galleries_are_not_searched(tmp_path):
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "photos.hashkit/thumbnails/1.jpg")
    touch(tmp_path / "photos.hashkit" / MARKER)
    assert list(find_images(tmp_path)) == ["a.jpg"]


def test_links_are_followed_once_and_loops_end(tmp_path):
    touch(tmp_path / "folder/real/a.jpg")
    touch(tmp_path / "elsewhere/b.jpg")
    top = tmp_path / "folder"
    (top / "real/loop").symlink_to(top)
    (top / "again").symlink_to(top / "real")
    (top / "outside").symlink_to(tmp_path / "elsewhere")
    (top / "back.jpg").symlink_to(tmp_path / "elsewhere/b.jpg")
    (top / "self.jpg").symlink_to(top / "self.jpg")
    (top / "nothing.jpg").symlink_to(top / "missing.jpg")
    unlisted = {}
    assert list(find_images(top, unlisted=unlisted)) == ["back.jpg", "outside/b.jpg", "real/a.jpg"]
    assert unlisted == {"nothing.jpg": "it is a link to nothing", "self.jpg": "it is a link to nothing"}


def test_what_is_passed_over_is_counted(tmp_path):
    for name in ("a.jpg", "b.NEF", "c.nef", "d.txt", "Makefile", ".hidden.txt", "deep/e.txt"):
        touch(tmp_path / name)
    passed_over = Counter()
    assert list(find_images(tmp_path, passed_over=passed_over)) == ["a.jpg"]
    assert passed_over == {".nef": 2, ".txt": 2, "without an ending": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_odd_names(tmp_path):
    names = [b"two words.jpg", b"new\nline.jpg", b"\xff\xfe.jpg", "ü漢.jpg".encode(), b"quote'\".jpg"]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    assert {os.fsencode(path) for path in find_images(tmp_path)} == set(names)


def test_folders_that_cannot_be_listed_are_named(open_to_all, as_nobody):
    touch(open_to_all / "a.jpg")
    touch(open_to_all / "private/b.jpg")
    (open_to_all / "private").chmod(0)
    unlisted = {}
    with as_nobody():
        assert list(find_images(open_to_all, unlisted=unlisted)) == ["a.jpg"]
        with pytest.raises(PermissionError):
            find_images(open_to_all / "private")
    assert unlisted == {"private": "it may not be read"}


def test_no_folder(tmp_path):
    assert find_images(tmp_path) == {}
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        find_images(tmp_path / "none")
    touch(tmp_path / "a.jpg")
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        find_images(tmp_path / "a.jpg")
