"""The hashers by name, one method per file, and the functions `fit` and `load`."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from hashkit.checks import check_choice
from hashkit.extras import needs_extra

if TYPE_CHECKING:
    from hashkit.hashers.base import Hasher

# Method name -> module and class. Loaded on first use: some need torch.
METHODS = {
    "bi_half": ("hashkit.hashers.bi_half", "BiHalf"),
    "greedy_hash": ("hashkit.hashers.greedy_hash", "GreedyHash"),
    "itq": ("hashkit.hashers.itq", "ITQ"),
    "pca_sign": ("hashkit.hashers.pca_sign", "PCASign"),
    "random_hyperplanes": ("hashkit.hashers.random_hyperplanes", "RandomHyperplanes"),
    "rank_matching": ("hashkit.hashers.rank_matching", "RankMatching"),
    "sign": ("hashkit.hashers.sign", "Sign"),
    "spectral_hashing": ("hashkit.hashers.spectral", "SpectralHashing"),
    "udhpl": ("hashkit.udhpl", "UDHPL"),
}

_HOMES = {
    "Hasher": "hashkit.hashers.base",
    "OwnHasher": "hashkit.hashers.own",
    **{name: module for module, name in METHODS.values()},
}

__all__ = ["METHODS", "fit", "hasher_class", "load", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hashkit.hashers' has no attribute {name!r}")


def hasher_class(method: str) -> type[Hasher]:
    """The class of a method, by its name in `METHODS` or in the definition of an `OwnHasher`."""
    own = _own_methods()
    check_choice(method, "method", sorted([*METHODS, *own]))
    if method in own:
        return own[method]
    module, name = METHODS[method]
    with needs_extra(f"method {method!r}", None):
        found: type[Hasher] = getattr(importlib.import_module(module), name)
    return found


def _own_methods() -> dict[str, type[Hasher]]:
    """The methods that users have defined: none before the module of their base is loaded."""
    module = sys.modules.get("hashkit.hashers.own")
    return {} if module is None else dict(module.OWN)


def fit(
    features: npt.ArrayLike,
    *,
    n_bits: int = 64,
    method: str = "udhpl",
    random_state: Any = 0,
    progress: bool = False,
    **options: Any,
) -> Hasher:
    """
    Learn a hasher from features, without labels.

    Parameters
    ----------
    features : array, torch tensor or memory map of shape (n_rows, n_features)
        Finite features of float16, float32 or float64; read in blocks.
    n_bits : int
        Length of the codes.
    method : str
        A name in `hashkit.hashers.METHODS`, or of an `OwnHasher`.
    random_state : int, Generator, RandomState or None
        Seed; the same seed on the same machine gives the same codes.
    progress : bool
        Show progress bars, for methods that take long.
    **options
        Further parameters of the method's class.

    Returns
    -------
    Hasher
        Fitted; its `encode` gives packed codes.

    Raises
    ------
    ValueError
        If the method is unknown, a row is not finite, or there are too few rows or features for `n_bits`.
    TypeError
        If the method has no such option.
    """
    cls = hasher_class(method)
    known = cls._get_param_names()
    for name in options:
        if name not in known:
            raise TypeError(f"method {method!r} has no option {name!r}; it takes {', '.join(known)}")
    common = {"n_bits": n_bits, "random_state": random_state, "progress": progress}
    hasher = cls(**{name: value for name, value in common.items() if name in known}, **options)
    return hasher.fit(features)


def load(path: str | PathLike[str], *, backbone: Any = None) -> Hasher:
    """
    Read a hasher that `save` wrote.

    Parameters
    ----------
    path : path
    backbone : torch.nn.Module, optional
        For the file of an `ImageHasher`: a module built like the one that was trained. A copy of it gets the weights of
        the file, which holds no code.

    Raises
    ------
    hashkit.storage.FormatError
        If the file is cut off or is not a hasher's file, or if it holds parameters or arrays that no such hasher has.
        The message names them.
    TypeError
        If `backbone` is missing for an `ImageHasher`, or is given for another hasher.
    """
    from hashkit import storage
    from hashkit.hashers.arrays import FILE_KIND

    arrays, settings = storage.read_tensors(path, FILE_KIND)
    make = _maker(path, settings.get("method"), backbone)
    parameters = settings.get("parameters")
    if not isinstance(parameters, dict):
        raise storage.FormatError(f"{path}: parameters of the hasher are missing or wrong")
    try:
        hasher = make(**parameters)
        hasher._set_state(arrays, settings.get("n_features"))
    except (TypeError, ValueError, OverflowError) as error:
        raise storage.FormatError(f"{path}: settings or arrays of the hasher are missing or wrong: {error}") from error
    return hasher


def _maker(path: str | PathLike[str], method: object, backbone: Any) -> Callable[..., Hasher]:
    """What makes a hasher of a file's parameters; the file only names it."""
    from hashkit import storage

    if method == "ImageHasher":
        if backbone is None:
            raise TypeError(f"backbone must be given for {path}: it holds an ImageHasher's weights, and no code")
        image_hasher = importlib.import_module("hashkit.udhpl").ImageHasher
        image_hasher(backbone)._check_parameters((2, 1))
        return functools.partial(image_hasher, backbone)
    if backbone is not None:
        raise TypeError(f"backbone is for the file of an ImageHasher, but {path} holds {method!r}")
    methods = {name: method for method, (_, name) in METHODS.items()} | {f"own:{name}": name for name in _own_methods()}
    if isinstance(method, str) and method.startswith("own:") and method not in methods:
        name = method.removeprefix("own:")
        raise storage.FormatError(f"{path}: method {name!r} is not hashkit's: define or import its OwnHasher first")
    if not isinstance(method, str) or method not in methods:
        raise storage.FormatError(f"{path}: unknown hasher {method!r}")
    return hasher_class(methods[method])
