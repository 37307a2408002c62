"""Files: what was written comes back, what was damaged is refused, and what fails leaves the old file whole."""

import json
import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hashkit.storage import FormatError, open_tensors, read_tensors, write_tensors
from hashkit.storage import replacing as _replacing

DTYPES = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64]
DTYPES += [np.float16, np.float32, np.float64]
TENSORS = {
    "codes": np.arange(21, dtype=np.uint8).reshape(7, 3),
    "ids": np.arange(7, dtype=np.int64) - 3,
    "weights": np.linspace(0, 1, 4, dtype=np.float32),
}
SETTINGS = {"n_bits": 20, "name": "Grüße", "nested": {"list": [1, 2.5, None, True]}}


@pytest.fixture
def path(tmp_path):
    write_tensors(tmp_path / "file", "index", TENSORS, SETTINGS)
    return tmp_path / "file"


def assert_equal(tensors, expected):
    assert tensors.keys() == expected.keys()
    for name in expected:
        assert tensors[name].dtype == expected[name].dtype
        np.testing.assert_array_equal(tensors[name], expected[name])


@pytest.mark.parametrize("mmap", [False, True])
def test_round_trip(path, mmap):
    tensors, told = read_tensors(path, "index", mmap=mmap)
    assert_equal(tensors, TENSORS)
    assert told == SETTINGS
    assert all(tensor.flags.writeable != mmap for tensor in tensors.values())


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5).filter(lambda name: not name.startswith("__")),
        st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))),
        max_size=4,
    )
)
def test_round_trip_of_anything(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("any") / "file"
    write_tensors(path, "kind", tensors, {})
    for mmap in (False, True):
        assert_equal(read_tensors(path, "kind", mmap=mmap)[0], tensors)


def test_layout_does_not_matter(tmp_path):
    array = np.arange(24, dtype=">i4").reshape(4, 6)
    write_tensors(tmp_path / "file", "kind", {"swapped": array, "strided": array[::2, ::-1]}, {})
    expected = {"swapped": array.astype("<i4"), "strided": array[::2, ::-1].astype("<i4")}
    assert_equal(read_tensors(tmp_path / "file", "kind")[0], expected)


def test_arrays_are_aligned(path):
    for tensor in open_tensors(path).tensors.values():
        assert tensor.ctypes.data % 64 == 0


def test_other_tools_can_read_it(path):
    from safetensors import safe_open
    from safetensors.numpy import load_file

    tensors = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("__padding")}
    assert_equal(tensors, TENSORS)
    with safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["settings"]) == SETTINGS


def test_mapping_outlives_replacement(path):
    tensors = open_tensors(path).tensors
    write_tensors(path, "index", {"codes": np.zeros(1, np.uint8)}, {})
    assert_equal(tensors, TENSORS)


def test_a_mapped_file_is_verified_on_demand(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    file = open_tensors(path)
    file.verify(["codes", "ids"])
    with pytest.raises(FormatError, match="checksum of 'weights'"):
        file.verify()


def test_every_truncation_is_refused(path):
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        for mmap in (False, True):
            with pytest.raises(FormatError):
                read_tensors(path, "index", mmap=mmap)
    path.write_bytes(data + b"\0")
    with pytest.raises(FormatError, match="header lists"):
        read_tensors(path, "index")


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0xFF])
def test_every_flipped_byte_is_refused_or_harmless(path, mask):
    data = path.read_bytes()
    refused = 0
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :])
        try:
            tensors, told = read_tensors(path, "index")
        except FormatError:
            refused += 1
        else:
            assert_equal(tensors, TENSORS)
            assert told == SETTINGS
    assert refused >= len(data) - 64  # only spaces behind the header may change to other blanks


def craft(path, header, data=b"", n_bytes=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if n_bytes is None else n_bytes).to_bytes(8, "little") + text + data)


