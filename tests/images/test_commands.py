"""The commands `hashkit images ...`, as a user types them."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("PIL", reason="needs the extra images")

from near_duplicates import count_partners_first, write_folder
from PIL import Image
from typer.testing import CliRunner

import hashkit
from hashkit import datasets
from hashkit.cli import app
from hashkit.images import Gallery

NEEDS_EXPLORE = pytest.mark.skipif(
    not all(find_spec(name) for name in ("fastapi", "uvicorn")), reason="needs the extra explore"
)
# Where the hashkit under test is: a process of its own finds the same.
SOURCE = str(Path(hashkit.__file__).parents[1])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a command in an empty folder; gives (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        result = CliRunner().invoke(app, ["images", *map(str, arguments)])
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def indexed(run, folder):
    code, output, _ = run("index", folder, "-o", "g", "--model", "dct", "--quiet")
    assert (code, output) == (0, "g: 12 pictures (12 new, 0 changed, 0 gone, 0 skipped)\n")
    return folder


def test_index_again(run, indexed):
    (indexed / "flower/01.jpg").unlink()
    (indexed / "bad\nname.jpg").write_bytes(b"x")
    code, output, errors = run("index", indexed, "-o", "g", "--quiet")
    assert (code, output) == (0, "g: 11 pictures (0 new, 0 changed, 1 gone, 1 skipped)\n")
    assert errors == "skipped bad\\nname.jpg: it is no image of a known format\n"


def test_progress_is_shown(run, folder):
    _, _, errors = run("index", folder, "-o", "g", "--model", "dct")
    assert "12/12" in errors
    assert "images/s" in errors
    assert "encoding: 100%" in errors


def test_many_skipped_files_are_counted(run, indexed):
    for number in range(23):
        (indexed / f"bad{number:02}.png").touch()
    _, _, errors = run("index", indexed, "-o", "g", "--quiet")
    assert errors.splitlines()[19:] == ["skipped bad19.png: it is empty", "skipped 3 more"]


def test_what_is_passed_over_is_counted_by_ending(run, indexed):
    for name in ("a.NEF", "b.nef", "notes.txt"):
        (indexed / name).touch()
    (indexed / "gone.jpg").symlink_to(indexed / "nowhere.jpg")
    _, _, errors = run("index", indexed, "-o", "g", "--quiet")
    assert errors.splitlines() == [
        "skipped gone.jpg: it is a link to nothing",
        "passed over by name: 2 .nef (raw data of a camera: export them as JPEG), 1 .txt",
    ]


def test_copies_are_printed_listed_and_kept_by_a_rule(run, indexed, tmp_path):
    with Image.open(indexed / "flower/01.jpg") as picture:
        picture.resize((picture.width // 2, picture.height // 2)).save(indexed / "small.jpg")
    run("index", indexed, "-o", "g", "--quiet")
    code, output, errors = run("duplicates", "g")
    assert (code, output) == (0, f"{indexed}/flower/01.jpg\n{indexed}/small.jpg\n\n")
    assert errors == "1 group of 2 pictures\n"
    code, output, errors = run("duplicates", "g", "--keep", "largest", "--out", "list.txt")
    assert (code, output, errors) == (0, "", "1 group of 2 pictures, 1 listed\n")
    assert (tmp_path / "list.txt").read_text() == f"{indexed}/small.jpg\n"
    _, output, _ = run("duplicates", "g", "--format", "json")
    assert [(row["group"], row["name"]) for row in json.loads(output)] == [(1, "01.jpg"), (1, "small.jpg")]
    for wrong in (("--keep", "best"), ("--format", "xml"), ("-r", 2, "--similar")):
        code, _, errors = run("duplicates", "g", *wrong)
        assert (code, errors.count("\n")) == (1, 1)


@NEEDS_EXPLORE
def test_a_query_is_answered_by_the_running_server(run, indexed, monkeypatch):
    from page_server import ask, serving

    expected = [run("query", "g", indexed / "temple/04.jpg", "-k", 3, *more) for more in ((), ("--html", "x.html"))]
    monkeypatch.setattr("hashkit.images.running.CONNECT_SECONDS", 30)  # on a busy machine the server may answer late
    with serving(Gallery("g")) as site:
        wait_for(Path("g/serving.json"))
        assert stat.S_IMODE(os.stat("g/serving.json").st_mode) == 0o600
        secret = json.loads(Path("g/serving.json").read_text())["secret"]
        for place in ("/", "/changed", "/proof/x"):
            assert secret.encode() not in ask(site, place).data
        with monkeypatch.context() as patched:
            patched.setattr("hashkit.images.gallery.extract_one", None)  # this process does not do the work
            assert run("query", "g", indexed / "temple/04.jpg", "-k", 3) == expected[0]
        assert run("query", "g", indexed / "temple/04.jpg", "-k", 3, "--html", "x.html") == expected[1]
        assert "it is empty" in run("query", "g", make_empty(indexed))[2]
        Path("g/serving.json").write_text(json.dumps({"port": site.port, "secret": "wrong"}))
        assert run("query", "g", indexed / "temple/04.jpg", "-k", 3) == expected[0]
        Path("g/serving.json").write_text(json.dumps({"port": site.port, "secret": secret}))
    assert not Path("g/serving.json").exists()
    Path("g/serving.json").write_text('{"port": 1, "secret": "left behind"}')
    assert run("query", "g", indexed / "temple/04.jpg", "-k", 3) == expected[0]


def wait_for(path, seconds=30):
    """A server may answer before its note is written."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)


