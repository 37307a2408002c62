"""A local Ray of four workers for the tests of this folder, which leaves nothing behind."""

import os
import shutil
import tempfile

import numpy as np
import pytest


def pytest_collection_modifyitems(items):
    """Ray warns about its own options, and closes some files late."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"))


@pytest.fixture(scope="package")
def ray_cluster():
    ray = pytest.importorskip("ray")
    folder = tempfile.mkdtemp(prefix="hashkit-ray-", dir="/tmp")
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv(
        "RAY_AUTH_MODE", "disabled"
    )  # it listens on 127.0.0.1 only, and would leave a token in the home folder
    patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(
        num_cpus=4,
        object_store_memory=250_000_000,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    yield ray
    ray.shutdown()
    patch.undo()
    shutil.rmtree(folder)


@pytest.fixture
def some_codes(rng):
    """Codes with many duplicates and ties, ids in no order, and queries, some of them among the codes."""
    centers = rng.integers(0, 256, (20, 8), np.uint8)
    codes = centers[rng.integers(0, 20, 2000)] ^ np.packbits(rng.random((2000, 64)) < 0.03, axis=1)
    queries = np.concatenate([codes[:7], rng.integers(0, 256, (6, 8), np.uint8)])
    return codes, rng.permutation(10_000)[:2000] - 100, queries
