"""A collection has one writer, across processes, forks, and a lock file that is deleted."""

import os
import subprocess
import sys
import traceback

import numpy as np
import pytest
from children import run_in_child

import hashkit
from hashkit.index import files

CODES = np.random.default_rng(0).integers(0, 256, (40, 4), np.uint8)


@pytest.fixture
def folder(memory_folder):
    with hashkit.Collection(memory_folder / "collection", 32) as collection:
        collection.add(CODES[:5], metadata=list(range(5)))
    return memory_folder / "collection"


CHANGES = {
    "add": lambda collection: collection.add(CODES[30:33]),
    "remove": lambda collection: collection.remove([0]),
    "replace": lambda collection: collection.replace(CODES[30:31], [1]),
    "set_metadata": lambda collection: collection.set_metadata([1], ["late"]),
    "compact": lambda collection: collection.compact(),
}


class Other:
    """A process that opens a collection and runs what it is sent, line by line."""

    def __init__(self, folder):
        script = f"""
import sys, numpy as np, hashkit
collection = hashkit.Collection({str(folder)!r})
codes = np.ones((3, 4), np.uint8)
print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._process = subprocess.Popen([sys.executable, "-c", script], **pipes)
        self.is_open = self._process.stdout.readline() == "ready\n"
        if not self.is_open:
            self.end()

    def run(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def end(self, kill=False):
        if kill:
            self._process.kill()
        self._process.communicate()
        self._process.stdout.close()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("restored", [False, True])
def test_a_deleted_lock_file_stops_the_first_writer(folder, change, restored):
    first = hashkit.Collection(folder)
    first.add(CODES[5:7])
    lock = folder / "lock.sqlite"
    lock.rename(folder / "moved")
    if not restored:
        with pytest.raises(BlockingIOError, match="deleted or replaced"):
            CHANGES[change](first)
    second = Other(folder)
    if restored:  # then only the journal has the second
        lock.rename(folder / "of the second")
        (folder / "moved").rename(lock)
        with pytest.raises(BlockingIOError, match="another process"):
            CHANGES[change](first)
        lock.rename(folder / "moved")
        (folder / "of the second").rename(lock)
    second.run("collection.add(codes, [100, 101, 102], metadata=[1, 2, 3]); collection.compact()")
    with pytest.raises(BlockingIOError):
        CHANGES[change](first)
    first.close()
    second.run("collection.remove([100])")
    second.end()
    with hashkit.Collection(folder) as collection:
        assert collection.ids.tolist() == [*range(7), 101, 102]
        np.testing.assert_array_equal(collection.get(range(7)), CODES[:7])
        assert collection.metadata([4, 5, 101]) == [4, None, 2]


def test_a_compaction_under_way_when_the_lock_file_is_deleted_overwrites_nothing(folder, monkeypatch):
    first = hashkit.Collection(folder)
    save = files.save

    def save_late(state, path, **options):
        """While the first writes its index file, a second opens, adds and compacts."""
        monkeypatch.undo()
        (folder / "lock.sqlite").unlink()
        second = Other(folder)
        second.run("collection.add(codes); collection.compact()")
        second.end()
        save(state, path, **options)

    monkeypatch.setattr(files, "save", save_late)
    with pytest.raises(BlockingIOError, match="another process"):
        first.compact()
    first.close()
    with hashkit.Collection(folder) as collection:
        assert len(collection) == 8
        assert [name for name in os.listdir(folder) if name.startswith("index")] == ["index-2.hashkit"]


def test_a_deleted_journal_stops_the_writer(folder):
    with hashkit.Collection(folder) as collection:
        (folder / "journal.sqlite").rename(folder / "moved")
        for change in CHANGES.values():
            with pytest.raises(OSError, match="deleted, moved or replaced"):
                change(collection)
        (folder / "moved").rename(folder / "journal.sqlite")
        collection.add(CODES[:1])
    with hashkit.Collection(folder) as collection:
        assert len(collection) == 6


@pytest.mark.parametrize("end", ["nothing", "close", "del"])
def test_a_child_opens_what_its_parent_has_closed(folder, end):
    """It inherits the parent's connections, and SQLite's belief that they hold locks."""
    collection = hashkit.Collection(folder)
    ready, closed = os.pipe(), os.pipe()

    def child():
        nonlocal collection
        with pytest.raises(RuntimeError, match="opened in another process"):
            collection.add(CODES[:1])
        with pytest.raises(BlockingIOError):
            hashkit.Collection(folder)
        os.write(ready[1], b"x")
        os.read(closed[0], 1)
        if end == "close":
            collection.close()
            collection.close()
            with pytest.raises(RuntimeError, match="opened in another process"):
                collection.add(CODES[:1])
        if end == "del":
            collection = None
        for number in range(2):
            with hashkit.Collection(folder) as own:
                assert len(own) == 6 + number
                own.add(CODES[10 + number :][:1], metadata=["by the child"])
                assert not Other(folder).is_open  # nobody else gets in meanwhile
        if end == "nothing":
            assert len(collection.query(CODES[0], 10)[1]) == 5  # as at the fork

    pid = os.fork()
    if pid == 0:
        run = 1
        try:
            child()
            run = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(run)
    os.read(ready[0], 1)
    collection.add(CODES[5:6])
    collection.close()
    os.write(closed[1], b"x")
    assert os.waitpid(pid, 0)[1] == 0
    for descriptor in (*ready, *closed):
        os.close(descriptor)
    with hashkit.Collection(folder) as collection:
        assert len(collection) == 8
        assert collection.metadata([4, 5, 6, 7]) == [4, None, "by the child", "by the child"]


def test_a_childs_close_leaves_the_parents_collection_alone(folder):
    with hashkit.Collection(folder) as collection:
        run_in_child(collection.close)
        assert not Other(folder).is_open
        collection.add(CODES[5:8])
        run_in_child(collection.close)
    with hashkit.Collection(folder) as collection:
        assert len(collection) == 8


def test_a_child_leaves_what_a_killed_process_left(folder):
    """Closing its inherited connections would delete the log of the one that was killed."""
    collection = hashkit.Collection(folder)
    ready, closed = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        failed = 1
        try:
            os.write(ready[1], b"x")
            os.read(closed[0], 1)
            with pytest.raises(OSError, match="open it in another process first"):
                hashkit.Collection(folder)
            failed = 0
        finally:
            os._exit(failed)
    os.read(ready[0], 1)
    collection.close()
    third = Other(folder)
    third.run("collection.add(codes)")
    third.end(kill=True)
    os.write(closed[1], b"x")
    assert os.waitpid(pid, 0)[1] == 0
    for descriptor in (*ready, *closed):
        os.close(descriptor)
    with hashkit.Collection(folder) as collection:
        assert len(collection) == 8
