"""Copies are found whatever the index, told from similar pictures, grouped, listed, and kept by a rule."""

import itertools
import json
import os

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra images")

import planted_copies
import reference
from PIL import Image, ImageOps

from hashkit.images import Gallery, index_folder
from hashkit.images.alignment import align, correlate
from hashkit.images.copies import Pairs, find_copies, symmetries
from hashkit.images.duplicates import Groups, group_partners, partners_of
from hashkit.images.looks import look_at
from hashkit.images.selection import RULES, as_text, facts_of, kept_of


def tiny(pictures):
    """A model of one's own: 8 x 8 pixels."""
    return [np.asarray(picture.resize((8, 8)), np.float32).ravel() for picture in pictures]


def scenes(photographs, n):
    """Different parts of two photographs, small enough that no two show the same."""
    rng, places = np.random.default_rng(3), set()
    while len(places) < n:
        places.add((int(rng.integers(0, 2)), int(rng.integers(0, 6)), int(rng.integers(0, 4))))
    for number, column, row in sorted(places):
        left, top = column * 104, row * 104
        yield photographs[number].crop((left, top, left + 104, top + 96)).resize((312, 288), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def planted(tmp_path_factory, photographs):
    """Forty-two pictures with a copy each of thirty-six; gives the folder and the pairs."""
    folder = tmp_path_factory.mktemp("planted") / "pictures"
    return folder, planted_copies.plant(folder, list(scenes(photographs, 42)), 36)


MODELS = {
    "dct": {"model": "dct"},
    "difference": {"model": "difference"},
    "features": {"model": tiny, "method": "itq", "n_bits": 16},
    "codes alone": {"model": tiny, "method": "pca_sign", "n_bits": 16, "keep_features": False},
}


@pytest.fixture(scope="module", params=list(MODELS))
def gallery(request, planted):
    folder, _ = planted
    path = folder.parent / request.param.replace(" ", "-")
    index_folder(folder, path, **MODELS[request.param])
    return Gallery(path, model=tiny if MODELS[request.param]["model"] is tiny else None)


def names(groups):
    return [[match.photo.path for match in group] for group in groups]


def test_planted_copies_are_found_by_any_index(gallery, planted):
    _, pairs = planted
    groups = gallery.groups()
    precision, recall = planted_copies.precision_and_recall(names(groups), pairs)
    assert precision >= 0.97
    assert recall >= 0.85
    found = planted_copies.pairs_within(names(groups))
    for way in planted_copies.COPIES:  # no way of copying is lost altogether
        assert [pair for pair, its in pairs.items() if its == way and pair in found], way
    assert all(len(set(group)) == len(group) for group in names(groups[:20]))
    tightness = [min(match.similarity for match in group) for group in groups]
    assert tightness == sorted(tightness, reverse=True)


def test_counts_follow_the_similarity(gallery):
    counts = [sum(map(len, gallery.groups("copies", s))) for s in (1.0, 0.99, 0.97, 0.9, 0.8)]
    assert counts == sorted(counts)
    for way, least in itertools.product(("copies", "similar"), (0.9, 0.97)):
        for group in gallery.groups(way, least):
            assert group[0].similarity == 1
            assert all(match.similarity >= np.float32(least) for match in group)
    with pytest.raises(ValueError, match=r"way must be one of copies, similar, got 'near'"):
        gallery.groups("near")


def test_pairs_are_kept_and_a_damaged_cache_is_made_anew(planted):
    folder, _ = planted
    path = folder.parent / "kept"
    index_folder(folder, path, model="dct")
    expected = names(Gallery(path).groups())
    assert names(Gallery(path).groups()) == expected
    (path / "copies.npz").write_bytes(b"PK\x03\x04 nothing of the kind")
    assert names(Gallery(path).groups()) == expected
    np.savez(path / "copies.npz", key=np.array("another"), first=[0], second=[1], similarity=[1.0])
    assert names(Gallery(path).groups()) == expected
    with np.load(path / "copies.npz") as file:
        damaged = {**file, "first": file["first"] + 1000}
    np.savez(path / "copies.npz", **damaged)
    assert names(Gallery(path).groups()) == expected


def test_an_index_without_looks_gets_them(planted, monkeypatch):
    folder, _ = planted
    path = folder.parent / "older"
    with monkeypatch.context() as older:
        older.setattr("hashkit.images.row_store.RowStore._put_looks", lambda self, batch: None)
        index_folder(folder, path, model="dct")
    fresh = folder.parent / "fresh"
    index_folder(folder, fresh, model="dct")
    assert names(Gallery(path).groups()) == names(Gallery(fresh).groups())


@pytest.mark.parametrize("number", range(8))
def test_the_eight_symmetries_correlate_wholly(photographs, number):
    gray = np.asarray(photographs[0].convert("L").resize((32, 32)), np.uint8)
    turned = symmetries(gray[None])[number]
    grays = np.stack([np.stack([picture] * 3) for picture in (gray, turned[0])])
    pairs = find_copies(grays)
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0], [1])
    assert pairs.similarity[0] == pytest.approx(1, abs=1e-5)


