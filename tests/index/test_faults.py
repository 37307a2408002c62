"""What goes wrong in the machine: the index that was there stays, in memory and on disk."""

import copy
import os
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest
from children import fork, kill_in_the_middle, run_in_child

import hashkit
import hashkit.collection
from hashkit.index import growth


def random_codes(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 8), np.uint8)


def assert_equal(index, expected):
    np.testing.assert_array_equal(index.ids, expected.ids)
    np.testing.assert_array_equal(index.get(index.ids), expected.get(expected.ids))


def assert_usable(index):
    """Searches and changes work."""
    n = len(index)
    ids = index.add(random_codes(3, 5))
    assert (index.query(random_codes(3, 5), 1)[0] == 0).all()
    index.remove(ids)
    assert len(index) == n


def test_kill_during_save(tmp_path, rng, long_run):
    path = tmp_path / "index"
    indexes = [hashkit.Index(random_codes(20_000 + seed, seed)) for seed in range(2)]
    indexes[0].save(path)

    def save_for_ever(tell):
        tell("ready")
        while True:
            for index in (indexes[1], indexes[0]):
                index.save(path)
                tell("saved")

    n_saved = 0
    for _ in range(200 if long_run else 30):
        n_saved += len(kill_in_the_middle(save_for_ever, rng.uniform(0, 0.06)))
        loaded = hashkit.Index.load(path, mmap=bool(rng.integers(2)))
        assert_equal(loaded, indexes[len(loaded) - 20_000])
    assert n_saved > 0
    assert len(os.listdir(tmp_path)) <= 2, "every save deletes what the killed one before it left"
    indexes[0].save(path)
    assert os.listdir(tmp_path) == ["index"]


def limited(kind, amount, work):
    """Run `work` in this process with a resource limited."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (amount, hard))
    try:
        work()
    finally:
        resource.setrlimit(kind, (soft, hard))


def test_disk_full_during_save(tmp_path):
    index, path = hashkit.Index(random_codes(1000)), tmp_path / "index"
    index.save(path)
    larger = copy.copy(index)
    larger.add(random_codes(50_000))

    def save():
        with pytest.raises(OSError, match=r"cannot write .*index'.*File too large"):
            larger.save(path)

    limited(resource.RLIMIT_FSIZE, 100_000, save)
    assert os.listdir(tmp_path) == ["index"]
    assert_equal(hashkit.Index.load(path), index)
    larger.save(path)
    assert_equal(hashkit.Index.load(path), larger)


@pytest.mark.parametrize("mmap", [False, True])
def test_disk_full_while_tables_are_written(tmp_path, mmap):
    """The codes fit, the tables do not: the file that was there stays whole, and its tables are searched."""
    path, alone = tmp_path / "index", tmp_path / "codes alone"
    codes, larger = random_codes(1000), hashkit.Index(random_codes(20_000, 1), method="mih")
    hashkit.Index(codes, method="mih").save(path, tables=True)
    before = path.read_bytes()
    larger.save(alone)
    n_codes = alone.stat().st_size
    alone.unlink()

    def save():
        with pytest.raises(OSError, match=r"cannot write .*index'.*File too large"):
            larger.save(path, tables=True)

    index = hashkit.Index.load(path, mmap=mmap)  # in use while the disk is full
    larger.save(tmp_path / "whole", tables=True)
    n_all = (tmp_path / "whole").stat().st_size
    (tmp_path / "whole").unlink()
    assert n_all > 2 * n_codes
    for n_bytes in (n_codes + 1000, (n_codes + n_all) // 2, n_all - 1):
        limited(resource.RLIMIT_FSIZE, n_bytes, save)
        assert os.listdir(tmp_path) == ["index"]
        assert path.read_bytes() == before
        loaded = hashkit.Index.load(path, mmap=mmap)
        assert loaded.describe()["parts"][0]["source"] == ("mapped" if mmap else "read")
        for each in (index, loaded):
            np.testing.assert_array_equal(each.query(codes[:5], 1)[1][:, 0], np.arange(5))
    larger.save(path, tables=True)
    assert_equal(hashkit.Index.load(path, mmap=mmap), larger)


def test_bad_paths(tmp_path):
    index = hashkit.Index(random_codes(10))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        index.save(tmp_path / "none" / "index")
    with pytest.raises(IsADirectoryError, match="it is a directory"):
        index.save(tmp_path)
    with pytest.raises(FileNotFoundError):
        hashkit.Index.load(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        hashkit.Index.load(tmp_path)


def test_read_only_folder(tmp_path):
    """In a child without root's rights, for which nothing is read-only."""
    hashkit.Index(random_codes(10)).save(tmp_path / "index")
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    tmp_path.chmod(0o555)

    def save():
        if os.getuid() == 0:
            os.setuid(65534)
        index = hashkit.Index.load(tmp_path / "index", mmap=True)
        with pytest.raises(PermissionError, match=r"cannot write.*Permission denied"):
            index.save(tmp_path / "index")
        with pytest.raises(OSError, match="cannot open"):
            hashkit.Collection(tmp_path, 64)
        assert_usable(index)

    run_in_child(save)
    tmp_path.chmod(0o755)
    assert os.listdir(tmp_path) == ["index"]


