"""Models from pictures to features: EfficientNet-Lite0, a network or function of the user, or a perceptual hash."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hashkit.checks import check_choice
from hashkit.extras import require
from hashkit.images.phash import PERCEPTUAL_HASHES

__all__ = ["DEFAULT_MODEL", "Model", "make_model"]

DEFAULT_MODEL = "efficientnet-lite0"
LEAST_SIDE = 448  # twice that of the pictures that a network sees


@dataclass(frozen=True)
class Model:
    """A map from pictures to rows.

    Attributes
    ----------
    name : str
        What an index remembers, so that rows of different models never meet in it.
    prepare : function
        From one picture to whatever `run` takes; called by several threads.
    run : function
        From a list of prepared pictures to an array of shape (n, n_dims): float32 features, or uint8 codes.
    gives_codes : bool
        Whether the rows are codes already, which need no hasher.
    least_side : int or None
        The size below which a JPEG must not be decoded smaller than it is; None for no such short cut.
    alone : bool
        Whether every picture passes alone, on one thread, in which case `run` is called by several threads; else it is
        called by one at a time, with a whole batch.
    """

    name: str
    prepare: Callable[[Image.Image], Any]
    run: Callable[[list[Any]], NDArray[Any]]
    gives_codes: bool = False
    least_side: int | None = None
    alone: bool = False


def make_model(
    model: object = DEFAULT_MODEL,
    *,
    transform: Callable[[Image.Image], Any] | None = None,
    device: str = "auto",
    name: str | None = None,
) -> Model:
    """Return the `Model` for a name, a network or a function.

    Parameters
    ----------
    model : str, torch.nn.Module, callable or Model
        ``"efficientnet-lite0"`` (1,280 features, ImageNet weights, no network needed), ``"dct"`` or ``"difference"``
        (perceptual hashes, see :mod:`hashkit.images.phash`); a network that maps a batch of tensors to rows; or a
        function from a list of RGB pictures to an array of shape (n, n_dims).
    transform : callable, optional
        From a picture to a network's tensor, without the batch's dimension; by default that of EfficientNet-Lite0.
    device : str
        Where a network runs; ``"auto"`` is CUDA where there is one, else the CPU.
    name : str, optional
        For a network or function of one's own, the name that an index remembers; by default that of its class or
        function.

    Raises
    ------
    ValueError
        If there is no model of that name, or it takes no transform.
    ImportError
        If the packages of EfficientNet-Lite0 are not installed.
    TypeError
        If `model` is none of these.
    """
    if isinstance(model, Model):
        return model
    if isinstance(model, str):
        if transform is not None or name is not None:
            raise ValueError(f"transform and name are for a model of one's own, not for {model!r}")
        return _named(model, device)
    if not callable(model):
        raise TypeError(
            f"model must be a name, a torch.nn.Module or a function of pictures, got {type(model).__name__}"
        )
    name = str(name or getattr(model, "__name__", type(model).__name__))
    if hasattr(model, "state_dict"):
        return _network(model, transform, device, name)
    if transform is not None:
        raise ValueError("transform is for a network; a function is given the pictures themselves")
    return Model(name, _same, _rows_of(model))


def _named(name: str, device: str) -> Model:
    if name in PERCEPTUAL_HASHES:
        return Model(name, PERCEPTUAL_HASHES[name], np.stack, gives_codes=True, alone=True)
    check_choice(name, "model", (DEFAULT_MODEL, *PERCEPTUAL_HASHES))
    from hashkit.images.networks import EfficientNetFeatures

    return _network(EfficientNetFeatures(), None, device, name)


def model_of_one_picture() -> Model:
    """The default model without torch, which takes two seconds to import, for a few pictures.

    Its features differ from those of the default model by rounding.

    Raises
    ------
    ImportError
        If the packages of EfficientNet-Lite0 are not installed.
    ValueError
        If they are others than those that hashkit is made for.
    """
    from hashkit.images import lite0

    network = lite0.load()
    return Model(
        DEFAULT_MODEL,
        lite0.scaled,
        lambda pictures: np.stack([network(one) for one in pictures]),
        least_side=LEAST_SIDE,
    )


def _network(network: Any, transform: Callable[[Image.Image], Any] | None, device: str, name: str) -> Model:
    require("torch", f"the model {name}", "images")
    from hashkit.images import networks

    where = networks.resolve_device(device)
    alone = name == DEFAULT_MODEL and where == "cpu"
    run = networks.runner(network, where, alone=alone)
    return Model(name, transform or networks.scale_pixels, run, least_side=LEAST_SIDE, alone=alone)


def _rows_of(function: Callable[[list[Image.Image]], Any]) -> Callable[[list[Any]], NDArray[Any]]:
    lock = threading.Lock()

    def run(pictures: list[Any]) -> NDArray[Any]:
        with lock:
            rows = np.asarray(function(pictures))
        if rows.ndim != 2 or len(rows) != len(pictures) or rows.dtype.kind not in "fiu":
            raise ValueError(
                f"the model must return {len(pictures)} rows of numbers for as many pictures, "
                f"got shape {rows.shape} and dtype {rows.dtype}"
            )
        return rows.astype(np.float32)

    return run


def _same(image: Image.Image) -> Image.Image:
    return image
