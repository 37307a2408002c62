"""An index whose tables are in its file: how long until it answers, and what a query then takes?

    pytest benchmarks/bench_stored.py [--full]

A fresh process opens the mapped file, once from the page cache and once after the kernel was told to forget it, and
searches near copies of stored codes. The same file without tables shows what they save. By default 1,000,000 codes of
64 bits, for the record 100,000,000: 7 GB of memory and 6 GB of disk.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import hashkit

OPEN_SECONDS = 0.050
SCRIPT = """
import json, sys, time
import numpy as np
import hashkit
path, queries = sys.argv[1], np.load(sys.argv[2])
warm = hashkit.Index(np.zeros((2, 8), np.uint8))
warm.query(queries[0], 1)
times = [time.perf_counter()]
index = hashkit.Index.load(path, mmap=True)
times.append(time.perf_counter())
found = [index.query(queries[0], 1, n_threads=1)]
times.append(time.perf_counter())
found += [index.query(query, 1, n_threads=1) for query in queries[1:]]
times.append(time.perf_counter())
total = sum(int(distances.sum()) for distances, _ in found)
with open("/proc/self/smaps_rollup") as file:
    mapped = {line.split(":")[0]: int(line.split()[1]) for line in file if "kB" in line}
print(json.dumps({"open": times[1] - times[0], "first": times[2] - times[1],
                  "mean": (times[3] - times[2]) / (len(queries) - 1), "distances": total, "kB": mapped["Rss"]}))
"""


def in_fresh_process(path, queries, *, forgotten):
    if forgotten:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    done = subprocess.run([sys.executable, "-c", SCRIPT, path, queries], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def files(tmp_path, full):
    """Files of the same codes with and without tables, and queries."""
    n_codes, rng = (100_000_000 if full else 1_000_000), np.random.default_rng(0)
    codes = rng.integers(256, size=(n_codes, 8), dtype=np.uint8)
    queries = codes[rng.integers(n_codes, size=200)]
    queries[:, 0] ^= 1
    np.save(tmp_path / "queries.npy", queries)
    index = hashkit.Index(codes)
    paths = {}
    for name, tables in (("with tables", True), ("codes alone", False)):
        paths[name] = str(tmp_path / name)
        index.save(paths[name], tables=tables)
    return paths, str(tmp_path / "queries.npy"), n_codes


def test_opening_and_the_first_queries(files, note, hold):
    paths, queries, n_codes = files
    sums = set()
    for name, path in paths.items():
        for forgotten in (False, True):
            done = in_fresh_process(path, queries, forgotten=forgotten)
            sums.add(done["distances"])
            where = "from disk" if forgotten else "from the page cache"
            what = f"{n_codes:,} x 64, {name}, {os.path.getsize(path) / 1e9:.2f} GB {where}"
            note(
                f"{what}: first query {done['first'] * 1e3:.1f} ms, then {done['mean'] * 1e3:.3f} ms a query, "
                f"{done['kB'] / 1e3:,.0f} MB resident"
            )
            hold(f"{what}: open", done["open"], OPEN_SECONDS, "s")
    assert len(sums) == 1
