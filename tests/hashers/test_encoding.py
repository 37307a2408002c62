"""Codes of single rows by a file's map alone: those of the hasher itself, and without scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest

import hashkit
from hashkit.hashers.encoding import load_encoder
from hashkit.storage import FormatError, read_tensors, write_tensors

METHODS = [
    ("itq", {}),
    ("itq", {"normalize": False}),
    ("pca_sign", {}),
    ("random_hyperplanes", {}),
    ("sign", {}),
    ("spectral_hashing", {}),
    ("udhpl", {"network": "never"}),
    ("udhpl", {"network": "always", "n_epochs": 1, "n_hidden": 32}),
]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return (rng.standard_normal((5, 40))[rng.integers(0, 5, 300)] + rng.standard_normal((300, 40))).astype(np.float32)


@pytest.mark.parametrize(("method", "options"), METHODS, ids=lambda value: str(value))
def test_codes_are_those_of_the_hasher(method, options, rows, tmp_path):
    if options.get("network") == "always":
        pytest.importorskip("torch")
    hasher = hashkit.fit(rows, n_bits=24, method=method, **options)
    hasher.save(tmp_path / "hasher")
    encode = load_encoder(tmp_path / "hasher")
    asked = np.concatenate([rows[:20], np.zeros((1, 40), np.float32), 1e-3 * rows[20:22]])
    assert (encode(asked) == hasher.encode(asked)).all()
    assert (encode(asked[:1]) == hasher.encode(asked[:1])).all()
    assert encode(asked[:0]).shape == (0, 3)
    with pytest.raises(ValueError, match="row 0"):
        encode(np.full((1, 40), np.nan, np.float32))


def test_a_damaged_file_is_refused_as_by_load(rows, tmp_path):
    hashkit.fit(rows, n_bits=24, method="itq").save(tmp_path / "hasher")
    arrays, settings = read_tensors(tmp_path / "hasher", "hasher")
    for name, value in [("weights_", arrays["weights_"][:5]), ("offsets_", np.full(24, np.nan, np.float32))]:
        write_tensors(tmp_path / "damaged", "hasher", {**arrays, name: value}, settings)
        with pytest.raises(FormatError, match=name):
            load_encoder(tmp_path / "damaged")


def test_scikit_learn_is_not_imported(rows, tmp_path):
    hashkit.fit(rows, n_bits=24, method="itq").save(tmp_path / "hasher")
    code = (
        "import sys, numpy; from hashkit.hashers.encoding import load_encoder;"
        f"load_encoder({str(tmp_path / 'hasher')!r})(numpy.ones((1, 40), numpy.float32));"
        "sys.exit('sklearn' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
