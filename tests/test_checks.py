"""One room has the checks that all rooms share, and they say what came."""

import ast
from pathlib import Path

import numpy as np
import pytest

import hashkit
from hashkit import checks

ROOT = Path(__file__).parents[1]
CODES = np.zeros((4, 8), np.uint8)


def test_no_other_file_defines_a_shared_check():
    shared = {name for name in vars(checks) if name.startswith("check_")} | {"describe", "check_integer"}
    # Of other things: what a Jaccard distance may be, and what a collection's folder holds.
    other = {("hashkit/index/jaccard.py", "check_radius"), ("hashkit/collection.py", "describe")}
    found = set()
    for path in sorted((ROOT / "hashkit").rglob("*.py")):
        if path != ROOT / "hashkit" / "checks.py":
            functions = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
            found |= {(str(path.relative_to(ROOT)), name) for name in functions if name in shared}
    assert found == other


@pytest.mark.parametrize("use", [hashkit.Index, hashkit.unpack, lambda codes: hashkit.Index(CODES).query(codes)])
def test_masked_codes_are_refused(use):
    with pytest.raises(TypeError, match=r"must not be a masked array.*numpy\.ma\.filled"):
        use(np.ma.masked_array(CODES, mask=True))


@pytest.mark.parametrize("n_bits", [4097, 5000, 10**12])
def test_hashers_and_search_have_one_longest_code(n_bits):
    with pytest.raises(ValueError, match=f"n_bits must be between 1 and 4096, got {n_bits}"):
        hashkit.RandomHyperplanes(n_bits=n_bits).fit(np.eye(8, dtype=np.float32))
    with pytest.raises(ValueError, match=f"n_bits must be between 1 and 4096, got {n_bits}"):
        hashkit.Index(CODES, n_bits=n_bits)


@pytest.mark.parametrize("value", [True, np.True_, 1.0, "1", None])
def test_an_int_is_an_int(value):
    with pytest.raises(TypeError, match="k must be an int"):
        checks.check_int(value, "k", 1)


def test_a_radius_ends_at_the_length_of_the_codes():
    assert [checks.check_radius(r, "r", 64) for r in (0, np.int8(3), 64, 10**30)] == [0, 3, 64, 64]
    with pytest.raises(ValueError, match="r must be at least 0, got -1"):
        checks.check_radius(-1, "r", 64)
