"""An index of a folder: made, renewed, searched, interrupted, refused."""

import gc
import itertools
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra images")

from PIL import Image

import hashkit
from hashkit.images import Gallery, index_folder
from hashkit.images.duplicates import group_duplicates
from hashkit.images.files import MARKER
from hashkit.images.gallery import Photo
from hashkit.images.updating import SIMPLE_METHOD


def tiny(pictures):
    """A model of one's own: 8 x 8 pixels."""
    return [np.asarray(picture.resize((8, 8)), np.float32).ravel() for picture in pictures]


@pytest.fixture
def many(tmp_path, crops):
    """A folder of 300 pictures."""
    top = tmp_path / "many"
    top.mkdir()
    for number in range(300):
        picture = crops[number % 40].resize((64, 64)).rotate(number)
        picture.save(top / f"{number:03}.png")
    return top


def paths_of(matches):
    return [match.photo.path for match in matches]


def test_index_and_query(tmp_path, folder):
    report = index_folder(folder, tmp_path / "g", model="dct")
    assert (report.n_images, report.n_added, report.n_changed, report.n_removed) == (12, 12, 0, 0)
    assert not report.skipped
    gallery = Gallery(tmp_path / "g")
    assert len(gallery) == 12
    assert next(iter(gallery.photos.values())) == Photo(0, "flower/01.jpg", gallery.photos[0].stamp)
    found = gallery.query(folder / "temple/04.jpg", k=5)
    assert paths_of(found)[0] == "temple/04.jpg"
    assert [match.distance for match in found] == sorted(match.distance for match in found)
    assert found[0].distance == 0
    codes = np.stack([hashkit.images.dct_hash(gallery.file_of(photo)) for photo in gallery.photos.values()])
    assert (gallery.codes == codes).all()
    assert paths_of(gallery.query((folder / "temple/04.jpg").read_bytes(), k=5)) == paths_of(found)


def test_learned_codes_and_reranking(tmp_path, many):
    report = index_folder(many, tmp_path / "g", model=tiny, method="itq", n_bits=32)
    assert (report.method, report.learned) == ("itq", True)
    gallery = Gallery(tmp_path / "g", model=tiny)
    assert (gallery.n_bits, gallery.codes.shape) == (32, (300, 4))
    assert gallery.query(many / "017.png", k=1)[0].distance == 0
    found = gallery.query(many / "017.png", k=10, rerank=True)
    assert found[0].photo.path == "017.png"
    assert found[0].similarity == pytest.approx(1)
    assert [match.similarity for match in found] == sorted((match.similarity for match in found), reverse=True)


def test_pages_of_a_ranking(tmp_path, many, monkeypatch):
    monkeypatch.setattr("hashkit.images.gallery.RANKED", 40)
    index_folder(many, tmp_path / "g", model=tiny, method="itq", n_bits=16)
    gallery = Gallery(tmp_path / "g", model=tiny)
    row, code = gallery.features_of(gallery.photos[17]), gallery.code_of(17)
    for radius in (None, 6):
        near = gallery.nearest(code, 300, radius)
        expected = []
        for start in range(0, len(near), 40):  # by features among the nearest 40, and among the next 40
            alike = {match.photo.id: match for match in gallery.rank(row, code, 40, radius, start=start)}
            assert set(alike) == {match.photo.id for match in near[start : start + 40]}
            expected += sorted(alike.values(), key=lambda match: -match.similarity)
        for size in (7, 40, 55):
            pages = [gallery.rank(row, code, size, radius, start=start) for start in range(0, len(near), size)]
            assert [match for page in pages for match in page] == expected
        pages = [gallery.rank(None, code, 7, radius, start=start) for start in range(0, len(near), 7)]
        assert [match for page in pages for match in page] == near
    assert gallery.rank(row, code, 60, start=300) == []


def test_features_order_what_codes_cannot_tell_apart(tmp_path, many):
    index_folder(many, tmp_path / "g", model=tiny, method="itq", n_bits=8)
    gallery = Gallery(tmp_path / "g", model=tiny)
    found = gallery.query(many / "017.png", k=30)
    distances = [match.distance for match in found]
    assert distances == sorted(distances)
    assert len(set(distances)) < len(distances)
    nearest = gallery.nearest(gallery.code_of(17), 30)
    assert [match.distance for match in nearest] == distances
    assert nearest != found  # those are by id
    assert found[0].photo.path == "017.png"
    alike = {match.photo.id: match.similarity for match in gallery.query(many / "017.png", k=300, rerank=True)}
    for before, after in itertools.pairwise(found):
        assert (before.distance, -alike[before.photo.id]) <= (after.distance, -alike[after.photo.id])
    with closing(sqlite3.connect(tmp_path / "g" / "rows.sqlite")) as db, db:
        db.execute("DELETE FROM rows WHERE path = ?", (b"017.png",))  # as a later renewal may
    again = gallery.query(many / "017.png", k=30)
    assert [match.distance for match in again] == distances
    assert again[0].photo.path != "017.png"


