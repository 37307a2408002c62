"""A backbone of a user's: a hasher like any other, whose file holds weights and no code."""

import copy

import numpy as np
import pytest
from sklearn.base import clone

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import hashkit  # noqa: E402
from hashkit import datasets, storage  # noqa: E402
from hashkit.networks import TrainingConfig  # noqa: E402

CONFIG = TrainingConfig(n_epochs=8, batch_size=32, learning_rate=3e-3, seed=0)


def small_backbone(n_channels=1, n_filters=8):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(n_channels, n_filters, 3, padding=1),
            nn.BatchNorm2d(n_filters),
            nn.ReLU(),
            nn.Conv2d(n_filters, 8, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
        )


def make(**options):
    return hashkit.ImageHasher(small_backbone(), 12, n_hidden=32, config=CONFIG, random_state=0, **options)


@pytest.fixture(scope="module")
def images():
    """uint8 images of shape (400, 8, 8)."""
    return datasets.digits().images[:400]


@pytest.fixture(scope="module")
def fitted(images):
    return make().fit(images)


def test_codes_of_a_class_are_near(fitted, images):
    labels = datasets.digits().labels[:400]
    codes = fitted.encode(images)
    assert (codes.shape, codes.dtype) == ((400, 2), np.uint8)
    assert np.array_equal(codes, np.packbits(fitted.project(images) > 0, axis=1))
    near = hashkit.Index(codes).query(codes, k=11)[1][:, 1:]
    assert (labels[near] == labels[:, None]).mean() > 0.5  # a tenth by chance


def test_the_map_is_that_of_backbone_and_head(fitted, images):
    pictures = torch.from_numpy(images[:50, None] / np.float32(255))
    with torch.no_grad():
        expected = fitted.network_(pictures).numpy()
    np.testing.assert_allclose(fitted.project(images[:50]), expected, atol=1e-4)
    assert len(fitted.network_) == 3


def test_the_backbone_that_was_given_is_not_changed(images):
    hasher = make()
    before = copy.deepcopy(hasher.backbone.state_dict())
    codes = hasher.fit(images).encode(images)
    after = hasher.backbone.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert np.array_equal(hasher.fit(images).encode(images), codes)
    assert np.array_equal(clone(hasher).fit(images).encode(images), codes)


def test_images_of_every_form_have_the_same_codes(fitted, images, tmp_path):
    class Reader:
        def __len__(self):
            return len(images)

        def __getitem__(self, rows):
            return images[rows]

    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    floats = images[:, None] / np.float32(255)
    expected = fitted.encode(images)
    for same in (images[:, None], floats, floats.astype(np.float64), torch.from_numpy(floats), mapped, Reader()):
        assert np.array_equal(fitted.encode(same), expected)
    again = make().fit(Reader(), images.reshape(400, 64))
    assert np.array_equal(again.encode(images), expected)


def test_a_code_depends_on_its_image_alone(fitted, images, monkeypatch):
    # Every output is doubtful: all codes come from single images, in batches of any size.
    alone = [fitted.encode(images[i : i + 1])[0] for i in range(60)]
    assert np.array_equal(alone, fitted.encode(images)[:60])
    doubtful = copy.copy(fitted)
    monkeypatch.setattr(doubtful, "rounding_", np.full(12, np.inf, np.float32))
    assert np.array_equal(doubtful.encode(images[:60]), alone)
    assert len(np.unique(fitted.encode(np.zeros((70, 8, 8), np.uint8)), axis=0)) == 1
    assert fitted.encode(images[:0]).shape == (0, 2)


def test_it_is_saved_and_loaded_with_the_module_given_again(fitted, images, tmp_path):
    path = tmp_path / "hasher.safetensors"
    fitted.save(path)
    empty = small_backbone()
    for weights in empty.parameters():
        nn.init.zeros_(weights)
    loaded = hashkit.load(path, backbone=empty)
    assert np.array_equal(loaded.project(images), fitted.project(images))
    assert loaded.image_shape_ == (1, 8, 8)
    assert all((weights == 0).all() for weights in empty.parameters())
    assert (loaded.n_bits, loaded.n_hidden, loaded.random_state) == (12, 32, 0)


