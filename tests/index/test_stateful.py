"""Whatever is done to an index or a collection, in whatever order, interrupted or not: it equals its model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hashkit
from hashkit import _native

TESTS = Path(__file__).parents[1]
ISAS = _native.supported_isas()
SHARED = {"add", "build", "compact", "look", "query", "radius", "refused", "remove", "replace", "save"}
OF_INDEX = SHARED | {"copy", "groups", "load", "merge", "pairs", "query_stats", "subset"}
SECONDS_FOR_EVERYTHING = 10
"""After so long every operation has been done dozens of times, also on a slow machine."""


@pytest.fixture
def run_lives(request, tmp_path):
    """Run a program of random lives for its share of the time, and see that it did everything."""
    seconds = request.config.getoption("--stateful-seconds") / (len(ISAS) + 1)

    def run(program, seed, environment, operations):
        paths = [str(Path(hashkit.__file__).parents[1]), str(TESTS)]
        done = subprocess.run(
            [sys.executable, str(TESTS / program), str(seconds), str(seed)],
            cwd=tmp_path,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        counts = json.loads(done.stdout)
        assert counts["lives"] > 0
        if seconds >= SECONDS_FOR_EVERYTHING:
            interrupted = {f"interrupts of {name}" for name in ("add", "remove", "replace", "query")}
            assert counts.keys() >= operations | interrupted

    return run


@pytest.mark.parametrize("isa", ISAS)
def test_an_index_equals_its_model(run_lives, isa):
    run_lives("lives.py", 1 + 10**9 * ISAS.index(isa), {"HASHKIT_ISA": isa}, OF_INDEX)


def test_a_collection_equals_its_model(run_lives):
    run_lives("collection_lives.py", 1, {}, SHARED | {"reopen"})
