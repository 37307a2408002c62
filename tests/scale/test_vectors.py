"""A vector index of a data set on Ray: what a build of the same rows makes, also after it was cut off."""

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("ray")

import hashkit.scale  # noqa: E402
from hashkit.vectors import VectorIndex, building  # noqa: E402


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((1500, 16)).astype(np.float16)


def dataset_of(ray, vectors, cuts):
    tables = [
        pa.table({"features": pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), part.shape[1])})
        for part in np.split(vectors, cuts)
    ]
    return ray.data.from_arrow(tables)


def test_an_index_of_a_data_set_is_that_of_its_rows(ray_cluster, vectors, tmp_path, monkeypatch):
    expected = VectorIndex.build(iter([vectors]), tmp_path / "expected", recall=0.9)
    dataset = dataset_of(ray_cluster, vectors, [100, 900])
    before = dataset.context.execution_options.preserve_order
    monkeypatch.setattr(building, "encode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hashkit.scale.build_vectors(dataset, tmp_path / "built", recall=0.9)
    monkeypatch.undo()
    built = hashkit.scale.build_vectors(dataset, tmp_path / "built", batch_size=300, recall=0.9)
    np.testing.assert_equal(built.query(vectors[:20], 5), expected.query(vectors[:20], 5))
    assert built.describe()["recall"] == expected.describe()["recall"]
    assert dataset.context.execution_options.preserve_order == before


def test_data_sets_are_refused(ray_cluster, vectors, tmp_path):
    dataset = dataset_of(ray_cluster, vectors, [700])
    with pytest.raises(ValueError, match="dataset must have a column 'embedding'"):
        hashkit.scale.build_vectors(dataset, tmp_path / "built", column="embedding")
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        hashkit.scale.build_vectors(dataset, tmp_path / "built", batch_size=0)
    numbers = ray_cluster.data.from_arrow(pa.table({"features": [1, 2, 3]}))
    with pytest.raises(TypeError, match="column 'features' must hold vectors"):
        hashkit.scale.build_vectors(numbers, tmp_path / "built")
