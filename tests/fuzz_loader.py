"""Feeds the loader with files that atheris makes up: `python tests/fuzz_loader.py CORPUS -max_total_time=300`.

A file is refused with FormatError, or is an index that answers and saves. All else is a defect: another exception, a
crash, a hang. What follows the first byte is the file; the byte says whether its checksums are repaired first, so that
also the checks behind them are reached. The folder CORPUS begins with the golden files.
"""

import sys
import tempfile
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hashkit"]):
    import hashkit
    from hashkit.storage import FormatError
    from hashkit.storage import header as _header

FOLDER = tempfile.TemporaryDirectory()
FILE = Path(FOLDER.name) / "file"


def repaired(data):
    """`data` with fitting checksums where it is nearly a file of ours."""
    try:
        n_bytes = int.from_bytes(data[:8], "little")
        header = _header._parse_object(data[8 : 8 + n_bytes], "header")
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
    return len(text).to_bytes(8, "little") + text + data[8 + n_bytes :]


def load(data):
    FILE.write_bytes(repaired(data[1:]) if data[:1] > b"\x7f" else data[1:])
    for mmap in (False, True):
        try:
            index = hashkit.Index.load(FILE, mmap=mmap)
            index.query(index.get(index.ids[:2]), 5, n_threads=1)
            index.remove(index.ids[:1])
            index.save(FILE)
        except FormatError:
            pass


def main():
    corpus = Path(sys.argv[1])
    corpus.mkdir(exist_ok=True)
    for golden in (Path(__file__).parent / "index" / "data").iterdir():
        for first in (b"\x00", b"\xff"):
            (corpus / f"{golden.name}-{first.hex()}").write_bytes(first + golden.read_bytes())
    atheris.Setup(sys.argv, load)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
