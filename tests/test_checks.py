"""One room has the checks that all rooms share, and they say what came."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest

import hashkit
from hashkit import checks

ROOT = Path(__file__).parents[1]
CODES = np.zeros((4, 8), np.uint8)


def test_no_other_file_defines_a_shared_check():
    shared = {name for name in vars(checks) if name.startswith("check_")} | {"describe", "check_integer"}
    # Of another thing: what a collection's folder holds.
    other = {("hashkit/collection.py", "describe")}
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
def test_hashers_and_search_have_one_longest_code(n_bits, tmp_path):
    with pytest.raises(ValueError, match=f"n_bits must be between 1 and 4096, got {n_bits}"):
        hashkit.RandomHyperplanes(n_bits=n_bits).fit(np.eye(8, dtype=np.float32))
    for use in (
        lambda: hashkit.Index(CODES, n_bits=n_bits),
        lambda: hashkit.fit(np.eye(8, dtype=np.float32), n_bits=n_bits),
        lambda: hashkit.unpack(CODES, n_bits),
        lambda: hashkit.Collection(tmp_path / "collection", n_bits),
        lambda: hashkit.datasets.synthetic_codes(n_codes=3, n_bits=n_bits),
        lambda: hashkit.interop.to_bit_strings(CODES, n_bits),
        lambda: hashkit.interop.to_postgres_copy(CODES, n_bits=n_bits),
    ):
        with pytest.raises(ValueError, match=f"n_bits must be between 1 and 4096, got {n_bits}"):
            use()


def test_masked_arrays_are_refused_by_metrics():
    labels, ranking, features = np.arange(4), np.zeros((4, 2), np.int64), np.eye(4)
    masked = [np.ma.masked_array(array, mask=True) for array in (CODES, labels, ranking, features)]
    evaluation = hashkit.evaluation
    for use in (
        lambda: evaluation.mean_average_precision(masked[0], CODES, labels, labels),
        lambda: evaluation.mean_average_precision(CODES, masked[0], labels, labels),
        lambda: evaluation.mean_average_precision(CODES, CODES, masked[1], labels),
        lambda: evaluation.precision_at_k(CODES, CODES, labels, masked[1], k=1),
        lambda: evaluation.recall_of_rankings(masked[2], labels, labels),
        lambda: evaluation.neighbor_recall(CODES, CODES, masked[2]),
        lambda: evaluation.float_neighbors(masked[3], features),
        lambda: evaluation.float_neighbors(features, masked[3]),
    ):
        with pytest.raises(TypeError, match="must not be a masked array"):
            use()


def test_masked_ids_are_refused():
    index, ids = hashkit.Index(CODES), np.ma.masked_array([0, 1, 2, 3], mask=[0, 0, 0, 1])
    for use in (
        lambda: hashkit.Index(CODES, ids=ids),
        lambda: index.add(CODES, ids),
        lambda: index.get(ids),
        lambda: index.remove(ids),
        lambda: index.replace(CODES, ids),
        lambda: index.query(CODES, filter=ids),
        lambda: hashkit.interop.to_postgres_copy(CODES, ids),
    ):
        with pytest.raises(TypeError, match="must not be a masked array"):
            use()


def test_numbers():
    assert checks.check_number(np.float32(2), "x", 0) == 2
    for wrong in (math.nan, math.inf, -1, 10**400, -(10**400)):
        with pytest.raises(ValueError, match="x must be finite and at least 0"):
            checks.check_number(wrong, "x", 0)
    assert [checks.check_jaccard_radius(r, "r") for r in (0, 0.3, 1, 7, 10**400, math.inf)] == [0, 0.3, 1, 1, 1, 1]
    for wrong in (math.nan, -0.1, -math.inf):
        with pytest.raises(ValueError, match="r must be at least 0"):
            checks.check_jaccard_radius(wrong, "r")


def test_a_choice_is_a_string_among_them():
    for wrong in (None, 1, ["a"], np.array(["a", "b"])):
        with pytest.raises(ValueError, match="x must be one of a, b"):
            checks.check_choice(wrong, "x", ("a", "b"))


@pytest.mark.parametrize("value", [True, np.True_, 1.0, "1", None])
def test_an_int_is_an_int(value):
    with pytest.raises(TypeError, match="k must be an int"):
        checks.check_int(value, "k", 1)


def test_a_radius_ends_at_the_length_of_the_codes():
    assert [checks.check_radius(r, "r", 64) for r in (0, np.int8(3), 64, 10**30)] == [0, 3, 64, 64]
    with pytest.raises(ValueError, match="r must be at least 0, got -1"):
        checks.check_radius(-1, "r", 64)