def make_empty(folder):
    (folder / "empty.jpg").touch()
    return folder / "empty.jpg"


def test_a_closed_pipe_ends_in_silence(indexed, tmp_path):
    command = f"{sys.executable} -c 'from hashkit.cli import main; main()' images duplicates g -r 64 | true"
    environment = os.environ | {"PYTHONPATH": SOURCE}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, timeout=120)
    assert "Broken pipe" not in done.stderr
    assert "Traceback" not in done.stderr


def test_query_prints_distance_and_path(run, indexed):
    code, output, _ = run("query", "g", indexed / "temple/04.jpg", "-k", 3)
    rows = [line.split("\t") for line in output.splitlines()]
    assert (code, len(rows), rows[0]) == (0, 3, ["0", str(indexed / "temple/04.jpg")])
    assert [int(row[0]) for row in rows] == [match.distance for match in Gallery("g").query(rows[0][1], 3)]


def test_query_writes_a_page_that_needs_nothing(run, indexed, tmp_path):
    code, _, errors = run("query", "g", indexed / "temple/04.jpg", "--html", "out.html")
    assert (code, errors) == (0, "wrote out.html\n")
    page = (tmp_path / "out.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == 13
    for outside in ('src="/', "href=", "<script", "url(", "http://", "https://"):
        assert outside not in page


def test_duplicates_are_printed_in_groups(run, indexed):
    shutil.copy(indexed / "flower/01.jpg", indexed / "again.jpg")
    run("index", indexed, "-o", "g", "--quiet")
    code, output, errors = run("duplicates", "g", "-r", 0)
    assert (code, output) == (0, f"{indexed}/again.jpg\n{indexed}/flower/01.jpg\n\n")
    assert errors == "1 group of 2 pictures\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("index", "none", "-o", "h"), "there is no folder"),
        (("index", ".", "-o", "g"), "is the index of"),
        (("index", "pictures", "-o", "g", "--model", "difference"), "the model 'dct', not with 'difference'"),
        (("index", "pictures", "-o", "h", "--model", "dct", "--bits", 32), "gives codes of 64 bits"),
        (("query", "none", "x.jpg"), "there is no gallery at 'none'; make one with: hashkit images index"),
        (("query", "g", "x.jpg"), "'x.jpg' cannot be searched by: it is not there"),
        (("query", "g", "text.jpg"), "'text.jpg' cannot be searched by: it is no image of a known format"),
        (("query", "g", "pictures/flower/01.jpg", "--rerank"), "holds no features to compare"),
        (("duplicates", "none"), "there is no gallery"),
        pytest.param(("explore", "none"), "there is no gallery", marks=NEEDS_EXPLORE),
    ],
)
def test_mistakes_end_in_one_line(run, indexed, tmp_path, arguments, message):
    (tmp_path / "text.jpg").write_text("no image")
    code, _, errors = run(*arguments)
    assert code == 1
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1


