"""A folder on a local disk, or on any file system that pyarrow or fsspec supports."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyarrow import fs

from hashkit.checks import describe
from hashkit.storage.replacing import Replacement


@dataclass(frozen=True)
class Place:
    """A folder `folder` of `filesystem`. A file appears in it complete or not at all."""

    filesystem: fs.FileSystem
    folder: str

    @classmethod
    def of(cls, path: str | os.PathLike[str], filesystem: Any = None) -> Place:
        """Make the place of a user's path.

        Parameters
        ----------
        path : str or path
            A local folder, a URI such as ``s3://bucket/folder``, or with `filesystem` a folder in it.
        filesystem : pyarrow.fs.FileSystem or fsspec file system, optional
        """
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"path must be a str or a path, got {describe(path)}")
        path = os.fspath(path)
        if filesystem is None:
            if "://" in path:
                return cls(*fs.FileSystem.from_uri(path))
            return cls(fs.LocalFileSystem(), os.path.abspath(path))
        if not isinstance(filesystem, fs.FileSystem):
            filesystem = fs.PyFileSystem(fs.FSSpecHandler(filesystem))
        return cls(filesystem, path.rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether its files can be mapped without a copy."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def join(self, name: str) -> str:
        """Return the path of the file `name`."""
        return f"{self.folder}/{name}"

    def make(self) -> None:
        """Create the folder if it does not exist."""
        self.filesystem.create_dir(self.folder, recursive=True)

    def sizes(self) -> dict[str, int]:
        """Return the size of every file in bytes, by name; empty if the folder does not exist."""
        infos = self.filesystem.get_file_info(fs.FileSelector(self.folder, allow_not_found=True))
        return {info.base_name: info.size for info in infos if info.type == fs.FileType.File}

    def read(self, name: str) -> bytes:
        """Return the content of the file `name`."""
        with self.filesystem.open_input_stream(self.join(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, data: bytes) -> None:
        """Create or replace the file `name`."""
        with self.replacing(name) as path, self.filesystem.open_output_stream(path) as stream:
            stream.write(data)

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[str]:
        """Yield a path to write to; it becomes the file `name` unless an error is raised."""
        if self.is_local:
            with Replacement(self.join(name), durable=False) as new:
                yield new.path
            return
        temporary = self.join(f".{name}.{secrets.token_hex(8)}.tmp")
        try:
            yield temporary
            self.filesystem.move(temporary, self.join(name))
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                self.filesystem.delete_file(temporary)
            raise

    @contextlib.contextmanager
    def local_copy(self, name: str) -> Iterator[str]:
        """Yield a local path of the file `name`, or of a copy deleted afterwards (a mapping stays valid)."""
        if self.is_local:
            yield self.join(name)
            return
        with tempfile.TemporaryDirectory(prefix="hashkit-") as folder:
            path = os.path.join(folder, name)
            fs.copy_files(self.join(name), path, source_filesystem=self.filesystem)
            yield path

    def put(self, name: str, path: str) -> None:
        """Create or replace the file `name` by the local file at `path`."""
        with self.replacing(name) as temporary:
            fs.copy_files(path, temporary, destination_filesystem=self.filesystem)