def test_few_pictures_get_hyperplanes_until_there_are_enough(tmp_path, many):
    aside = [path for path in sorted(many.iterdir()) if path.name >= "020.png"]
    for path in aside:
        path.rename(tmp_path / path.name)
    assert index_folder(many, tmp_path / "g", model=tiny, method="itq").method == "random_hyperplanes"
    ids = {photo.path: photo.id for photo in Gallery(tmp_path / "g", model=tiny).photos.values()}
    for path in aside:
        (tmp_path / path.name).rename(path)
    report = index_folder(many, tmp_path / "g", model=tiny)
    assert (report.method, report.learned, report.n_added, report.n_changed) == ("itq", True, 280, 0)
    gallery = Gallery(tmp_path / "g", model=tiny)
    assert {photo.path: photo.id for photo in gallery.photos.values()}.items() >= ids.items()
    assert sorted(os.listdir(tmp_path / "g")) == sorted(
        [MARKER, "codes-2", "hasher-2.safetensors", "lock.sqlite", "rows.sqlite"]
    )
    fresh = tmp_path / "fresh"
    index_folder(many, fresh, model=tiny, method="itq")
    assert (Gallery(fresh, model=tiny).codes == gallery.codes).all()


def test_a_second_run_takes_what_is_new_changed_or_gone(tmp_path, folder, crops):
    index_folder(folder, tmp_path / "g", model="difference")
    before = {photo.path: photo for photo in Gallery(tmp_path / "g").photos.values()}
    crops[20].save(folder / "new.png")
    crops[21].save(folder / "flower/03.jpg")
    (folder / "temple/02.jpg").unlink()
    (folder / "temple/00.jpg").write_bytes(b"no longer an image")
    report = index_folder(folder, tmp_path / "g")
    assert (report.n_images, report.n_added, report.n_changed, report.n_removed) == (11, 1, 1, 2)
    assert list(report.skipped) == ["temple/00.jpg"]
    after = {photo.path: photo for photo in Gallery(tmp_path / "g").photos.values()}
    assert after["flower/01.jpg"] == before["flower/01.jpg"]
    assert after["flower/03.jpg"].id == before["flower/03.jpg"].id
    assert after["new.png"].id == 12
    assert Gallery(tmp_path / "g").query(crops_file(crops[21], tmp_path), k=1)[0].photo.path == "flower/03.jpg"
    assert index_folder(folder, tmp_path / "g").n_added == 0


def crops_file(picture, folder):
    picture.save(folder / "query.jpg")
    return folder / "query.jpg"


def test_a_second_run_decodes_nothing_again(tmp_path, folder):
    index_folder(folder, tmp_path / "g", model=tiny, n_bits=16)

    def tiny_no_more(pictures):
        raise AssertionError("decoded again")

    tiny_no_more.__name__ = "tiny"
    assert index_folder(folder, tmp_path / "g", model=tiny_no_more).n_images == 12


def test_without_features(tmp_path, folder):
    index_folder(folder, tmp_path / "g", model=tiny, n_bits=16, keep_features=False)
    gallery = Gallery(tmp_path / "g", model=tiny)
    with pytest.raises(ValueError, match="holds no features to compare"):
        gallery.query(folder / "flower/01.jpg", rerank=True)
    (folder / "flower/01.jpg").unlink()
    report = index_folder(folder, tmp_path / "g", model=tiny)
    assert (report.n_images, report.n_added, report.n_removed) == (11, 0, 1)
    with pytest.raises(ValueError, match="refit needs"):
        index_folder(folder, tmp_path / "g", model=tiny, refit=True)


def test_refit(tmp_path, many):
    index_folder(many, tmp_path / "g", model=tiny, method="itq", random_state=0)
    assert not index_folder(many, tmp_path / "g", model=tiny).learned
    before = Gallery(tmp_path / "g", model=tiny).codes
    report = index_folder(many, tmp_path / "g", model=tiny, refit=True, random_state=1)
    assert (report.learned, report.n_added, report.n_changed) == (True, 0, 0)
    assert (Gallery(tmp_path / "g", model=tiny).codes != before).any()


def test_duplicates(tmp_path, folder):
    shutil.copy(folder / "flower/01.jpg", folder / "again.jpg")
    Image.open(folder / "temple/04.jpg").save(folder / "temple/04b.jpg", quality=30)
    index_folder(folder, tmp_path / "g", model="dct")
    groups = Gallery(tmp_path / "g").duplicates(4)
    assert sorted([photo.path for photo in group] for group in groups) == [
        ["again.jpg", "flower/01.jpg"],
        ["temple/04.jpg", "temple/04b.jpg"],
    ]


