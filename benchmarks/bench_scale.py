"""What Ray costs: search over shards against one index, encoding against plain processes, and a thousand shards.

Nothing is a bar by itself on a busy machine: read the ratios, which are measured side by side.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import hashkit
from hashkit import interop

pytest.importorskip("ray")

import pyarrow as pa
import pyarrow.parquet as pq
import ray.data

from hashkit.scale import ShardedIndex, encode
from hashkit.scale.actors import to_plain
from hashkit.scale.manifest import Manifest, write_manifest
from hashkit.scale.places import Place
from hashkit.scale.shards import shards_of, write_shard

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore:The minimum number of concurrent actors"
)

N_SHARDS, N_CORES, K = 4, 2, 100


@pytest.fixture(scope="module")
def cluster():
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_AUTH_MODE", "disabled")  # it listens on 127.0.0.1 only
    with tempfile.TemporaryDirectory(prefix="hashkit-ray-", dir="/tmp") as folder:
        options = {"num_cpus": 4, "object_store_memory": 300_000_000, "_temp_dir": folder}
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
        ray.init(**options, **quiet, _node_ip_address="127.0.0.1")
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
        ray.shutdown()
    patch.undo()


@pytest.fixture
def say(pytestconfig):
    """A function that writes a line of the report."""
    plugins = pytestconfig.pluginmanager

    def write(line):
        with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
            plugins.get_plugin("terminalreporter").write_line(line)

    return write


def seconds_of(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def milliseconds(times):
    return f"{1e3 * statistics.median(times):.2f} ms"


# Answers queries by the shard at a path, and says when each answer was known, on a clock that all processes share.
ANSWER_ALONE = """
import sys, time, numpy as np, hashkit
index = hashkit.Index.load(sys.argv[1], mmap=True)
index.query(np.zeros((1, 8), np.uint8), 1)
print("ready", flush=True)
for line in sys.stdin:
    index.query(np.frombuffer(bytes.fromhex(line), np.uint8), int(sys.argv[2]), n_threads=1)
    print(time.perf_counter(), flush=True)
