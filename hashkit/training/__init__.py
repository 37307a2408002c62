"""Learning from unlabeled features: pseudo labels, and the networks that learn from them."""

from __future__ import annotations

import importlib
from typing import Any

# Public name -> its module. Loaded on first use: pseudo labels are found without torch.
_HOMES = {
    "DivergedError": "loop",
    "EpochReport": "loop",
    "TrainingConfig": "loop",
    "encode_images": "images",
    "train": "loop",
    "train_image_network": "images",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"hashkit.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hashkit.training' has no attribute {name!r}")
