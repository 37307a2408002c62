"""A collection has, whenever it is opened, exactly the changes that were acknowledged."""

import os
import shutil
import sqlite3
import stat
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import reference
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import hashkit
from hashkit import collection as collections
from hashkit.storage import FormatError
from hashkit.storage.state import SCHEMAS

N_BITS = 20


def random_codes(n, seed=0):
    return hashkit.pack(np.random.default_rng(seed).standard_normal((n, N_BITS)).astype(np.float32))


def assert_holds(collection, codes, notes):
    """`codes` and `notes` map ids to what was stored."""
    ids = np.array(sorted(codes), np.int64)
    assert list(collection) == ids.tolist()
    expected = np.array([codes[id] for id in ids.tolist()], np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(collection.get(ids), expected)
    assert collection.metadata(ids) == [notes.get(id) for id in ids.tolist()]
    queries = random_codes(3, 99)
    for found, wanted in zip(collection.query(queries, 4), reference.k_nearest(expected, queries, 4, ids), strict=True):
        np.testing.assert_array_equal(found, wanted)


class Living(RuleBasedStateMachine):
    """Every change on a collection and on dicts side by side, with the collection reopened now and then."""

    folder = None  # set by the test below

    def __init__(self):
        super().__init__()
        self.path = os.path.join(self.folder, f"{len(os.listdir(self.folder))}")
        self.collection = hashkit.Collection(self.path, N_BITS, sync="batch")
        self.codes, self.notes, self.seed = {}, {}, 0

    def teardown(self):
        self.collection.close()

    def new_codes(self, n):
        self.seed += 1
        return random_codes(n, self.seed) if n else np.empty((0, 3), np.uint8)

    @rule(n=st.integers(0, 5), noted=st.booleans())
    def add(self, n, noted):
        codes = self.new_codes(n)
        notes = [{"seed": self.seed, "row": row} if row % 2 else None for row in range(n)]
        ids = self.collection.add(codes, metadata=notes if noted else None).tolist()
        self.codes.update(zip(ids, codes, strict=True))
        self.notes.update({id: note for id, note in zip(ids, notes, strict=True) if note and noted})

    @rule(ids=st.lists(st.integers(-5, 40), unique=True, max_size=5))
    def add_with_ids(self, ids):
        ids = [id for id in ids if id not in self.codes]
        codes = self.new_codes(len(ids))
        self.collection.add(codes, ids)
        self.codes.update(zip(ids, codes, strict=True))

    @rule(ids=st.lists(st.integers(-5, 40), max_size=5))
    def remove(self, ids):
        self.collection.remove(ids, missing="ignore")
        for id in ids:
            self.codes.pop(id, None)
            self.notes.pop(id, None)

    @precondition(lambda self: self.codes)
    @rule(data=st.data(), noted=st.booleans())
    def replace(self, data, noted):
        ids = data.draw(st.lists(st.sampled_from(sorted(self.codes)), unique=True, max_size=5))
        codes = self.new_codes(len(ids))
        self.collection.replace(codes, ids, metadata=ids if noted else None)
        self.codes.update(zip(ids, codes, strict=True))
        if noted:
            self.notes.update(zip(ids, ids, strict=True))

    @precondition(lambda self: self.codes)
    @rule(data=st.data(), note=st.sampled_from([None, "text", [1, 2.5], {"a": {"b": None}}]))
    def note(self, data, note):
        id = data.draw(st.sampled_from(sorted(self.codes)))
        self.collection.set_metadata(id, [note])
        self.notes.pop(id, None)
        if note is not None:
            self.notes[id] = note

    @rule()
    def compact(self):
        self.collection.compact()
        assert self.collection._durable.journal.n_changes == 0

    @rule(sync=st.sampled_from(["always", "batch"]))
    def reopen(self, sync):
        self.collection.close()
        self.collection = hashkit.Collection(self.path, sync=sync)

    @invariant()
    def holds_what_was_acknowledged(self):
        assert_holds(self.collection, self.codes, self.notes)
        assert collections.describe(self.path)["n_codes"] == len(self.codes)


def test_any_changes(tmp_path):
    Living.folder = tmp_path
    TestCase = type("Living", (Living,), {}).TestCase
    TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
    TestCase().runTest()


@pytest.fixture
def collection(tmp_path):
    with hashkit.Collection(tmp_path / "collection", N_BITS) as collection:
        yield collection


def reopened(collection):
    collection.close()
    return hashkit.Collection(collection._folder)


def test_searches_like_an_index(collection):
    codes = random_codes(50)
    ids = collection.add(codes)
    index = hashkit.Index(codes, n_bits=N_BITS)
    for filter in (None, ids[::3], ids % 2 == 0):
        for found, wanted in zip(
            collection.query(codes, 7, filter=filter), index.query(codes, 7, filter=filter), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(
            collection.radius(codes, 4, filter=filter).ids, index.radius(codes, 4, filter=filter).ids
        )
    assert collection.n_bits == N_BITS
    assert 49 in collection
    assert 50 not in collection
    assert repr(collection).startswith("<hashkit.Collection of 50 codes of 20 bits")


def test_ids_are_not_given_twice_after_reopening(collection):
    collection.add(random_codes(3))
    collection.remove(2)
    collection = reopened(collection)
    assert collection.add(random_codes(1)).tolist() == [3]
    collection.remove(3)
    collection.compact()
    collection = reopened(collection)
    assert collection.add(random_codes(1)).tolist() == [4]
    collection.close()


def test_many_changes_are_read_back_in_one_go(collection):
    for seed in range(300):
        collection.add(random_codes(1, seed))
    collection = reopened(collection)
    np.testing.assert_array_equal(
        collection.get(range(300)), np.concatenate([random_codes(1, seed) for seed in range(300)])
    )
    collection.close()


def test_large_changes_are_cut(collection, monkeypatch):
    monkeypatch.setattr("hashkit.storage.changes.ROWS_PER_CHANGE", 7)
    codes = random_codes(50)
    collection.add(codes, metadata=list(range(50)))
    assert collection._durable.journal.n_changes == 8
    collection = reopened(collection)
    assert_holds(collection, dict(enumerate(codes)), dict(enumerate(range(50))))
    collection.close()


def test_save_writes_an_index_of_its_own(collection, tmp_path):
    collection.add(random_codes(5))
    collection.save(tmp_path / "index")
    np.testing.assert_array_equal(hashkit.Index.load(tmp_path / "index").get(range(5)), random_codes(5))


def test_it_is_open_once(collection, run_python):
    with pytest.raises(BlockingIOError, match="is open already"):
        hashkit.Collection(collection._folder)
    script = f"import hashkit; hashkit.Collection({collection._folder!r})"
    assert "BlockingIOError" in run_python(script).stderr
    collection.close()
    assert run_python(script).returncode == 0
    reopened(collection).close()


def test_after_closing_it_can_be_searched_but_not_changed(collection):
    collection.add(random_codes(5))
    collection.close()
    collection.close()
    assert len(collection.query(random_codes(1)[0])[1]) == 5
    for use in (
        lambda: collection.add(random_codes(1)),
        lambda: collection.remove([1]),
        lambda: collection.replace(random_codes(1), [1]),
        lambda: collection.set_metadata([1], ["a"]),
        lambda: collection.metadata([1]),
        collection.compact,
        collection.flush,
    ):
        with pytest.raises(ValueError, match="has been closed"):
            use()
    assert len(collection) == 5


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: c.add(random_codes(2), metadata=[1]), ValueError, "metadata must have 2 values"),
        (lambda c: c.add(random_codes(2), metadata={"a": 1, "b": 2}), TypeError, "metadata must be a sequence"),
        (lambda c: c.add(random_codes(2), metadata="ab"), TypeError, "metadata must be a sequence"),
        (lambda c: c.add(random_codes(1), metadata=[object()]), TypeError, "metadata must be JSON"),
        (lambda c: c.add(random_codes(1), metadata=[float("nan")]), ValueError, "metadata must be JSON"),
        (lambda c: c.add(random_codes(1), [0]), ValueError, "already in the index: 0"),
        (lambda c: c.add(np.zeros((1, 2), np.uint8)), ValueError, "codes must have 3 bytes"),
        (lambda c: c.remove([77]), ValueError, "not in it: 77"),
        (lambda c: c.replace(random_codes(1), [77]), ValueError, "not in it: 77"),
        (lambda c: c.set_metadata([77], ["a"]), ValueError, "not in it: 77"),
    ],
)
def test_what_is_refused_is_not_recorded(collection, call, error, message):
    collection.add(random_codes(2), metadata=["a", None])
    with pytest.raises(error, match=message):
        call(collection)
    collection = reopened(collection)
    assert_holds(collection, dict(enumerate(random_codes(2))), {0: "a"})
    collection.close()


