"""Formats of services and databases, there and back."""

import numpy as np
import pytest

import hashkit
from hashkit.storage import FormatError
from hashkit.vectors import Int8Calibration, from_format, to_format
from hashkit.vectors.formats import FORMATS

CODES = np.array([[0b1010_0000, 1], [255, 0]], np.uint8)


@pytest.mark.parametrize("format", FORMATS)
def test_there_and_back(format, rng):
    codes = rng.integers(0, 256, (20, 6), dtype=np.uint8)
    np.testing.assert_array_equal(from_format(to_format(codes, format), format), codes)


def test_what_the_formats_are():
    assert to_format(CODES, "binary").tolist() == [[160 - 128, 1 - 128], [127, -128]]
    assert to_format(CODES, "int8").tolist() == [[160 - 256, 1], [-1, 0]]
    assert to_format(CODES, "hex") == ["a001", "ff00"]
    assert to_format(CODES[:, :1].copy(), "bits", n_bits=8) == ["10100000", "11111111"]
    assert to_format(np.array([[0b1010_0000]], np.uint8), "bits", n_bits=3) == ["101"]
    assert to_format(CODES, "lsb").tolist() == [[0b0000_0101, 128], [255, 0]]
    np.testing.assert_array_equal(from_format(["101"], "bits"), [[0b1010_0000]])


@pytest.mark.parametrize(
    ("values", "format", "error", "message"),
    [
        (CODES, "base64", ValueError, "format must be one of ubinary"),
        (CODES.astype(np.int8), "ubinary", TypeError, "values must be a uint8 array"),
        (CODES, "binary", TypeError, "values must be of dtype int8 in the format 'int8_offset'"),
        (["10", "1"], "bits", ValueError, r"values\[1\] must have 2 digits like the first, got 1"),
        (["12"], "bits", ValueError, r"values\[0\] must be digits 0 and 1, got '12'"),
        ([], "bits", TypeError, "values must be a sequence of str, not empty"),
        (["abc"], "hex", ValueError, r"values\[0\] must be hexadecimal digits"),
    ],
)
def test_refuses(values, format, error, message):
    with pytest.raises(error, match=message):
        from_format(values, format)


def test_padding_is_checked():
    with pytest.raises(ValueError, match="zero padding after 3 bits"):
        to_format(CODES[:, :1].copy(), "bits", n_bits=3)


def test_a_calibration_keeps_values_to_half_a_step(rng, tmp_path):
    vectors = (rng.standard_normal((500, 30)) * rng.uniform(0.1, 5, 30) + 2).astype(np.float32)
    calibration = Int8Calibration.fit(vectors)
    codes = calibration.encode(vectors)
    assert (codes.min(axis=0) == -128).all()
    assert (codes.max(axis=0) == 127).all()
    assert (np.abs(calibration.decode(codes) - vectors) <= 0.51 * calibration.steps).all()
    calibration.save(tmp_path / "calibration.hashkit")
    loaded = Int8Calibration.load(tmp_path / "calibration.hashkit")
    np.testing.assert_array_equal(loaded.decode(codes), calibration.decode(codes))


def test_decoded_codes_rank_as_their_vectors_where_raw_ones_do_not():
    vectors = np.array([[1.0, -2.0], [0.0, 0.0], [2.0, -3.5]], np.float32)
    calibration = Int8Calibration.fit(vectors)
    codes, query = calibration.encode(vectors), np.array([1.0, 1.0], np.float32)
    exact = hashkit.rescore(query, vectors, np.arange(3), 3, metric="ip")[1].tolist()
    assert hashkit.rescore(query, calibration.decode(codes), np.arange(3), 3, metric="ip")[1].tolist() == exact
    assert np.argsort(-(codes.astype(int) @ [1, 1]), kind="stable").tolist() != exact


def test_a_calibration_that_does_not_fit_is_refused(rng, tmp_path):
    calibration = Int8Calibration.fit(rng.standard_normal((10, 5)).astype(np.float32))
    with pytest.raises(ValueError, match="vectors must have the 5 dimensions of the calibration"):
        calibration.encode(np.ones((2, 6), np.float32))
    with pytest.raises(ValueError, match="codes must have the 5 dimensions of the calibration"):
        calibration.decode(np.ones((2, 6), np.int8))
    with pytest.raises(TypeError, match="codes must be an int8 array"):
        calibration.decode(np.ones((2, 5), np.uint8))
    with pytest.raises(ValueError, match="at least one row to calibrate with"):
        Int8Calibration.fit(np.ones((0, 5), np.float32))
    hashkit.Index(CODES).save(tmp_path / "index.hashkit")
    with pytest.raises(FormatError):
        Int8Calibration.load(tmp_path / "index.hashkit")
    hashkit.storage.write_tensors(
        tmp_path / "c.hashkit", "calibration", {"starts": np.ones(3, np.float32), "steps": np.zeros(3, np.float32)}, {}
    )
    with pytest.raises(FormatError, match="finite and positive"):
        Int8Calibration.load(tmp_path / "c.hashkit")
