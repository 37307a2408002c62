"""Joins by tables of buckets: the same pairs as by comparing everything, and chosen only where they are faster."""

import numpy as np
import pytest
import reference
from children import seconds_to_stop

import hashkit
from hashkit import _native
from hashkit.index import joins


def random_codes(n, n_bits, seed=0):
    """Every other code is near another: some bits of it changed."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (n, n_bits), np.uint8)
    near = np.arange(1, n, 2)
    bits[near] = bits[rng.permutation(near - 1)]
    for _ in range(4):
        bits[near, rng.integers(0, n_bits, len(near))] ^= rng.integers(0, 2, len(near), np.uint8)
    return np.packbits(bits, axis=1)


def few_codes(n, n_bits, seed=0):
    """Four different ones."""
    return random_codes(4, n_bits, 1)[np.random.default_rng(seed).integers(0, 4, n)]


def equal_codes(n, n_bits, seed=0):
    return np.zeros((n, (n_bits + 7) // 8), np.uint8)


MAKERS = [random_codes, few_codes, equal_codes]


def bucket_pairs(codes, others, n_bits, radius, n_threads=1, isa="", most=10**9, reach=0):
    partners, n_left = (codes, 0) if others is None else (others, len(codes))
    tables = _native.build_join_tables(partners, n_bits, n_left, radius, n_threads, reach)
    return _native.bucket_pairs(codes, 0, len(codes), others, tables, radius, most, n_threads, isa)


def assert_equal(found, expected):
    for column, expected_column in zip(found, expected, strict=True):
        np.testing.assert_array_equal(column, expected_column, strict=True)


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("n_bits", [8, 13, 61, 64, 72, 128, 200, 264])
@pytest.mark.parametrize("make", MAKERS)
def test_every_instruction_set(isa, n_bits, make):
    codes, others = make(150, n_bits), make(90, n_bits, 1)
    for radius in (0, 1, 2, 4, 7):
        for right in (None, others):
            expected = reference.pairs_within(codes, right, radius)
            for reach in (0, 1, 2) if radius in (2, 7) else (0,):
                assert_equal(bucket_pairs(codes, right, n_bits, radius, 2, isa, reach=reach), expected)


@pytest.mark.parametrize("n_bits", [1024, 4096])
def test_long_codes(n_bits):
    codes = random_codes(200, n_bits)
    for radius, reach in ((1, 0), (15, 0), (31, 0), (3, 1), (40, 1), (50, 2)):
        found = bucket_pairs(codes, None, n_bits, radius, reach=reach)
        assert_equal(found, reference.pairs_within(codes, None, radius))


@pytest.mark.parametrize(("n_bits", "radius"), [(256, 31), (128, 26)])
@pytest.mark.parametrize("reach", [1, 2, 3])
def test_large_radii(n_bits, radius, reach):
    """Codes at every distance from others, about the radius most of all."""
    rng = np.random.default_rng(n_bits)
    bits = rng.integers(0, 2, (3, n_bits), np.uint8)[rng.integers(0, 3, 300)]
    bits ^= rng.random((300, n_bits)) < rng.uniform(0, radius / n_bits, (300, 1))
    codes = np.packbits(bits, axis=1)
    expected = reference.pairs_within(codes, None, radius)
    assert np.bincount(expected[2], minlength=radius + 1)[-3:].all()
    assert_equal(bucket_pairs(codes, None, n_bits, radius, 2, reach=reach), expected)
    assert_equal(bucket_pairs(codes, codes, n_bits, radius, reach=reach), reference.pairs_within(codes, codes, radius))


def test_tables_at_large_radii_are_for_large_joins():
    codes = np.random.default_rng(0).integers(0, 256, (300_000, 32), np.uint8)
    described = _native.describe_join_tables(_native.build_join_tables(codes, 256, 10**7, 31, 1))
    assert (described["n_tables"], described["reach"]) == (16, 1)
    for few, n_left in ((codes[:10_000], 10**7), (codes, 100)):
        assert _native.build_join_tables(few, 256, n_left, 31, 1) is None


def test_an_index_joins_by_tables_beyond_radius_15(monkeypatch):
    rng = np.random.default_rng(0)
    codes, others = rng.integers(0, 256, (20_000, 32), np.uint8), rng.integers(0, 256, (1000, 32), np.uint8)
    near = codes[rng.integers(0, len(codes), 200)]
    others[:200] = near ^ np.packbits(rng.random((200, 256)) < 0.08, axis=1)
    left, right = hashkit.Index(others), hashkit.Index(codes, method="scan")
    expected, make = joined(left.pairs(31, right)), _native.build_join_tables
    assert len(expected[0]) > 150
    monkeypatch.setattr(joins._native, "build_join_tables", lambda *arguments: make(*arguments, 1))
    assert_equal(joined(left.pairs(31, right, n_threads=2)), expected)


def joined(blocks):
    columns = [(block.left, block.right, block.distances) for block in blocks]
    return [np.concatenate(column) for column in zip(*columns, strict=True)]


@pytest.fixture
def tables_made(monkeypatch):
    """What `build_join_tables` answered in joins, call by call."""
    answers, make = [], _native.build_join_tables

    def make_and_tell(*arguments):
        answers.append(make(*arguments))
        return answers[-1]

    monkeypatch.setattr(joins._native, "build_join_tables", make_and_tell)
    return answers


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("max_pairs", [50, joins.MAX_PAIRS])
def test_an_index_joins_by_tables(monkeypatch, tables_made, n_threads, max_pairs):
    monkeypatch.setattr(joins, "MAX_PAIRS", max_pairs)
    codes, ids = random_codes(8000, 64), np.random.default_rng(1).permutation(8000) - 5000
    index = hashkit.Index(codes, ids=ids)
    in_order = codes[np.argsort(ids)]
    near = hashkit.hamming_distances(in_order, in_order)
    left, right = np.nonzero(np.triu(near <= 2, 1))
    assert_equal(
        joined(index.pairs(2, n_threads=n_threads)),
        (np.sort(ids)[left], np.sort(ids)[right], near[left, right].astype(np.int32)),
    )
    half, rest = hashkit.Index(codes[:6000], ids=ids[:6000]), hashkit.Index(codes[6000:])
    found = joined(half.pairs(1, rest, n_threads=n_threads))
    labels = index.groups(2, n_threads=n_threads)
    assert [tables is not None for tables in tables_made] == [True, True, True]
    monkeypatch.setattr(joins._native, "build_join_tables", lambda *_: None)
    assert_equal(found, joined(half.pairs(1, rest, n_threads=n_threads)))
    np.testing.assert_array_equal(labels, index.groups(2, n_threads=n_threads))


@pytest.mark.parametrize(
    ("make", "n_bits", "radius"),
    [
        (equal_codes, 64, 2),  # one bucket holds everything
        (few_codes, 64, 2),
        (random_codes, 16, 3),  # every bucket is full
        (random_codes, 64, 20),
    ],
)
def test_a_scan_where_tables_would_not_help(tables_made, make, n_bits, radius):
    codes = make(3000, n_bits)
    blocks = list(hashkit.Index(codes).pairs(radius))
    assert tables_made == [None]
    near = np.triu(hashkit.hamming_distances(codes, codes) <= radius, 1)
    assert sum(map(len, blocks)) == np.count_nonzero(near)


def test_without_memory_for_tables_a_scan_serves(run_python):
    program = """