def test_unfit_arguments_are_refused(tmp_path, collection):
    with pytest.raises(ValueError, match="n_bits must be given"):
        hashkit.Collection(tmp_path / "new")
    assert not os.path.exists(tmp_path / "new")
    with pytest.raises(ValueError, match="n_bits must be between 1 and 4096, got 0"):
        hashkit.Collection(tmp_path / "new", 0)
    with pytest.raises(ValueError, match="sync must be one of"):
        hashkit.Collection(tmp_path / "new", 8, sync="never")
    collection.close()
    with pytest.raises(ValueError, match="n_bits must be 20"):
        hashkit.Collection(collection._folder, 21)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="exists"):
        hashkit.Collection(tmp_path / "file", 8)


def test_a_failed_write_changes_nothing(collection, monkeypatch):
    collection.add(random_codes(3))

    def fail(*args):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("hashkit.storage.changes._checksum", fail)
    with pytest.raises(OSError, match=r"cannot write.*disk is full"):
        collection.add(random_codes(1), metadata=["a"])
    monkeypatch.undo()
    assert len(collection) == 3
    assert collection.add(random_codes(1)).tolist() == [3]
    collection = reopened(collection)
    assert len(collection) == 4
    collection.close()


def corrupt(path, n_bytes=200):
    data = bytearray(path.read_bytes())
    data[-n_bytes:] = bytes(byte ^ 0xFF for byte in data[-n_bytes:])
    path.write_bytes(data)


