"""The loader meets files that nobody would write: seconds here, minutes with --long."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hashkit
from hashkit.storage import FormatError

GOLDEN = Path(__file__).parent / "index" / "data" / "index_v1.hashkit"


def test_atheris(tmp_path, long_run):
    pytest.importorskip("atheris", reason="atheris is not installed")
    seconds = 300 if long_run else 8
    script = Path(__file__).parent / "fuzz_loader.py"
    command = [sys.executable, script, tmp_path / "corpus", f"-max_total_time={seconds}", "-rss_limit_mb=2048"]
    environment = {**os.environ, "PYTHONPATH": str(Path(hashkit.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]


def test_spliced_files(tmp_path, rng, long_run):
    """Several random edits at once, where flipping and cutting tries one."""
    golden, path = GOLDEN.read_bytes(), tmp_path / "file"
    expected, refused = hashkit.Index.load(GOLDEN), 0
    n_trials = 50_000 if long_run else 1_000
    for _ in range(n_trials):
        data = bytearray(golden)
        for _ in range(rng.integers(1, 6)):
            begin, end = sorted(rng.integers(0, len(data) + 1, 2).tolist())
            end = min(end, begin + 20)
            kind = rng.integers(4)
            if kind == 0:
                data[begin:end] = rng.bytes(end - begin)
            elif kind == 1:
                del data[begin:end]
            elif kind == 2:
                data[begin:begin] = data[begin:end]
            else:
                data[begin:end] = b"9" * (end - begin)
        path.write_bytes(data)
        try:
            index = hashkit.Index.load(path, mmap=bool(rng.integers(2)))
            np.testing.assert_array_equal(index.get(index.ids), expected.get(expected.ids))
        except FormatError:
            refused += 1
    assert refused > 0.9 * n_trials
