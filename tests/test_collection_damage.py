"""What is damaged, missing or hostile in a collection's folder is refused by name, and never answers otherwise."""

import os
import shutil
import sqlite3

import numpy as np
import pytest

import hashkit
from hashkit import collection as collections
from hashkit.storage import FormatError

CODES = np.random.default_rng(0).integers(0, 256, (12, 3), np.uint8)


def contents(folder):
    with hashkit.Collection(folder, sync="batch") as collection:
        ids = collection.ids
        return collection.n_bits, ids.tolist(), collection.get(ids).tolist(), collection.metadata(ids)


@pytest.fixture
def folder(memory_folder):
    """An index file of 4 codes; additions, a removal, a replacement and notes in a journal of small pages."""
    with hashkit.Collection(memory_folder / "collection", 20) as collection:
        codes = CODES & [255, 255, 240]
        codes = codes.astype(np.uint8)
        collection.add(codes[:4], metadata=["a", None, {"b": [1, None]}, "ü"])
        collection.compact()
        collection.add(codes[4:8], metadata=[5, 6, 7, None])
        collection.remove(5)
        collection.replace(codes[8:9], [1], metadata=["c"])
        collection.add(codes[9:], [40, 30, 20])
    db = sqlite3.connect(memory_folder / "collection" / "journal.sqlite", isolation_level=None)
    for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA page_size = 512", "VACUUM", "PRAGMA journal_mode = WAL"):
        db.execute(statement)
    db.close()
    assert os.path.getsize(memory_folder / "collection" / "journal.sqlite") < 8000
    return memory_folder / "collection"


def outcome(folder, expected):
    """Whether the collection is refused; if not it must hold what is `expected`, as `describe` says, too."""
    try:
        described = collections.describe(folder)
    except FormatError as error:
        assert str(folder) in str(error)  # noqa: PT017
        described = None
    try:
        assert contents(folder) == expected
    except FormatError as error:
        assert str(folder) in str(error)  # noqa: PT017
        return True
    assert described is None or described["n_codes"] == len(expected[1])
    return False


def damaged_bytes(data, rng, long_run):
    """Copies with one bit flipped, or a whole byte: of every byte in a long run, else of some."""
    for at in range(len(data)) if long_run else rng.choice(len(data), 300, replace=False).tolist():
        for mask in (1 << rng.integers(8), 0xFF):
            yield f"byte {at} ^ {mask:#x}", data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
    for at in range(0, len(data), 64 if long_run else 1024):
        yield f"cut at {at}", data[:at]


@pytest.mark.parametrize("name", ["journal.sqlite", "index-1.hashkit"])
def test_a_flipped_byte_is_refused_or_harmless(folder, rng, long_run, name):
    expected, data = contents(folder), (folder / name).read_bytes()
    whole, n_refused, n_copies = shutil.copytree(folder, folder.parent / "whole"), 0, 0
    for what, damaged in damaged_bytes(data, rng, long_run):
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        (folder / name).write_bytes(damaged)
        n_copies += 1
        try:
            n_refused += outcome(folder, expected)
        except Exception as error:
            raise AssertionError(what) from error
    assert n_refused > 0.3 * n_copies  # much of a page is free


def test_a_flipped_byte_of_the_lock_file_is_refused_or_harmless(folder, rng):
    expected = contents(folder)
    for content in (b"x", b"no database" * 1000, sqlite_file(folder.parent), rng.bytes(512)):
        (folder / "lock.sqlite").write_bytes(content)
        if outcome(folder, expected):
            with pytest.raises(FormatError, match=r"lock\.sqlite' is damaged or no lock file.*delete it"):
                hashkit.Collection(folder)
    (folder / "lock.sqlite").unlink()
    assert contents(folder) == expected


def test_a_flipped_byte_of_a_hasher_is_refused_or_harmless(memory_folder, rng, long_run):
    features = rng.standard_normal((50, 6)).astype(np.float32)
    hasher, path = hashkit.fit(features, n_bits=4, method="itq", random_state=0), memory_folder / "hasher"
    hasher.save(path)
    expected, n_refused, data = hasher.encode(features), 0, path.read_bytes()
    copies = list(damaged_bytes(data, rng, long_run))
    for what, damaged in copies:
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(hashkit.load(path).encode(features), expected, what)
        except FormatError as error:
            assert str(path) in str(error)  # noqa: PT017
            n_refused += 1
    assert n_refused > len(copies) - 130  # blanks behind the header


