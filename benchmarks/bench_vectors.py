"""How good and how fast is the search of embeddings, beside the best peers at equal recall and equal memory?

Every answer is compared with exact search over the floats before it is timed. ``--vectors FILE.npz`` names sets of your
own with the arrays ``vectors`` and ``queries`` (or ``vectors`` alone, whose first 1,000 rows are then queries); without
it a small synthetic set shows that all of it runs. Times are CPU time of one thread, ratios of one run. Peers that are
not installed (faiss, turbovec, bitbudget) are left out.
"""

import ctypes
import importlib
import shutil
import subprocess
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from timing import median_seconds

import hashkit
from hashkit.vectors import VectorIndex
from hashkit.vectors.cells import work_of
from hashkit.vectors.exact import exact_neighbors
from hashkit.vectors.rows import as_vectors

K = 10
N_SINGLE = 20
TARGETS = (0.9, 0.95, 0.99)

READER = """
#include <stddef.h>
#include <stdint.h>
/* Rows in a given order, the next ones fetched ahead: what a machine reads at random at most. */
uint64_t read_rows(const uint64_t* data, const int64_t* rows, size_t n_rows, size_t words) {
  uint64_t sums[8] = {0};
  for (size_t i = 0; i < n_rows; ++i) {
    if (i + 2 < n_rows)
      for (size_t w = 0; w < words; w += 8) __builtin_prefetch(data + rows[i + 2] * words + w);
    const uint64_t* row = data + rows[i] * words;
    for (size_t w = 0; w < words; w += 8)
      for (size_t j = 0; j < 8; ++j) sums[j] += row[w + j];
  }
  return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}
"""


def synthetic(n, n_dims, seed=0):
    """A mixture of clusters on a manifold of 32 dimensions whose spectrum falls off, and noise on top."""
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((32, n_dims)) / np.sqrt(np.arange(1, 33))[:, None] / 2
    centers = 0.8 * rng.standard_normal((200, 32))
    rows = (centers[rng.integers(0, 200, n)] + 0.6 * rng.standard_normal((n, 32))) @ basis
    rows += 0.3 * np.sqrt(np.square(rows).mean()) * rng.standard_normal((n, n_dims))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@cache
def read_set(path):
    """(vectors float16, queries float32), all of length 1."""
    if path is None:
        rows = synthetic(20_200, 128)
        return rows[200:], rows[:200].astype(np.float32)
    with np.load(path) as file:
        vectors = file["vectors"]
        queries, vectors = (file["queries"], vectors) if "queries" in file else (vectors[:1000], vectors[1000:])
    queries = queries[:1000].astype(np.float32)
    return np.ascontiguousarray(vectors), queries / np.linalg.norm(queries, axis=1, keepdims=True)


def pytest_generate_tests(metafunc):
    if "path" in metafunc.fixturenames:
        paths = metafunc.config.getoption("--vectors") or [None]
        metafunc.parametrize("path", paths, ids=lambda path: Path(path).stem if path else "synthetic")


@cache
def truth(path):
    """The true K nearest by exact search over the floats."""
    vectors, queries = read_set(path)
    return exact_neighbors(as_vectors(vectors, "vectors"), queries, K, "cosine", 1)


def share(true, ids, first):
    """Of the true nearest, the share among the first ids."""
    return float(np.mean([np.isin(a, b[:first]).mean() for a, b in zip(true, ids, strict=True)]))


def faiss_or_skip():
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    return faiss


def of_length_1(vectors):
    floats = vectors.astype(np.float32)
    return floats / np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), 1e-9)


def times(search, queries):
    """CPU seconds for a query in a batch, and alone."""
    batch = median_seconds(lambda: search(queries), 3) / len(queries)
    alone = queries[:N_SINGLE]
    return batch, median_seconds(lambda: [search(query[np.newaxis]) for query in alone], 3) / len(alone)


def minima_in_turn(works, clock, rounds=9):
    """The least time of each by a clock, called in turn: what else the machine does then meets all."""
    found = np.empty((rounds, len(works)))
    for row in found:
        for number, work in enumerate(works):
            start = clock()
            work()
            row[number] = clock() - start
    return found.min(axis=0).tolist()


