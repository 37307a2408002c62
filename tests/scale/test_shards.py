"""Shards and their manifest: every code in one shard, and nothing that was damaged is searched."""

import json

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("ray")

from pyarrow import fs  # noqa: E402

import hashkit  # noqa: E402
import hashkit.scale  # noqa: E402
from hashkit import interop  # noqa: E402
from hashkit.scale.manifest import (  # noqa: E402
    Manifest,
    _checksum,
    check_shard_file,
    read_manifest,
    write_manifest,
)
from hashkit.scale.places import Place  # noqa: E402
from hashkit.scale.shards import write_shard  # noqa: E402
from hashkit.storage import FormatError  # noqa: E402


@pytest.fixture
def place(tmp_path, some_codes):
    """Two shards, one of them empty, and their manifest."""
    place = Place.of(tmp_path)
    codes, ids, _ = some_codes
    shards = [write_shard(hashkit.Index(codes[:n], ids=ids[:n]), place, f"{n}.hashkit") for n in (50, 0)]
    write_manifest(place, Manifest(64, 50, tuple(shards)))
    return place


def test_every_code_is_in_one_shard(ray_cluster, tmp_path, some_codes):
    codes, ids, _ = some_codes
    blocks = [
        interop.to_arrow(c, i, 64) for c, i in zip(np.split(codes, [700, 700]), np.split(ids, [700, 700]), strict=True)
    ]
    hashkit.scale.build(ray_cluster.data.from_arrow(blocks), tmp_path / "new", 3)
    manifest = read_manifest(Place.of(tmp_path / "new"))
    assert manifest.n_bits == 64
    assert manifest.n_codes == 2000
    whole = hashkit.Index(codes, ids=ids)
    indexes = [hashkit.Index.load(tmp_path / "new" / shard.file) for shard in manifest.shards]
    np.testing.assert_array_equal(np.sort(np.concatenate([index.ids for index in indexes])), whole.ids)
    for index, shard in zip(indexes, manifest.shards, strict=True):
        assert (len(index), index.ids[0], index.ids[-1]) == (shard.n_codes, shard.first_id, shard.last_id)
        assert 500 < len(index) < 800
        np.testing.assert_array_equal(index.get(index.ids), whole.get(index.ids))
    assert len(list((tmp_path / "new").iterdir())) == 4


def test_codes_of_fewer_bits_and_one_shard(ray_cluster, tmp_path, rng):
    codes = hashkit.pack(rng.random((40, 12)) < 0.5)
    table = pa.table({"n": np.arange(40, dtype=np.int32), "hash": interop.to_arrow(codes)["code"]})
    hashkit.scale.build(ray_cluster.data.from_arrow(table), tmp_path, 1, ids="n", codes="hash", n_bits=12)
    assert hashkit.Index.load(tmp_path / "shard-00000.hashkit").n_bits == 12


def test_what_cannot_be_built_is_explained(ray_cluster, tmp_path, some_codes):
    codes, ids, _ = some_codes
    from_arrow = ray_cluster.data.from_arrow
    with pytest.raises(ValueError, match="n_shards must be at least 1"):
        hashkit.scale.build(from_arrow(interop.to_arrow(codes)), tmp_path, 0)
    with pytest.raises(ValueError, match="n_shards must be at most 100000"):
        hashkit.scale.build(from_arrow(interop.to_arrow(codes)), tmp_path, 100_001)
    with pytest.raises(ValueError, match="dataset must have a column 'code', it has"):
        hashkit.scale.build(from_arrow(pa.table({"id": ids})), tmp_path, 2)
    with pytest.raises(ValueError, match="dataset must not be empty"):
        hashkit.scale.build(from_arrow(interop.to_arrow(codes[:0])), tmp_path, 2)
    with pytest.raises(ValueError, match="column 'code' must hold codes of one length, it has 8 and 64 bits"):
        hashkit.scale.build(from_arrow([interop.to_arrow(codes), interop.to_arrow(codes[:, :1].copy())]), tmp_path, 2)
    with pytest.raises(ValueError, match=r"ids must be different, -?\d+ comes twice"):
        hashkit.scale.build(from_arrow([interop.to_arrow(codes, ids), interop.to_arrow(codes, ids)]), tmp_path, 2)
    assert not (tmp_path / "manifest.json").exists()


