"""Fixtures for the whole suite."""

import numpy as np
import pytest


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run crash, thread and fuzz tests for minutes, not seconds")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def long_run(request):
    """Whether tests that repeat something random should do so for minutes."""
    return request.config.getoption("--long")