def test_rescoring_reads_as_fast_as_the_machine(full, hold, tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "reader.c").write_text(READER)
    command = [
        compiler,
        "-O3",
        "-march=native",
        "-shared",
        "-fPIC",
        "-o",
        tmp_path / "reader.so",
        tmp_path / "reader.c",
    ]
    subprocess.run(command, check=True)
    reader = ctypes.CDLL(str(tmp_path / "reader.so"))
    reader.read_rows.restype = ctypes.c_uint64
    n_rows = 1_000_000 if full else 100_000
    vectors = np.resize(synthetic(5000, 1024), (n_rows, 1024))
    rng = np.random.default_rng(0)
    queries, ids = rng.standard_normal((1000, 1024)).astype(np.float32), rng.integers(0, n_rows, (1000, 100))
    arguments = [ctypes.c_void_p(vectors.ctypes.data), ctypes.c_void_p(ids.ctypes.data), ctypes.c_size_t(ids.size)]

    def read():
        reader.read_rows(*arguments, ctypes.c_size_t(256))

    def rescore(n_threads=1):
        return hashkit.rescore(queries, vectors, ids, K, n_threads=n_threads)

    sample = vectors[ids[0]].astype(np.float32)
    expected = sample @ queries[0] / np.linalg.norm(sample, axis=1) / np.linalg.norm(queries[0])
    np.testing.assert_allclose(rescore()[0][0], np.sort(expected)[::-1][:K], rtol=1e-3)
    reading, one = minima_in_turn([read, rescore], time.process_time)
    alone, two = minima_in_turn([rescore, lambda: rescore(2)], time.perf_counter)
    hold("random reads of 2 KiB", ids.size * 2048 / reading / 1e9, None, "GB/s")
    hold("rescore of float16, share of random reads", reading / one, 0.7, "times", at_least=True)
    hold("rescore on two threads", alone / two, 1.8, "times one", at_least=True)


def test_bits_alone(path, full, hold, note):
    """One bit a dimension and 8 bytes, against faiss's RaBitQ, which has as many."""
    faiss = faiss_or_skip()
    (vectors, queries), true = read_set(path), truth(path)
    n_dims = vectors.shape[1]
    index = VectorIndex.fit(vectors, recall=None, keep="none", n_bits=n_dims)
    contestants = {"hashkit": lambda q: index.query(q, 100, n_threads=1)[1]}
    floats = of_length_1(vectors)
    for name, kind in (("RaBitQ", faiss.IndexRaBitQ), ("RaBitQfs", faiss.IndexRaBitQFastScan)):
        rotation = faiss.RandomRotationMatrix(n_dims, n_dims)
        rotation.init(5)
        peer = faiss.IndexPreTransform(rotation, kind(n_dims, faiss.METRIC_L2))
        peer.train(floats)
        peer.add(floats)
        contestants[name] = lambda q, peer=peer: peer.search(q, 100)[1]
    found = {}
    for name, search in contestants.items():
        ids = search(queries)
        found[name] = share(true, ids, 10), share(true, ids, 100), *times(search, queries)
        tens, hundreds, batch, alone = found[name]
        note(
            f"{name}: {tens:.3f} in the first 10, {hundreds:.3f} in 100; {batch * 1e6:.0f} us, alone {alone * 1e6:.0f}"
        )
    own, peer = found["hashkit"], found["RaBitQ"]
    hold("in the first 10, beyond RaBitQ", own[0] - peer[0], 0, "", at_least=True)
    hold("in the first 100, beyond RaBitQ", own[1] - peer[1], 0, "", at_least=True)
    hold("queries per second in batches", peer[2] / own[2], 3, "times RaBitQ", at_least=True)
    hold("queries per second alone", peer[3] / own[3], 3, "times RaBitQ", at_least=True)


@pytest.mark.parametrize("target", TARGETS)
def test_the_predicted_recall_is_true(path, hold, note, target):
    vectors, queries = read_set(path)
    index = VectorIndex.fit(vectors, recall=target, n_threads=1)
    described, true = index.describe(), share(truth(path), index.query(queries, K)[1], K)
    predicted = described["recall"].mean
    note(f"{target}: predicted {predicted:.4f}, true {true:.4f}; {described['n_bits']} bits, {described['stages']}")
    hold("predicted recall, off by", abs(predicted - true), 0.01, "")
    hold("recall beyond the target", true - target, 0, "", at_least=True)


