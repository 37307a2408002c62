"""End to end: a convolutional backbone in front."""

import runpy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import hashkit  # noqa: E402
from hashkit.codes import hamming_distances  # noqa: E402
from hashkit.networks import TrainingConfig, encode_images  # noqa: E402
from hashkit.udhpl import train_image_network  # noqa: E402


def convolutional_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten())


def images_of_four_kinds(n=240):
    rng = np.random.default_rng(0)
    kinds = rng.integers(4, size=n)
    images = 0.7 * rng.normal(size=(n, 1, 8, 8)).astype(np.float32)
    for i, kind in enumerate(kinds):
        images[i, 0, 4 * (kind // 2) :, 4 * (kind % 2) :][:4, :4] += 1.5
    return images, kinds


def same_kind_share(codes, kinds):
    distances = hamming_distances(codes, codes).astype(float)
    np.fill_diagonal(distances, np.inf)
    near = distances.argsort(axis=1, kind="stable")[:, :10]
    return (kinds[near] == kinds[:, None]).mean()


def test_a_backbone_learns_the_similarities_of_the_targets():
    images, kinds = images_of_four_kinds()
    targets = np.eye(4, dtype=np.float32)[kinds]
    config = TrainingConfig(n_epochs=10, batch_size=32, learning_rate=3e-3, seed=1)
    backbone = convolutional_network()
    before = backbone[0].weight.detach().clone()
    network = train_image_network(backbone, images, targets, n_bits=12, n_hidden=32, config=config)
    codes = encode_images(network, images, batch_size=100)
    assert codes.shape == (240, 2)
    assert codes.dtype == np.uint8
    assert not torch.equal(before, network[0][0].weight)
    assert same_kind_share(codes, kinds) > 0.9
    again = train_image_network(convolutional_network(), images, targets, n_bits=12, n_hidden=32, config=config)
    assert np.array_equal(codes, encode_images(again, images))


def test_targets_are_found_without_training_a_network():
    rows = images_of_four_kinds()[0].reshape(240, 64)
    taught, only = (
        hashkit.UDHPL(8, network=network, n_epochs=1, random_state=0).fit(rows) for network in ("always", "targets")
    )
    assert np.array_equal(taught.targets_, only.targets_)
    assert len(taught.hidden_offsets_) > len(only.hidden_offsets_) == 0
    assert only.encode(rows).shape == (240, 1)


def test_images_come_as_bytes_and_without_a_channel():
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (64, 8, 8), dtype=np.uint8)
    values = (raw[:, None] / np.float32(255)).astype(np.float32)
    targets = rng.standard_normal((64, 5)).astype(np.float32)
    config = TrainingConfig(n_epochs=1, batch_size=16, seed=1)
    networks = [
        train_image_network(convolutional_network(), images, targets, n_bits=8, n_hidden=8, config=config)
        for images in (raw, values[:, 0], values)
    ]
    expected = encode_images(networks[-1], values)
    for network in networks:
        for images in (raw, raw[:, None], values[:, 0], values):
            assert np.array_equal(encode_images(network, images), expected)


def test_a_backbone_that_gives_no_features_is_refused():
    with pytest.raises(ValueError, match=r"features of shape \(n_images, n_features\), got \(2, 1, 8, 8\)"):
        train_image_network(nn.Identity(), np.zeros((8, 1, 8, 8), np.float32), np.eye(8, dtype=np.float32), n_bits=4)


def test_the_example_learns_from_real_images(capsys):
    example = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "train_images.py"))
    example["main"]("digits", rows=900, bits=16, epochs=4)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "digits: 150 queries, 750 images, 16 bits"
    scores = {line.split("|")[1].strip(): float(line.split("|")[2]) for line in lines[4:]}
    assert list(scores) == ["itq on pixels", "udhpl on pixels", "end to end"]
    assert scores["end to end"] > 0.3  # a tenth by chance
