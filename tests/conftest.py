"""Fixtures for the whole suite."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import hypothesis
import numpy as np
import pytest

import hashkit

# How long an example takes says more about the machine's load than about the code.
hypothesis.settings.register_profile("hashkit", deadline=None)
hypothesis.settings.load_profile("hashkit")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run crash, thread and fuzz tests for minutes, not seconds")
    parser.addoption(
        "--stateful-seconds",
        type=float,
        default=15,
        help="how long random operations on indexes and collections run, in all",
    )


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_checkout(tmp_path_factory):
    """Child processes import the hashkit under test, not the source folder that they would stand beside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(hashkit.__file__).parents[1]))
        patch.chdir(tmp_path_factory.mktemp("here"))
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def memory_folder(tmp_path):
    """A folder in memory where the system has one: thousands of flushes to disk take no time there."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="hashkit-tests-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def long_run(request):
    """Whether tests that repeat something random should do so for minutes."""
    return request.config.getoption("--long")


@pytest.fixture
def run_python(tmp_path):
    """Run source code in a process of its own that imports the same hashkit as the tests, and what `path` holds."""

    def run(source, *arguments, path=None):
        folders = [Path(hashkit.__file__).parents[1], *([] if path is None else [path])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
        command = [sys.executable, "-c", source, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run