def address_space():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_out_of_memory():
    def exhaust():
        codes = random_codes(200_000)
        index = hashkit.Index(codes[:150_000])
        index.add(codes[150_000:155_000])
        index.remove(np.arange(100))
        many = np.zeros((20_000_000, 8), np.uint8)
        room = address_space() + 40_000_000

        def use():
            for attempt in (
                lambda: index.add(many),
                lambda: index.query(codes, 1000),
                lambda: index.radius(codes[:2000], 64),
                lambda: index.query(codes[:1], 5, filter=np.arange(50_000_000)),
                lambda: hashkit.Index(many).remove([5]) or hashkit.Index(many, ids=np.arange(len(many))),
            ):
                with pytest.raises(MemoryError):
                    attempt()
                assert_usable(index)

        expected = index.query(codes[:50], 10)
        limited(resource.RLIMIT_AS, room, use)
        for found, wanted in zip(index.query(codes[:50], 10), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)

    run_in_child(exhaust)


def test_fork_while_others_write(tmp_path):
    """A thread that holds the writers' lock at the moment of the fork does not exist in the child."""
    index = hashkit.Index(random_codes(5000))
    stop = threading.Event()

    def write():
        while not stop.is_set():
            index.remove(index.add(random_codes(2000)))

    def use_in_child():
        assert len(index) in (5000, 7000, 9000, 11000)
        assert_usable(index)
        index.compact()
        index.save(tmp_path / f"{os.getpid()}")
        assert_equal(hashkit.Index.load(tmp_path / f"{os.getpid()}"), index)
        run_in_child(lambda: assert_usable(index))

    assert_usable(index)  # so that no thread is importing anything when the fork comes
    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(10):
            run_in_child(use_in_child)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert_usable(index)


def test_processes_share_a_mapped_index(tmp_path):
    hashkit.Index(random_codes(10_000)).save(tmp_path / "index")
    index = hashkit.Index.load(tmp_path / "index", mmap=True)
    children = []
    for _ in range(4):
        child = fork()
        if child == 0:
            try:
                os._exit(int(index.query(random_codes(10_000)[-5:], 1)[0].any()))
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4


def test_multiprocessing_by_spawn(tmp_path):
    script = """
import multiprocessing, numpy as np, hashkit
def ask(index):
    return index.query(np.zeros(8, np.uint8), 3)[1].tolist()
if __name__ == "__main__":
    index = hashkit.Index(np.zeros((9, 8), np.uint8))
    index.remove([0])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(ask, [index, index]))
"""
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[[1, 2, 3], [1, 2, 3]]"


@pytest.mark.parametrize("step", ["_sorted_part", "_fold"])
def test_an_interrupted_change_leaves_the_index(monkeypatch, step):
    index = hashkit.Index(random_codes(100))

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(growth, step, interrupt)
    for change in (lambda: index.add(random_codes(1)), lambda: index.replace(random_codes(1), [5])):
        with pytest.raises(KeyboardInterrupt):
            change()
    monkeypatch.undo()
    assert_equal(index, hashkit.Index(random_codes(100)))
    assert_usable(index)