"""


class PlainProcesses:
    """The same shards without Ray, one process each: they compete for the same cores and memory."""

    def __init__(self, paths):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._processes = [
            subprocess.Popen([sys.executable, "-c", ANSWER_ALONE, path, str(K)], **pipes) for path in paths
        ]
        for process in self._processes:
            assert process.stdout.readline() == "ready\n"

    def seconds_of_slowest(self, query):
        started = time.perf_counter()
        for process in self._processes:
            print(query.tobytes().hex(), file=process.stdin, flush=True)
        return max(float(process.stdout.readline()) for process in self._processes) - started

    def close(self):
        for process in self._processes:
            process.communicate()


@pytest.mark.parametrize("shards_per_actor", [1, 2])
def test_search_of_shards_against_one_index(cluster, full, say, tmp_path, shards_per_actor):
    n_codes, n_queries, rounds = (40_000_000, 1000, 2) if full else (200_000, 50, 1)
    rng = np.random.default_rng(0)
    codes, queries = rng.integers(0, 256, (n_codes, 8), np.uint8), rng.integers(0, 256, (n_queries, 8), np.uint8)
    whole = hashkit.Index(codes, method="scan")
    shard_of, ids = shards_of(np.arange(n_codes), N_SHARDS), np.arange(n_codes)
    place = Place.of(tmp_path)
    shards = [
        write_shard(
            hashkit.Index(codes[shard_of == number], ids=ids[shard_of == number], method="scan"),
            place,
            f"{number}.hashkit",
        )
        for number in range(N_SHARDS)
    ]
    write_manifest(place, Manifest(64, n_codes, tuple(shards)))
    with ShardedIndex(tmp_path, shards_per_actor=shards_per_actor) as index:
        index.warm()
        for found, expected in zip(index.query(queries[:20], K), whole.query(queries[:20], K), strict=True):
            np.testing.assert_array_equal(found, expected)
        plain = PlainProcesses([place.join(shard.file) for shard in shards])
        total, slowest, alone = [], [], []
        for query in queries[:50]:
            total.append(seconds_of(lambda query=query: index.query(query, K)))
            slowest.append(plain.seconds_of_slowest(query))
            alone.append(seconds_of(lambda query=query: whole.query(query, K)))
        plain.close()
        added = statistics.median(total) - statistics.median(slowest)
        say(
            f"\none query of {n_codes:,} codes in {N_SHARDS} shards, {shards_per_actor} an actor: {milliseconds(total)}"
        )
        say(f"(medians of {len(total)}), in plain processes, one a shard, {milliseconds(slowest)}, so that Ray adds")
        say(f"{1e3 * added:.2f} ms; one index {milliseconds(alone)}")
        times = [[seconds_of(lambda i=i: i.query(queries, K)) for i in (whole, index)] for _ in range(rounds)]
        one, sharded = (min(column) for column in zip(*times, strict=True))
        say(f"a batch of {n_queries}: one index {n_queries / one:.0f}/s, shards {n_queries / sharded:.0f}/s, ")
        say(f"{one / sharded:.2f} of one index")
        if full:
            assert added <= 0.005 or shards_per_actor < N_SHARDS / N_CORES  # one for each core is the default
            assert one / sharded >= 0.8


def simulated_answers(n_shards, n_queries, k):
    """What shards of a random index answer: distances that grow, ids that are different."""
    rng = np.random.default_rng(0)
    ids = np.sort(rng.integers(0, 2**62, (n_shards, n_queries, k)))
    distances = np.sort(rng.integers(5, 20, (n_shards, n_queries, k)).astype(np.int32))
    return list(zip(distances, ids, strict=True))


class SimulatedShards:
    """Answers at once for every shard that it stands for."""

    def __init__(self):
        self._answer = to_plain(simulated_answers(1, 1, K)[0])

    def query(self, question):
        return self._answer


def test_a_thousand_simulated_shards(cluster, full, say):
    n_shards = 1000
    for n_queries in (1, 100) if full else (1,):
        answers = simulated_answers(n_shards, n_queries, K)
        merged = hashkit.merge(answers, K, n_threads=1)
        every = [np.concatenate([part[0] for part in column]) for column in zip(*answers, strict=True)]
        order = np.lexsort(every[::-1])[:K]
        np.testing.assert_array_equal(merged[1][0], every[1][order])
        checked = [seconds_of(lambda a=answers: hashkit.merge(a, K, n_threads=1)) for _ in range(20)]
        by_machine = [hashkit.merge(answers[i : i + 50], K) for i in range(0, n_shards, 50)]
        second = [seconds_of(lambda b=by_machine: hashkit.merge(b, K, n_threads=1)) for _ in range(20)]
        say(f"\nmerge of {n_shards} shards, {n_queries} queries, k = {K}: {milliseconds(checked)}; of 20 machines that")
        say(f"merged 50 each: {milliseconds(second)}")
    actors = [ray.remote(num_cpus=0)(SimulatedShards).remote() for _ in range(4)]
    question = to_plain((np.zeros((1, 8), np.uint8), K, None, 1))

    async def fan_out(n_calls):
        started = time.perf_counter()
        await asyncio.gather(*[actors[i % 4].query.remote(question) for i in range(n_calls)])
        return time.perf_counter() - started

    async def measure(n_calls):
        await fan_out(n_calls)
        return [await fan_out(n_calls) for _ in range(10)]

    for n_calls in (4, 20, 1000):
        say(f"fan-out to {n_calls} simulated shards in 4 processes: {milliseconds(asyncio.run(measure(n_calls)))}")


def encode_file(arguments):
    """What a plain process does with one file, in batches of as many rows."""
    hasher, path, target = arguments
    table = pq.read_table(path)
    features = table["features"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    codes = np.concatenate([hasher.encode(features[at : at + 4096]) for at in range(0, len(features), 4096)])
    pq.write_table(interop.to_arrow(codes, table["id"].to_numpy()), target)


class Watched:
    """A hasher that notes when it was first asked, and how much memory of its own the process has more than then."""

    def __init__(self, hasher, folder):
        self._hasher, self._folder, self._before, self._most = hasher, folder, None, 0
        self.n_bits, self.save = hasher.n_bits, hasher.save

    def encode(self, features):
        self._before = self._before or (time.time(), private_bytes())
        codes = self._hasher.encode(features)
        self._most = max(self._most, private_bytes() - self._before[1])
        with open(f"{self._folder}/{os.getpid()}", "w") as file:
            file.write(f"{self._before[0]} {self._most}")
        return codes


def private_bytes():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


def write_features(folder, n_files, n_rows, n_features):
    """Parquet files, each of which becomes one block of a data set."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(n_files):
        features = pa.array(rng.standard_normal(n_rows * n_features, np.float32))
        column = pa.FixedSizeListArray.from_arrays(features, n_features)
        ids = np.arange(number * n_rows, (number + 1) * n_rows)
        pq.write_table(pa.table({"id": ids, "features": column}), folder / f"{number}.parquet")


