"""Beyond one machine, on Ray: fit and encode data sets of any size, build shards, and search them as one index.

Needs Ray, the extra `ray`. The results equal those of a single machine, bit for bit; Ray provides
scheduling, retries and machines.

>>> import ray, hashkit.scale  # doctest: +SKIP
>>> dataset = ray.data.read_parquet("features/")  # doctest: +SKIP
>>> hasher = hashkit.scale.fit(dataset, ids="id", n_bits=64)  # doctest: +SKIP
>>> codes = hashkit.scale.encode(dataset, hasher, path="codes/")  # doctest: +SKIP
>>> hashkit.scale.build(codes, "shards/", 16)  # doctest: +SKIP
>>> with hashkit.scale.ShardedIndex("shards/") as index:  # doctest: +SKIP
...     distances, ids = index.query(queries, k=100)
"""

from __future__ import annotations

import importlib
from typing import Any

from hashkit.extras import needs_extra

_HOMES = {
    "MissingShardsError": "dispatch",
    "ShardedIndex": "sharded_index",
    "build": "shards",
    "build_vectors": "vectors",
    "encode": "encoding",
    "fit": "sampling",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hashkit.scale' has no attribute {name!r}")
    with needs_extra("hashkit.scale", "ray"):
        importlib.import_module("ray")
        return getattr(importlib.import_module(f"hashkit.scale.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
