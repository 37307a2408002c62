"""Networks that learn codes: the training loop, its losses and checkpoints. Only this room imports torch."""

from __future__ import annotations

import importlib
from typing import Any

from hashkit.extras import require

# Public name -> its module. Loaded on first use, since torch is heavy.
_HOMES = {
    "DivergedError": "loop",
    "EpochReport": "loop",
    "TrainingConfig": "configuration",
    "encode_images": "images",
    "train": "loop",
    "train_backbone": "images",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        require("torch", f"hashkit.networks.{name}", "learn")
        return getattr(importlib.import_module(f"hashkit.networks.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hashkit.networks' has no attribute {name!r}")
