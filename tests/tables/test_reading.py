"""Files of rows: what is written is read back, from every kind of file, in blocks of any size."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import hashkit
from hashkit.tables import Block, open_rows, write_codes, write_columns
from hashkit.vectors import sources

ENDINGS = [".npy", ".safetensors", ".parquet", ".arrow", ".csv", ".tsv", ".txt"]
NAMED = [".parquet", ".arrow", ".csv", ".tsv"]


def needs(ending):
    if ending in (".parquet", ".arrow"):
        pytest.importorskip("pyarrow")


@pytest.fixture
def codes(rng):
    codes = rng.integers(0, 256, (23, 5), np.uint8)
    codes[:, -1] &= 0xF0
    return codes


@pytest.mark.parametrize("ending", ENDINGS)
def test_codes_come_back(ending, codes, tmp_path):
    needs(ending)
    path = tmp_path / f"codes{ending}"
    assert write_codes(path, (Block(codes[first : first + 7], None) for first in range(0, 23, 7)), 36) == 23
    rows = open_rows(path, holds="codes")
    assert rows.n_rows in (23, None)
    assert rows.n_bits in (36, None)
    assert rows.n_bits == 36 or ending not in (".parquet", ".arrow")
    blocks = list(rows.blocks(4))
    assert max(len(block.values) for block in blocks) == 4
    assert all(block.ids is None for block in blocks)
    np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), codes)
    np.testing.assert_array_equal(open_rows(path, holds="codes").whole().values, codes)


@pytest.mark.parametrize("strings", [True, False])
@pytest.mark.parametrize("ending", [*NAMED, ".safetensors"])
def test_ids_stay_beside_the_codes(ending, strings, codes, tmp_path):
    needs(ending)
    ids = np.array([f"cat {number}, grey" for number in range(23)], object) if strings else np.arange(100, 123)
    path = tmp_path / f"codes{ending}"
    if strings and ending == ".safetensors":
        with pytest.raises(ValueError, match=r"cannot hold these ids: \.parquet, \.arrow and \.csv can"):
            write_codes(path, [Block(codes, ids)], 40)
        return
    write_codes(path, [Block(codes[:9], ids[:9]), Block(codes[9:], ids[9:])], 40)
    found = open_rows(path, holds="codes", ids="ids" if ending == ".safetensors" else "id").whole()
    np.testing.assert_array_equal(found.values, codes)
    assert found.ids.tolist() == ids.tolist()


def write_features(path, features, names):
    """Features in a file of that ending, with a column of names where it can hold one."""
    ending = path.suffix
    if ending == ".npy":
        np.save(path, features)
    elif ending == ".npz":
        np.savez(path, features=features, labels=np.arange(len(features)))
    elif ending == ".safetensors":
        save_file = pytest.importorskip("safetensors.numpy").save_file
        save_file({"features": features, "labels": np.arange(len(features))}, path)
    elif ending == ".csv":
        rows = [f"{name},{','.join(map(repr, map(float, row)))}" for name, row in zip(names, features, strict=True)]
        path.write_text("\n".join(["name,a,b,c", *rows, ""]))
    else:
        pyarrow = pytest.importorskip("pyarrow")
        table = pyarrow.table({"name": names, "embedding": list(features)})
        if ending == ".parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, path)
        else:
            with pyarrow.ipc.new_file(str(path), table.schema) as file:
                file.write_table(table)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".safetensors", ".parquet", ".arrow", ".csv"])
def test_features_of_every_file(ending, rng, tmp_path):
    features = rng.standard_normal((11, 3)).astype(np.float32)
    path, names = tmp_path / f"features{ending}", [f"n{number}" for number in range(11)]
    write_features(path, features, names)
    ids = "name" if ending in (".parquet", ".arrow", ".csv") else None
    blocks = list(open_rows(path, holds="features", ids=ids).blocks(4))
    np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), features)
    if ids is not None:
        assert np.concatenate([block.ids for block in blocks]).tolist() == names


def test_a_wide_table_is_a_matrix(rng, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    features = rng.standard_normal((6, 2))
    table = pyarrow.table({"key": [f"{n}" for n in range(6)], "x": features[:, 0], "y": features[:, 1]})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "wide.parquet")
    found = open_rows(tmp_path / "wide.parquet", holds="features", ids="key").whole()
    np.testing.assert_array_equal(found.values, features.astype(np.float32))


@pytest.mark.parametrize("ending", ["ipc", "parquet"])
def test_files_of_polars_are_read(ending, tmp_path):
    polars = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    path = tmp_path / f"frame.{ending}"
    frame = polars.DataFrame({"name": ["x", "y"], "code": [b"ab", b"cd"]})
    getattr(frame, f"write_{ending}")(path)
    codes, ids = open_rows(path, holds="codes", ids="name").whole()
    assert (codes.tolist(), ids.tolist()) == ([[97, 98], [99, 100]], ["x", "y"])


def test_hashes_as_numbers_or_text_are_codes(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    hashes = np.array([0x0123456789ABCDEF, 2**64 - 2], np.uint64)
    expected = hashkit.pack(hashes, format="uint64")
    table = pyarrow.table({"phash": hashes, "text": [f"0x{value:016x}" for value in hashes.tolist()]})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "hashes.parquet")
    for column in (None, "phash", "text"):
        found = open_rows(tmp_path / "hashes.parquet", holds="codes", column=column).whole()
        np.testing.assert_array_equal(found.values, expected)
    np.save(tmp_path / "hashes.npy", hashes)
    np.testing.assert_array_equal(open_rows(tmp_path / "hashes.npy", holds="codes").whole().values, expected)


def test_bfloat16_tensors_are_features(tmp_path):
    torch = pytest.importorskip("torch")
    values = torch.randn(5, 4).to(torch.bfloat16)
    pytest.importorskip("safetensors.torch").save_file({"x": values}, tmp_path / "x.safetensors")
    found = open_rows(tmp_path / "x.safetensors", holds="features").whole()
    np.testing.assert_array_equal(found.values, values.float().numpy())
    assert sources.open_source(tmp_path / "x.safetensors", None, None).type == "bfloat16"


@pytest.mark.parametrize(
    ("text", "values", "names"),
    [
        ("00ff\n0x1234\n", [[0, 255], [0x12, 0x34]], None),
        ("code\n00ff\n\n1234\n", [[0, 255], [0x12, 0x34]], None),
        ("name,hash\nx,00FF\ny,1234\n", [[0, 255], [0x12, 0x34]], ["x", "y"]),
        ("name\thash\nx, y\t00ff\nz\t1234\n", [[0, 255], [0x12, 0x34]], ["x, y", "z"]),
        ('"name","hash"\n"x, ""y""",00ff\n5,1234\n', [[0, 255], [0x12, 0x34]], ['x, "y"', "5"]),
    ],
)
def test_codes_as_text(text, values, names, tmp_path, monkeypatch):
    (tmp_path / "codes.txt").write_text(text)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    for path in (tmp_path / "codes.txt", "-"):
        found = open_rows(path, holds="codes", ids=None if names is None else "name").whole()
        assert found.values.tolist() == values
        assert (found.ids if names is None else found.ids.tolist()) == names