def encode_in_processes(pool, hasher, source, target):
    target.mkdir()
    list(pool.map(encode_file, [(hasher, path, target / path.name) for path in sorted(source.iterdir())]))


def assert_same_codes(found, expected):
    tables = [interop.from_arrow(pa.concat_tables(map(pq.read_table, paths))) for paths in (found, expected)]
    found, expected = (table.codes[np.argsort(table.ids)] for table in tables)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["itq", "udhpl"])
def test_encoding_against_plain_processes(cluster, full, say, tmp_path, monkeypatch, method):
    n_files, n_rows, n_features, n_processes = (24, 50_000, 512, 2) if full else (4, 2000, 64, 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rng = np.random.default_rng(0)
    hasher = hashkit.fit(rng.standard_normal((4000, n_features)).astype(np.float32), n_bits=64, method=method)
    (tmp_path / "memory").mkdir()
    watched = Watched(hasher, str(tmp_path / "memory"))
    write_features(tmp_path / "in", n_files, n_rows, n_features)
    with ProcessPoolExecutor(n_processes) as pool:
        encode_in_processes(pool, hasher, tmp_path / "in", tmp_path / "imports")  # so that imports are not measured
        plain = seconds_of(lambda: encode_in_processes(pool, hasher, tmp_path / "in", tmp_path / "plain"))
    started = time.time()
    encode(ray.data.read_parquet(str(tmp_path / "in")), watched, path=tmp_path / "ray", n_actors=n_processes)
    ended = time.time()
    assert_same_codes((tmp_path / "ray").glob("part-*"), (tmp_path / "plain").iterdir())
    notes = [tuple(map(float, path.read_text().split())) for path in (tmp_path / "memory").iterdir()]
    began = min(first for first, _ in notes)
    # The files that the actors had read by then do not count, though encoding them does.
    ratio = ((ended - began) / (n_files - n_processes)) / (plain / n_files)
    hasher.save(tmp_path / "hasher")
    most, allowed = max(most for _, most in notes), os.path.getsize(tmp_path / "hasher") + 2 * n_rows * n_features * 4
    say(f"\nencode {n_files} files of {n_rows:,} x {n_features} features, {method}: {n_processes} plain processes take")
    say(f"{plain:.1f} s; Ray {began - started:.1f} s to begin and {ended - began:.1f} s, {ratio:.2f} x as long a file;")
    say(f"an actor grew by {most / 2**20:.0f} MiB, {most / allowed:.2f} x (hasher + 2 files)")
    if full:
        assert ratio <= 1.3
        assert most <= 1.5 * allowed
