"""Perceptual hashes: bit for bit as documented, and as the package imagehash computes them."""

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra images")

from PIL import Image, ImageEnhance

from hashkit import hamming_distances
from hashkit.images import dct_hash, difference_hash


def slow_dct_hash(image):
    """The definition, term by term, in Python's whole numbers."""
    gray = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    c = [[round(2**20 * np.cos(np.pi * i * (2 * y + 1) / 64)) for y in range(32)] for i in range(8)]
    g = np.asarray(gray).tolist()
    rows = [[sum(c[i][y] * g[y][x] for y in range(32)) for x in range(32)] for i in range(8)]
    waves = [sum(rows[i][x] * c[j][x] for x in range(32)) for i in range(8) for j in range(8)]
    middle = sum(sorted(waves)[31:33])
    return np.packbits([2 * wave > middle for wave in waves])


def slow_difference_hash(image):
    gray = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS)).tolist()
    return np.packbits([row[j + 1] > row[j] for row in gray for j in range(8)])


def test_definitions(photographs, crops):
    for picture in [*photographs, *crops[:8]]:
        assert (dct_hash(picture) == slow_dct_hash(picture)).all()
        assert (difference_hash(picture) == slow_difference_hash(picture)).all()


def test_same_as_imagehash(photographs, crops):
    imagehash = pytest.importorskip("imagehash")
    for picture in [*photographs, *crops]:
        assert dct_hash(picture).tobytes().hex() == str(imagehash.phash(picture))
        assert difference_hash(picture).tobytes().hex() == str(imagehash.dhash(picture))


@pytest.mark.parametrize("color", ["black", "white", "#123456"])
def test_flat_pictures_have_no_chance_bits(color):
    flat = Image.new("RGB", (50, 30), color)
    assert dct_hash(flat).tolist() == [0 if color == "black" else 128] + [0] * 7
    assert difference_hash(flat).tolist() == [0] * 8


def test_files_and_bytes_give_the_same(tmp_path, photographs):
    path = tmp_path / "a.png"
    photographs[0].save(path)
    for function in (dct_hash, difference_hash):
        expected = function(photographs[0])
        assert (function(path) == expected).all()
        assert (function(path.read_bytes()) == expected).all()


@pytest.mark.parametrize("function", [dct_hash, difference_hash])
def test_retouched_pictures_stay_near_and_others_far(tmp_path, photographs, function):
    path = tmp_path / "small.jpg"
    for picture in photographs:
        picture.resize((320, 214)).save(path, quality=40)
        brighter = ImageEnhance.Brightness(picture).enhance(1.2)
        near = np.stack([function(path), function(brighter)])
        assert hamming_distances(function(picture)[None], near).max() <= 6
    a, b = (function(picture)[None] for picture in photographs)
    assert hamming_distances(a, b)[0, 0] > 20