def test_damage_is_refused(tmp_path, collection):
    folder = tmp_path / "collection"
    collection.add(random_codes(100))
    collection.compact()
    collection.close()
    data = (folder / "index-1.hashkit").read_bytes()
    corrupt(folder / "index-1.hashkit")
    with pytest.raises(FormatError, match="checksum"):
        collections.describe(folder)
    with pytest.raises(FormatError, match="checksum"), hashkit.Collection(folder) as damaged:
        damaged.query(random_codes(1))
    (folder / "index-1.hashkit").unlink()
    with pytest.raises(FileNotFoundError, match="index-1"):
        hashkit.Collection(folder)
    (folder / "index-1.hashkit").write_bytes(data)
    assert collections.describe(folder)["n_codes"] == 100


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE changes SET checksum = checksum + 1",
        "UPDATE changes SET ids = substr(ids, 2)",
        "UPDATE changes SET kind = 'multiply'",
        "UPDATE changes SET kind = 'remove'",
        "UPDATE state SET n_bits = 64",
        "UPDATE state SET generation = 1",
        "UPDATE changes SET number = number + 1",
        "DELETE FROM changes",
        "DELETE FROM state",
        "INSERT INTO state SELECT 2, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0",
        "DELETE FROM facts",
        "DROP TABLE facts",
    ],
)
def test_damaged_journals_are_refused(tmp_path, collection, statement):
    collection.add(random_codes(10))
    collection.close()
    with sqlite3.connect(tmp_path / "collection" / "journal.sqlite") as db:
        db.execute(statement)
    db.close()
    with pytest.raises((FormatError, OSError)):
        hashkit.Collection(tmp_path / "collection")
    with pytest.raises((FormatError, OSError)):
        collections.describe(tmp_path / "collection")


