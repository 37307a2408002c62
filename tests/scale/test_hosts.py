"""Shards on several hosts, one of which is cut off from the others while queries stream."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray")

from hosts import Hosts

import hashkit
from hashkit.scale.manifest import Manifest, write_manifest
from hashkit.scale.places import Place
from hashkit.scale.shards import shards_of, write_shard

N_HOSTS, PORT = 3, 6379

RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # on these hosts there is nobody else
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
}


@pytest.fixture
def hosts():
    try:
        made = Hosts(N_HOSTS)
    except PermissionError as error:
        pytest.skip(str(error))
    with made:
        yield made


@pytest.fixture
def ray_on_every_host(hosts):
    """Environment and address of a Ray with a node on each host, the first one's being the head."""
    folder = tempfile.mkdtemp(prefix="hashkit-ray-", dir="/tmp")
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, **RAY, "PYTHONPATH": paths}
    node = ["--num-cpus=2", "--object-store-memory=80000000", "--disable-usage-stats", "--block"]
    address = f"{hosts.addresses[0]}:{PORT}"
    for number, own in enumerate(hosts.addresses):
        role = ["--head", f"--port={PORT}", "--include-dashboard=false"] if number == 0 else [f"--address={address}"]
        place = [f"--node-ip-address={own}", f"--temp-dir={folder}/{number}"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *place, *role, *node]
        hosts.start(number, command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield environment, address
    hosts.close()
    shutil.rmtree(folder)


def make_shards(folder):
    """A shard for each host; returns queries and their right answers."""
    rng = np.random.default_rng(0)
    codes, ids = rng.integers(0, 256, (3000, 2), np.uint8), np.arange(3000)
    place, homes = Place.of(folder), shards_of(ids, N_HOSTS)
    place.make()
    rows = [homes == number for number in range(N_HOSTS)]
    indexes = [hashkit.Index(codes[of_host], ids=ids[of_host]) for of_host in rows]
    shards = [write_shard(index, place, f"{number}.hashkit") for number, index in enumerate(indexes)]
    write_manifest(place, Manifest(16, len(codes), tuple(shards)))
    return codes[:20], hashkit.Index(codes).query(codes[:20], 10)


def read_until(lines, condition, seconds):
    """Read outcomes until `condition` holds of those read; none may be wrong."""
    outcomes, deadline = [], time.monotonic() + seconds
    while not condition(outcomes):
        outcomes.append(next(lines, "no answer").strip())
        assert outcomes[-1] == "right" or outcomes[-1].startswith("missing "), outcomes
        assert time.monotonic() < deadline, outcomes[-20:]
    return outcomes


def test_a_host_is_cut_off_in_a_stream_of_queries(hosts, ray_on_every_host, tmp_path):
    environment, address = ray_on_every_host
    queries, expected = make_shards(tmp_path / "shards")
    np.save(tmp_path / "queries.npy", queries)
    np.save(tmp_path / "expected.npy", expected)
    files = [str(tmp_path / name) for name in ("shards", "queries.npy", "expected.npy")]
    program = str(Path(__file__).with_name("query_stream.py"))
    command = [sys.executable, program, str(N_HOSTS), address, hosts.addresses[0], *files]
    stream = hosts.start(0, command, env=environment, stdout=subprocess.PIPE, text=True)
    at_the_latest = threading.Timer(100, stream.kill)
    at_the_latest.daemon = True
    at_the_latest.start()
    with stream.stdout as lines:
        at = {hosts.addresses.index(address) for address in next(lines).split()}
        read_until(lines, lambda outcomes: outcomes.count("right") == 50, 30)
        hosts.cut_off(max(at))
        outcomes = read_until(lines, lambda outcomes: outcomes and outcomes[-1] != "right", 30)
        # The host is given up after a few seconds, and its shards start anew on another one.
        outcomes += read_until(lines, lambda outcomes: outcomes[-50:] == ["right"] * 50, 60)
        assert len({outcome for outcome in outcomes if outcome != "right"}) == 1
        hosts.mend(max(at))
        read_until(lines, lambda outcomes: len(outcomes) == 50, 30)
        stream.kill()
    at_the_latest.cancel()
