"""Machine facts before a run, ratios against peers after it; small sizes by default, `--full` for the record."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import hashkit
from hashkit import _native
from hashkit.codes import check_n_threads
from hashkit.evaluation.comparison import markdown_table

TIMES = pytest.StashKey[dict]()
NOTES = pytest.StashKey[list]()


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="sizes for the record: minutes and gigabytes")
    parser.addoption("--codes", metavar="FILE", action="append", help="codes or vectors for the benchmark of far codes")
    parser.addoption("--peers", metavar="WORD", action="append", help="only peers of far codes whose names have a WORD")
    parser.addoption("--pictures", metavar="FOLDER", help="photographs for the benchmark of images")
    parser.addoption("--vectors", metavar="FILE.npz", action="append", help="embeddings for the benchmark of vectors")
    parser.addoption("--kept", metavar="FOLDER", help="where benchmarks keep galleries and the graphs of peers")


def pytest_configure(config):
    config.stash[TIMES] = {}
    config.stash[NOTES] = []


def pytest_report_header():
    packages = ("hashkit", "numpy", "faiss-cpu", "torch")
    return [
        f"cpu: {cpu_name()}, {check_n_threads(None)} of {os.cpu_count()} CPUs",
        f"instruction sets: {', '.join(_native.supported_isas())}; in use: {_native.default_isa()}",
        f"versions: Python {platform.python_version()}, {', '.join(map(installed, packages))}",
    ]


def cpu_name():
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def installed(package):
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_checkout(tmp_path_factory):
    """Ray's workers import the installed hashkit first, and the benchmarks from the source folder."""
    folders = [Path(hashkit.__file__).parents[1], Path(__file__).parents[1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, folders)))
        patch.chdir(tmp_path_factory.mktemp("here"))
        yield


@pytest.fixture(scope="session")
def full(pytestconfig):
    return pytestconfig.getoption("--full")


@pytest.fixture(scope="session")
def kept(pytestconfig, tmp_path_factory):
    """The folder of `--kept`, or one that is dropped, for what benchmarks build."""
    folder = Path(pytestconfig.getoption("--kept") or tmp_path_factory.mktemp("kept"))
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def hold(full, capsys):
    """A function that tells a figure, and at full size holds it to its bar, if there is one."""

    def check(what, figure, bar, unit, *, at_least=False):
        of_bar = "" if bar is None else f" (bar: {bar:g} {unit})"
        with capsys.disabled():
            print(f"\n{what}: {figure:.3g} {unit}{of_bar}", end="")  # noqa: T201
        assert not full or bar is None or (figure >= bar if at_least else figure <= bar), what

    return check


@pytest.fixture
def record(pytestconfig, benchmark):
    """A function that times work for so many queries and keeps its best time per query for the closing table."""

    def run(case, contestant, work, n_queries):
        benchmark.group = case
        benchmark.pedantic(work, rounds=5, warmup_rounds=1)
        if benchmark.stats is not None:  # None with --benchmark-disable
            pytestconfig.stash[TIMES].setdefault(case, {})[contestant] = benchmark.stats.stats.min / n_queries

    return run


@pytest.fixture(scope="session")
def note(pytestconfig):
    """A function that keeps a line for the end of the run."""
    return pytestconfig.stash[NOTES].append


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash[NOTES]:
        terminalreporter.write_line(line)
    times = config.stash[TIMES]
    if not times:
        return
    contestants = list(dict.fromkeys(name for row in times.values() for name in row))
    rows = [
        [case, *(described(row.get(name), row.get("hashkit")) for name in contestants)] for case, row in times.items()
    ]
    terminalreporter.section("µs per query, one thread, best of 5 rounds (times hashkit's)")
    terminalreporter.write_line(markdown_table(["case", *contestants], rows))


def described(seconds, own_seconds):
    if seconds is None:
        return ""
    times = f" ({seconds / own_seconds:.1f}x)" if own_seconds else ""
    return f"{seconds * 1e6:.1f}{times}"
