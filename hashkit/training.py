"""An earlier name for what is now in `hashkit.networks`, and for `hashkit.udhpl.train_image_network`."""

from __future__ import annotations

from typing import Any

from hashkit import networks, udhpl

_HOMES = {
    "DivergedError": networks,
    "EpochReport": networks,
    "TrainingConfig": networks,
    "encode_images": networks,
    "train": networks,
    "train_image_network": udhpl,
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(_HOMES[name], name)
    raise AttributeError(f"module 'hashkit.training' has no attribute {name!r}")
