"""`hashkit info`: what a file holds, and what this installation runs on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import hashkit
from hashkit import _native, collection, storage
from hashkit.checks import check_n_threads
from hashkit.tables import arrow
from hashkit.tables.rows import map_npy


def describe_file(path: Path | None) -> str:
    """Describe a file or a collection's folder, after checking all of it, or this installation."""
    if path is None:
        return describe_installation()
    ending = path.suffix.lower()
    if ending == ".npy":
        array = map_npy(path)
        packed = array.dtype == np.uint8 and array.ndim == 2
        kind = f": {len(array):,} codes of up to {8 * array.shape[1]} bits" if packed else ""
        return f"{path}: array of shape {array.shape} and dtype {array.dtype}{kind}"
    if ending in arrow.PARQUET + arrow.ARROW:
        return _describe_arrow(path, ending in arrow.PARQUET)
    if path.is_dir():
        facts = [f"  {name}: {value}" for name, value in collection.describe(path).items()]
        return "\n".join([f"{path}: collection", *facts, "contents: whole"])
    return _describe_tensors(path)


PACKAGES = ("scikit-learn", "torch", "pyarrow", "matplotlib", "pillow", "ray", "tqdm", "typer")
"""What hashkit uses where it is installed."""


def describe_installation() -> str:
    """Versions, instruction sets and CPUs: what a bug report needs."""
    forced = os.environ.get("HASHKIT_ISA")
    return "\n".join(
        [
            f"hashkit {hashkit.__version__}, Python {platform.python_version()}, numpy {np.__version__}",
            f"platform: {platform.platform()}, {platform.python_implementation()}, {platform.machine()}",
            f"instruction sets: {', '.join(_native.supported_isas())}; in use: {_native.default_isa()}"
            + (f" (HASHKIT_ISA={forced})" if forced else ""),
            f"CPUs for this process: {check_n_threads(None)}",
            f"packages: {', '.join(_version(name) for name in PACKAGES)}",
            f"installed in: {Path(hashkit.__file__).parent}",
        ]
    )


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"no {package}"


def _describe_arrow(path: Path, parquet: bool) -> str:
    """The columns of a Parquet or Arrow file, and what hashkit reads each as."""
    schema, n_rows, _ = arrow.open_file(str(path), parquet=parquet)
    size = "" if n_rows is None else f", {n_rows:,} rows"
    name = "Parquet" if parquet else "Arrow"
    lines = [f"{path}: {name} file{size}, {len(schema):,} columns", "columns:"]
    return "\n".join([*lines, *(f"  {field.name}: {field.type}{_use(field)}" for field in schema)])


def _use(field: Any) -> str:
    import pyarrow as pa

    kind = field.type
    if arrow.holds_features(kind):
        width = f" of {kind.list_size:,} dimensions" if pa.types.is_fixed_size_list(kind) else ""
        return f" (features{width})"
    if pa.types.is_fixed_size_binary(kind):
        return f" (codes of {arrow.n_bits_of(field, kind.byte_width)} bits)"
    if arrow.holds_codes(kind):
        return " (codes of 64 bits)" if kind == pa.uint64() else " (codes)"
    if pa.types.is_integer(kind) or arrow.holds_text(kind):
        return " (ids or labels)"
    return ""


def _describe_tensors(path: Path) -> str:
    file = storage.open_tensors(path)
    if file.kind == "index":
        hashkit.Index.load(path)
    file.verify()
    settings = [f"  {name}: {_plain(value)}" for name, value in sorted(file.settings.items())]
    arrays = [f"  {name}: {array.dtype} {array.shape}" for name, array in sorted(file.tensors.items())]
    head = f"{path}: {file.kind}, format version {file.version}"
    return "\n".join([head, "settings:", *settings, "arrays:", *arrays, "contents: whole"])


def _plain(value: Any) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted(value.items())) if isinstance(value, dict) else f"{value}"
