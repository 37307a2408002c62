"""Types as users meet them: type checkers in their strictest mode accept scripts that use what is public."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hashkit

SCRIPTS = sorted((Path(__file__).parent / "user_scripts").glob("*.py"))


def test_the_stub_of_the_top_level_has_every_public_name():
    stub = ast.parse(Path(hashkit.__file__).with_suffix(".pyi").read_text())
    names = {alias.asname for node in ast.walk(stub) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {*names, "__version__"} == set(hashkit.__all__)


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_accepts_scripts_of_users(tmp_path):
    """The package is followed in silence, as an installed one is: errors are those of the scripts."""
    folder = Path(hashkit.__file__).parents[1]
    # mypy finds what is installed by itself, and refuses to be led there.
    environment = dict(os.environ) if folder.name == "site-packages" else {**os.environ, "MYPYPATH": str(folder)}
    (tmp_path / "mypy.ini").write_text("[mypy]\n")
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path), "--config-file", "mypy.ini"]
    command = [sys.executable, "-m", "mypy", *options, *map(str, SCRIPTS)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def check_by_pyright(scripts, folder):
    """Errors of basedpyright, pyright with its own Node.js: of scripts that use the hashkit under test."""
    configuration = {
        "typeCheckingMode": "strict",
        "include": [str(path) for path in scripts],
        "extraPaths": [str(Path(hashkit.__file__).parents[1])],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(configuration))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(scripts), done.stdout
    return [problem["message"] for problem in found["generalDiagnostics"]]


@pytest.mark.skipif(importlib.util.find_spec("basedpyright") is None, reason="basedpyright is not installed")
def test_pyright_accepts_scripts_of_users(tmp_path):
    assert check_by_pyright(SCRIPTS, tmp_path) == []
    wrong = tmp_path / "wrong.py"
    wrong.write_text('import hashkit\n\nn_bits: str = hashkit.load("hasher").n_bits\nhashkit.Index(codes=3)\n')
    problems = check_by_pyright([wrong], tmp_path)
    assert len(problems) == 2
    assert '"int" is not assignable to "str"' in problems[0]
    assert "codes" in problems[1]
