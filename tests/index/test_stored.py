"""Tables and cells in an index file: searched at once, with the same answers; and whatever the file holds, no harm."""

import json
import sys

import numpy as np
import pytest
import reference
from index_inputs import far_codes, rewrite

import hashkit
from hashkit import _native
from hashkit.collection import describe
from hashkit.index import cells as cells_module
from hashkit.storage import FormatError, open_tensors, write_tensors
from hashkit.storage.header import BLOCK_SUMS, PADDING

N_CODES, N_BITS = 400, 24


def near_codes(rng, n_codes=N_CODES, n_bits=N_BITS):
    centers = rng.integers(0, 2, (8, n_bits), dtype=np.uint8)
    bits = centers[rng.integers(8, size=n_codes)] ^ (rng.random((n_codes, n_bits)) < 0.08)
    return np.packbits(bits, axis=1)


def answers(index, queries):
    """By scan, as so few codes are searched without more said, and by tables, which `max_candidates` asks for."""
    found = index.radius(queries, 4)
    by_tables = index.query(queries, 7, max_candidates=10**6)[:2]
    return [*index.query(queries, 7), *by_tables, found.offsets, found.distances, found.ids]


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.fixture(params=[False, True], ids=["whole", "compact"])
def stored(request, rng, tmp_path):
    """An index with ids and tables, its file, and some queries."""
    codes = near_codes(rng)
    index = hashkit.Index(codes, ids=np.arange(N_CODES) * 3 - 50, n_bits=N_BITS, method="mih", compact=request.param)
    index.save(tmp_path / "index", tables=True)
    return index, tmp_path / "index", np.concatenate([codes[:5], near_codes(rng, 5)])


@pytest.mark.parametrize("options", [{}, {"mmap": True}, {"mmap": True, "verify": False}, {"verify": False}], ids=str)
@pytest.mark.parametrize("method", ["auto", "mih", "scan"])
def test_stored_tables_answer_as_built_ones(stored, options, method):
    index, path, queries = stored
    loaded = hashkit.Index.load(path, method=method, **options)
    assert_same(answers(loaded, queries), answers(index, queries))
    (part,) = loaded.describe()["parts"]
    assert part["method"] == ("scan" if method == "scan" else "mih")
    if method != "scan":
        (built,) = index.describe()["parts"]
        assert part["source"] == ("mapped" if options.get("mmap") else "read")
        assert built["source"] == "built"
        assert {name: part[name] for name in ("widths", "substring_of_bit", "compact", "memory")} == {
            name: built[name] for name in ("widths", "substring_of_bit", "compact", "memory")
        }
    mask = np.arange(N_CODES) % 3 == 0
    assert_same(loaded.query(queries, 7, filter=mask), index.query(queries, 7, filter=mask))
    loaded.remove([-50, -47])
    assert len(loaded.query(queries, N_CODES)[0][0]) == N_CODES - 2
    assert loaded.add(queries).tolist() == list(range(N_CODES * 3 - 52, N_CODES * 3 - 42))


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("n_bits", [1, 20, 64, 130, 513])
def test_every_length_and_instruction_set(rng, tmp_path, monkeypatch, isa, n_bits):
    codes = near_codes(rng, 300, n_bits)
    index = hashkit.Index(codes, n_bits=n_bits, method="mih")
    index.save(tmp_path / "index", tables=True)
    _native.force_isa(isa)
    try:
        loaded = hashkit.Index.load(tmp_path / "index", mmap=True)
        distances, rows = reference.k_nearest(codes, codes[:6], 9)
        assert_same(loaded.query(codes[:6], 9), (distances, rows))
    finally:
        _native.force_isa(None)


def test_opening_reads_no_table(stored):
    """What is damaged is found when a search comes to it, not when the file is opened, nor in another part of it."""
    index, path, queries = stored
    file = open_tensors(path)
    name = "tables/0/rows"
    at = path.read_bytes().index(file.tensors[name].tobytes())
    data = bytearray(path.read_bytes())
    data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)
    loaded = hashkit.Index.load(path, mmap=True)
    assert_same([loaded.get(loaded.ids)], [index.get(index.ids)])
    with pytest.raises(FormatError, match="index' is damaged: the checksum of block"):
        loaded.query(np.concatenate([index.get(index.ids), queries]), 20, max_candidates=10**6)
    with pytest.raises(FormatError, match=f"checksum of '{name}'"):
        hashkit.Index.load(path)


