"""What is installed: modules, types and nothing of how they were made."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest

import hashkit
from hashkit.extras import DISTRIBUTION

PACKAGE = Path(hashkit.__file__).parent


def reason_to_skip(installed):
    """Why the files of a distribution say nothing about the hashkit under test; None if they do."""
    folder = Path(str(installed.locate_file("hashkit")))
    if folder.exists() and folder.samefile(PACKAGE):
        return None
    if (json.loads(installed.read_text("direct_url.json") or "{}").get("dir_info") or {}).get("editable"):
        return "hashkit is installed in editable mode: its files are those of the source folder"
    return "the hashkit under test is not the installed one"


@pytest.fixture(scope="module")
def files():
    """Paths of the installed distribution; skips if the package is run from its source folder."""
    try:
        installed = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        pytest.skip(f"{DISTRIBUTION} is not installed")
    if reason := reason_to_skip(installed):
        pytest.skip(reason)
    return [PurePosixPath(path) for path in installed.files]


@pytest.mark.parametrize(
    ("folder", "url", "reason"),
    [
        (PACKAGE, None, None),
        ("/nowhere/hashkit", '{"dir_info": {"editable": true}, "url": "file:///somewhere"}', "in editable mode"),
        ("/nowhere/hashkit", '{"dir_info": {}, "url": "file:///somewhere"}', "not the installed one"),
        (PACKAGE.parent, None, "not the installed one"),
    ],
)
def test_files_are_looked_at_where_they_are_those_under_test(folder, url, reason):
    installed = SimpleNamespace(locate_file=lambda name: folder, read_text=lambda name: url)
    found = reason_to_skip(installed)
    assert (found is None) if reason is None else (reason in found)


def test_types_are_installed(files):
    assert PurePosixPath("hashkit/py.typed") in files
    compiled = {path.with_name(path.name.split(".")[0]) for path in files if path.suffix in {".so", ".pyd"}}
    assert compiled
    stubs = {path.with_suffix("") for path in files if path.suffix == ".pyi"}
    assert stubs == compiled | {PurePosixPath("hashkit/__init__")}


def test_no_source_of_extensions_is_installed(files):
    assert not [path for path in files if path.suffix in {".c", ".cpp", ".hpp", ".inl", ".h", ".pyx", ".pxd"}]


def test_only_the_package_and_its_command_are_installed(files):
    rooms = {path.parts[0] for path in files if path.parts[0] != ".."}
    assert rooms == {"hashkit", f"{DISTRIBUTION.replace('-', '_')}-{hashkit.__version__}.dist-info"}
    assert {path.name for path in files if path.parts[0] == ".."} <= {"hashkit", "hashkit.exe"}


def test_version_is_that_of_the_distribution(files):
    assert distribution(DISTRIBUTION).version == hashkit.__version__
