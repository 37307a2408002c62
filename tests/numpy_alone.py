"""A script: everything that search offers, where nothing is installed but numpy. It ends with the line `searched`."""

import re
import sys
import tempfile
from pathlib import Path

import numpy as np

import hashkit


class OnlyNumpy:
    """Finds nothing for packages other than numpy and hashkit, as if they were not installed."""

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in {"numpy", "hashkit", "sitecustomize"}:
            return
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def search(folder):
    rng = np.random.default_rng(0)
    codes = hashkit.pack(rng.standard_normal((500, 64)))
    index = hashkit.Index(codes)
    expected = np.lexsort((np.arange(500), hashkit.hamming_distances(codes[:1], codes)[0]))[:10]
    for method in ("scan", "mih"):
        distances, ids = hashkit.Index(codes, method=method).query(codes[:1], k=10)
        assert ids[0].tolist() == expected.tolist()
        assert distances[0, 0] == 0
    assert 0 in index.radius(codes[0], 20)[0][1]
    assert sum(len(block) for block in index.pairs(64, progress=True)) == 500 * 499 // 2
    assert len(index.groups(2)) == 500
    assert hashkit.Index(codes, metric="jaccard").query(codes[0], k=3)[1][0] == 0
    index.add(codes[:3], ids=[1000, 1001, 1002])
    index.remove([5])
    index.save(folder / "index")
    assert len(hashkit.Index.load(folder / "index", mmap=True)) == 502
    parts = [hashkit.Index(part).query(codes[0], k=5) for part in (codes[:250], codes[250:])]
    assert hashkit.merge(parts, k=5)[1].shape == (5,)
    with hashkit.Collection(folder / "collection", n_bits=64) as collection:
        collection.add(codes, metadata=[{"row": row} for row in range(500)])
        assert collection.query(codes[7], k=1)[1].tolist() == [7]
    labels = np.arange(500) % 5
    score = hashkit.evaluation.mean_average_precision(codes[:5], codes, labels[:5], labels, k=10)
    assert 0 < score.value <= 1
    hashkit.tables.write_codes(folder / "codes.csv", [hashkit.tables.Block(codes, np.arange(500))], 64)
    read = hashkit.tables.open_rows(folder / "codes.csv", holds="codes", ids="id").whole()
    assert np.array_equal(read.values, codes)


def what_is_missing():
    """What needs more says so in one line that names the extra, or the package."""
    for use in (lambda: hashkit.networks.train, lambda: hashkit.fit(np.eye(4, dtype=np.float32), n_bits=2)):
        try:
            use()
        except ModuleNotFoundError as error:
            found = str(error)
        assert re.search("needs (torch|sklearn): pip install '?hashkit-codes", found), found


if __name__ == "__main__":
    if "--hide" in sys.argv:
        sys.meta_path.insert(0, OnlyNumpy())
    with tempfile.TemporaryDirectory() as name:
        search(Path(name))
    what_is_missing()
    sys.stdout.write("searched\n")
