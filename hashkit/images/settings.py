"""Settings of a gallery, kept in one small file that is replaced in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from PIL import Image

from hashkit.checks import check_n_bits
from hashkit.hashers import hasher_class
from hashkit.images.files import MARKER
from hashkit.images.models import DEFAULT_MODEL, Model, make_model
from hashkit.storage import FormatError
from hashkit.storage.layout import LOCK
from hashkit.storage.replacing import NAME, replace_file

VERSION = 1


@dataclass(frozen=True)
class Settings:
    """The file `MARKER` in a gallery's folder.

    Attributes
    ----------
    folder : str
        Where the pictures are.
    model : str
        Name of what turns them into rows.
    n_bits : int
        Length of the codes.
    method : str
        Name of the hasher; ``""`` where the model gives codes.
    keep_features : bool
        Whether features stay on disk once they are encoded.
    generation : int
        Number of the codes and hasher that count; 0 before there are any.
    fitted_method : str
        The method that made them: `method`, or a simpler one if there were too few pictures to learn from.
    """

    folder: str
    model: str
    n_bits: int
    method: str
    keep_features: bool = True
    generation: int = 0
    fitted_method: str = ""


def read_settings(path: str) -> Settings:
    """The settings of the gallery at `path`.

    Raises
    ------
    FileNotFoundError
        If there is no gallery.
    FormatError
        If its file is damaged, or made by a newer hashkit.
    """
    file = os.path.join(path, MARKER)
    if not os.path.exists(file):
        raise FileNotFoundError(
            f"there is no gallery at {path!r}; make one with: hashkit images index FOLDER -o {path}"
        )
    try:
        with open(file, encoding="utf-8") as stream:
            values = json.load(stream)
        version = values.pop("version")
        if version == VERSION:
            return _checked(Settings(**values))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{file!r} is damaged: {error}") from error
    raise FormatError(f"{file!r} has version {version!r}: this hashkit reads version {VERSION}")


def write_settings(path: str, settings: Settings) -> None:
    """Replace the settings of the gallery at `path`."""
    text = json.dumps({"version": VERSION, **asdict(settings)}, indent=2)
    replace_file(os.path.join(path, MARKER), [text.encode()])


def check_model(model: Model, settings: Settings) -> Model:
    """`model`, if it is the one that a gallery was made with."""
    if model.name != settings.model:
        raise ValueError(f"the index was made with the model {settings.model!r}, not with {model.name!r}")
    return model


def codes_path(path: str, settings: Settings) -> str:
    """The collection that counts."""
    return os.path.join(path, f"codes-{settings.generation}")


def hasher_path(path: str, settings: Settings) -> str:
    """The hasher that counts."""
    return os.path.join(path, f"hasher-{settings.generation}.safetensors")


def settle(
    path: str,
    folder: str,
    model: object,
    transform: Callable[[Image.Image], Any] | None,
    device: str,
    given: dict[str, Any],
) -> tuple[Settings, Model]:
    """The settings of the gallery at `path`, or new ones, with its model; what is `given` must fit them.

    Raises
    ------
    ValueError
        If the gallery was made with other settings than those given, or those given do not go together.
    FileExistsError
        If `path` holds something else.
    """
    if os.path.exists(os.path.join(path, MARKER)):
        settings = read_settings(path)
        wanted = settings.model if model is None else model
        made = check_model(make_model(wanted, transform=transform, device=device), settings)
        for name, value in given.items():
            if value not in (None, getattr(settings, name)):
                raise ValueError(f"the index {path!r} was made with {name} {getattr(settings, name)!r}, got {value!r}")
        return _at_folder(settings, path, folder), made
    if os.path.isdir(path) and not all(name == LOCK or NAME.fullmatch(name) for name in os.listdir(path)):
        raise FileExistsError(f"{path!r} is a folder of something else: an index needs one of its own")
    made = make_model(DEFAULT_MODEL if model is None else model, transform=transform, device=device)
    given = {name: value for name, value in given.items() if value is not None}
    if made.gives_codes and (given.get("n_bits", 64) != 64 or "method" in given):
        raise ValueError(f"the model {made.name!r} gives codes of 64 bits: n_bits and method are for features")
    defaults = {"n_bits": 64, "method": "" if made.gives_codes else "udhpl", "keep_features": not made.gives_codes}
    settings = Settings(folder, made.name, **{**defaults, **given})
    check_n_bits(settings.n_bits)
    if settings.method:
        hasher_class(settings.method)
    return settings, made


def _checked(settings: Settings) -> Settings:
    for name, kind in Settings.__annotations__.items():
        if type(getattr(settings, name)).__name__ != kind:
            raise TypeError(f"{name} must be of type {kind}, got {getattr(settings, name)!r}")
    return settings


def _at_folder(settings: Settings, path: str, folder: str) -> Settings:
    """The settings for a folder that may have moved; another folder, while the first is there, is a mistake."""
    if os.path.exists(settings.folder) and not os.path.samefile(settings.folder, folder):
        raise ValueError(f"{path!r} is the index of {settings.folder!r}, not of {folder!r}")
    return replace(settings, folder=folder)