def test_what_is_no_journal_is_refused(tmp_path):
    (tmp_path / "journal.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(FormatError, match="damaged or no journal"):
        hashkit.Collection(tmp_path, 8)
    with pytest.raises(OSError, match="cannot open"):
        collections.describe(tmp_path / "none")


def test_a_newer_version_is_refused_with_a_sentence(tmp_path, collection):
    collection.close()
    with sqlite3.connect(tmp_path / "collection" / "journal.sqlite") as db:
        db.execute("UPDATE facts SET value = 3 WHERE name = 'version'")
    db.close()
    with pytest.raises(FormatError, match="made by a newer hashkit: it has format version 3, this one reads 2"):
        hashkit.Collection(tmp_path / "collection")


def test_threads_share_it(collection):
    def work(number):
        for step in range(10):
            ids = collection.add(random_codes(3, step), metadata=[number] * 3)
            assert collection.metadata(ids) == [number] * 3
            collection.remove(ids[:1])
            assert ids[1] in collection

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(collection) == 8 * 10 * 2
    collection = reopened(collection)
    assert len(collection) == 8 * 10 * 2
    collection.close()


def test_a_child_may_search_but_not_change(collection):
    collection.add(random_codes(5))
    child = os.fork()
    if child == 0:
        try:
            assert len(collection.query(random_codes(1)[0], n_threads=2)[1]) == 5
            with pytest.raises(RuntimeError, match="opened in another process"):
                collection.add(random_codes(1))
            with pytest.raises(BlockingIOError):
                hashkit.Collection(collection._folder)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    collection.add(random_codes(5))
    collection = reopened(collection)
    assert len(collection) == 10
    collection.close()


def test_a_journal_with_the_same_ids_added_twice_opens_and_the_last_counts(tmp_path, collection):
    """Older versions wrote such, when an interrupt came between the commit and the change in memory."""
    collection.add(random_codes(4, 1))
    collection._durable.journal.record("add", np.arange(6), random_codes(6, 2), None)
    collection._durable.journal.record("remove", np.array([5, 9]), np.empty((0, 3), np.uint8), None)
    collection._durable.journal.record("replace", np.array([9]), random_codes(1, 3), None)
    collection = reopened(collection)
    expected = {**dict(enumerate(random_codes(6, 2)[:5])), 9: random_codes(1, 3)[0]}
    assert_holds(collection, expected, {})
    assert collection.add(random_codes(1)).tolist() == [10]
    collection.close()


def test_nothing_that_is_not_its_own_is_deleted(tmp_path):
    folder = tmp_path / "collection"
    with hashkit.Collection(folder, N_BITS) as collection:
        collection.add(random_codes(5))
        collection.compact()
    names = [
        "index-photos.csv",
        "index-2.hashkit",
        "index-4.hashkit",
        "index-01.hashkit",
        ".hashkit-notes",
        ".hashkit-x.tmp",
    ]
    for name in names:
        (folder / name).write_text("mine")
    (folder / "index-dir").mkdir()
    (folder / ".hashkit-0123456789abcdef.tmp").write_text("cut off")
    for number in (3, 5):  # others' numbers are passed over
        with hashkit.Collection(folder) as collection:
            assert len(collection) == 5
            collection.compact()
        own = [f"index-{number}.hashkit", "journal.sqlite", "lock.sqlite"]
        assert sorted(os.listdir(folder)) == sorted([*names, *own, "index-dir"])
    assert {(folder / name).read_text() for name in names} == {"mine"}


@pytest.mark.parametrize("step", ["begin_generation", "forget_files"])
def test_what_an_interrupted_compaction_left_is_deleted(tmp_path, monkeypatch, step):
    def interrupt(*args):
        raise KeyboardInterrupt

    with hashkit.Collection(tmp_path, N_BITS) as collection:
        collection.add(random_codes(5))
        collection.compact()
        monkeypatch.setattr(f"hashkit.storage.journal.Journal.{step}", interrupt)
        with pytest.raises(KeyboardInterrupt):
            collection.compact()
        monkeypatch.undo()
        names = [name for name in os.listdir(tmp_path) if name.startswith("index")]
        assert sorted(names) == ["index-1.hashkit", "index-2.hashkit"][step == "forget_files" :]
    for _ in range(2):
        with hashkit.Collection(tmp_path) as collection:
            assert len(collection) == 5
        assert len([name for name in os.listdir(tmp_path) if name.startswith("index")]) == 1


@pytest.mark.parametrize("emptied", [False, True])
def test_an_index_file_without_its_journal_is_kept_and_can_be_recovered(tmp_path, emptied):
    folder = tmp_path / "collection"
    with hashkit.Collection(folder, N_BITS) as collection:
        collection.add(random_codes(5))
        collection.compact()
    with pytest.raises(ValueError, match="is there: open it"):
        hashkit.Collection.recover(folder)
    (folder / "journal.sqlite").unlink()
    if emptied:
        (folder / "journal.sqlite").touch()
    before = (folder / "index-1.hashkit").read_bytes()
    with pytest.raises(FormatError, match=r"Collection\.recover"):
        hashkit.Collection(folder, N_BITS)
    assert (folder / "index-1.hashkit").read_bytes() == before
    with hashkit.Collection.recover(folder) as collection:
        assert_holds(collection, dict(enumerate(random_codes(5))), {})
        assert collection.add(random_codes(1)).tolist() == [5]
    with hashkit.Collection(folder) as collection:
        assert len(collection) == 6
    with pytest.raises(ValueError, match="there is none"):
        hashkit.Collection.recover(tmp_path)


def test_the_command_recovers_a_folder(tmp_path, run_python):
    with hashkit.Collection(tmp_path / "c", N_BITS) as collection:
        collection.add(random_codes(5))
        collection.compact()
    command = f"from hashkit.cli import main; import sys; sys.argv[1:] = ['recover', {str(tmp_path / 'c')!r}]; main()"
    assert "open it" in run_python(command).stderr
    (tmp_path / "c" / "journal.sqlite").unlink()
    assert run_python(command).stdout.endswith("recovered 5 codes of 20 bits\n")
    with hashkit.Collection(tmp_path / "c") as collection:
        assert_holds(collection, dict(enumerate(random_codes(5))), {})


def test_a_journal_of_version_1_with_doubles_opens_and_is_upgraded(tmp_path):
    """As version 0.1.0 left it when an interrupt came between the commit and the change in memory."""
    folder, path = tmp_path / "c", tmp_path / "c" / "journal.sqlite"
    folder.mkdir()
    first, second = random_codes(4, 1), random_codes(4, 2)
    db = sqlite3.connect(path)
    for statement in SCHEMAS[1].values():
        db.execute(statement)
    db.executemany("INSERT INTO facts VALUES (?, ?)", [("version", 1), ("n_bits", N_BITS), ("generation", 0)])
    for kind, ids, codes in (
        ("add", [0, 1, 2, 3], first),
        ("add", [0, 1, 2, 3], second),
        ("remove", [3, 9], first[:0]),
    ):
        blobs = np.array(ids, np.int64).tobytes(), codes.tobytes()
        checksum = zlib.crc32(blobs[1], zlib.crc32(blobs[0]))
        db.execute("INSERT INTO changes (kind, ids, codes, checksum) VALUES (?, ?, ?, ?)", (kind, *blobs, checksum))
    db.execute("INSERT INTO metadata VALUES (1, '\"note\"')")
    db.commit()
    db.close()
    assert collections.describe(folder) == {
        "version": 1, "n_bits": N_BITS, "n_codes": 3, "n_changes": 3, "n_metadata": 1,
    }  # fmt: skip
    for _ in range(2):
        with hashkit.Collection(folder) as collection:
            assert_holds(collection, dict(enumerate(second[:3])), {1: "note"})
    assert collections.describe(folder)["version"] == 2
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name, value FROM facts").fetchall() == [("version", 2)]
    db.close()


@pytest.mark.parametrize("note", ["{", "'text", b"\xff", "NaN]"])
def test_a_damaged_note_of_version_1_is_refused(tmp_path, note):
    shutil.copytree(Path(__file__).parent / "data" / "v1" / "collection", tmp_path / "c")
    with sqlite3.connect(tmp_path / "c" / "journal.sqlite") as db:
        db.execute("UPDATE metadata SET value = CAST(? AS TEXT) WHERE id = (SELECT min(id) FROM metadata)", (note,))
    db.close()
    for use in (collections.describe, hashkit.Collection):
        with pytest.raises(FormatError, match=r"journal\.sqlite' is damaged: a note is no JSON"):
            use(tmp_path / "c")


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_its_files_have_the_rights_that_the_umask_leaves(tmp_path, run_python, umask):
    script = f"""
import os, numpy as np, hashkit
os.umask({umask})
with hashkit.Collection({str(tmp_path / "c")!r}, 8) as collection:
    collection.add(np.zeros((3, 1), np.uint8))
    collection.compact()
    collection.save({str(tmp_path / "index")!r})
"""
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    files = [tmp_path / "index", *(tmp_path / "c").iterdir()]
    assert len(files) == 4
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o666 & ~umask}


