"""Searching by words: the interface, with a stand-in for a text-image model."""

import numpy as np
import pytest

pytest.importorskip("PIL", reason="needs the extra images")
pytest.importorskip("fastapi", reason="needs the extra explore")

from page_server import ask, serving
from PIL import Image

from hashkit.images import Gallery, index_folder
from hashkit.images.words import load_text_model, row_of_text

COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}


def mean_color(pictures):
    """Stands in for the image half: the mean color, and a constant."""
    return [[*np.asarray(picture, np.float32).mean((0, 1)) / 255, 1] for picture in pictures]


def color_of(texts):
    """Stands in for the text half, in the same space."""
    return np.array([[*(np.array(COLORS.get(text, (0, 0, 0))) / 255), 1] for text in texts], np.float32)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    top = tmp_path_factory.mktemp("words") / "pictures"
    top.mkdir()
    rng = np.random.default_rng(0)
    for name, color in COLORS.items():
        for number in range(12):
            shade = tuple(int(v) for v in np.clip(np.array(color) + rng.integers(-25, 25, 3), 0, 255))
            Image.new("RGB", (32, 32), shade).save(top / f"{name}-{number}.png")
    index_folder(top, top.parent / "g", model=mean_color, n_bits=4, method="random_hyperplanes")
    return Gallery(top.parent / "g", model=mean_color)


def test_words_find_pictures(gallery):
    with serving(gallery, text_model=color_of) as site:
        assert "Search by words" in ask(site, "/").data.decode()
        for name in COLORS:
            page = ask(site, f"/words?q={name}").data.decode()
            first = page[page.index('id="results"') :].split('title="')[1]
            assert first.startswith(f"{name}-")
        assert ask(site, "/words").status == 422
        assert "<script>" not in ask(site, "/words?q=%3Cscript%3E").data.decode().split("<main")[1]
    with serving(gallery) as site:
        assert ask(site, "/words?q=red").status == 404
        assert "Search by words" not in ask(site, "/").data.decode()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros((1, 3)), r"shape \(1, 4\) for one text, as the index's model does, got shape \(1, 3\)"),
        (np.zeros(4), r"got shape \(4,\)"),
        (np.array([["a"] * 4]), "dtype <U1"),
        (np.array([[0, np.nan, 0, 0]]), "must return finite values"),
    ],
)
def test_what_a_text_model_returns_is_checked(gallery, answer, message):
    with pytest.raises(ValueError, match=message):
        row_of_text(lambda texts: answer, "red", gallery.n_dims)


def test_text_models_by_name(tmp_path, folder):
    assert load_text_model("os.path:basename")("a/b") == "b"
    for wrong, message in [
        ("nothing", "must be module:function"),
        ("no_such_module:f", "there is no text model"),
        ("os:no_such_function", "there is no text model"),
        ("os:sep", "must be a function of texts, got str"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_text_model(wrong)
    index_folder(folder, tmp_path / "g", model="dct")
    with pytest.raises(ValueError, match="needs an index of features: 'dct' gives codes"), serving_once(tmp_path / "g"):
        pass


def serving_once(path):
    from hashkit.images.server import serve

    return serve(Gallery(path), text_model=color_of)
