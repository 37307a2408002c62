"""A user's script, for type checkers in their strictest mode: tests/test_typing.py."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hashkit
from hashkit.evaluation import comparison, mean_average_precision, results


class Rotated(hashkit.OwnHasher, method="rotated"):
    """A method of one's own."""

    weights_: NDArray[np.float64]

    def learn(self, rows: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Draw directions."""
        self.weights_ = rng.standard_normal((rows.shape[1], self.n_bits))

    def apply(self, rows: NDArray[np.float32]) -> NDArray[Any]:
        """Project rows."""
        return rows @ self.weights_


def search(features: NDArray[np.float32], path: Path) -> NDArray[np.int64]:
    """Fit, encode, search, and keep."""
    hasher: hashkit.Hasher = hashkit.fit(features, n_bits=32, method="rotated")
    codes: NDArray[np.uint8] = hasher.encode(features)
    hasher.save(path / "hasher")
    index = hashkit.Index(codes, ids=np.arange(len(codes)))
    distances, ids = index.query(codes[:3], k=10)
    within: hashkit.RadiusResult = index.radius(codes[:3], 2)
    first: tuple[NDArray[np.int32], NDArray[np.int64]] = within[0]
    for block in index.pairs(2):
        print(block.left, block.right, block.distances)
    with hashkit.Collection(path / "collection", n_bits=32) as collection:
        collection.add(codes)
    near: NDArray[np.int32] = distances
    print(near.mean(), first, hashkit.load(path / "hasher").n_bits_)
    return ids


def measure(dataset: hashkit.datasets.Dataset) -> float:
    """Compare methods."""
    split = comparison.split_dataset(dataset, 10)
    found = results.compare(split, ["rotated", "itq"], [16], seeds=[0, 1])
    print(results.to_markdown(found, 1000), hashkit.pack(dataset.features))
    assert split.labels is not None
    codes = hashkit.fit(split.items, method="itq").encode(split.items)
    return mean_average_precision(codes[:5], codes, split.labels[:5], split.labels, k=10).value