def honest(entries, kind="index", version="1"):
    """A header that says `entries`, with fitting checksums: only the entries can be wrong."""
    from hashkit.storage.header import _header_checksum

    metadata = {"format": "hashkit", "version": version, "kind": kind, "settings": "{}"}
    metadata["checksums"] = json.dumps(dict.fromkeys(entries, "00000000"))
    header = {"__metadata__": metadata, **entries}
    metadata["header_checksum"] = _header_checksum(header)
    return header


HUGE = 2**62
ENTRIES = [
    {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]},
    {"dtype": "U8", "shape": [7], "data_offsets": [0, 7]},
    {"dtype": "U8", "shape": [8], "data_offsets": [-8, 0]},
    {"dtype": "U8", "shape": [-8], "data_offsets": [8, 0]},
    {"dtype": "U8", "shape": [-2, -4], "data_offsets": [0, 8]},
    {"dtype": "U8", "shape": [HUGE, 4], "data_offsets": [0, 0]},
    {"dtype": "U64", "shape": [HUGE // 2], "data_offsets": [0, 0]},
    {"dtype": "U64", "shape": [2**61 + 1], "data_offsets": [0, 8]},
    {"dtype": "U8", "shape": [0, HUGE, HUGE], "data_offsets": [0, 0]},
    {"dtype": "U8", "shape": [0, 2**47, 2**47], "data_offsets": [0, 0]},
    {"dtype": "U8", "shape": [8], "data_offsets": [0, 2**70]},
    {"dtype": "U8", "shape": [8.0], "data_offsets": [0, 8]},
    {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]},
    {"dtype": "U8", "shape": "8", "data_offsets": [0, 8]},
    {"dtype": "U8", "shape": None, "data_offsets": [0, 8]},
    {"dtype": "U8", "shape": [1] * 33 + [8], "data_offsets": [0, 8]},
    {"dtype": "U8", "shape": [8], "data_offsets": [0]},
    {"dtype": "U8", "shape": [8], "data_offsets": {"0": 8}},
    {"dtype": "O", "shape": [1], "data_offsets": [0, 8]},
    {"dtype": ["U8"], "shape": [8], "data_offsets": [0, 8]},
    {"dtype": "U8", "shape": [8], "data_offsets": [0, 8], "more": 1},
    {"dtype": "U8", "shape": [8]},
    [],
    "x",
    None,
]


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_crafted_entries_are_refused(tmp_path, entry):
    craft(tmp_path / "file", honest({"codes": entry}), bytes(8))
    with pytest.raises(FormatError):
        read_tensors(tmp_path / "file", "index")


@pytest.mark.parametrize("ranges", [[(0, 8), (0, 8)], [(0, 5), (4, 8)], [(0, 3), (4, 8)], [(1, 8)], []], ids=str)
def test_overlaps_and_holes_are_refused(tmp_path, ranges):
    entries = {
        f"t{a}-{b}-{i}": {"dtype": "U8", "shape": [b - a], "data_offsets": [a, b]} for i, (a, b) in enumerate(ranges)
    }
    craft(tmp_path / "file", honest(entries), bytes(8))
    with pytest.raises(FormatError, match=r"overlap|holes|header lists"):
        read_tensors(tmp_path / "file", "index")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{}",
        b"{" * 1000,
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"__metadata__":{"format":"hashkit"},"__metadata__":{}}',
        b'{"__metadata__":{"format":1}}',
        b'{"__metadata__":{"format":"hashkit"}}',
        b'{"__metadata__":{"format":"hashkit","version":"x"}}',
        b'{"__metadata__":{"format":"hashkit","version":"0"}}',
        b'{"__metadata__":{"format":"hashkit","version":"\xc2\xb2"}}',
        b'{"__metadata__":{"format":"other"}}',
        b"\xff\xfe{}",
        b'{"__metadata__":' + b"9" * 100_000 + b"}",
    ],
    ids=lambda header: repr(header[:50]),
)
def test_crafted_headers_are_refused(tmp_path, header):
    craft(tmp_path / "file", header)
    with pytest.raises(FormatError, match="file' cannot be read"):
        read_tensors(tmp_path / "file", "index")


