"""Whatever is done to an index in whatever order, interrupted or not, on every instruction set: it equals its model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hashkit
from hashkit import _native

LIVES = Path(__file__).parents[1] / "lives.py"
ISAS = _native.supported_isas()
OPERATIONS = {
    *("add", "build", "compact", "copy", "groups", "load", "look", "merge", "pairs", "query", "query_stats", "radius"),
    *("refused", "remove", "replace", "save", "subset"),
}
SECONDS_FOR_EVERYTHING = 10
"""After so long every operation has been done dozens of times, also on a slow machine."""


@pytest.mark.parametrize("isa", ISAS)
def test_an_index_equals_its_model(request, tmp_path, isa):
    seconds = request.config.getoption("--stateful-seconds") / len(ISAS)
    seed = 1 + 10**9 * ISAS.index(isa)
    paths = [str(Path(hashkit.__file__).parents[1]), str(LIVES.parent)]
    done = subprocess.run(
        [sys.executable, str(LIVES), str(seconds), str(seed)],
        cwd=tmp_path,
        env={**os.environ, "HASHKIT_ISA": isa, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["lives"] > 0
    if seconds >= SECONDS_FOR_EVERYTHING:
        assert counts.keys() >= OPERATIONS | {f"interrupts of {name}" for name in ("add", "remove", "replace", "query")}