def test_cells_against_a_scan(path, hold, note):
    """A large index with candidates from cells, and the same with candidates from a scan of all codes."""
    (vectors, queries), true = read_set(path), truth(path)
    index = VectorIndex.fit(vectors, recall=0.95, n_bits=vectors.shape[1], n_threads=1)
    by_cells = index._plan
    if by_cells.code_recall == 1:
        pytest.skip("a scan takes less time than cells")
    found = {}
    for name, plan in (("cells", by_cells), ("a scan", replace(by_cells, code_recall=1.0))):
        index._plan = plan
        recall = share(true, index.query(queries, K)[1], K)
        found[name] = times(lambda q: index.query(q, K, n_threads=1), queries)
        batch, alone = (seconds * 1e6 for seconds in found[name])
        note(f"candidates from {name}: recall@10 {recall:.3f}; {batch:.0f} us, alone {alone:.0f}")
        hold(f"recall by {name} beyond the target", recall - 0.95, 0, "", at_least=True)
    (batch, alone), (scan_batch, scan_alone) = found.values()
    hold("queries per second in batches", scan_batch / batch, 1, "times those of a scan", at_least=True)
    hold("queries per second alone", scan_alone / alone, 1, "times those of a scan", at_least=True)


def test_what_the_stages_cost(path, note):
    """The ratios of `hashkit.vectors.calibration`: a candidate, a vector that is read, a bit of a scan of estimates."""
    vectors, queries = read_set(path)
    index = VectorIndex.fit(vectors, recall=None, n_bits=vectors.shape[1], n_threads=1)
    state, asked = index._state, index._encoder.prepare(queries, 1)
    rows = state.index.query(asked.codes, 1600, n_threads=1)[1]
    best = state.store.score(asked, rows, 100, 8, 1)[1]
    works = {
        "1 nearest code": lambda: state.index.query(asked.codes, 1, n_threads=1),
        "800 nearest codes": lambda: state.index.query(asked.codes, 800, n_threads=1),
        "800 estimates": lambda: state.store.score(asked, np.ascontiguousarray(rows[:, :800]), 100, 8, 1),
        "all estimates": lambda: state.store.scan(asked, 200, 4, None, 1),
        "100 vectors": lambda: state.store.rescore(queries, best, K, "cosine", 1),
    }
    work = work_of(state.index, 800, 0.9, 1)
    if work is not None:
        works["800 nearest codes, .9 of them, in cells"] = lambda: state.index.query(
            asked.codes, 800, recall=0.9, n_threads=1
        )
    found = dict(zip(works, minima_in_turn(list(works.values()), time.process_time, 5), strict=True))
    for name, seconds in found.items():
        assert seconds > 0
        note(f"{name}: {seconds / len(queries) * 1e6:.0f} us")
    least = found["1 nearest code"]
    candidate = (found["800 nearest codes"] - least + found["800 estimates"]) / 800
    n_bits, row = len(vectors) * index.n_bits, found["100 vectors"] / 100 * 2048 / vectors[0].nbytes
    code, bit = least / n_bits / candidate, found["all estimates"] / n_bits / candidate
    note(f"in candidates, a vector of 2 KiB costs {row / candidate:.1f}")
    note(f"a bit of a scan of codes {code:.1e}, of estimates {bit:.1e}")
    if work is not None:
        in_cells = found["800 nearest codes, .9 of them, in cells"] / candidate - 800
        note(f"a bit that a search of cells reads, {in_cells / work / n_bits:.1e}")


