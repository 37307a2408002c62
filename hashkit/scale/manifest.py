"""The manifest of a set of shards: which files they are, and what they must be.

``manifest.json`` is a JSON object, written after the shards:

==============  =====================================================================================
``format``      ``hashkit-shards``
``version``     the format's version, 1
``n_bits``      length of the codes
``n_codes``     codes in all shards
``shards``      a list of objects: ``file``, ``n_codes``, ``n_bytes`` (of the file), ``checksums`` (those in the
                file's header, by array, see :mod:`hashkit.storage`), ``first_id`` and ``last_id`` (null if empty)
``checksum``    CRC-32 of this object without this entry, as compact JSON with sorted keys
==============  =====================================================================================
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hashkit.checks import check_n_bits
from hashkit.scale.places import Place
from hashkit.storage import FormatError, open_tensors

MANIFEST = "manifest.json"
FORMAT, VERSION = "hashkit-shards", 1


@dataclass(frozen=True)
class Shard:
    """One entry of a manifest."""

    file: str
    n_codes: int
    n_bytes: int
    checksums: dict[str, str]
    first_id: int | None
    last_id: int | None


@dataclass(frozen=True)
class Manifest:
    """What shards there are."""

    n_bits: int
    n_codes: int
    shards: tuple[Shard, ...]


def write_manifest(place: Place, manifest: Manifest) -> None:
    """Write the file that makes the shards in `place` one index."""
    content: dict[str, Any] = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    place.write(MANIFEST, json.dumps({**content, "checksum": _checksum(content)}, indent=1).encode())


def read_manifest(place: Place) -> Manifest:
    """The manifest in `place`.

    Raises
    ------
    FormatError
        If it is damaged, contradicts itself, or was made by a newer hashkit.
    FileNotFoundError
        If there is none.
    """
    path = place.join(MANIFEST)
    try:
        content = json.loads(place.read(MANIFEST))
        checksum, version = content.pop("checksum"), content.pop("version")
        named = content.pop("format")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {path!r}: no shards, or a build that was not finished") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{path!r} cannot be read: {error!r}") from None
    if named != FORMAT or type(version) is not int:
        raise FormatError(f"{path!r} is no manifest of shards")
    if version > VERSION:
        raise FormatError(
            f"{path!r} was made by a newer hashkit: it has format version {version}, this one reads {VERSION}"
        )
    if checksum != _checksum({"format": named, "version": version, **content}):
        raise FormatError(f"{path!r} is damaged: its checksum does not fit its contents")
    try:
        shards = tuple(_check_shard(Shard(**entry)) for entry in content.pop("shards"))
        manifest = Manifest(shards=shards, **content)
        fits = check_n_bits(manifest.n_bits) and manifest.n_codes == sum(shard.n_codes for shard in shards)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path!r} cannot be read: {error}") from None
    if not fits or not shards:
        raise FormatError(f"{path!r} contradicts itself")
    return manifest


def _check_shard(shard: Shard) -> Shard:
    """`shard`, if its file lies beside the manifest and its counts are numbers."""
    if not isinstance(shard.file, str) or os.path.basename(shard.file) != shard.file or shard.file in ("", ".", ".."):
        raise ValueError(f"{shard.file!r} is no file name")
    if type(shard.n_codes) is not int or type(shard.n_bytes) is not int or not isinstance(shard.checksums, dict):
        raise ValueError(f"the entry of {shard.file!r} is malformed")
    return shard


def check_shard_file(path: str, shard: Shard, n_bits: int) -> None:
    """Raise a FormatError unless the file at `path` matches its manifest entry; reads the header only."""
    if os.path.getsize(path) != shard.n_bytes:
        raise FormatError(f"{path!r} has {os.path.getsize(path)} bytes, the manifest lists {shard.n_bytes}")
    file = open_tensors(path, "index")
    if file.checksums != shard.checksums or file.settings.get("n_bits") != n_bits:
        raise FormatError(f"{path!r} is not the file of the manifest: its checksums are others")


def name_files(files: Sequence[str]) -> str:
    """List files for a message, at most five by name."""
    shown = ", ".join(files[:5])
    return shown if len(files) <= 5 else f"{shown} and {len(files) - 5} more"


def _checksum(content: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content, sort_keys=True, separators=(',', ':')).encode()):08x}"
