"""Data that needs no download."""

import gzip

import numpy as np
import pytest

from hashkit import datasets


def test_digits_come_in_one_shuffled_order_with_their_images():
    digits = datasets.digits()
    assert digits.features.shape == (1797, 64)
    assert digits.features.dtype == np.float32
    assert (np.bincount(digits.labels[:300], minlength=10) > 10).all()
    np.testing.assert_array_equal(digits.images.reshape(1797, 64), (digits.features * 255 / 16).astype(np.uint8))
    np.testing.assert_array_equal(datasets.digits().labels, digits.labels)


def write_idx(path, array):
    sizes = np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()))


def test_fashion_mnist_is_read_with_the_test_images_first(tmp_path, rng):
    images, labels = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8), np.arange(5, dtype=np.uint8)
    for part, rows in (("t10k", slice(0, 2)), ("train", slice(2, 5))):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images[rows])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels[rows])
    data = datasets.fashion_mnist(tmp_path)
    np.testing.assert_array_equal(data.images, images)
    np.testing.assert_array_equal(data.labels, np.arange(5))
    np.testing.assert_allclose(data.features, images.reshape(5, 784) / 255, rtol=1e-6)


def test_fashion_mnist_says_what_is_missing_or_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match="install Debian's dataset-fashion-mnist"):
        datasets.fashion_mnist(tmp_path / "nowhere")
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + bytes(11)))
    with pytest.raises(ValueError, match="is no IDX file of bytes with 3 dimensions"):
        datasets.fashion_mnist(tmp_path)


def test_features_and_labels_are_read_from_npy_and_npz(tmp_path, rng):
    features, labels = rng.standard_normal((6, 4)), np.arange(6)
    np.save(tmp_path / "features.npy", features)
    np.save(tmp_path / "labels.npy", labels)
    np.savez(tmp_path / "both.npz", features=features, labels=labels)
    for data in (
        datasets.read_dataset(tmp_path / "features.npy", tmp_path / "labels.npy"),
        datasets.read_dataset(tmp_path / "both.npz"),
    ):
        np.testing.assert_array_equal(data.features, features)
        np.testing.assert_array_equal(data.labels, labels)
    alone = datasets.read_dataset(tmp_path / "features.npy")
    assert alone.labels is None
    assert isinstance(alone.features, np.memmap)


def test_files_that_are_no_such_files_are_refused(tmp_path):
    def file(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "flat.npy", np.zeros(3))
    np.save(tmp_path / "rows.npy", np.zeros((2, 3)))
    np.save(tmp_path / "bytes.npy", np.zeros((2, 3), np.uint8))
    np.savez(tmp_path / "other.npz", codes=np.zeros(3))
    np.savez(tmp_path / "objects.npz", features=np.array([{}]))
    for path, message in (
        (file("text.npy", b"no array"), "is no readable .npy file"),
        (file("empty.npy", b""), "is no readable .npy file"),
        (tmp_path / "objects.npy", "is no readable .npy file"),
        (file("really.npy", (tmp_path / "other.npz").read_bytes()), "is an .npz archive where a .npy file is needed"),
        (file("text.npz", b"no archive"), "is no readable .npz file"),
        (tmp_path / "objects.npz", "is no readable .npz file"),
        (file("array.npz", (tmp_path / "rows.npy").read_bytes()), "is no readable .npz file"),
        (tmp_path / "other.npz", "must hold an array named features"),
        (tmp_path / "bytes.npy", "must hold float16, float32 or float64, got uint8"),
        (tmp_path / "flat.npy", r"must hold features of shape \(n, n_dims\), got shape \(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            datasets.read_dataset(path)
    with pytest.raises(ValueError, match=r"labels must have one row for each of .*'s 2, got shape"):
        datasets.read_dataset(tmp_path / "rows.npy", tmp_path / "flat.npy")
    with pytest.raises(FileNotFoundError):
        datasets.read_dataset(tmp_path / "nowhere.npy")


@pytest.fixture
def small_mixture(monkeypatch):
    monkeypatch.setattr(datasets, "N_SAMPLE", 5000)
    monkeypatch.setattr(datasets, "ROWS_PER_BLOCK", 1000)


@pytest.mark.parametrize("kind", ["clustered", "rotated", "uniform"])
def test_synthetic_codes_repeat_by_seed(small_mixture, kind):
    codes, queries = datasets.synthetic_codes(kind, n_codes=2500, n_queries=20, n_bits=60, random_state=3)
    assert (codes.shape, queries.shape, codes.dtype) == ((2500, 8), (20, 8), np.uint8)
    assert not (codes[:, -1] & 0x0F).any()
    again, _ = datasets.synthetic_codes(kind, n_codes=2500, n_queries=1, n_bits=60, random_state=3)
    other, _ = datasets.synthetic_codes(kind, n_codes=2500, n_queries=1, n_bits=60, random_state=4)
    np.testing.assert_array_equal(again, codes)
    assert (other != codes).any()
    balance = np.unpackbits(codes, axis=1, count=60).mean(axis=0)
    assert ((balance > 0.2) & (balance < 0.8)).all()


def test_clustered_codes_lie_much_closer_than_uniform_ones(small_mixture):
    def nearest(kind):
        codes, queries = datasets.synthetic_codes(kind, n_codes=20_000, n_queries=50)
        return np.bitwise_count(queries[:, None] ^ codes).sum(axis=2).min(axis=1).mean()

    assert nearest("clustered") < 6
    assert nearest("rotated") < 6
    assert nearest("uniform") > 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "normal"}, "kind must be one of"),
        ({"n_codes": -1}, "n_codes must be at least 0, got -1"),
        ({"n_queries": -1}, "n_queries must be at least 0, got -1"),
        ({"n_bits": 0}, "n_bits must be between 1 and 4096, got 0"),
        ({"kind": "rotated", "n_bits": 136}, "n_bits must be at most 128 for rotated codes, got 136"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        datasets.synthetic_codes(**{"n_codes": 1, **options})
