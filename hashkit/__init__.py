"""Short binary codes from features without labels, and their exact search.

>>> import hashkit
>>> hasher = hashkit.fit(features, n_bits=64)
>>> codes = hasher.encode(features)
>>> distances, ids = hashkit.Index(codes).query(hasher.encode(queries), k=100)
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
    "Index": "hashkit.index",
    "PCASign": "hashkit.hashers",
    "PairBlock": "hashkit.index",
    "RadiusResult": "hashkit.index",
    "RandomHyperplanes": "hashkit.hashers",
    "fit": "hashkit.hashers",
    "hamming_distances": "hashkit.codes",
    "load": "hashkit.hashers",
    "merge": "hashkit.index.merging",
    "merge_radius": "hashkit.index.merging",
    "pack": "hashkit.codes",
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
    "training",
    "udhpl",
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
