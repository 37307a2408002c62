"""What is installed: modules, types and nothing of how they were made."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

import pytest

import hashkit


@pytest.fixture(scope="module")
def files():
    """Paths of the installed distribution; none if the package is run from its source folder."""
    try:
        installed = distribution("hashkit")
    except PackageNotFoundError:
        pytest.skip("hashkit is not installed")
    if not Path(str(installed.locate_file("hashkit"))).samefile(Path(hashkit.__file__).parent):
        pytest.skip("the hashkit under test is not the installed one")
    return [PurePosixPath(path) for path in installed.files]


def test_types_are_installed(files):
    assert PurePosixPath("hashkit/py.typed") in files
    compiled = {path.with_name(path.name.split(".")[0]) for path in files if path.suffix in {".so", ".pyd"}}
    assert compiled
    assert {path.with_suffix("") for path in files if path.suffix == ".pyi"} == compiled


def test_no_source_of_extensions_is_installed(files):
    assert not [path for path in files if path.suffix in {".c", ".cpp", ".hpp", ".inl", ".h", ".pyx", ".pxd"}]


def test_only_the_package_and_its_command_are_installed(files):
    rooms = {path.parts[0] for path in files if path.parts[0] != ".."}
    assert rooms == {"hashkit", f"hashkit-{hashkit.__version__}.dist-info"}
    assert {path.name for path in files if path.parts[0] == ".."} <= {"hashkit", "hashkit.exe"}


def test_version_is_that_of_the_distribution(files):
    assert distribution("hashkit").version == hashkit.__version__
