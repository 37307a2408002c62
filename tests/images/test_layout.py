"""The map: what is alike stands together, every picture has a place, and the file is a cache."""

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra images")

import hashkit
from hashkit.images import Gallery, index_folder
from hashkit.images.layout import lay_out, layout_fits


@pytest.fixture(scope="module")
def clustered():
    """Six hundred codes around six centers, and one that is far from all."""
    rng = np.random.default_rng(0)
    centers = rng.integers(0, 2, (6, 64))
    labels = np.arange(600) % 6
    bits = np.where(rng.random((600, 64)) < 0.04, 1 - centers[labels], centers[labels])
    lonely = rng.integers(0, 2, (1, 64))
    return hashkit.pack(np.concatenate([bits, lonely]).astype(bool)), labels


def test_what_is_alike_stands_together(clustered, monkeypatch):
    codes, labels = clustered
    monkeypatch.setattr("hashkit.images.layout.N_LANDMARKS", 200)  # the others stand among these
    layout = lay_out(codes, 64)
    places = layout.places[:600].astype(float)
    distances = ((places[:, None] - places) ** 2).sum(2)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(1)] == labels).mean() > 0.97
    assert layout.outliers[0] == 600
    assert (layout.places.min(0) == 0).all()
    assert (layout.places.max(0) == 65535).all()
    for cluster, row in enumerate(layout.representatives):
        assert layout.clusters[row] == cluster
    again = lay_out(codes, 64)
    assert (again.places == layout.places).all()


def test_every_step_shows_progress(clustered, monkeypatch):
    monkeypatch.setattr("hashkit.images.layout._BLOCK", 100)
    shares = []
    lay_out(clustered[0], 64, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    for start, stop, n_steps in ((0, 0.5, 4), (0.5, 0.7, 7), (0.7, 0.81, 1), (0.81, 1, 6)):  # t-SNE, places, clusters
        assert sum(start < share <= stop for share in shares) >= n_steps


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5])
def test_few_pictures(clustered, n):
    layout = lay_out(clustered[0][:n], 64)
    assert layout.places.shape == (n, 2)
    assert layout_fits(vars(layout), n)


def test_a_damaged_file_is_made_anew(tmp_path, folder):
    index_folder(folder, tmp_path / "g", model="dct")
    expected = Gallery(tmp_path / "g").findings.layout
    file = tmp_path / "g/map.npz"
    with np.load(file) as kept:
        arrays = dict(kept)
    for damage in (
        {"clusters": arrays["clusters"] + 99},
        {"places": arrays["places"][:3]},
        {"outliers": np.array([77])},
    ):
        np.savez(file, **(arrays | damage))
        assert (Gallery(tmp_path / "g").findings.layout.places == expected.places).all()
        assert layout_fits(vars(Gallery(tmp_path / "g").findings.layout), 12)
    file.write_bytes(b"nothing")
    assert (Gallery(tmp_path / "g").findings.layout.clusters == expected.clusters).all()
