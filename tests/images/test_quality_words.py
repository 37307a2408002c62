"""The quality page in words: figures against plain counts, and advice that fits them."""

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra images")

import hashkit
from hashkit.images import Gallery, index_folder
from hashkit.images.advice import advise, within
from hashkit.images.quality import Folders, Quality, measure_quality


@pytest.fixture(scope="module")
def gallery(tmp_path_factory, crops):
    top = tmp_path_factory.mktemp("quality") / "pictures"
    for number, picture in enumerate(crops):
        path = top / f"kind {number % 2}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.resize((64, 64)).save(path)
    crops[0].resize((64, 64)).save(top / "kind 0" / "again.png")
    for number in range(4):
        (top / "Copies").mkdir(exist_ok=True)
        crops[20 + number].rotate(5).resize((64, 64)).save(top / "Copies" / f"{number}.png")
    index_folder(top, top.parent / "g", model="dct")
    return Gallery(top.parent / "g")


def test_figures_are_those_of_plain_counts(gallery):
    quality = measure_quality(gallery)
    codes, names = gallery.codes, [photo.path.split("/")[0] for photo in gallery.photos.values()]
    alike = [sum((codes == code).all(1)) > 1 for code in codes]
    assert quality.shared == pytest.approx(np.mean(alike))
    order = np.random.default_rng(0).permutation(len(names))
    asked, others = order[: len(names) // 5], order[len(names) // 5 :]
    distances = hashkit.hamming_distances(codes[asked], codes[others])
    hits, kinds = [], np.array(names)[others] != "Copies"  # whose name means no kind
    for row, line in zip(asked, distances[:, kinds], strict=True):
        near = others[kinds][np.argsort(line, kind="stable")[:10]]
        hits += [names[other] == names[row] for other in near if names[row] != "Copies"]
    assert quality.folders.near == pytest.approx(np.mean(hits))
    assert quality.folders.chance == pytest.approx((20 / 41) ** 2 + (21 / 41) ** 2)
    assert quality.typical_distance == sorted(distances.ravel())[(distances.size - 1) // 2]
    n_within = [44 * (distances <= radius).mean() for radius in (quality.reach, quality.reach + 1)]
    assert n_within[0] <= 20 < n_within[1]
    assert quality.folders.possible == 1  # each folder holds more than ten
    rows = within(quality)
    assert [radius for radius, *_ in rows] == sorted({radius for radius, *_ in rows})
    for radius, n, *_ in rows:
        assert n == pytest.approx((distances <= radius).mean() * 44)


def made_up(near=0.9, shared=0.0, balance=0.5, hill=range(20, 45)):
    curve = np.full(65, 0.5)
    distances = np.isin(np.arange(65), hill) / len(hill)
    folders = None if near is None else Folders(5, 10, near, 0.95, 0.2, curve, curve, 0.5)
    return Quality(1000, 64, np.full(64, balance), distances, shared, folders)


def test_advice_fits_the_figures(gallery):
    learned = gallery.settings.__class__("/pictures", "efficientnet-lite0", 64, "udhpl")
    good = advise(made_up(), learned)
    assert [one.grade for one in good] == ["good", "", "good", "good"]
    assert "9.0 are in the same folder on average. Chance gives 2.0, and 9.5 are possible" in good[0].found
    weak = advise(made_up(near=0.3, shared=0.4, balance=0.99, hill=range(1)), learned)
    assert [one.grade for one in weak] == ["weak"] * 4
    assert "--bits 128" in weak[0].action
    assert "more than 20 pictures have the very same code" in weak[1].found
    assert "--refit" in weak[3].action
    assert "the same in nearly all: 64" in weak[3].found
    assert len(advise(made_up(near=None), learned)) == 3
    by_looks = advise(made_up(near=0.3), gallery.settings)
    assert "A perceptual hash finds the same picture" in by_looks[0].action


def test_few_pictures_are_no_error(tmp_path, crops):
    for n in (1, 2):
        (tmp_path / f"{n}").mkdir()
        for number in range(n):
            crops[number].save(tmp_path / f"{n}" / f"{number}.png")
        index_folder(tmp_path / f"{n}", tmp_path / f"g{n}", model="dct")
        small = Gallery(tmp_path / f"g{n}")
        quality = measure_quality(small)
        assert len(advise(quality, small.settings)) == 3
        assert all(np.isfinite(count) for _, count, *_ in within(quality))