@pytest.mark.parametrize("radius", [0, 1, 3, 8])
def test_groups_are_the_components_of_the_graph(rng, radius):
    codes = rng.integers(0, 256, (300, 2), np.uint8) & 0x77
    groups = [set(group.rows.tolist()) for group in group_duplicates(codes, radius)]
    distances = hashkit.hamming_distances(codes, codes)
    expected, seen = [], set()
    for row in range(len(codes)):
        if row in seen:
            continue
        group, waiting = {row}, [row]
        while waiting:
            new = set(np.flatnonzero(distances[waiting.pop()] <= radius).tolist()) - group
            group |= new
            waiting += new
        seen |= group
        expected += [group] if len(group) > 1 else []
    assert sorted(groups, key=min) == expected
    assert [len(group) for group in groups] == sorted(map(len, groups), reverse=True)
    assert len(group_duplicates(codes[:0], radius)) == 0


def test_odd_names_come_back(tmp_path, crops):
    top = tmp_path / "odd"
    top.mkdir()
    names = [b"two words.jpg", b"new\nline.jpg", b"\xff\xfe.jpg", "ü漢.jpg".encode()]
    for name, picture in zip(names, crops, strict=False):
        with open(os.path.join(os.fsencode(top), name), "wb") as file:
            picture.save(file, "JPEG")
    index_folder(top, tmp_path / "g", model="dct")
    gallery = Gallery(tmp_path / "g")
    assert {os.fsencode(photo.path) for photo in gallery.photos.values()} == set(names)
    assert all(gallery.query(gallery.file_of(photo), 1)[0].photo == photo for photo in gallery.photos.values())


def test_refusals(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there are no images in"):
        index_folder(tmp_path / "empty", tmp_path / "g", model="dct")
    (tmp_path / "empty/a.jpg").touch()
    with pytest.raises(ValueError, match=r"none of the 1 images in .* could be decoded"):
        index_folder(tmp_path / "empty", tmp_path / "g1", model="dct")
    with pytest.raises(FileNotFoundError, match=r"indexing of .* has not come to an end"):
        Gallery(tmp_path / "g1")
    with pytest.raises(FileNotFoundError, match="there is no gallery at"):
        Gallery(tmp_path / "none")
    with pytest.raises(FileExistsError, match="a folder of something else"):
        index_folder(folder, folder, model="dct")
    with pytest.raises(ValueError, match="gives codes of 64 bits"):
        index_folder(folder, tmp_path / "g2", model="dct", n_bits=32)
    with pytest.raises(ValueError, match="method must be one of"):
        index_folder(folder, tmp_path / "g2", model=tiny, method="magic")
    assert not (tmp_path / "g2").exists()


def test_what_does_not_fit_the_index_is_refused(tmp_path, folder, many):
    index_folder(folder, tmp_path / "g", model="dct")
    with pytest.raises(ValueError, match="made with the model 'dct', not with 'difference'"):
        index_folder(folder, tmp_path / "g", model="difference")
    with pytest.raises(ValueError, match="made with the model 'dct', not with 'tiny'"):
        Gallery(tmp_path / "g", model=tiny)
    with pytest.raises(ValueError, match="made with n_bits 64, got 32"):
        index_folder(folder, tmp_path / "g", n_bits=32)
    with pytest.raises(ValueError, match=r"is the index of .*pictures', not of .*many'"):
        index_folder(many, tmp_path / "g")
    folder.rename(tmp_path / "moved")
    report = index_folder(tmp_path / "moved", tmp_path / "g")
    assert (report.n_images, report.n_added, report.n_removed) == (12, 0, 0)


def test_a_gallery_of_an_unknown_model_needs_it(tmp_path, folder):
    index_folder(folder, tmp_path / "g", model=tiny, n_bits=16)
    with pytest.raises(ValueError, match="model must be one of efficientnet-lite0, dct, difference"):
        Gallery(tmp_path / "g").query(folder / "flower/01.jpg")


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"version": 1, "folder": 3}', '{"version": 1, "x": 1}'])
def test_damaged_settings_are_refused(tmp_path, folder, damage):
    index_folder(folder, tmp_path / "g", model="dct")
    (tmp_path / "g" / MARKER).write_text(damage)
    with pytest.raises(hashkit.storage.FormatError, match="is damaged"):
        Gallery(tmp_path / "g")


def test_newer_settings_are_refused(tmp_path, folder):
    index_folder(folder, tmp_path / "g", model="dct")
    file = tmp_path / "g" / MARKER
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": 2}))
    with pytest.raises(hashkit.storage.FormatError, match="has version 2: this hashkit reads version 1"):
        Gallery(tmp_path / "g")


