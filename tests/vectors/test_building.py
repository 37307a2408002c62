"""Builds in bounded memory: from every source, cut off by a kill, and from the command line."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

import hashkit
from hashkit.storage import FormatError
from hashkit.vectors import VectorIndex, building

CHILD = """
import sys
import numpy as np
from hashkit.vectors import VectorIndex, building
building.CHECKPOINT_BYTES = 1 << 16
VectorIndex.build(sys.argv[1], sys.argv[2], recall=0.9, keep="int8")
"""


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((50, 48))
    return (centers[rng.integers(0, 50, 4000)] + 0.6 * rng.standard_normal((4000, 48))).astype(np.float16)


@pytest.fixture
def source(vectors, tmp_path):
    np.save(tmp_path / "vectors.npy", vectors)
    return tmp_path / "vectors.npy"


def same_answers(index, other, vectors):
    np.testing.assert_equal(index.query(vectors[:50], 10), other.query(vectors[:50], 10))
    assert index.describe()["recall"] == other.describe()["recall"]


@pytest.mark.parametrize("keep", ["as_came", "int8", "float16", "none"])
def test_a_build_is_what_fit_makes(source, vectors, tmp_path, keep):
    recall = None if keep == "none" else 0.9
    built = VectorIndex.build(source, tmp_path / "built", recall=recall, keep=keep)
    fitted = VectorIndex.fit(vectors, recall=recall, keep=keep, n_bits=48)
    same_answers(built, fitted, vectors)
    assert built.describe()["vectors_on_disk"] == (keep != "none")
    assert os.listdir(tmp_path).count("built.building") == 0


def test_blocks_and_files_give_one_index(source, vectors, tmp_path):
    expected = VectorIndex.build(source, tmp_path / "npy", recall=0.9)
    blocks = (vectors[first : first + 300] for first in range(0, 4000, 300))
    same_answers(VectorIndex.build(blocks, tmp_path / "blocks", recall=0.9), expected, vectors)
    from safetensors.numpy import save_file

    save_file({"vectors": vectors, "other": np.ones(3)}, tmp_path / "vectors.safetensors")
    named = VectorIndex.build(tmp_path / "vectors.safetensors", tmp_path / "tensors", recall=0.9)
    same_answers(named, expected, vectors)


def test_a_parquet_column(vectors, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    rows = vectors[:1000].astype(np.float32)
    flat = pyarrow.array(rows.reshape(-1))
    table = pyarrow.table({"vector": pyarrow.FixedSizeListArray.from_arrays(flat, 48), "name": ["x"] * 1000})
    sys.modules["pyarrow.parquet"].write_table(table, tmp_path / "vectors.parquet", row_group_size=300)
    built = VectorIndex.build(tmp_path / "vectors.parquet", tmp_path / "built", recall=0.9)
    same_answers(built, VectorIndex.fit(rows, recall=0.9, n_bits=48), rows)


def test_a_kill_loses_nothing(source, vectors, tmp_path):
    """Killed at several moments; the file that was there stays whole until the new one is."""
    target = tmp_path / "built"
    VectorIndex.fit(vectors[:500], recall=None).save(target)
    before = target.read_bytes()
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(hashkit.__file__))}
    n_killed = 0
    for moment in ("source.json", "encoder-48", "encoded-48.json"):
        child = subprocess.Popen([sys.executable, "-c", CHILD, source, target], env=environment)
        while child.poll() is None and not (tmp_path / "built.building" / moment).exists():
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
        n_killed += child.wait() == -signal.SIGKILL
        if target.read_bytes() != before:
            break
    assert n_killed
    built = VectorIndex.build(source, target, recall=0.9, keep="int8")
    same_answers(built, VectorIndex.fit(vectors, recall=0.9, keep="int8", n_bits=48), vectors)


class CutOffError(Exception):
    pass


def test_a_build_goes_on_from_its_checkpoint(source, vectors, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "CHECKPOINT_BYTES", 1)
    encoded = []
    encode = hashkit.vectors.encoding.Encoder.encode

    def counted(self, rows, first, last, *others):
        encoded.append(last - first)
        return encode(self, rows, first, last, *others)

    def cut_off(self, *arguments):
        if len(encoded) == 3:
            raise CutOffError
        return counted(self, *arguments)

    monkeypatch.setattr("hashkit.vectors.rows.BLOCK_BYTES", 4 * 48 * 500)
    monkeypatch.setattr(hashkit.vectors.encoding.Encoder, "encode", cut_off)
    with pytest.raises(CutOffError):
        VectorIndex.build(source, tmp_path / "built", recall=0.9, n_threads=1)
    assert encoded == [500] * 3
    monkeypatch.setattr(hashkit.vectors.encoding.Encoder, "encode", counted)
    built = VectorIndex.build(source, tmp_path / "built", recall=0.9, n_threads=2, progress=True)
    assert encoded == [500] * 8
    same_answers(built, VectorIndex.fit(vectors, recall=0.9, n_bits=48), vectors)


def test_blocks_that_come_again_are_compared(vectors, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "CHECKPOINT_BYTES", 1)

    def blocks(last, change=0):
        for first in range(0, 4000, 500):
            if first == last:
                raise CutOffError
            yield vectors[first : first + 500] + np.float16(change)

    with pytest.raises(CutOffError):
        VectorIndex.build(blocks(2000), tmp_path / "built")
    with pytest.raises(ValueError, match="block 0 of source is not the one that was read before"):
        VectorIndex.build(blocks(None, change=1), tmp_path / "built")
    built = VectorIndex.build(blocks(None), tmp_path / "built")
    assert len(built) == 4000


def test_another_source_starts_anew(source, vectors, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "encode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        VectorIndex.build(source, tmp_path / "built", recall=None)
    monkeypatch.undo()
    np.save(source, vectors[:2000])
    assert len(VectorIndex.build(source, tmp_path / "built", recall=None)) == 2000


def test_sources_are_refused(vectors, tmp_path):
    def build(source, **options):
        return VectorIndex.build(source, tmp_path / "built", **options)

    with pytest.raises(ValueError, match=r"source must be a \.npy, \.safetensors or \.parquet file"):
        build("vectors.txt")
    with pytest.raises(FileNotFoundError):
        build(tmp_path / "missing.npy")
    with pytest.raises(TypeError, match="source must be a path, an array or an iterable"):
        build(5)
    with pytest.raises(ValueError, match="source must have rows, got none"):
        build(iter([]))
    with pytest.raises(ValueError, match="block 1 of source must be float16 of 48 values"):
        build([vectors[:10], vectors[:10].astype(np.float32)])
    np.save(tmp_path / "cut.npy", vectors)
    whole = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-1000])
    with pytest.raises(FormatError, match="cannot be mapped"):
        build(tmp_path / "cut.npy")
    from safetensors.numpy import save_file

    save_file({"a": vectors, "b": vectors}, tmp_path / "two.safetensors")
    with pytest.raises(ValueError, match=r"column must name a tensor of vectors.*which has a, b; got None"):
        build(tmp_path / "two.safetensors")
    whole = (tmp_path / "two.safetensors").read_bytes()
    (tmp_path / "two.safetensors").write_bytes(whole[:-1000])
    with pytest.raises(FormatError, match="may be cut off"):
        build(tmp_path / "two.safetensors", column="b")
    (tmp_path / "two.safetensors").write_bytes(b"12345")
    with pytest.raises(FormatError, match="no safetensors file"):
        build(tmp_path / "two.safetensors")
    bad = vectors.copy()
    bad[3210, 0] = np.inf
    np.save(tmp_path / "bad.npy", bad)
    with pytest.raises(ValueError, match="vectors must be finite, row 3210 is not"):
        build(tmp_path / "bad.npy")


def test_the_command_line(source, vectors, tmp_path):
    from hashkit.cli import app

    def run(*arguments):
        return CliRunner().invoke(app, ["vectors", *map(str, arguments)])

    target = tmp_path / "built.hashkit"
    made = run("build", source, target, "--recall", 0.9, "--quiet")
    assert made.exit_code == 0, made.output
    assert "n_vectors: 4000" in made.output
    assert "recall: Recall(k=10" in run("info", target).output
    np.save(tmp_path / "queries.npy", vectors[:2])
    lines = run("query", target, tmp_path / "queries.npy", "-k", 2).output.splitlines()
    assert lines[0].split("\t") == ["query", "rank", "id", "score"]
    assert lines[1].split("\t")[:3] == ["0", "0", "0"]
    assert lines[3].split("\t")[:3] == ["1", "0", "1"]
    saved = run("query", target, tmp_path / "queries.npy", "--out", tmp_path / "out.npz")
    assert saved.exit_code == 0
    assert np.load(tmp_path / "out.npz")["ids"].shape == (2, 10)
    wrong = run("query", target, tmp_path / "missing.npy")
    assert wrong.exit_code == 1
    assert wrong.output.startswith("error: ")