def test_without_pillow_the_extra_is_named(run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, errors = run("duplicates", "g")
    assert (code, errors) == (1, "error: pictures need more packages: pip install 'hashkit-codes[images]'\n")


def test_ctrl_c_is_told_and_gone_on_from(run, folder, monkeypatch):
    from hashkit.images.row_store import RowStore

    def interrupted(store, batch):
        put(store, batch)
        raise KeyboardInterrupt

    put = RowStore.put
    monkeypatch.setattr(RowStore, "put", interrupted)
    code, _, errors = run("index", folder, "-o", "g", "--model", "dct", "--quiet")
    assert (code, errors) == (130, "stopped; what was done is kept: start the same command again to go on\n")
    assert run("query", "g", folder / "temple/04.jpg")[2].endswith("has not come to an end: start it again\n")
    monkeypatch.undo()
    os.chdir(folder.parent)
    assert run("index", folder, "-o", "g", "--quiet")[:2] == (
        0,
        "g: 12 pictures (12 new, 0 changed, 0 gone, 0 skipped)\n",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_odd_names_are_printed_on_one_line(run, folder, crops, tmp_path):
    for name in (b"two words.jpg", b"new\nline.jpg", b"\xff\xfe.jpg", "\u00fc\u6f22.jpg".encode()):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            crops[30].save(file, "JPEG")
    run("index", folder, "-o", "g", "--model", "dct", "--quiet")
    code, output, _ = run("query", "g", folder / "two words.jpg", "-k", 4, "--html", "out.html")
    names = ["new\\nline.jpg", "two words.jpg", "\u00fc\u6f22.jpg", "\\udcff\\udcfe.jpg"]
    assert (code, output.splitlines()) == (0, [f"0\t{folder}/{name}" for name in names])
    assert "\ufffd\ufffd.jpg" in (tmp_path / "out.html").read_text(encoding="utf-8")
    assert run("duplicates", "g")[1].splitlines()[:4] == [f"{folder}/{name}" for name in names]


EXPLORE = """
import signal
from hashkit.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # the jobs of a shell in the background ignore it
main()
"""


@NEEDS_EXPLORE
def test_explore_serves_until_it_is_interrupted(indexed, tmp_path):
    command = [sys.executable, "-c", EXPLORE, "images", "explore", "g"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": SOURCE}
    ) as run:
        assert run.stdout.readline().startswith("open http://127.0.0.1:")
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
    assert run.returncode in (0, 130, -signal.SIGINT)


@pytest.mark.skipif(not Path(datasets.FASHION_MNIST).is_dir(), reason="needs Debian's dataset-fashion-mnist")
@pytest.mark.parametrize(("model", "least"), [("dct", 95), ("difference", 90)])
def test_two_thousand_pictures_from_end_to_end(run, tmp_path, model, least):
    images = datasets.fashion_mnist().images
    pairs = write_folder(
        tmp_path / "clothes", lambda number: Image.fromarray(images[number]).resize((112, 112)), 2000, 100
    )
    assert run("index", "clothes", "-o", "g", "--model", model, "--quiet")[0] == 0
    gallery = Gallery("g")
    assert count_partners_first(gallery, pairs) >= least
    groups = {frozenset(photo.path for photo in group) for group in gallery.duplicates(4)}
    together = [any({copy, partner} <= group for group in groups) for copy, partner in pairs.items()]
    assert sum(together) >= 75
