"""Files of vector indexes that older versions wrote."""

from pathlib import Path

import numpy as np
import pytest

from hashkit.storage import FormatError
from hashkit.vectors import VectorIndex

# 80 rows of `rows`, 16 bits, vectors kept as float16; before each page of the vectors had a checksum of its own.
V1 = Path(__file__).parent / "data" / "vectors_v1.hashkit"


def rows(n):
    i, j = np.arange(n)[:, None], np.arange(16)
    return np.sin(1.0 + i * 0.7 + j * j * 0.37 + i * j * 0.11).astype(np.float32)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_of_version_1_answers_as_it_did(mmap):
    index = VectorIndex.load(V1, mmap=mmap)
    assert (len(index), index.n_bits, index.n_dims, index.metric) == (80, 16, 16, "cosine")
    scores, ids = index.query(rows(80)[::20], k=3)
    np.testing.assert_array_equal(ids, [[0, 56, 62], [20, 76, 75], [40, 34, 26], [60, 4, 32]])
    expected = [[1, 0.815104, 0.499416], [1, 0.670787, 0.52556], [1, 0.425017, 0.366395], [1, 0.565562, 0.499156]]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_damaged_file_of_version_1_is_refused(mmap, tmp_path):
    """Without checksums of pages a mapped file is checked as a whole."""
    written = V1.read_bytes()
    vectors = rows(80).astype(np.float16).tobytes()
    place = written.index(vectors)
    for at in (place, place + len(vectors) - 1):
        damaged = bytearray(written)
        damaged[at] ^= 1
        path = tmp_path / "damaged"
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="damaged"):
            VectorIndex.load(path, mmap=mmap).query(rows(1), k=1)
