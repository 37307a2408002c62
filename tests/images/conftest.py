"""Two real photographs, and pictures made from them."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets


@pytest.fixture(scope="session")
def photographs():
    """scikit-learn's two sample photographs: a Chinese temple and a flower, 640 x 427."""
    from PIL import Image

    folder = Path(sklearn.datasets.__file__).parent / "images"
    return [Image.open(folder / name).convert("RGB") for name in ("china.jpg", "flower.jpg")]


@pytest.fixture(scope="session")
def crops(photographs):
    """Forty different squares out of the photographs, some of them rotated, mirrored or recolored."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pictures = []
    for number in range(40):
        photograph = photographs[number % 2]
        side = int(rng.integers(120, 260))
        left, top = int(rng.integers(0, 640 - side)), int(rng.integers(0, 427 - side))
        picture = photograph.crop((left, top, left + side, top + side)).rotate(90 * (number % 3))
        pictures.append(Image.merge("RGB", picture.split()[::-1]) if number % 5 == 4 else picture)
    return pictures


@pytest.fixture
def folder(tmp_path, crops):
    """The first twelve crops as JPEG files in two folders."""
    for number, picture in enumerate(crops[:12]):
        path = tmp_path / "pictures" / ("temple" if number % 2 == 0 else "flower") / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=90)
    return tmp_path / "pictures"


@pytest.fixture
def open_to_all():
    """An empty folder that every user reaches, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        yield Path(top)


@pytest.fixture
def as_nobody():
    """A context in which the superuser's rights are put aside."""

    @contextmanager
    def as_nobody():
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(before)

    return as_nobody
