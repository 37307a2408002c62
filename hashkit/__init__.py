"""Short binary codes from features without labels, and their exact search.

>>> import numpy as np
>>> import hashkit
>>> features = np.random.default_rng(0).standard_normal((300, 128))
>>> hasher = hashkit.fit(features, n_bits=64, method="itq")
>>> codes = hasher.encode(features)
>>> distances, ids = hashkit.Index(codes).query(hasher.encode(features[:5]), k=10)
>>> ids[:, 0]
array([0, 1, 2, 3, 4])
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> the module that defines it. Loaded on first use, so that `import hashkit` stays light:
# it loads neither torch nor scikit-learn.
_HOMES = {
    "Collection": "hashkit.collection",
    "ITQ": "hashkit.hashers",
    "UDHPL": "hashkit.hashers",
    "Hasher": "hashkit.hashers",
    "ImageHasher": "hashkit.udhpl",
    "Index": "hashkit.index",
    "OwnHasher": "hashkit.hashers",
    "PCASign": "hashkit.hashers",
    "PairBlock": "hashkit.index",
    "RadiusResult": "hashkit.index",
    "RandomHyperplanes": "hashkit.hashers",
    "Sign": "hashkit.hashers",
    "VectorIndex": "hashkit.vectors",
    "fit": "hashkit.hashers",
    "hamming_distances": "hashkit.codes",
    "load": "hashkit.hashers",
    "merge": "hashkit.index.merging",
    "merge_radius": "hashkit.index.merging",
    "pack": "hashkit.codes",
    "rescore": "hashkit.vectors",
    "suggest_bits": "hashkit.vectors",
    "unpack": "hashkit.codes",
}
# Public rooms, loaded on first use too: after `import hashkit`, `hashkit.evaluation` is there.
_ROOMS = (
    "codes",
    "datasets",
    "evaluation",
    "hashers",
    "images",
    "index",
    "interop",
    "networks",
    "scale",
    "storage",
    "tables",
    "training",
    "udhpl",
    "vectors",
)

__all__ = [*sorted([*_HOMES, *_ROOMS]), "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"hashkit.{name}")
    raise AttributeError(f"module 'hashkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_ROOMS})