def test_a_mapped_index_is_verified_page_by_page(stored):
    index, path, queries = stored
    data = bytearray(path.read_bytes())
    at = data.index(open_tensors(path).tensors["codes"].tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    loaded = hashkit.Index.load(path, mmap=True)
    with pytest.raises(FormatError, match="checksum of 'codes'"):
        loaded.query(queries, 3, filter=np.ones(N_CODES, np.bool_))
    if index.describe()["parts"][0]["compact"]:
        with pytest.raises(FormatError, match="checksum of block"):
            loaded.query(queries, 3)


def places_to_flip(data, step):
    """Every `step`-th byte of the header and of the arrays, and some of the fill between them, most of a small file."""
    n_header = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:n_header])
    spans = [
        (n_header + begin, n_header + end)
        for begin, end in (
            entry["data_offsets"] for name, entry in header.items() if not name.startswith(("__metadata__", PADDING))
        )
    ]
    places = set(range(0, len(data[:n_header].rstrip()), step)).union(*(range(*span, step) for span in spans))
    return sorted(places | set(range(0, len(data), 199)))


def flipped(data, step):
    for at in places_to_flip(data, step):
        yield at, data[:at] + bytes([data[at] ^ (0x01, 0x20, 0x80)[at % 3]]) + data[at + 1 :]


def test_every_flipped_byte_is_refused_or_harmless(stored, long_run):
    """Every byte with --long."""
    index, path, queries = stored
    data, expected, refused, n_trials = path.read_bytes(), answers(index, queries), 0, 0
    for at, damaged in flipped(data, 1 if long_run else 199):
        path.write_bytes(damaged)
        for mmap in (False, True):
            n_trials += 1
            try:
                assert_same(answers(hashkit.Index.load(path, mmap=mmap), queries), expected)
            except FormatError:
                refused += 1
            except Exception as error:
                raise AssertionError(f"byte {at}, mmap={mmap}") from error
    assert 0.05 * n_trials < refused < n_trials


def _set(name, value):
    def change(tensors, settings):
        settings["tables"][name] = value

    return change


def _array(name, edit):
    def change(tensors, settings):
        tensors[name] = edit(tensors[name])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("byte_order", {"little": "big", "big": "little"}[sys.byteorder]), "in the byte order .*, this machine's"),
        (_set("version", 2), "tables of version 2, this hashkit reads 1"),
        (_set("version", None), "the version of its .* is missing"),
        (_set("codes", "00000000"), "tables are not those of its codes"),
        (lambda _, settings: settings.update(tables=[1]), "the version of its .* is missing"),
        (_set("n_substrings", 2), "do not fit"),
        (_set("n_substrings", -1), "do not fit"),
        (_set("n_substrings", 10**9), "do not fit"),
        (_set("n_substrings", True), "do not fit"),
        (_set("n_neighbors", 0), "do not fit"),
        (_set("n_neighbors", 2**62), "do not fit"),
        (_array("tables/places", lambda a: a * 0), "do not fit"),
        (_array("tables/places", lambda a: a + 2**31), "do not fit"),
        (_array("tables/places", lambda a: a[:-1]), "do not fit"),
        (_array("tables/places", lambda a: a.astype(np.int64)), "do not fit"),
        (_array("tables/costs", lambda a: a * np.nan), "do not fit"),
        (_array("tables/costs", lambda a: a - 1e9), "do not fit"),
        (_array("tables/costs", lambda a: a[1:]), "do not fit"),
        (_array("tables/expected", lambda a: a[1:]), "do not fit"),
        (_array("tables/expected", lambda a: a + np.inf), "do not fit"),
        (_array("tables/neighbors", lambda a: a - 2**30), "do not fit"),
        (_array("tables/neighbors", lambda a: a[1:]), "do not fit"),
        (_array("tables/1/offsets", lambda a: a[1:]), "do not fit"),
        (_array("tables/1/rows", lambda a: a.astype(np.int32)), "do not fit"),
        (lambda tensors, _: tensors.pop("tables/2/occupied"), "do not fit"),
    ],
)
@pytest.mark.parametrize("mmap", [False, True])
def test_tables_that_do_not_fit_are_refused_by_name(stored, change, message, mmap):
    _, path, _ = stored
    rewrite(path, change)
    with pytest.raises(FormatError, match=message):
        hashkit.Index.load(path, mmap=mmap)
    assert len(hashkit.Index.load(path, mmap=mmap, verify=mmap, method="scan")) == N_CODES  # without the tables