@pytest.mark.parametrize("n_bytes", [3, 10**6, 2**31, 2**63, 2**64 - 1])
def test_header_lengths_are_not_believed(tmp_path, n_bytes):
    craft(tmp_path / "file", b"{}", n_bytes=n_bytes)
    with pytest.raises(FormatError, match="cut off"):
        read_tensors(tmp_path / "file", "index")


def test_a_huge_header_is_refused_unread(tmp_path):
    with open(tmp_path / "file", "wb") as file:
        file.write((2**40).to_bytes(8, "little"))
        file.truncate(2**40 + 8)  # a hole: takes no space
    with pytest.raises(FormatError, match="a header of 1099511627776 bytes"):
        read_tensors(tmp_path / "file", "index")


def test_another_kind_is_refused(path):
    with pytest.raises(FormatError, match="holds 'index', not 'hasher'"):
        read_tensors(path, "hasher")
    assert open_tensors(path).kind == "index"


def test_a_newer_version_is_refused_with_a_sentence(tmp_path):
    craft(tmp_path / "file", {"__metadata__": {"format": "hashkit", "version": "2", "new": "things"}, "a": "new entry"})
    with pytest.raises(FormatError, match=r"made by a newer hashkit: it has format version 2, this one reads 1"):
        read_tensors(tmp_path / "file", "index")


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        read_tensors(tmp_path / "none", "index")
    with pytest.raises(IsADirectoryError):
        read_tensors(tmp_path, "index")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    for special in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(FormatError, match="not a regular file"):
            read_tensors(special, "index")


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([None]), np.array([True]), np.array([1j]), [1]], ids=repr
)
def test_unfit_arrays_are_refused(tmp_path, array):
    with pytest.raises(TypeError, match=r"tensors\['a'\] must be an array of integers or floats"):
        write_tensors(tmp_path / "file", "kind", {"a": array}, {})


@pytest.mark.parametrize("name", ["__metadata__", "__padding_0__", 1])
def test_unfit_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="cannot name an array"):
        write_tensors(tmp_path / "file", "kind", {name: np.zeros(1)}, {})


def test_unfit_settings_are_refused(tmp_path):
    with pytest.raises(TypeError):
        write_tensors(tmp_path / "file", "kind", {}, {"a": object()})
    with pytest.raises(ValueError, match="JSON"):
        write_tensors(tmp_path / "file", "kind", {}, {"a": float("nan")})
    with pytest.raises(ValueError, match="must fit in a header"):
        write_tensors(tmp_path / "file", "kind", {}, {"a": "x" * 2**20})
    assert os.listdir(tmp_path) == []


