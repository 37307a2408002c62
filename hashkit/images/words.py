"""Searching pictures by words: the interface for a model that puts texts where an image model puts pictures.

hashkit brings no such model. One is any function from a list of texts to an array of shape (n, n_dims), of the very
model with which the gallery was indexed: the other half of a text-image model.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

TextModel = Callable[[list[str]], Any]


def load_text_model(name: str) -> TextModel:
    """The function that ``module:function`` names.

    Raises
    ------
    ValueError
        If the name has another form, there is no such module or function, or it cannot be called.
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise ValueError(f"text model must be module:function, got {name!r}")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"there is no text model {name!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"the text model {name!r} must be a function of texts, got {type(found).__name__}")
    model: TextModel = found
    return model


def row_of_text(model: TextModel, text: str, n_dims: int) -> NDArray[np.float32]:
    """The row of one text, checked: the index's rows have `n_dims` values.

    Raises
    ------
    ValueError
        If the model returns anything else, or a value that is not finite.
    """
    rows = np.asarray(model([text]))
    if rows.shape != (1, n_dims) or rows.dtype.kind not in "fiu":
        raise ValueError(
            f"the text model must return an array of shape (1, {n_dims}) for one text, as the index's model does, "
            f"got shape {rows.shape} and dtype {rows.dtype}"
        )
    row: NDArray[np.float32] = rows[0].astype(np.float32)
    if not np.isfinite(row).all():
        raise ValueError("the text model must return finite values")
    return row