def test_what_describe_says_at_every_step_of_its_life(tmp_path):
    codes = np.random.default_rng(0).integers(0, 256, (33_010, 4), np.uint8)

    def parts(collection):
        described = collection.describe()
        assert (described["n_codes"], described["n_bits"]) == (len(collection), 32)
        assert (described["memory"] > 0) == any(part["method"] == "mih" for part in described["parts"])
        return [(part["n_codes"], part["n_removed"], part["method"]) for part in described["parts"]]

    with hashkit.Collection(tmp_path, 32) as collection:
        assert parts(collection) == [(0, 0, "scan")]
        collection.add(codes[:10])
        assert parts(collection) == [(10, 0, "scan")]
        collection.add(codes[10:])
        assert parts(collection) == [(33_010, 0, "mih")]
        collection.remove([5, 6])
        assert parts(collection) == [(33_010, 2, "mih")]
        collection.compact()
        assert parts(collection) == [(33_008, 0, "mih")]
    assert parts(collection) == [(33_008, 0, "mih")]  # closed
    with hashkit.Collection(tmp_path) as collection:
        assert parts(collection) == [(33_008, 0, "mih")]  # by the tables in its file
        collection.query(codes[:1], 1)
        assert parts(collection) == [(33_008, 0, "mih")]
        collection.add(codes[:5])
        assert parts(collection) == [(33_008, 0, "mih"), (5, 0, "scan")]
        collection.compact()
        assert parts(collection) == [(33_013, 0, "mih")]