def test_failed_writes_name_the_reason_and_leave_nothing(path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_tensors(path.parent / "none" / "file", "index", TENSORS, SETTINGS)
    with pytest.raises(OSError, match="cannot write"):
        write_tensors(path / "file", "index", TENSORS, SETTINGS)
    with pytest.raises(IsADirectoryError, match="it is a directory"):
        write_tensors(path.parent, "index", TENSORS, SETTINGS)
    assert os.listdir(path.parent) == ["file"]
    assert_equal(read_tensors(path, "index")[0], TENSORS)


def test_disk_full_leaves_the_old_file(path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        with pytest.raises(OSError, match=r"cannot write.*File too large"):
            write_tensors(path, "index", {"codes": np.zeros(100_000, np.uint8)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(path.parent) == ["file"]
    assert_equal(read_tensors(path, "index")[0], TENSORS)


def test_permission_denied_leaves_the_old_file(path, run_python):
    """In a child that gives up root's rights: root may write everywhere."""
    script = f"""
import os, numpy as np
from hashkit.storage import read_tensors, write_tensors
if os.getuid() == 0:
    os.setuid(65534)
try:
    write_tensors({str(path)!r}, "index", {{"a": np.zeros(1)}}, {{}})
except PermissionError as error:
    print(error)
"""
    for folder in path.parents[:3]:
        folder.chmod(0o755)
    path.parent.chmod(0o555)
    result = run_python(script)
    path.parent.chmod(0o755)
    assert "cannot write" in result.stdout
    assert "Permission denied" in result.stdout
    assert_equal(read_tensors(path, "index")[0], TENSORS)


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_an_interrupted_write_cleans_up(path, monkeypatch, step):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_replacing.os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_tensors(path, "index", {"a": np.zeros(1)}, {})
    monkeypatch.undo()
    assert os.listdir(path.parent) == ["file"]
    assert_equal(read_tensors(path, "index")[0], TENSORS)


def test_replacing_keeps_access_rights_and_links(path):
    path.chmod(0o600)
    link = path.parent / "link"
    link.symlink_to("file")
    write_tensors(link, "index", {"a": np.zeros(1)}, {})
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert_equal(read_tensors(path, "index")[0], {"a": np.zeros(1)})


def test_both_file_and_folder_are_flushed_before_it_returns(tmp_path, monkeypatch):
    flushed = []
    real = os.fsync
    monkeypatch.setattr(
        _replacing.os, "fsync", lambda fd: (flushed.append(stat.S_ISDIR(os.fstat(fd).st_mode)), real(fd))
    )
    write_tensors(tmp_path / "file", "index", TENSORS, SETTINGS)
    assert flushed == [False, True]


def test_abandoned_temporary_files_are_deleted_by_the_next_write(path):
    """Not those that another process, or thread, is writing at this moment; nor other files of such a name."""
    abandoned = path.parent / ".hashkit-0123456789abcdef.tmp"
    abandoned.write_bytes(b"half a file")
    (path.parent / ".hashkit-link.tmp").symlink_to("file")
    (path.parent / ".hashkit-folder.tmp").mkdir()
    (path.parent / "other.tmp").write_bytes(b"")
    being_written, file = _replacing._create(str(path.parent))
    write_tensors(path, "index", TENSORS, SETTINGS)
    assert not abandoned.exists()
    assert os.path.exists(being_written)
    file.close()  # as when its process dies
    write_tensors(path, "index", TENSORS, SETTINGS)
    assert sorted(os.listdir(path.parent)) == [".hashkit-folder.tmp", ".hashkit-link.tmp", "file", "other.tmp"]
    assert_equal(read_tensors(path, "index")[0], TENSORS)


def test_a_temporary_file_taken_for_abandoned_is_made_anew(path, monkeypatch):
    """Between its creation and its lock another process may come."""
    real, taken = _replacing.fcntl.flock, []

    def lock_too_late(descriptor, how):
        if not taken:
            taken.extend(name for name in os.listdir(path.parent) if name != "file")
            os.unlink(path.parent / taken[0])
        real(descriptor, how)

    monkeypatch.setattr(_replacing.fcntl, "flock", lock_too_late)
    write_tensors(path, "index", {"a": np.zeros(1)}, {})
    monkeypatch.undo()
    assert taken
    assert os.listdir(path.parent) == ["file"]
    assert_equal(read_tensors(path, "index")[0], {"a": np.zeros(1)})


def test_writers_in_one_folder_leave_each_other_alone(tmp_path):
    def write(number):
        for _ in range(30):
            write_tensors(tmp_path / f"file{number}", "index", TENSORS, {"number": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert sorted(os.listdir(tmp_path)) == [f"file{number}" for number in range(8)]
    for number in range(8):
        assert read_tensors(tmp_path / f"file{number}", "index")[1] == {"number": number}


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", "/dev/null"):
        before = os.stat(target).st_mode
        with pytest.raises(OSError, match="not a regular file"):
            write_tensors(target, "index", TENSORS, SETTINGS)
        assert os.stat(target).st_mode == before
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_path_of_bytes_is_refused(tmp_path):
    with pytest.raises(TypeError, match="path must be a str or a path of str, got bytes"):
        write_tensors(os.fsencode(tmp_path / "file"), "index", TENSORS, SETTINGS)


def test_an_empty_path_is_refused():
    with pytest.raises(ValueError, match="path must not be empty"):
        write_tensors("", "index", TENSORS, SETTINGS)