def sqlite_file(folder):
    path = folder / "some.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE a (b)")
    db.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    "statements",
    [
        ["UPDATE notes SET value = '\"other\"' WHERE id = 2"],
        ["UPDATE notes SET checksum = checksum + 1 WHERE id = 2"],
        ["DELETE FROM notes WHERE id = 2"],
        ["UPDATE notes SET id = 7 WHERE id = 2"],
        ["INSERT INTO notes SELECT 5, value, checksum FROM notes WHERE id = 2"],
        ["UPDATE state SET n_notes = 3"],
    ],
    ids=lambda statements: statements[0][:40],
)
def test_damaged_notes_are_refused(folder, statements):
    with sqlite3.connect(folder / "journal.sqlite") as db:
        for statement in statements:
            db.execute(statement)
    db.close()
    with pytest.raises(FormatError, match=r"journal\.sqlite' is damaged"):
        collections.describe(folder)
    with pytest.raises(FormatError, match=r"journal\.sqlite' is damaged"):
        contents(folder)


ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, i AS value, i AS checksum FROM n"
)


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE notes", f"CREATE VIEW notes AS {ENDLESS}"],
        ["DROP TABLE facts", f"CREATE VIEW facts AS {ENDLESS.replace('i AS id', 'i AS name')}"],
        ["DROP TABLE state", f"CREATE VIEW state AS {ENDLESS}"],
        [f"CREATE VIEW another AS {ENDLESS}"],
        ["CREATE TRIGGER t AFTER UPDATE ON state BEGIN DELETE FROM changes; END"],
        ["CREATE INDEX i ON notes (value)"],
        ["CREATE TABLE more (a)"],
        ["ALTER TABLE notes ADD COLUMN more TEXT DEFAULT 'x'"],
        ["DROP TABLE changes"],
        ["CREATE VIRTUAL TABLE search USING fts5(a)"],
        [f"CREATE TABLE t{number} (a)" for number in range(200)],
    ],
    ids=lambda statements: statements[-1][:40],
)
def test_hostile_schemas_are_refused_before_anything_runs(folder, statements, run_python):
    """In a child with a time limit: an endless view would run for ever."""
    db = sqlite3.connect(folder / "journal.sqlite")
    try:
        for statement in statements:
            db.execute(statement)
    except sqlite3.OperationalError as error:
        pytest.skip(str(error))  # no fts5
    db.commit()
    db.close()
    script = f"""
import signal, hashkit
from hashkit import collection
signal.alarm(20)
for work in (collection.describe, hashkit.Collection):
    try:
        work({str(folder)!r})
    except hashkit.storage.FormatError as error:
        print(error)
"""
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("schema is not that of hashkit") + done.stdout.count("has no facts") == 2


def test_a_journal_of_which_only_a_part_was_copied_is_refused(folder):
    """Its database without the log, its log without the database: what an index file holds stays."""
    path, before = folder / "journal.sqlite", (folder / "index-1.hashkit").read_bytes()
    whole = path.read_bytes()
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")  # a database without tables, as before its first checkpoint
    db.close()
    assert os.path.getsize(path) > 0
    for n_bits in (20, None):
        with pytest.raises(FormatError, match=r"journal\.sqlite is missing or empty"):
            hashkit.Collection(folder, n_bits)
    path.unlink()
    (folder / "journal.sqlite-wal").write_bytes(b"log")
    for n_bits in (20, None):
        with pytest.raises(FormatError, match="put back both"):
            hashkit.Collection(folder, n_bits)
    with pytest.raises(ValueError, match="move it away"):
        hashkit.Collection.recover(folder)
    (folder / "journal.sqlite-wal").unlink()
    assert (folder / "index-1.hashkit").read_bytes() == before
    path.write_bytes(whole[:600])
    with pytest.raises(ValueError, match=r"damaged.*move it away first"):
        hashkit.Collection.recover(folder)
    path.write_bytes(whole)
    assert contents(folder)[1] == [0, 1, 2, 3, 4, 6, 7, 20, 30, 40]