def faiss_peers(faiss, floats):
    """Names and functions of (queries, vectors read) that return ids: a stage of codes, refined by the floats."""
    n, n_dims = floats.shape
    n_lists = int(4 * np.sqrt(n))
    for spec in ("RaBitQfs", f"IVF{n_lists},RaBitQfs", f"PQ{n_dims // 4}x4fs"):
        base = faiss.index_factory(n_dims, spec, faiss.METRIC_L2)
        base.train(floats[:100_000])
        base.add(floats)
        refined = faiss.IndexRefineFlat(base, faiss.swig_ptr(floats))
        for n_probes in (n_lists // 50, n_lists // 12) if "IVF" in spec else (None,):

            def search(queries, n_read, refined=refined, base=base, n_probes=n_probes):
                if n_probes:
                    faiss.extract_index_ivf(base).nprobe = n_probes
                refined.k_factor = n_read / K
                return refined.search(queries, K)[1]

            yield f"{spec}{f', {n_probes} lists' if n_probes else ''}, refined", search


def test_with_vectors_read(path, hold, note):
    """Recall@10 of .99 from at most 100 vectors read, and how long peers take for as much."""
    (vectors, queries), true = read_set(path), truth(path)
    index = VectorIndex.fit(vectors, recall=0.99, n_threads=1)
    n_read = index.describe()["n_rescored"]
    recall = share(true, index.query(queries, K)[1], K)
    batch, alone = times(lambda q: index.query(q, K, n_threads=1), queries)
    note(f"hashkit: {recall:.3f} from {n_read} vectors; {batch * 1e6:.0f} us, alone {alone * 1e6:.0f}")
    hold("vectors read for a recall of .99", n_read, 100, "")
    hold("recall@10", recall, 0.99, "", at_least=True)
    faiss = faiss_or_skip()
    best = np.inf
    for name, search in faiss_peers(faiss, of_length_1(vectors)):
        for read in (20, 50, 100, 200, 400):
            found = share(true, search(queries, read), K)
            if found >= recall - 0.001 or read == 400:
                break
        of_batch, of_alone = times(lambda q, search=search, read=read: search(q, read), queries)
        note(f"{name}: {found:.3f} from {read}; {of_batch * 1e6:.0f} us, alone {of_alone * 1e6:.0f}")
        best = min(best, of_batch) if found >= recall - 0.001 else best
    if np.isfinite(best):
        hold("queries per second", best / batch, 2, "times the best of faiss at equal recall", at_least=True)


def test_turbovec(path, note):
    turbovec = pytest.importorskip("turbovec")
    (vectors, queries), true = read_set(path), truth(path)
    peer = turbovec.TurboQuantIndex(vectors.shape[1], bit_width=2)
    peer.add(of_length_1(vectors))

    def search(asked):
        candidates = np.asarray(peer.search(asked, 100)[1]).astype(np.int64)
        return hashkit.rescore(asked, vectors, candidates, K, n_threads=1)[1]

    batch, alone = times(search, queries)
    note(f"turbovec, 2 bits, rescored: {share(true, search(queries), K):.3f}; {batch * 1e6:.0f} us, {alone * 1e6:.0f}")


def test_a_pipeline_of_binary_codes_and_floats(path, note):
    """What sentence-transformers' quantized search does: signs at zero, by faiss, 4 times k rescored in numpy."""
    faiss = faiss_or_skip()
    (vectors, queries), true = read_set(path), truth(path)
    codes = np.packbits(vectors > 0, axis=1)
    peer = faiss.IndexBinaryFlat(8 * codes.shape[1])
    peer.add(codes)
    signs = vectors > 0

    def search(asked):
        ids = peer.search(np.packbits(asked > 0, axis=1), 4 * K)[1]
        scores = np.einsum("qd,qcd->qc", asked, 2.0 * signs[ids] - 1)
        return np.take_along_axis(ids, np.argsort(-scores, axis=1)[:, :K], axis=1)

    batch, _ = times(search, queries)
    note(f"binary codes, rescored by bits: {share(true, search(queries), K):.3f}; {batch * 1e6:.0f} us")


def test_building_from_a_map(path, full, hold, tmp_path):
    vectors, _ = read_set(path)
    np.save(tmp_path / "vectors.npy", vectors)
    weights = np.linalg.qr(np.random.default_rng(0).standard_normal((vectors.shape[1],) * 2))[0].astype(np.float32)

    def read_and_multiply():
        mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
        for first in range(0, len(mapped), 4096):
            mapped[first : first + 4096].astype(np.float32) @ weights

    start = time.process_time()
    read_and_multiply()
    least = time.process_time() - start
    start = time.process_time()
    VectorIndex.build(tmp_path / "vectors.npy", tmp_path / "built", recall=None, n_threads=1)
    hold("build without a recall", (time.process_time() - start) / least, 1.5, "times reading and one product")


def test_bitbudget(path, note):
    """Recall per byte on its own harness, beside its own methods."""
    pytest.importorskip("bitbudget")
    methods, evaluate = importlib.import_module("bitbudget.methods"), importlib.import_module("bitbudget.eval")
    vectors, queries = (of_length_1(rows) for rows in read_set(path))
    vectors, queries = vectors[:20_000], queries[:200]

    importlib.import_module("harnesses.bitbudget.entries")  # hashkit's methods
    exact = queries @ vectors.T
    relevant = {str(q): {str(d): 1 for d in np.argsort(-row)[:K]} for q, row in enumerate(exact)}
    names = [str(number) for number in range(len(vectors))]
    chosen = [name for name in methods.METHODS if name not in ("pq", "pca")]
    rows = evaluate.evaluate(vectors, queries, names, [str(q) for q in range(len(queries))], relevant, chosen)
    for row in rows:
        note(f"{row['method']}: {row['bytes']:.0f} bytes, recall@10 {row['recall']:.3f}")
    found = {row["method"]: row["recall"] for row in rows}
    assert found["hashkit"] > found["binary"]