@pytest.mark.parametrize("name", ["offsets", "occupied", "rows", "words"])
def test_crafted_tables_are_refused_or_do_no_harm(stored, name, long_run):
    """Honest checksums over random tables: refused where all is read; a mapped file must only answer or be refused."""
    index, path, queries = stored
    data, rng, refused = path.read_bytes(), np.random.default_rng(3), 0
    expected = answers(index, queries)
    for trial in range(500 if long_run else 12):
        path.write_bytes(data)

        def spoil(array, trial=trial):
            array, values = array.copy(), array.reshape(-1)
            if values.size:
                some = rng.integers(values.size, size=rng.integers(1, 1 + values.size))
                most = [2, 2 * N_CODES, np.iinfo(array.dtype).max][trial % 3]
                array.reshape(-1)[some] = rng.integers(most, size=len(some), dtype=array.dtype)
            return array

        rewrite(path, _array(f"tables/{rng.integers(3)}/{name}", spoil))
        try:
            assert_same(answers(hashkit.Index.load(path), queries), expected)
        except FormatError:
            refused += 1
        for verify in (False, True):
            try:
                found = answers(hashkit.Index.load(path, mmap=True, verify=verify), queries)
                assert found[0].shape == expected[0].shape
            except FormatError:
                pass
    empty = name == "words" and index.describe()["parts"][0]["compact"]
    assert refused == 0 if empty else refused > 0


def test_without_checksums_of_pages_a_crafted_file_is_read_safely(stored):
    """A mapped file of tables whose checksums of pages were taken out is searched unverified or refused."""
    index, path, queries = stored
    file = open_tensors(path, mmap=False)
    write_tensors(path, "index", file.tensors, file.settings)
    with pytest.raises(FormatError, match="no checksums of its pages"):
        hashkit.Index.load(path, mmap=True)
    assert_same(answers(hashkit.Index.load(path), queries), answers(index, queries))


@pytest.fixture(scope="module", params=[256, 768], ids=["copies", "sketches"])
def far(request, tmp_path_factory):
    codes = far_codes(40_000, request.param, 1)
    index = hashkit.Index(codes, method="cells")
    queries = far_codes(50, request.param, 2)
    index.query(queries, 10, recall=0.95)
    path = tmp_path_factory.mktemp("far") / "index"
    index.save(path, tables=True)
    return index, path, queries


@pytest.mark.parametrize("mmap", [False, True])
def test_stored_cells_answer_as_built_ones_without_calibrating_anew(far, monkeypatch, mmap):
    index, path, queries = far
    loaded = hashkit.Index.load(path, mmap=mmap, method="scan")
    monkeypatch.setattr(cells_module, "_draw_sample", None)  # would be needed to calibrate
    assert_same(loaded.query(queries, 10, recall=0.95), index.query(queries, 10, recall=0.95))
    built, found = (each.describe()["parts"][0]["cells"] for each in (index, loaded))
    assert found == {**built, "source": "mapped" if mmap else "read"}
    monkeypatch.undo()
    assert_same(loaded.query(queries, 5, recall=0.9), index.query(queries, 5, recall=0.9))
    index.save(path, tables=True)