def test_a_report_says_what_codes_keep(fitted, images):
    pixels = fitted.report(images)
    assert "codes of 12 bits" in str(pixels)
    assert 0 < pixels.neighbor_recall[10] < pixels.neighbor_recall[100] <= 1
    rng = np.random.default_rng(0)
    others = fitted.report(images, features=rng.standard_normal((400, 5)))
    assert others.neighbor_recall[100] < pixels.neighbor_recall[100]
    with pytest.raises(ValueError, match="features must have a row for each of 400 images, got 3"):
        fitted.report(images, features=np.zeros((3, 5)))


def test_a_file_that_does_not_fit_is_refused(fitted, images, tmp_path):
    path = tmp_path / "hasher.safetensors"
    fitted.save(path)
    with pytest.raises(TypeError, match=r"backbone must be given for .*: it holds an ImageHasher's weights"):
        hashkit.load(path)
    with pytest.raises(TypeError, match=r"backbone must be a torch.nn.Module, got str"):
        hashkit.load(path, backbone="os.system")
    with pytest.raises(storage.FormatError, match=r"network\.0\.0\.weight must be of shape \(4, 1, 3, 3\), got \(8,"):
        hashkit.load(path, backbone=small_backbone(n_filters=4))
    with pytest.raises(storage.FormatError, match=r"network\.0\.0\.bias is no array of such a hasher"):
        hashkit.load(path, backbone=nn.Flatten())
    arrays, settings = storage.read_tensors(path, "hasher")
    for name, array, message in [
        ("image_shape_", np.array([3, 8, 8]), "image_shape_ must have 64 values"),
        ("network.2.0.weight", np.zeros((32, 9), np.float32), r"network\.2\.0\.weight must be of shape"),
        ("network.1.bias", np.full(72, np.nan, np.float32), r"network\.1\.bias must be finite"),
    ]:
        storage.write_tensors(tmp_path / "wrong", "hasher", {**arrays, name: array}, settings)
        with pytest.raises(storage.FormatError, match=message):
            hashkit.load(tmp_path / "wrong", backbone=small_backbone())
    hashkit.fit(images.reshape(400, 64), n_bits=8, method="itq").save(path)
    with pytest.raises(TypeError, match=r"backbone is for the file of an ImageHasher, but .* holds 'ITQ'"):
        hashkit.load(path, backbone=small_backbone())


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (np.zeros((5, 64)), ValueError, r"X must be images of shape \(n, height, width\) or .*, got an array"),
        (np.zeros((5, 8, 8), np.int32), TypeError, "X must be images of uint8 or floats, got int32"),
        (7, TypeError, "X must be images of shape .*, got int 7"),
        (np.zeros((1, 8, 8)), ValueError, "X must have at least 2 images to learn from, got 1"),
        (np.zeros((40, 8, 8, 3), np.uint8), ValueError, r"backbone cannot take images of shape \(8, 8, 3\)"),
    ],
)
def test_wrong_images_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        make().fit(wrong)


def test_other_wrong_input_is_refused(fitted, images):
    with pytest.raises(ValueError, match=r"X must be images of shape \(1, 8, 8\), got images of \(1, 4, 8\)"):
        fitted.encode(images[:, :4])
    broken = images / np.float32(255)
    broken[37, 2, 2] = np.nan
    for call in (fitted.encode, make().fit):
        with pytest.raises(ValueError, match="finite, but row 37 "):
            call(broken)
    with pytest.raises(ValueError, match="features must have a row for each of 400 images, got 399"):
        make().fit(images, images[1:].reshape(399, 64))
    with pytest.raises(TypeError, match=r"backbone must have weights of float32, got 0\.weight of torch\.bfloat16"):
        hashkit.ImageHasher(small_backbone().bfloat16(), 12).fit(images)
    with pytest.raises(TypeError, match=r"config must be a hashkit\.networks\.TrainingConfig or None, got dict"):
        hashkit.ImageHasher(small_backbone(), 12, config={}).fit(images)
    with pytest.raises(ValueError, match="not fitted"):
        make().encode(images)
