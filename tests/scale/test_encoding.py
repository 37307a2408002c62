"""Encoding a data set: the codes of plain `encode`, in files that are not made twice."""

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("ray")

import hashkit  # noqa: E402
import hashkit.scale  # noqa: E402
from hashkit import interop  # noqa: E402
from hashkit.scale.columns import feature_matrix  # noqa: E402
from hashkit.scale.encoding import _Encoder  # noqa: E402


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).standard_normal((1000, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def hasher(features):
    return hashkit.fit(features, n_bits=10, method="itq")


def table_of(ids, features):
    flat = pa.array(np.ascontiguousarray(features).reshape(-1))
    return pa.table({"id": ids, "features": pa.FixedSizeListArray.from_arrays(flat, features.shape[1])})


def dataset_of(ray, features, cuts):
    ids = np.arange(len(features)) * 3 - 7
    return ray.data.from_arrow(
        [table_of(i, x) for i, x in zip(np.split(ids, cuts), np.split(features, cuts), strict=True)]
    )


def assert_codes(dataset, hasher, features):
    blocks = [interop.from_arrow(block) for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow")]
    ids, codes = np.concatenate([block.ids for block in blocks]), np.concatenate([block.codes for block in blocks])
    order = np.argsort(ids)
    np.testing.assert_array_equal(ids[order], np.arange(len(features)) * 3 - 7)
    np.testing.assert_array_equal(codes[order], hasher.encode(features))
    assert {block.n_bits for block in blocks} == {10}


@pytest.mark.parametrize("kind", ["fixed", "list", "large_list", "chunks", "slice", "tensor"])
def test_vectors_are_read_as_they_come(rng, kind):
    expected = rng.standard_normal((6, 4)).astype(np.float32)
    flat = pa.array(expected.reshape(-1))
    fixed = pa.FixedSizeListArray.from_arrays(flat, 4)
    column = {
        "fixed": lambda: fixed,
        "list": lambda: fixed.cast(pa.list_(pa.float32())),
        "large_list": lambda: fixed.cast(pa.large_list(pa.float32())),
        "chunks": lambda: pa.chunked_array([fixed[:2], fixed[2:2], fixed[2:].cast(fixed.type)]),
        "slice": lambda: pa.FixedSizeListArray.from_arrays(pa.concat_arrays([flat[:8], flat]), 4)[2:],
        "tensor": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(expected),
    }[kind]()
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    np.testing.assert_array_equal(feature_matrix(chunked, "features"), expected)


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (pa.array([1.0, 2.0]), TypeError, "column 'x' must hold vectors, that is lists of numbers or tensors"),
        (pa.array([["a"], ["b"]]), TypeError, "vectors of numbers without nulls"),
        (pa.array([[1.0, None], [1.0, 2.0]]), TypeError, "vectors of numbers without nulls"),
        (pa.array([[1.0], [1.0, 2.0]]), ValueError, "vectors of one length"),
        (pa.array([[1.0], [1.0, 2.0, 3.0]]), ValueError, "vectors of one length"),
        (pa.chunked_array([[[1.0]], [[1.0, 2.0]]]), ValueError, "vectors of one length, got 1 and others"),
    ],
)
def test_what_are_no_vectors_is_explained(column, error, message):
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    with pytest.raises(error, match=message):
        feature_matrix(chunked, "x")


def test_bad_blocks_are_explained(features, hasher):
    encoder = _Encoder(hasher, "features", "id", 4, None)
    with pytest.raises(ValueError, match="dataset must have a column 'features', it has"):
        encoder(pa.table({"id": [1]}))
    with pytest.raises(ValueError, match="column 'id' must have no nulls"):
        encoder(table_of(pa.array([1, None]), features[:2]))
    with pytest.raises(TypeError, match="column 'id' must be an int64 array"):
        encoder(table_of(pa.array([1.5, 2.5]), features[:2]))
    broken = features[:10].copy()
    broken[6, 2] = np.nan
    with pytest.raises(ValueError, match=r"row 2 .*\(of the 4 rows that begin with id 104\)"):
        encoder(table_of(np.arange(100, 110), broken))


def test_codes_are_those_of_encode(ray_cluster, features, hasher):
    dataset = hashkit.scale.encode(dataset_of(ray_cluster, features, [300, 301]), hasher, batch_size=64)
    assert_codes(dataset, hasher, features)


def test_what_was_done_is_not_done_again(ray_cluster, tmp_path, features, hasher):
    dataset, folder = dataset_of(ray_cluster, features, [300, 301, 700]), tmp_path / "codes"
    assert_codes(hashkit.scale.encode(dataset, hasher, path=folder), hasher, features)
    parts = sorted(folder.glob("part-*.parquet"))
    assert len(parts) == 4
    assert sorted(path.name for path in folder.iterdir()) == ["encoded.json", *[path.name for path in parts]]
    parts[1].unlink()
    before = {path: path.stat().st_mtime_ns for path in parts if path.exists()}
    assert_codes(hashkit.scale.encode(dataset, hasher, path=folder), hasher, features)
    assert sorted(folder.glob("part-*.parquet")) == parts
    assert {path: path.stat().st_mtime_ns for path in before} == before

    other = hashkit.fit(features, n_bits=10, method="random_hyperplanes", random_state=1)
    with pytest.raises(ValueError, match="holds the codes of another hasher"):
        hashkit.scale.encode(dataset, other, path=folder)
    (folder / "part-0.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must hold this data set alone, part-0.parquet has rows of another"):
        hashkit.scale.encode(dataset, hasher, path=folder)


def test_foreign_folders_and_empty_data_sets_are_refused(ray_cluster, tmp_path, features, hasher):
    (tmp_path / "part-1.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match="must be a new folder or one that encode made"):
        hashkit.scale.encode(dataset_of(ray_cluster, features, [1]), hasher, path=tmp_path)
    with pytest.raises(ValueError, match="dataset must not be empty"):
        hashkit.scale.encode(dataset_of(ray_cluster, features[:0], []), hasher, path=tmp_path / "codes")
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        hashkit.scale.encode(dataset_of(ray_cluster, features[:0], []), hasher, batch_size=0)