import resource, numpy as np, hashkit
from hashkit import _native
rng = np.random.default_rng(0)
codes = rng.integers(0, 256, (20_000, 512), np.uint8)
codes[10_000:10_010] = codes[:10]
index = hashkit.Index(codes)
list(hashkit.Index(codes[:100]).pairs(2, n_threads=1))
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (80 << 20), resource.RLIM_INFINITY))
try:
    _native.build_join_tables(codes, 4096, 0, 12, 1)
except MemoryError:
    print("refused")
print(*(block.right.tolist() for block in index.pairs(12, n_threads=1)))
"""
    done = run_python(program)
    assert done.stdout == f"refused\n{list(range(10_000, 10_010))}\n"
    assert "RuntimeWarning: there is no memory for tables of the codes: every code is compared" in done.stderr


@pytest.mark.parametrize("delay", [0.1, 0.8])
def test_ctrl_c_stops_a_join_by_tables(delay):
    work = """
        index = hashkit.Index(rng.integers(0, 256, (4_000_000, 8), np.uint8), method="scan")
        # begin
        list(index.pairs(3, n_threads=1))
    """
    assert seconds_to_stop(work, delay) < 5  # on a busy machine; 0.1 s on an idle one


def test_the_border_refuses_what_does_not_fit():
    codes = random_codes(50, 64)
    with pytest.raises(ValueError, match="codes must have n_bits"):
        _native.build_join_tables(codes, 72, 0, 2, 1)
    with pytest.raises(ValueError, match="radius must be at least 0"):
        _native.build_join_tables(codes, 64, 0, -1, 1)
    for reach in (-1, 4):
        with pytest.raises(ValueError, match="reach must be 0 to 3"):
            _native.build_join_tables(codes, 64, 0, 2, 1, reach)
    assert _native.build_join_tables(codes, 64, 0, 32, 1, 0) is None
    tables = _native.build_join_tables(codes, 64, 0, 2, 1, 0)
    fitting = {"codes": codes, "others": None, "first": 0, "last": 50, "tables": tables, "radius": 2}
    for change, message in (
        ({"radius": -1}, "radius must be one that the tables serve"),
        ({"radius": 3}, "radius must be one that the tables serve"),
        ({"last": 51}, "rows must be in the codes"),
        ({"others": random_codes(50, 72)}, "others must have the width of the codes"),
        ({"others": random_codes(51, 64)}, "tables must be those of the codes"),
        ({"codes": random_codes(50, 72)}, "tables must be those of the codes"),
    ):
        with pytest.raises(ValueError, match=message):
            _native.bucket_pairs(**{**fitting, "max_pairs": 99, "n_threads": 1, **change})
    for wrong in (None, (codes, codes, codes), _native.build_tables(codes, 64, False, 1)):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            _native.bucket_pairs(**{**fitting, "max_pairs": 99, "n_threads": 1, "tables": wrong})


def test_tables_serve_every_smaller_radius_too():
    codes = random_codes(150, 64)
    tables = _native.build_join_tables(codes, 64, 0, 4, 1, 0)
    for radius in range(5):
        found = _native.bucket_pairs(codes, 0, len(codes), None, tables, radius, 10**9, 1)
        assert_equal(found, reference.pairs_within(codes, None, radius))


def test_tables_say_what_they_hold():
    codes = random_codes(150, 64)
    described = _native.describe_join_tables(_native.build_join_tables(codes, 64, 0, 2, 1, 0))
    assert (described["n_tables"], described["reach"], described["n_buckets"]) == (3, 0, 256)
    assert described["memory"] == 3 * (150 * (8 + 4) + 257 * 4)
