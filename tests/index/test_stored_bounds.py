"""Bounds of distances in an index file: used at once, with the same answers; and whatever the file holds, no harm."""

import numpy as np
import pytest
from index_inputs import far_codes, rewrite

import hashkit
from hashkit.index import bounds as bounds_module
from hashkit.storage import FormatError, open_tensors

N_CODES, N_BITS = 33_000, 512


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An index that has bounds, its file, queries, and their answers."""
    codes, queries = (far_codes(n, N_BITS, seed, noise=1.0) for n, seed in ((N_CODES, 1), (20, 2)))
    index = hashkit.Index(codes, method="cells")
    path = tmp_path_factory.mktemp("bounds") / "index"
    index.save(path, tables=True)
    return index, path, queries, hashkit.Index(codes, method="scan").query(queries, 10)


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("options", [{}, {"mmap": True}, {"mmap": True, "verify": False}], ids=str)
def test_stored_bounds_answer_as_built_ones(saved, options, monkeypatch):
    index, path, queries, expected = saved
    monkeypatch.setattr(bounds_module, "_work", None)  # would be needed to make them
    loaded = hashkit.Index.load(path, method="cells", **options)
    assert_same(loaded.query(queries, 10), expected)
    for name in ("probes", "candidates", "scanned"):
        found, built = (getattr(each.query_stats(queries, 10, n_threads=1)[2], name) for each in (loaded, index))
        np.testing.assert_array_equal(found, built)
    (part,), (built,) = (each.describe()["parts"] for each in (loaded, index))
    assert part["bounds"] == {**built["bounds"], "source": "mapped" if options else "read"}
    assert part["method"] == "cells"
    loaded.save(path, tables=True)


def test_a_scan_does_not_use_them_and_keeps_them_in_the_file(saved, tmp_path):
    _, path, queries, expected = saved
    loaded = hashkit.Index.load(path, mmap=True, method="scan")
    assert loaded.describe()["parts"][0]["method"] == "scan"
    assert loaded.query_stats(queries, 10)[2].scanned.all()
    assert_same(loaded.query(queries, 10), expected)


def test_that_bounds_do_not_pay_is_stored(rng, tmp_path, monkeypatch):
    codes = rng.integers(256, size=(N_CODES, 64), dtype=np.uint8)
    hashkit.Index(codes, method="cells").save(tmp_path / "index", tables=True)
    monkeypatch.setattr(bounds_module, "_work", None)
    loaded = hashkit.Index.load(tmp_path / "index", mmap=True, method="cells")
    assert loaded.describe()["parts"][0]["bounds"]["work"] > 1
    assert not [name for name in open_tensors(tmp_path / "index").tensors if name.startswith("bounds/")]


def _array(name, edit):
    def change(tensors, _):
        tensors[f"bounds/{name}"] = edit(tensors[f"bounds/{name}"])

    return change


def _set(name, value):
    def change(_, settings):
        settings["bounds"][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("byte_order", "middle"), "has bounds in the byte order"),
        (_set("version", 3), "has bounds of version 3"),
        (_set("codes", "00000000"), "its bounds are not those of its codes"),
        (_set("sketch_bits", 64), "its bounds do not fit"),
        (_set("sketch_bits", 10**6), "its bounds do not fit"),
        (_set("sketch_bits", "many"), "its bounds do not fit"),
        (_set("work", -1), "its bounds do not fit"),
        (_array("places", lambda a: a + np.uint16(N_BITS)), "its bounds do not fit"),
        (_array("places", lambda a: a[1:]), "its bounds do not fit"),
        (_array("reaches", lambda a: a.astype(np.int32)), "its bounds do not fit"),
        (_array("rests", lambda a: a[1:]), "its bounds do not fit"),
        (_array("rows", lambda a: a[:-1]), "its bounds do not fit"),
        (_array("sketches", lambda a: a[:, 1:]), "its bounds do not fit"),
        (lambda tensors, _: tensors.pop("bounds/distances"), "its bounds do not fit"),
        (lambda _, settings: settings.pop("cells"), "its bounds do not fit"),
    ],
)
def test_bounds_that_do_not_fit_are_refused_by_name(saved, tmp_path, change, message):
    _, path, _, _ = saved
    (tmp_path / "index").write_bytes(path.read_bytes())
    rewrite(tmp_path / "index", change, "bounds")
    with pytest.raises(FormatError, match=message):
        hashkit.Index.load(tmp_path / "index", mmap=True)


@pytest.mark.parametrize("mmap", [False, True])
def test_cells_of_an_older_version_are_made_anew(saved, tmp_path, mmap):
    _, path, queries, expected = saved
    (tmp_path / "index").write_bytes(path.read_bytes())

    def age(tensors, settings):
        settings["cells"]["version"] = 1
        settings["bounds"] = {**settings["bounds"], "version": 1}
        tensors["cells/rows"] = tensors["cells/rows"][::-1].copy()  # in another order, as they were

    rewrite(tmp_path / "index", age, "cells")
    loaded = hashkit.Index.load(tmp_path / "index", mmap=mmap, method="cells")
    assert_same(loaded.query(queries, 10), expected)
    assert loaded.describe()["parts"][0]["bounds"]["source"] == "built"


@pytest.mark.parametrize("name", ["places", "centroid_sketches", "reaches", "rows", "distances", "rests", "sketches"])
def test_crafted_bounds_do_no_harm(saved, tmp_path, name):
    _, path, queries, expected = saved
    (tmp_path / "index").write_bytes(path.read_bytes())
    rng = np.random.default_rng(0)

    def spoil(array):
        most = N_BITS if name == "places" else np.iinfo(array.dtype).max
        return rng.integers(most, size=array.shape, dtype=array.dtype)

    rewrite(tmp_path / "index", _array(name, spoil), "bounds")
    if name == "rows":
        with pytest.raises(FormatError, match="its bounds do not fit: rows must have each code once"):
            hashkit.Index.load(tmp_path / "index", mmap=True)
        return
    for verify in (False, True):
        loaded = hashkit.Index.load(tmp_path / "index", mmap=True, verify=verify, method="cells")
        assert loaded.query(queries, 10)[0].shape == expected[0].shape
    with pytest.raises(FormatError, match="tables or cells are not those of its codes"):
        hashkit.Index.load(tmp_path / "index")


def test_flipped_bytes_of_bounds(saved, tmp_path):
    _, path, queries, expected = saved
    data, refused = path.read_bytes(), 0
    begin = data.index(np.ascontiguousarray(open_tensors(path).tensors["bounds/sketches"]).tobytes())
    for at in np.random.default_rng(1).integers(begin, begin + N_CODES * 12, size=25).tolist():
        (tmp_path / "index").write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        try:
            assert_same(hashkit.Index.load(tmp_path / "index", mmap=True).query(queries, 10), expected)
        except FormatError:
            refused += 1
    assert refused > 5


def test_a_collection_is_searched_by_bounds(saved, tmp_path):
    index, _, queries, expected = saved
    with hashkit.Collection(tmp_path / "all", N_BITS, method="cells") as collection:
        collection.add(index.get(index.ids))
        collection.compact()
    with hashkit.Collection(tmp_path / "all", method="cells") as collection:
        assert collection.describe()["parts"][0]["bounds"]["source"] == "mapped"
        assert_same(collection.query(queries, 10), expected)