@pytest.mark.parametrize("kind", ["npy", "parquet", "stream", "csv"])
def test_standard_input_is_told_by_its_first_bytes(kind, rng, monkeypatch):
    features = rng.standard_normal((9, 3)).astype(np.float32)
    data = io.BytesIO()
    if kind == "npy":
        np.save(data, features)
    elif kind == "csv":
        np.savetxt(data, features, delimiter=",", fmt="%.9g")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        table = pyarrow.table({"x": list(features)})
        if kind == "parquet":
            pytest.importorskip("pyarrow.parquet").write_table(table, data)
        else:
            with pyarrow.ipc.new_stream(data, table.schema) as stream:
                stream.write_table(table)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data.getvalue())))
    np.testing.assert_array_equal(open_rows("-", holds="features").whole().values, features)


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".csv"])
def test_columns_are_written(ending, tmp_path):
    needs(ending)
    path = tmp_path / f"found{ending}"
    columns = {"id": np.array(["b", "a"], object), "distance": np.array([3, 4], np.int32)}
    assert write_columns(path, columns) == 2
    for name, values in columns.items():
        assert open_rows(path, holds="column", column=name).whole().values.tolist() == values.tolist()


@pytest.mark.parametrize(
    ("name", "content", "options", "error", "message"),
    [
        ("x.txt", "", {}, ValueError, "must have rows, its first line is empty"),
        ("x.txt", "code\n", {}, ValueError, "must have rows, got none"),
        ("x.txt", "00ff\n00f\n", {}, ValueError, r"values\[1\] must be hexadecimal digits"),
        ("x.csv", "id,code\n1,00ff\n2\n", {}, ValueError, "must have 2 cells in each row like the first, row 3 has 1"),
        ("x.csv", "a,b\nx,00ff\n", {}, ValueError, "column must name a column of codes .* which has a, b; got None"),
        ("x.csv", "id,code\n1,00ff\n", {"ids": "key"}, ValueError, "must have a column 'key', it has id, code"),
        ("x.bin", "", {}, ValueError, r"must be a file of \.npy, .*, or - for standard input"),
        ("x.parquet", "no parquet", {}, ValueError, "x.parquet is no readable Parquet file"),
        ("x.arrow", "no arrow", {}, ValueError, "x.arrow is no readable Arrow file"),
        ("x.safetensors", "no tensors, but long enough", {}, ValueError, "it is no safetensors file, or cut off"),
    ],
)
def test_bad_files_are_explained(name, content, options, error, message, tmp_path):
    needs(f".{name.partition('.')[2]}")
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=message):
        open_rows(tmp_path / name, holds="codes", **options).whole()