def test_a_manifest_comes_back(place):
    manifest = read_manifest(place)
    assert [shard.n_codes for shard in manifest.shards] == [50, 0]
    assert manifest.shards[1].first_id is None
    assert manifest.shards[0].first_id == int(np.min(hashkit.Index.load(place.join("50.hashkit")).ids))
    for shard in manifest.shards:
        check_shard_file(place.join(shard.file), shard, 64)


def test_every_flipped_byte_of_a_manifest_is_refused_or_harmless(place):
    data, expected = place.read("manifest.json"), read_manifest(place)
    refused = 0
    for at in range(len(data)):
        place.write("manifest.json", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            assert read_manifest(place) == expected
        except FormatError:
            refused += 1
    assert refused > 0.7 * len(data)  # the rest are blanks
    for length in range(0, len(data), 7):
        place.write("manifest.json", data[:length])
        with pytest.raises(FormatError):
            read_manifest(place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "is no manifest of shards"),
        ({"version": 2}, "made by a newer hashkit: it has format version 2, this one reads 1"),
        ({"version": "1"}, "is no manifest of shards"),
        ({"n_bits": 0}, "n_bits must be between 1 and"),
        ({"n_codes": 51}, "contradicts itself"),
        ({"shards": []}, "contradicts itself"),
        ({"shards": [{"file": "a"}]}, "cannot be read"),
        ({"more": 1}, "cannot be read"),
    ],
)
def test_crafted_manifests_are_refused(place, change, message):
    content = {**json.loads(place.read("manifest.json")), **change}
    del content["checksum"]
    if content["shards"] == []:
        content["n_codes"] = 0
    place.write("manifest.json", json.dumps({**content, "checksum": _checksum(content)}).encode())
    with pytest.raises(FormatError, match=message):
        read_manifest(place)


@pytest.mark.parametrize("file", ["../x", "/etc/passwd", "a/b", "", ".", "..", 5])
def test_a_manifest_names_files_beside_it_only(place, file):
    content = json.loads(place.read("manifest.json"))
    content["shards"][0]["file"] = file
    del content["checksum"]
    place.write("manifest.json", json.dumps({**content, "checksum": _checksum(content)}).encode())
    with pytest.raises(FormatError, match="is no file name"):
        read_manifest(place)


def test_a_missing_manifest_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="no shards, or a build that was not finished"):
        read_manifest(Place.of(tmp_path / "none"))


def test_a_file_that_is_not_the_manifest_s_is_refused(place, some_codes):
    codes, ids, _ = some_codes
    shard = read_manifest(place).shards[0]
    write_shard(hashkit.Index(codes[50:100], ids=ids[50:100]), place, shard.file)
    with pytest.raises(FormatError, match="not the file of the manifest: its checksums are others"):
        check_shard_file(place.join(shard.file), shard, 64)
    write_shard(hashkit.Index(codes[:51], ids=ids[:51]), place, shard.file)
    with pytest.raises(FormatError, match="bytes, the manifest lists"):
        check_shard_file(place.join(shard.file), shard, 64)


def test_places_of_every_kind(tmp_path, place):
    fsspec = pytest.importorskip("fsspec")
    remote = Place.of(str(tmp_path), fsspec.filesystem("file"))
    assert not remote.is_local
    assert Place.of(f"file://{tmp_path}").is_local
    assert not Place.of(".", fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())).is_local
    assert read_manifest(remote) == read_manifest(place)
    with remote.local_copy("50.hashkit") as path:
        assert not path.startswith(str(tmp_path))
        index = hashkit.Index.load(path, mmap=True)
    shard = write_shard(index, remote, "copy.hashkit")
    assert shard.checksums == read_manifest(place).shards[0].checksums
    assert hashkit.Index.load(tmp_path / "copy.hashkit").ids.shape == (50,)
    with pytest.raises(TypeError, match="path must be a str or a path"):
        Place.of(5)


def test_a_write_that_fails_leaves_the_old_file(place):
    before = place.sizes()

    def write_half():
        with place.replacing("50.hashkit") as path, open(path, "w") as file:
            file.write("half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_half()
    assert place.sizes() == before