def _cells(name, edit):
    def change(tensors, settings):
        if name in tensors:
            tensors[name] = edit(tensors[name])
        else:
            settings["cells"][name] = edit(settings["cells"][name])

    return change


@pytest.mark.parametrize(
    "change",
    [
        _cells("cells/starts", lambda a: a[::-1]),
        _cells("cells/starts", lambda a: a[:1]),
        _cells("cells/starts", lambda a: a[:-1]),
        _cells("cells/centroids", lambda a: a[1:]),
        _cells("cells/rows", lambda a: a[1:]),
        _cells("cells/rows", lambda a: np.append(a[:-1], a[:1])),
        _cells("cells/rows", lambda a: np.append(a[:-1], np.uint32(len(a)))),
        _cells("cells/rows", lambda a: np.where(a == 0, np.uint32(2**32 - 1), a)),
        _cells("cells/places", lambda a: np.append(a, a[:1] if a.size else np.uint32(0))),
        _cells("cells/limits", lambda a: a[:, 1:]),
        _cells("sketch_bytes", lambda n: n + 8),
        _cells("rules", lambda rules: [{**rules[0], "start": 10**6}]),
        _cells("rules", lambda rules: [{**rules[0], "work": "much"}]),
        _cells("rules", lambda rules: {}),
    ],
)
def test_cells_that_do_not_fit_are_refused_by_name(far, tmp_path, change):
    _, path, _ = far
    (tmp_path / "index").write_bytes(path.read_bytes())
    rewrite(tmp_path / "index", change, "cells")
    with pytest.raises(FormatError, match="its cells do not fit"):
        hashkit.Index.load(tmp_path / "index", mmap=True)


@pytest.mark.parametrize("name", ["starts", "rows", "centroids", "sketches"])
def test_crafted_cells_do_no_harm(far, tmp_path, name):
    """Rows in another order, all else at random: no code is found twice."""
    _, path, queries = far
    (tmp_path / "index").write_bytes(path.read_bytes())
    rng = np.random.default_rng(0)
    edits = {
        "starts": lambda a: np.sort(np.append(a[[0, -1]], rng.integers(a[-1], size=len(a) - 2, dtype=a.dtype))),
        "rows": rng.permutation,
        "centroids": lambda a: rng.integers(256, size=a.shape, dtype=a.dtype),
        "sketches": lambda a: rng.integers(256, size=a.shape, dtype=a.dtype),
    }
    rewrite(tmp_path / "index", _cells(f"cells/{name}", edits[name]), "cells")
    for verify in (False, True):
        loaded = hashkit.Index.load(tmp_path / "index", mmap=True, verify=verify)
        found = loaded.query(queries, 10, recall=0.95)[1]
        assert found.shape == (50, 10)
        assert all(len(set(ids)) == 10 for ids in found.tolist())
    if name in ("rows", "sketches"):
        with pytest.raises(FormatError, match="tables or cells are not those of its codes"):
            hashkit.Index.load(tmp_path / "index")


def test_flipped_bytes_of_cells(far, tmp_path):
    index, path, queries = far
    data, path = path.read_bytes(), tmp_path / "index"
    expected, refused = index.query(queries, 10, recall=0.95), 0
    for at in np.random.default_rng(1).integers(len(data), size=25).tolist():
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        try:
            assert_same(hashkit.Index.load(path, mmap=True).query(queries, 10, recall=0.95), expected)
        except FormatError:
            refused += 1
    assert refused > 5


def test_tables_are_stored_as_auto_has_them(rng, tmp_path):
    """A scanned index stores those of "auto", and goes on scanning; where "auto" has none the file is as without."""
    codes = rng.integers(256, size=(40_000, 4), dtype=np.uint8)
    index = hashkit.Index(codes, method="scan")
    index.save(tmp_path / "index", tables=True)
    assert index.describe()["parts"][0]["method"] == "scan"
    assert hashkit.Index.load(tmp_path / "index", mmap=True).describe()["parts"][0]["method"] == "mih"
    hashkit.Index(codes[:100]).save(tmp_path / "few", tables=True)
    assert list(open_tensors(tmp_path / "few").tensors) == ["codes"]
    index.save(tmp_path / "index")
    assert list(open_tensors(tmp_path / "index").tensors) == ["codes"]
    with pytest.raises(TypeError, match="tables must be a bool, got int"):
        index.save(tmp_path / "index", tables=1)


