"""What Ray costs: search over shards against one index, encoding against plain processes, and a thousand shards.

Nothing is a bar by itself on a busy machine: read the ratios, which are measured side by side.
"""

import asyncio
import os
import statistics
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
from hashkit.scale.manifest import Manifest, write_manifest
from hashkit.scale.places import Place
from hashkit.scale.shards import shards_of, write_shard

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore:The minimum number of concurrent actors"
)

N_SHARDS, K = 4, 100


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


def test_search_of_shards_against_one_index(cluster, full, say, tmp_path):
    n_codes, n_queries, rounds = (40_000_000, 1000, 2) if full else (200_000, 50, 1)
    rng = np.random.default_rng(0)
    codes, queries = rng.integers(0, 256, (n_codes, 8), np.uint8), rng.integers(0, 256, (n_queries, 8), np.uint8)
    whole = hashkit.Index(codes)
    shard_of, ids = shards_of(np.arange(n_codes), N_SHARDS), np.arange(n_codes)
    place = Place.of(tmp_path)
    shards = [
        write_shard(hashkit.Index(codes[shard_of == number], ids=ids[shard_of == number]), place, f"{number}.hashkit")
        for number in range(N_SHARDS)
    ]
    write_manifest(place, Manifest(64, n_codes, tuple(shards)))
    with ShardedIndex(tmp_path) as index:
        index.warm()
        for found, expected in zip(index.query(queries[:20], K), whole.query(queries[:20], K), strict=True):
            np.testing.assert_array_equal(found, expected)
        added, total, alone = [], [], []
        for query in queries[:50]:
            started = time.perf_counter()
            _, answers = index._wait(index._nearest(query[None], K, None, None))
            total.append(time.perf_counter() - started)
            added.append(total[-1] - max(answer.seconds for answer in answers))
            alone.append(seconds_of(lambda query=query: whole.query(query, K)))
        say(f"\none query of {n_codes:,} codes in {N_SHARDS} shards: {milliseconds(total)} (medians of {len(total)}),")
        say(f"of which beyond the slowest shard {milliseconds(added)}; one index: {milliseconds(alone)}")
        times = [[seconds_of(lambda i=i: i.query(queries, K)) for i in (whole, index)] for _ in range(rounds)]
        one, sharded = (min(column) for column in zip(*times, strict=True))
        say(f"a batch of {n_queries}: one index {n_queries / one:.0f}/s, shards {n_queries / sharded:.0f}/s, ")
        say(f"{one / sharded:.2f} of one index")
        if full:
            assert statistics.median(added) <= 0.005
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
        self._answer = simulated_answers(1, 1, K)[0]

    def query(self, queries):
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
    query = np.zeros((1, 8), np.uint8)

    async def fan_out(n_calls):
        started = time.perf_counter()
        await asyncio.gather(*[actors[i % 4].query.remote(query) for i in range(n_calls)])
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
    """A hasher that notes how much memory of its own the process has at most, beyond what it had before."""

    def __init__(self, hasher, folder):
        self._hasher, self._folder, self._before, self._most = hasher, folder, None, 0
        self.n_bits, self.save = hasher.n_bits, hasher.save

    def encode(self, features):
        self._before = self._before if self._before is not None else private_bytes()
        codes = self._hasher.encode(features)
        self._most = max(self._most, private_bytes() - self._before)
        with open(f"{self._folder}/{os.getpid()}", "w") as file:
            file.write(str(self._most))
        return codes


def private_bytes():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


@pytest.mark.parametrize("method", ["itq", "udhpl"])
def test_encoding_against_plain_processes(cluster, full, say, tmp_path, method):
    n_files, n_rows, n_features, n_processes = (16, 50_000, 512, 2) if full else (2, 2000, 64, 2)
    rng = np.random.default_rng(0)
    hasher = hashkit.fit(rng.standard_normal((4000, n_features)).astype(np.float32), n_bits=64, method=method)
    (tmp_path / "in").mkdir()
    (tmp_path / "plain").mkdir()
    (tmp_path / "memory").mkdir()
    for number in range(n_files):
        features = pa.array(rng.standard_normal(n_rows * n_features, np.float32))
        column = pa.FixedSizeListArray.from_arrays(features, n_features)
        ids = np.arange(number * n_rows, (number + 1) * n_rows)
        pq.write_table(pa.table({"id": ids, "features": column}), tmp_path / "in" / f"{number}.parquet")
    work = [(hasher, tmp_path / "in" / f"{i}.parquet", tmp_path / "plain" / f"{i}.parquet") for i in range(n_files)]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(n_processes) as pool:
        list(pool.map(encode_file, work[:n_processes]))  # so that imports are not measured
        plain = seconds_of(lambda: list(pool.map(encode_file, work)))
    dataset = ray.data.read_parquet(str(tmp_path / "in"))
    watched = Watched(hasher, str(tmp_path / "memory"))
    by_ray = seconds_of(lambda: encode(dataset, watched, path=tmp_path / "ray", n_actors=n_processes))
    expected = interop.from_arrow(pq.read_table(tmp_path / "plain"))
    parts = [interop.from_arrow(pq.read_table(path)) for path in sorted((tmp_path / "ray").glob("part-*"))]
    order = np.argsort(np.concatenate([part.ids for part in parts]))
    np.testing.assert_array_equal(
        np.concatenate([part.codes for part in parts])[order], expected.codes[np.argsort(expected.ids)]
    )
    hasher.save(tmp_path / "hasher")
    allowed = 1.5 * (os.path.getsize(tmp_path / "hasher") + 2 * 4096 * n_features * 4)
    most = max(int(path.read_text()) for path in (tmp_path / "memory").iterdir())
    say(f"\nencode {n_files * n_rows:,} x {n_features} features, {method}: Ray {by_ray:.1f} s, {n_processes} processes")
    say(f"{plain:.1f} s, {by_ray / plain:.2f} times; an actor grew by {most / 2**20:.1f} MiB,")
    say(f"1.5 x (hasher + 2 batches) is {allowed / 2**20:.1f} MiB")
