"""hashkit is light where it should be: numpy alone to search, and little time to start."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hashkit.extras import DISTRIBUTION

ROOT = Path(__file__).parents[1]

# Of CPU, beyond what Python itself takes to start.
IMPORT_SECONDS, HELP_SECONDS = 0.12, 0.3


def test_searching_needs_numpy_alone(run_python):
    done = run_python((ROOT / "tests" / "numpy_alone.py").read_text(), "--hide")
    assert (done.stdout, done.stderr) == ("searched\n", "")


def test_the_distribution_has_one_name():
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION
    wanted = [need for needs in project["optional-dependencies"].values() for need in needs]
    assert all(need.startswith(f"{DISTRIBUTION}[") for need in wanted if "hashkit" in need)


def cpu_seconds(program):
    """CPU time of the fastest of some runs of a new interpreter: other work on the machine adds little to it."""
    times = []
    for _ in range(5):
        before = _used_by_children()
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
        times.append(_used_by_children() - before)
    return min(times)


def _used_by_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_importing_hashkit_takes_little_time():
    assert cpu_seconds("import hashkit") - cpu_seconds("pass") < IMPORT_SECONDS


def test_the_help_of_the_command_takes_little_time():
    program = "import sys; sys.argv = ['hashkit', '--help']; from hashkit.cli import main; main()"
    assert cpu_seconds(program) - cpu_seconds("pass") < HELP_SECONDS


@pytest.mark.parametrize(
    ("method", "advice"),
    [("udhpl", "network='never' and method='itq' learn without it"), ("bi_half", "method='itq' learns without it")],
)
def test_a_method_that_needs_torch_names_the_extra_at_once(run_python, method, advice):
    done = run_python(
        f"""import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
import numpy as np, hashkit
rows = np.random.default_rng(0).standard_normal((200, 16))
hashkit.fit(rows, n_bits=8, method="itq").encode(rows)
try:
    hashkit.fit(rows, n_bits=8, method={method!r})
except ModuleNotFoundError as error:
    print(error)"""
    )
    name = {"udhpl": "UDHPL", "bi_half": "BiHalf"}[method]
    assert done.stdout == f"{name} needs torch: pip install '{DISTRIBUTION}[learn]'; {advice}\n", done.stderr