@pytest.mark.parametrize("use", [lambda p: hashkit.Collection(p, 8), hashkit.Collection.recover, collections.describe])
def test_a_path_of_bytes_and_an_empty_one_are_refused(tmp_path, use):
    with pytest.raises(TypeError, match="path must be a str or a path of str, got bytes"):
        use(os.fsencode(tmp_path / "c"))
    with pytest.raises(ValueError, match="path must not be empty"):  # the working folder, if it were taken
        use("")


@pytest.mark.parametrize("method", ["auto", "scan", "mih"])
def test_how_it_is_searched_at_every_step_of_its_life(tmp_path, method):
    codes = np.random.default_rng(0).integers(0, 256, (33_000, 4), np.uint8)
    tables = "scan" if method == "scan" else "mih"

    def method_of_the_large_part(collection):
        return collection.describe()["parts"][0]["method"]

    with hashkit.Collection(tmp_path, 32, method=method) as collection:
        collection.add(codes)
        assert method_of_the_large_part(collection) == tables
        collection.compact()
        assert method_of_the_large_part(collection) == tables
    for change in (lambda c: c.query(codes[:1], 1), lambda c: c.add(codes[:1]), lambda c: c.compact()):
        with hashkit.Collection(tmp_path, method=method) as collection:
            assert method_of_the_large_part(collection) == tables  # those in its file
            change(collection)
            assert method_of_the_large_part(collection) == tables
            collection.remove(collection.ids[-1:])
            assert method_of_the_large_part(collection) == tables
    with pytest.raises(ValueError, match="method must be one of"):
        hashkit.Collection(tmp_path, method="fast")