def test_bad_features_are_explained(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,much\n")
    with pytest.raises(ValueError, match="must hold numbers, row 3 has 'much'"):
        open_rows(tmp_path / "x.csv", holds="features").whole()
    with pytest.raises(ValueError, match="holds a feature in each column: leave the column out, got 'a'"):
        open_rows(tmp_path / "x.csv", holds="features", column="a")
    np.save(tmp_path / "x.npy", np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match="must hold float16, float32 or float64, got uint8"):
        open_rows(tmp_path / "x.npy", holds="features")
    with pytest.raises(ValueError, match="is one array without columns"):
        open_rows(tmp_path / "x.npy", holds="codes", ids="id")
    with pytest.raises(FileNotFoundError):
        open_rows(tmp_path / "nowhere.csv", holds="codes")


def test_bad_columns_are_explained(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"v": [[1.0], [2.0, 3.0]], "b": [b"1", b"22"], "h": ["ff", None]})
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="column 'v' must have lists of one length without nulls"):
        open_rows(tmp_path / "x.parquet", holds="features").whole()
    with pytest.raises(ValueError, match=r"column 'b' must hold bytes of one length, it has \[1, 2\]"):
        open_rows(tmp_path / "x.parquet", holds="codes").whole()
    with pytest.raises(ValueError, match="column 'h' must have no nulls, it has 1"):
        open_rows(tmp_path / "x.parquet", holds="codes", column="h").whole()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("x.bin", ValueError, r"must end with \.npy, .*, or be - for standard output"),
        ("nowhere/x.npy", FileNotFoundError, "No such file or directory"),
    ],
)
def test_bad_targets_are_refused(name, error, message, codes, tmp_path):
    with pytest.raises(error, match=message):
        write_codes(tmp_path / name, [Block(codes, None)], 40)


def test_a_failed_write_leaves_the_old_file_whole(codes, tmp_path):
    path = tmp_path / "codes.csv"
    path.write_text("old")

    def blocks():
        yield Block(codes, None)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_codes(path, blocks(), 40)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
