"""An index as a file: what was saved answers the same, mapped or read, and what is damaged is refused."""

import copy
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import reference

import hashkit
from hashkit.storage import FormatError, open_tensors, write_tensors

GOLDEN = Path(__file__).parent / "data"


def golden_index():
    """What the golden files hold: a compact index with gaps in its ids and 20 of 24 bits in use."""
    rng = np.random.default_rng(7)
    codes = hashkit.pack(rng.standard_normal((60, 20)).astype(np.float32))
    index = hashkit.Index(codes, n_bits=20)
    index.remove([0, 17, 59])
    index.add(codes[:2], [1000, -5])
    return index


def assert_same(index, expected):
    assert len(index) == len(expected)
    assert index.n_bits == expected.n_bits
    np.testing.assert_array_equal(index.ids, expected.ids, strict=True)
    np.testing.assert_array_equal(index.get(index.ids), expected.get(index.ids), strict=True)
    queries = expected.get(expected.ids[:4])
    for found, wanted in zip(index.query(queries, 9), expected.query(queries, 9), strict=True):
        np.testing.assert_array_equal(found, wanted, strict=True)


@pytest.fixture
def path(tmp_path):
    golden_index().save(tmp_path / "index")
    return tmp_path / "index"


@pytest.mark.parametrize("options", [{}, {"mmap": True}, {"mmap": True, "verify": False}, {"verify": False}], ids=str)
def test_round_trip(path, options):
    index = hashkit.Index.load(path, **options)
    assert_same(index, golden_index())
    assert index.add(index.get([1])).tolist() == [1001]  # counted on from what was saved
    index.remove([1, 2, 3])
    index.save(path)
    assert_same(hashkit.Index.load(path, **options), index)