def test_alignment_undoes_a_shift_and_a_scale(photographs):
    fixed, moving = [], []
    for photograph, (left, top, cut) in itertools.product(photographs, [(0, 0, 0.9), (30, 10, 0.92), (60, 40, 0.88)]):
        width, height = photograph.size
        box = (left, top, left + width * cut, top + height * cut)
        fixed.append(np.asarray(photograph.convert("L").resize((32, 32)), np.float32))
        moving.append(np.asarray(photograph.convert("L").resize((32, 32), box=box), np.float32))
    fixed, moving = np.stack(fixed), np.stack(moving)
    assert (align(fixed, moving) > 0.97).all()
    assert (correlate(fixed, moving) < align(fixed, moving) - 0.05).all()
    assert align(fixed[:0], moving[:0]).shape == (0,)
    different = align(fixed[:3], fixed[3:])
    assert (different < 0.8).all()


def test_plain_pictures_are_no_error():
    grays = np.stack([np.full((3, 32, 32), value, np.uint8) for value in (0, 7, 255)])
    assert np.isfinite(find_copies(grays).similarity).all()
    assert len(find_copies(grays[:0]).first) == 0
    assert len(find_copies(grays[:1]).first) == 0


def test_borders_are_left_out_of_the_inner_look(photographs):
    whole = look_at(photographs[0], *photographs[0].size)
    bordered = ImageOps.expand(photographs[0], 40, "black")
    look = look_at(bordered, *bordered.size)
    assert correlate(look.grays[1].astype(np.float32), whole.grays[0].astype(np.float32)) > 0.98
    assert correlate(look.grays[0].astype(np.float32), whole.grays[0].astype(np.float32)) < 0.9
    small = photographs[0].resize((320, 213))
    assert look_at(small, 320, 213).sharpness < whole.sharpness


def test_groups_stand_around_a_center():
    first, second = np.array([0, 1, 2, 4, 6]), np.array([1, 2, 3, 5, 7])
    similarity = np.array([0.98, 0.99, 0.98, 1.0, 0.97], np.float32)
    groups = list(group_partners(partners_of(Pairs(first, second, similarity)), 0.9))
    assert [group.rows.tolist() for group in groups] == [[4, 5], [1, 2, 0], [6, 7]]  # 3 is no copy of 1
    assert groups[1].similarities.tolist() == [1, np.float32(0.99), np.float32(0.98)]
    empty = np.empty(0, np.int64)
    assert len(group_partners(partners_of(Pairs(empty, empty, np.empty(0, np.float32))), 0)) == 0


def test_pages_of_groups_show_about_as_many_pictures():
    def pages(*sizes):
        bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return Groups(np.arange(bounds[-1]), None, bounds).pages(60, 12)

    assert pages() == [0, 0]
    assert pages(2) == [0, 1]
    assert pages(*[2] * 31) == [0, 30, 31]
    assert pages(*[500] * 11) == [0, 5, 10, 11]
    assert pages(*[3] * 19, 9, 2) == [0, 20, 21]  # the ninth picture of a group is beyond 60


@pytest.mark.parametrize("n_pairs", [0, 1, 5, 40, 400])
def test_groups_are_those_of_the_slow_twin(rng, n_pairs):
    ends = np.sort(rng.integers(0, 100, (n_pairs, 2)), axis=1)
    ends = np.unique(ends[ends[:, 0] < ends[:, 1]], axis=0)
    pairs = Pairs(ends[:, 0], ends[:, 1], rng.integers(80, 101, len(ends)).astype(np.float32) / 100)
    partners = partners_of(pairs)
    for similarity in (0, 0.8, 0.9, 0.99, 1):
        found = [(group.rows.tolist(), group.similarities.tolist()) for group in group_partners(partners, similarity)]
        assert found == reference.groups_around_centers(
            pairs.first.tolist(), pairs.second.tolist(), pairs.similarity.tolist(), np.float32(similarity)
        )


def test_rules_keep_one_of_a_group(tmp_path, photographs):
    top = tmp_path / "pictures"
    top.mkdir()
    large = photographs[0]
    large.save(top / "large.jpg", quality=95)
    large.resize((320, 214)).save(top / "small.jpg", quality=95)
    large.resize((160, 107)).resize(large.size).save(top / "blurred.jpg", quality=95)
    for age, name in enumerate(["small.jpg", "large.jpg", "blurred.jpg"]):
        os.utime(top / name, (1_000_000 + age, 1_000_000 + age))
    index_folder(top, tmp_path / "g", model="dct")
    gallery = Gallery(tmp_path / "g")
    (group,) = gallery.groups()
    assert len(group) == 3
    kept = {rule: kept_of(gallery, group, rule).path for rule in RULES}
    expected = {"largest": "large.jpg", "oldest": "small.jpg", "newest": "blurred.jpg", "sharpest": "large.jpg"}
    assert kept == expected
    with pytest.raises(ValueError, match="keep must be one of largest, oldest, newest, sharpest, got 'best'"):
        kept_of(gallery, group, "best")
    facts = facts_of(gallery, gallery.photos[1])
    assert (facts.width, facts.height, facts.n_bytes) == (640, 427, (top / "large.jpg").stat().st_size)
    rows = json.loads(as_text(gallery, list(gallery.photos.values()), "json"))
    assert rows[2]["path"] == str(top / "small.jpg")
    assert (rows[2]["width"], rows[2]["height"], rows[2]["modified"]) == (320, 214, "1970-01-12T13:46:40+00:00")
    lines = as_text(gallery, list(gallery.photos.values()), "csv").splitlines()
    assert lines[0] == "path,name,width,height,bytes,modified,sharpness"
    assert len(lines) == 4
    with pytest.raises(ValueError, match="format must be one of paths, csv, json, got 'xml'"):
        as_text(gallery, [], "xml")