def test_one_run_at_a_time(tmp_path, folder):
    def meanwhile(pictures):
        with pytest.raises(BlockingIOError):
            index_folder(folder, tmp_path / "g", model=meanwhile, n_bits=16)
        return tiny(pictures)

    assert index_folder(folder, tmp_path / "g", model=meanwhile, n_bits=16).n_images == 12


ONE_THREAD = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(hashkit.__file__).parents[1]),
}
SLOW_RUN = """
import signal, sys, time, numpy as np
from hashkit.images import index_folder
signal.signal(signal.SIGINT, signal.default_int_handler)  # the jobs of a shell in the background ignore it
def tiny(pictures):
    print(len(pictures), flush=True)
    time.sleep(0.05)
    return [np.asarray(picture.resize((8, 8)), np.float32).ravel() for picture in pictures]
print(index_folder(sys.argv[1], sys.argv[2], model=tiny, method="itq", batch_size=20).n_images)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_is_gone_on_with(tmp_path, many, sent):
    command = [sys.executable, "-c", SLOW_RUN, str(many), str(tmp_path / "g")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=ONE_THREAD, cwd=tmp_path
    ) as run:
        for _ in range(8):
            assert run.stdout.readline() == "20\n"
        run.send_signal(sent)
        run.communicate(timeout=60)
    assert run.returncode == -sent
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=ONE_THREAD, cwd=tmp_path
    ).stdout.split()
    assert done[-1] == "300"
    assert len(done) - 1 <= 12  # batches of 20, of which at least three were done before
    assert len(Gallery(tmp_path / "g", model=tiny)) == 300


def test_a_limit_on_files_is_told_and_loses_nothing(tmp_path, many):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        with pytest.raises(OSError, match="cannot use"):
            index_folder(many, tmp_path / "g", model=tiny, method=SIMPLE_METHOD, batch_size=20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_only_the_rest_is_decoded(many, tmp_path / "g")


@pytest.mark.parametrize("kilobytes", [8, 400, 1500, 1600])  # settings, rows, hasher and codes are what does not fit
def test_a_full_disk_is_told_and_loses_nothing(tmp_path, many, kilobytes):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", disk], capture_output=True
    ).returncode:
        pytest.skip("may not mount a file system")
    try:
        with pytest.raises(OSError, match=r"full|No space left"):
            index_folder(many, disk / "g", model=tiny, method=SIMPLE_METHOD, batch_size=20)
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        assert_only_the_rest_is_decoded(many, disk / "g", all_again=kilobytes < 100)
    finally:
        subprocess.run(["umount", disk], check=True)


def assert_only_the_rest_is_decoded(folder, path, all_again=False):
    decoded = []

    def counting(pictures):
        decoded.append(len(pictures))
        return tiny(pictures)

    counting.__name__ = "tiny"
    assert index_folder(folder, path, model=counting, method=SIMPLE_METHOD).n_images == 300
    assert (sum(decoded) == 300) == all_again


# Ctrl-C on the first line of a file's __exit__ leaves it to the end of the process to close it.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_ctrl_c_at_any_time_keeps_what_is_done(tmp_path, folder):
    def index(name):
        return index_folder(folder, tmp_path / name, model=tiny, n_bits=16, batch_size=2, n_threads=1)

    n_calls = calls_until(None, lambda: index("whole"))
    whole = Gallery(tmp_path / "whole", model=tiny)
    for place in np.linspace(1, n_calls, 16, dtype=int).tolist():
        calls_until(place, lambda place=place: index(str(place)))
        gc.collect()  # the end of a process would close what was open
        assert index(str(place)).n_images == 12
        gallery = Gallery(tmp_path / str(place), model=tiny)
        assert list(gallery.photos.values()) == list(whole.photos.values())
        assert (gallery.codes == whole.codes).all()
        assert sorted(os.listdir(gallery.path)) == sorted(os.listdir(whole.path))


def calls_until(place, work):
    """Do some work, and as if Ctrl-C was pressed at a call of hashkit's; how many calls there were."""
    home, n_calls = os.path.dirname(hashkit.__file__), 0

    def watch(frame, event, _):
        nonlocal n_calls
        n_calls += event == "call" and frame.f_code.co_filename.startswith(home)
        if n_calls == place:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(watch)
    try:
        work()
    except KeyboardInterrupt:
        assert n_calls == place
    finally:
        sys.setprofile(None)
    return n_calls


def test_a_folder_that_changes_during_the_run(tmp_path, folder):
    def tiny(pictures):
        (folder / "temple/10.jpg").unlink(missing_ok=True)
        return [np.asarray(picture.resize((8, 8)), np.float32).ravel() for picture in pictures]

    report = index_folder(folder, tmp_path / "g", model=tiny, n_bits=16, batch_size=1, n_threads=1)
    assert report.n_images == 11
    assert report.skipped == {"temple/10.jpg": "it is not there: it may have been moved or deleted"}
