"""
UDHPL, the main method of this project: `method` is the whole on one page, and each stage has a file.

In the order of the data flow: `reduce`, `graph`, `labels` (with `evidence`), `projection`, `rotation` (these three in
turn in `alternation`), `targets`, `network`, `selection`. Every constant is in `configuration`.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Configuration": "configuration",
    "ImageHasher": "image_hasher",
    "UDHPL": "estimator",
    "train_image_network": "images",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"hashkit.udhpl.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hashkit.udhpl' has no attribute {name!r}")
