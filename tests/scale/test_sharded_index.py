"""Searching shards: the arrays that one index gives, or an error; never a wrong answer, whatever dies."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("ray")

import hashkit
from hashkit.scale import MissingShardsError, ShardedIndex
from hashkit.scale.manifest import Manifest, write_manifest
from hashkit.scale.places import Place
from hashkit.scale.shards import write_shard


def write_shards(folder, codes, ids, n_bits=64, shares=(11, 9)):
    """As many shards as `shares` has entries, which say how many of every 20 codes go there."""
    place = Place.of(folder)
    of_row = np.repeat(np.arange(len(shares)), shares)[np.arange(len(codes)) % 20]
    kept = [of_row == shard for shard in range(len(shares))]
    indexes = [hashkit.Index(codes[rows], ids=ids[rows], n_bits=n_bits) for rows in kept]
    shards = [write_shard(index, place, f"shard-{number}.hashkit") for number, index in enumerate(indexes)]
    write_manifest(place, Manifest(n_bits, len(codes), tuple(shards)))


@pytest.fixture(scope="module")
def data():
    """Codes with many duplicates and ties across shards, ids in no order, and queries."""
    rng = np.random.default_rng(0)
    centers = rng.integers(0, 256, (20, 8), np.uint8)
    codes = centers[rng.integers(0, 20, 2000)] ^ np.packbits(rng.random((2000, 64)) < 0.03, axis=1)
    queries = np.concatenate([codes[:7], rng.integers(0, 256, (23, 8), np.uint8)])
    return codes, rng.permutation(10_000)[:2000] - 100, queries


@pytest.fixture(scope="module")
def whole(data):
    codes, ids, _ = data
    return hashkit.Index(codes, ids=ids)


@pytest.fixture(scope="module", params=[1, 3, 5])
def index(ray_cluster, data, tmp_path_factory, request):
    """Four shards of different sizes, one of them empty, by as many actors, two and one."""
    folder = tmp_path_factory.mktemp("four")
    write_shards(folder, data[0], data[1], shares=(5, 8, 0, 7))
    with ShardedIndex(folder, shards_per_actor=request.param, batch_size=6, max_in_flight=3) as index:
        yield index


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    """Two shards."""
    folder = tmp_path_factory.mktemp("two")
    write_shards(folder, data[0], data[1])
    return folder


def assert_same(found, expected):
    for array, wanted in zip(found, expected, strict=True):
        assert array.dtype == wanted.dtype
        np.testing.assert_array_equal(array, wanted)


def parts(result):
    return result.offsets, result.distances, result.ids


def test_it_says_what_it_is(index):
    assert len(index) == 2000
    assert index.n_bits == 64
    assert index.n_shards == 4
    assert repr(index).startswith("<hashkit.scale.ShardedIndex of 2000 codes of 64 bits in 4 shards at '/")


@pytest.mark.parametrize("n_queries", [0, 1, 6, 7, 30])  # 30 queries in batches of 6: every shard has its turn
@pytest.mark.parametrize("k", [1, 10, 600, 5000])
def test_query_is_that_of_one_index(index, whole, data, n_queries, k):
    queries = data[2][:n_queries]
    assert_same(index.query(queries, k), whole.query(queries, k))


@pytest.mark.parametrize("n_queries", [0, 1, 6, 30])
@pytest.mark.parametrize("r", [0, 3, 64, 1000])
def test_radius_is_that_of_one_index(index, whole, data, n_queries, r):
    queries = data[2][:n_queries]
    assert_same(parts(index.radius(queries, r)), parts(whole.radius(queries, r)))


def test_one_query_is_answered_in_one_dimension(index, whole, data):
    assert_same(index.query(data[2][3], 5), whole.query(data[2][3], 5))
    assert_same(parts(index.radius(data[2][3], 5)), parts(whole.radius(data[2][3], 5)))


def test_partial_answers_say_that_nothing_is_missing(index, whole, data):
    queries = data[2]
    *found, missing = index.query(queries, 5, allow_partial=True)
    assert missing == ()
    assert_same(found, whole.query(queries, 5))
    result, missing = index.radius(queries, 5, allow_partial=True)
    assert missing == ()
    assert_same(parts(result), parts(whole.radius(queries, 5)))


def test_many_callers_at_once(index, whole, data):
    queries = data[2]

    async def ask():
        searches = [index.query_async(queries[i], 10) for i in range(30)]
        return await asyncio.gather(*searches, index.radius_async(queries, 4))

    *found, within = asyncio.run(ask())
    for query, answer in zip(queries, found, strict=True):
        assert_same(answer, whole.query(query, 10))
    assert_same(parts(within), parts(whole.radius(queries, 4)))


def test_codes_whose_bits_fill_no_byte(ray_cluster, tmp_path, rng):
    codes = hashkit.pack(rng.random((200, 13)) < 0.5)
    write_shards(tmp_path, codes, np.arange(200), n_bits=13)
    with ShardedIndex(tmp_path, replicas=2, n_threads=1) as index:
        index.warm()
        for _ in range(3):
            assert_same(index.query(codes[:20], 30), hashkit.Index(codes, n_bits=13).query(codes[:20], 30))


@pytest.mark.parametrize(
    ("search", "error", "message"),
    [
        (lambda index: index.query(np.zeros((1, 7), np.uint8)), ValueError, "q must have 8 bytes per row for 64 bits"),
        (lambda index: index.query([1]), TypeError, "q must be a uint8 array"),
        (lambda index: index.query(np.zeros(8, np.uint8), 0), ValueError, "k must be at least 1"),
        (lambda index: index.radius(np.zeros(8, np.uint8), -1), ValueError, "r must be at least 0"),
        (
            lambda index: index.query(np.zeros(8, np.uint8), timeout="1"),
            TypeError,
            "timeout must be a number",
        ),
    ],
)
def test_bad_input_is_explained(index, search, error, message):
    with pytest.raises(error, match=message):
        search(index)


def test_bad_options_are_explained(ray_cluster, folder, tmp_path):
    for option in ("shards_per_actor", "replicas", "n_threads", "batch_size", "max_in_flight"):
        with pytest.raises(ValueError, match=f"{option} must be at least 1"):
            ShardedIndex(folder, **{option: 0})
    with pytest.raises(ValueError, match="patience must be at least 0, got nan"):
        ShardedIndex(folder, patience=float("nan"))
    with pytest.raises(FileNotFoundError, match="no shards, or a build that was not finished"):
        ShardedIndex(tmp_path)


def test_a_remote_file_system_leaves_no_copies(ray_cluster, folder, whole, data):
    fsspec = pytest.importorskip("fsspec")
    copies = {name for name in os.listdir("/tmp") if name.startswith("hashkit-")}
    with ShardedIndex(str(folder), filesystem=fsspec.filesystem("file")) as index:
        assert_same(index.query(data[2], 10), whole.query(data[2], 10))
        assert {name for name in os.listdir("/tmp") if name.startswith("hashkit-")} == copies


def test_damaged_shards_are_named(ray_cluster, data, tmp_path):
    codes, ids, queries = data
    write_shards(tmp_path, codes, ids)
    damaged = tmp_path / "shard-1.hashkit"
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 1
    damaged.write_bytes(content)
    with ShardedIndex(tmp_path) as index:  # the header is whole
        with pytest.raises(MissingShardsError, match=r"1 of 2 shards did not answer: .*FormatError.*'ids'") as caught:
            index.warm()
        assert caught.value.shards == ("shard-1.hashkit",)
        with pytest.raises(MissingShardsError, match=r"shard-1\.hashkit"):
            index.query(queries, 10)
        distances, found, missing = index.query(queries, 10, allow_partial=True)
        assert missing == ("shard-1.hashkit",)
        kept = np.arange(len(codes)) % 20 < 11
        assert_same((distances, found), hashkit.Index(codes[kept], ids=ids[kept]).query(queries, 10))
    with ShardedIndex(tmp_path, shards_per_actor=2) as index:
        with pytest.raises(MissingShardsError, match=r"2 of 2 shards .*FormatError.*shard-1\.hashkit") as caught:
            index.query(queries, 10)
        assert caught.value.shards == ("shard-0.hashkit", "shard-1.hashkit")
        assert index.query(queries, 10, allow_partial=True)[2] == ("shard-0.hashkit", "shard-1.hashkit")
    damaged.write_bytes(content[:-1])
    with pytest.raises(MissingShardsError, match=r"shard-1\.hashkit.* bytes, the manifest lists"):
        ShardedIndex(tmp_path)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def pids_of(index):
    return [host.pid for host in index._wait(index._dispatcher.hosts())]


@pytest.mark.parametrize("replicas", [1, 2])
def test_actors_killed_in_a_stream_of_queries(ray_cluster, folder, whole, data, replicas):
    queries, expected = data[2], whole.query(data[2], 10)
    with ShardedIndex(folder, replicas=replicas, batch_size=6) as index:
        pids = pids_of(index)
        assert len(set(pids)) == 2 * replicas

        def kill_some():
            for pid in {pids[0], pids[1], pids[-1]}:
                time.sleep(0.1)
                os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_some)
        killer.start()
        n_answers, started = 0, time.monotonic()
        while killer.is_alive() or n_answers < 50:
            assert_same(index.query(queries, 10), expected)
            n_answers += 1
        killer.join()
        assert time.monotonic() - started < 60
        assert len(set(pids_of(index)) - set(pids)) == len({pids[0], pids[1], pids[-1]})
        assert_same(index.query(queries, 10), expected)


def test_a_shard_that_does_not_come_back_is_named(ray_cluster, folder, data):
    with ShardedIndex(folder, patience=1.0, max_restarts=0) as index:
        index._dispatcher._start = lambda shard: index._dispatcher._actors[shard][0]  # nor is it made anew
        os.kill(pids_of(index)[1], signal.SIGKILL)
        with pytest.raises(MissingShardsError, match=r"shard-1\.hashkit \(out of reach") as caught:
            index.query(data[2], 10)
        assert caught.value.shards == ("shard-1.hashkit",)
        assert index.query(data[2], 10, allow_partial=True)[2] == ("shard-1.hashkit",)


def test_a_shard_that_hangs_is_missing_after_the_timeout(ray_cluster, folder, whole, data):
    with ShardedIndex(folder) as index:
        pid = pids_of(index)[0]
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(MissingShardsError, match=r"shard-0\.hashkit \(no answer within the timeout"):
            index.query(data[2], 10, timeout=0.5)
        assert time.monotonic() - started < 5
        os.kill(pid, signal.SIGCONT)
        assert_same(index.query(data[2], 10), whole.query(data[2], 10))


def test_closing_ends_the_actors(ray_cluster, folder, data):
    index = ShardedIndex(folder)
    pids = pids_of(index)
    index.close()
    index.close()
    wait_until(lambda: not any(map(is_running, pids)), 20)
    with pytest.raises(RuntimeError, match="this ShardedIndex is closed"):
        index.query(data[2])


def test_a_driver_that_exits_leaves_no_actor(ray_cluster, folder):
    address = ray_cluster.get_runtime_context().gcs_address
    program = f"""
import os, ray
from hashkit.scale import ShardedIndex
ray.init({address!r}, log_to_driver=False, logging_level="error", _node_ip_address="127.0.0.1")
index = ShardedIndex({str(folder)!r})
print(*[host.pid for host in index._wait(index._dispatcher.hosts())], flush=True)
os._exit(1)
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PYTHONPATH": paths},
    )
    pids = [int(pid) for pid in done.stdout.splitlines()[-1].split()]
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_running, pids)), 30)
