"""Feeds the loader with files that atheris makes up: `python tests/fuzz_loader.py CORPUS -max_total_time=300`.

A file is refused with FormatError, or is an index that answers and saves. All else is a defect: another exception, a
crash, a hang. What follows the first byte is the file; the byte says whether its checksums are repaired first, so that
also the checks behind them are reached. The folder CORPUS begins with the golden files, and small ones with tables and
with cells.
"""

import sys
import tempfile
import zlib
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["hashkit"]):
    import hashkit
    from hashkit import _native
    from hashkit.storage import FormatError
    from hashkit.storage import header as _header

FOLDER = tempfile.TemporaryDirectory()
FILE = Path(FOLDER.name) / "file"


def repaired(data):
    """`data` with fitting checksums where it is nearly a file of ours. Arrays stay where they are."""
    try:
        n_bytes = int.from_bytes(data[:8], "little")
        header = _header._parse_object(data[8 : 8 + n_bytes], "header")
        if _header.BLOCK_SUMS in header:
            begin, end = (8 + n_bytes + offset for offset in header[_header.BLOCK_SUMS]["data_offsets"])
            sums = _native.block_sums(np.frombuffer(data[8 + n_bytes : begin], np.uint8), 1).tobytes()
            data = data[:begin] + sums[: end - begin] + data[begin + len(sums[: end - begin]) :]
        checksums = {}
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                checksums[name] = f"{zlib.crc32(data[8 + n_bytes :][begin:end]):08x}"
        header["__metadata__"]["checksums"] = _header._compact(checksums).decode()
        header["__metadata__"]["header_checksum"] = _header._header_checksum(header)
        text = _header._compact(header)
    except (FormatError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return data
    text = text.ljust(n_bytes)
    return len(text).to_bytes(8, "little") + text + data[8 + n_bytes :]


def load(data):
    FILE.write_bytes(repaired(data[1:]) if data[:1] > b"\x7f" else data[1:])
    for mmap in (False, True):
        try:
            index = hashkit.Index.load(FILE, mmap=mmap)
            queries = index.get(index.ids[:2])
            index.query(queries, 5, n_threads=1)
            if index.metric == "hamming":
                index.query(queries, 5, max_candidates=10**6, n_threads=1)
                index.query(queries, 5, recall=0.9, n_threads=1)
            index.remove(index.ids[:1])
            index.save(FILE)
        except FormatError:
            pass


def small_files():
    """The golden files, and of this version one with tables, one with compact tables, and one with cells, by name."""
    files = {golden.name: golden.read_bytes() for golden in (Path(__file__).parent / "index" / "data").iterdir()}
    codes = np.random.default_rng(0).integers(256, size=(150, 2), dtype=np.uint8)
    long_codes = np.random.default_rng(0).integers(256, size=(150, 96), dtype=np.uint8)
    for name, index in {
        "tables": hashkit.Index(codes, method="mih"),
        "compact": hashkit.Index(codes, n_bits=16, method="mih", compact=True),
        "cells": hashkit.Index(long_codes, method="cells"),
    }.items():
        index.query(index.get(index.ids[:2]), 5, recall=0.9)
        index.save(FILE, tables=True)
        files[name] = FILE.read_bytes()
    return files


def main():
    corpus = Path(sys.argv[1])
    corpus.mkdir(exist_ok=True)
    for name, golden in small_files().items():
        for first in (b"\x00", b"\xff"):
            (corpus / f"{name}-{first.hex()}").write_bytes(first + golden)
    atheris.Setup(sys.argv, load)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