def test_saving_a_mapped_index_over_its_own_file(stored):
    index, path, queries = stored
    loaded = hashkit.Index.load(path, mmap=True)
    loaded.save(path, tables=True)
    assert_same(answers(loaded, queries), answers(index, queries))
    assert_same(answers(hashkit.Index.load(path, mmap=True), queries), answers(index, queries))


def test_damaged_tables_are_not_saved_again(stored):
    _, path, _ = stored
    data = bytearray(path.read_bytes())
    at = data.index(open_tensors(path).tensors["tables/0/rows"].tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="checksum of block"):
        hashkit.Index.load(path, mmap=True).save(path, tables=True)
    assert path.read_bytes() == data


def test_sums_of_pages_are_xxh64(rng):
    data = rng.integers(256, size=3 * 4096 + 77, dtype=np.uint8)
    sums = [reference.xxh64(data[at : at + 4096].tobytes().ljust(4096, b"\0")) for at in range(0, len(data), 4096)]
    np.testing.assert_array_equal(_native.block_sums(data, 2), np.array(sums, np.uint64))


def test_other_tools_read_a_file_with_tables(stored):
    from safetensors.numpy import load_file

    index, path, _ = stored
    tensors = load_file(path)
    np.testing.assert_array_equal(tensors["codes"], index.get(index.ids))
    assert BLOCK_SUMS in tensors


def test_a_collection_is_searched_by_the_tables_in_its_file(rng, tmp_path):
    codes = near_codes(rng, 33_000, 64)
    with hashkit.Collection(tmp_path / "all", 64) as collection:
        collection.add(codes)
        assert collection.describe()["parts"][0]["source"] == "built"
        collection.compact()
        expected = collection.query(codes[:5], 10)
    with hashkit.Collection(tmp_path / "all") as collection:
        assert collection.describe()["parts"][0]["source"] == "mapped"
        assert_same(collection.query(codes[:5], 10), expected)
        assert collection.describe()["parts"][0]["source"] == "mapped"
        (new,) = collection.add(codes[:1])
    with hashkit.Collection(tmp_path / "all") as collection:  # the change is applied to the mapped part
        assert [part.get("source") for part in collection.describe()["parts"]] == ["mapped", None]
        assert new in collection.query(codes[:1], 100)[1]
    with hashkit.Collection(tmp_path / "all", method="scan") as collection:
        assert collection.describe()["parts"][0]["method"] == "scan"
        assert_same(
            collection.query(codes[:5], 10), hashkit.Index(np.concatenate([codes, codes[:1]])).query(codes[:5], 10)
        )


def test_a_collection_is_searched_at_a_recall(tmp_path):
    codes, queries = far_codes(40_000, 256, 1), far_codes(20, 256, 2)
    with hashkit.Collection(tmp_path / "all", 256, method="cells") as collection:
        collection.add(codes)
        expected = collection.query(queries, 10, recall=0.95)
        collection.compact()
    with hashkit.Collection(tmp_path / "all", method="cells") as collection:
        assert_same(collection.query(queries, 10, recall=0.95), expected)
        cells = collection.describe()["parts"][0]["cells"]
        assert cells["source"] == "mapped"
        assert [(rule["k"], rule["recall"]) for rule in cells["calibrated"]] == [(10, 0.95)]


def test_the_check_of_a_collection_reads_its_tables(rng, tmp_path):
    with hashkit.Collection(tmp_path / "all", 32, method="mih") as collection:
        collection.add(near_codes(rng, 500, 32))
        collection.compact()
    path = tmp_path / "all" / "index-1.hashkit"
    rewrite(path, _array("tables/0/rows", lambda rows: rows[::-1]))
    with pytest.raises(FormatError, match="tables or cells are not those of its codes"):
        describe(tmp_path / "all")