@pytest.mark.parametrize("n_codes", [0, 1])
@pytest.mark.parametrize("n_bits", [1, 8, 4096])
def test_small_and_wide_indexes(tmp_path, n_codes, n_bits):
    index = hashkit.Index(np.zeros((n_codes, (n_bits + 7) // 8), np.uint8), n_bits=n_bits)
    index.save(tmp_path / "index")
    for mmap in (False, True):
        loaded = hashkit.Index.load(tmp_path / "index", mmap=mmap)
        assert_same(loaded, index)
        loaded.add(np.zeros((2, (n_bits + 7) // 8), np.uint8))
        assert len(loaded) == n_codes + 2


def test_row_numbers_take_no_space(tmp_path):
    hashkit.Index(np.zeros((1000, 8), np.uint8)).save(tmp_path / "index")
    assert os.path.getsize(tmp_path / "index") < 8_000 + 1_000
    assert list(open_tensors(tmp_path / "index").tensors) == ["codes"]


def test_other_tools_read_codes_and_ids(path):
    from safetensors.numpy import load_file

    tensors = load_file(path)
    np.testing.assert_array_equal(tensors["codes"], golden_index().get(golden_index().ids))
    np.testing.assert_array_equal(tensors["ids"], golden_index().ids)


def test_a_mapped_index_survives_saving_over_its_file(path):
    mapped = hashkit.Index.load(path, mmap=True)
    hashkit.Index(np.zeros((3, 8), np.uint8)).save(path)
    assert_same(mapped, golden_index())


def test_a_mapped_index_shares_the_file(tmp_path):
    hashkit.Index(np.zeros((1000, 8), np.uint8)).save(tmp_path / "index")
    index = hashkit.Index.load(tmp_path / "index", mmap=True)
    codes = index._state.parts[0].codes
    assert not codes.flags.owndata
    assert not codes.flags.writeable


@pytest.mark.parametrize("version", [1])
@pytest.mark.parametrize("mmap", [False, True])
def test_golden_files(version, mmap):
    """Made once by `golden_index().save(...)` and never again: every version stays readable."""
    assert_same(hashkit.Index.load(GOLDEN / f"index_v{version}.hashkit", mmap=mmap), golden_index())


def damaged_copies(data):
    yield from ((f"cut at {at}", data[:at]) for at in range(len(data)))
    for at in range(len(data)):
        mask = (0x01, 0x20, 0x80)[at % 3]
        yield f"byte {at} ^ {mask:#x}", data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


@pytest.mark.parametrize("mmap", [False, True])
def test_damage_is_refused_or_harmless(path, mmap):
    refused = 0
    expected = golden_index()
    copies = list(damaged_copies(path.read_bytes()))
    for what, data in copies:
        path.write_bytes(data)
        try:
            assert_same(hashkit.Index.load(path, mmap=mmap), expected)
        except FormatError:
            refused += 1
        except Exception as error:
            raise AssertionError(what) from error
    assert refused >= len(copies) - 64  # spaces behind the header may become other blanks


def test_a_damaged_mapped_file_is_refused_on_first_use(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    index = hashkit.Index.load(path, mmap=True)
    query = np.zeros(3, np.uint8)
    for use in (
        lambda: index.query(query),
        lambda: index.radius(query, 3),
        lambda: index.get([1]),
        lambda: index.add(query[None]),
        lambda: index.remove([1]),
        lambda: index.replace(query[None], [1]),
        lambda: index.save(path),
        lambda: 1 in index,
        lambda: list(index),
        lambda: pickle.dumps(index),
    ):
        with pytest.raises(FormatError, match="checksum of 'ids'"):
            use()
    assert bytes(data) == path.read_bytes()


CODES = np.arange(12, dtype=np.uint8).reshape(4, 3)
IDS = np.array([1, 2, 5, 9])
SETTINGS = {"n_bits": 24, "next_id": 10, "arrived_in_order": True}


@pytest.mark.parametrize(
    ("tensors", "settings"),
    [
        ({}, {}),
        ({"codes": None}, {}),
        ({"codes": CODES.astype(np.int8)}, {}),
        ({"codes": CODES.reshape(-1)}, {}),
        ({"codes": np.zeros((0, 0), np.uint8)}, {}),
        ({"codes": np.zeros((1, 513), np.uint8)}, {"n_bits": 4096}),
        ({"codes": CODES}, {"n_bits": 32}),
        ({"codes": CODES}, {"n_bits": 20}),
        ({"codes": CODES}, {"n_bits": 0}),
        ({"codes": CODES}, {"n_bits": True}),
        ({"codes": CODES}, {"n_bits": "24"}),
        ({"codes": CODES}, {"n_bits": 10**30}),
        ({"codes": CODES}, {"next_id": 3}),
        ({"codes": CODES}, {"next_id": 2**63 + 1}),
        ({"codes": CODES}, {"next_id": 10.0}),
        ({"codes": CODES}, {"arrived_in_order": 1}),
        ({"codes": CODES, "ids": IDS}, {"next_id": 9}),
        ({"codes": CODES, "ids": IDS[:3]}, {}),
        ({"codes": CODES, "ids": IDS[::-1]}, {}),
        ({"codes": CODES, "ids": IDS // 3}, {}),
        ({"codes": CODES, "ids": IDS.astype(np.float64)}, {}),
        ({"codes": CODES, "ids": IDS.reshape(2, 2)}, {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("mmap", [False, True])
def test_crafted_files_are_refused(tmp_path, tensors, settings, mmap):
    """Files with honest checksums whose arrays and settings make no index."""
    tensors = {name: array for name, array in tensors.items() if array is not None}
    write_tensors(tmp_path / "file", "index", tensors, {**SETTINGS, **settings})
    with pytest.raises(FormatError, match="holds no index"):
        hashkit.Index.load(tmp_path / "file", mmap=mmap).query(np.zeros(3, np.uint8))


def test_files_of_other_kinds_are_refused(tmp_path):
    write_tensors(tmp_path / "file", "hasher", {"codes": CODES}, SETTINGS)
    with pytest.raises(FormatError, match="holds 'hasher', not 'index'"):
        hashkit.Index.load(tmp_path / "file")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_copies_go_their_own_way(duplicate):
    index = golden_index()
    twin = duplicate(index)
    assert_same(twin, index)
    twin.remove([1, 2])
    assert index.add(index.get([1])).tolist() == [1001]
    assert twin.add(twin.get([3])).tolist() == [1001]
    assert len(twin) == len(golden_index()) - 1
    assert len(index) == len(golden_index()) + 1


def test_a_pickled_mapped_index_needs_no_file(path):
    data = pickle.dumps(hashkit.Index.load(path, mmap=True))
    path.unlink()
    assert_same(pickle.loads(data), golden_index())


def test_a_fresh_index_answers_like_the_reference_after_loading(path):
    index = hashkit.Index.load(path)
    codes, ids = index.get(index.ids), index.ids
    for found, expected in zip(index.query(codes, 20), reference.k_nearest(codes, codes, 20, ids), strict=True):
        np.testing.assert_array_equal(found, expected)
