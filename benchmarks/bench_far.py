"""Codes whose neighbors are far: is search at a recall below 1 faster than its peers, and is the recall met? And does
an exact query take less time than reading the codes does?

Single queries, one call each, on one thread, in one run; recall@10 is measured against the exact answers. Peers go
through a grid of their own parameters, and each is represented by its fastest setting that reaches the recall. By
default a small set shows that all of it runs. For the record:

    pytest benchmarks/bench_far.py --full --codes FILE.npz [--codes FILE.npz ...]

A file has ``codes`` and ``query_codes``, uint8, most significant bit first; or ``vectors``, whose signs are the codes,
the first 1,000 being queries. Without files a seeded set stands in for embeddings. ``--peers IVF`` leaves out the
graphs, which take 6 to 12 minutes to build over 1,000,000 codes of 1,024 bits by one core. ``--kept FOLDER`` keeps what
was built there, for the next run.
"""

import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from timing import medians_in_turn

import hashkit

K = 10
RECALLS = (0.95, 0.99)
MOST_BELOW = 0.005
FASTER_THAN_PEERS = 2
WORSE_THAN_SCAN = 1.15
MOST_FOR_PYNNDESCENT = 200_000
"""Codes: it takes minutes to build over so many of 1,024 bits."""
OF_READING = 0.6
BUILD_SECONDS_PER_MILLION = 60
N_TIMED = {False: 100, True: 300}


def pytest_generate_tests(metafunc):
    if "source" in metafunc.fixturenames:
        files = metafunc.config.getoption("--codes") or [None]
        metafunc.parametrize("source", files, ids=lambda file: Path(file).stem if file else "stand-in")


@cache
def read(source, full):
    if source is None:
        return stand_in(1_000_000 if full else 40_000, 1024 if full else 512)
    with np.load(source) as file:
        if "codes" in file:
            return np.ascontiguousarray(file["codes"]), np.ascontiguousarray(file["query_codes"])
        codes = np.packbits(file["vectors"] > 0, axis=1)
    return np.ascontiguousarray(codes[1000:]), np.ascontiguousarray(codes[:1000])


def stand_in(n_codes, n_bits, n_queries=1000):
    """Signs of noisy vectors around 2,000 topics of uneven size: the 10th neighbor is at a fifth of the bits."""
    rng = np.random.default_rng(5)
    topics = rng.standard_normal((2000, 64), dtype=np.float32)
    basis = rng.standard_normal((64, n_bits), dtype=np.float32) / np.sqrt(np.arange(1, 65, dtype=np.float32))[:, None]
    share = 1 / np.arange(1, 2001) ** 0.7
    blocks = []
    for start in range(0, n_codes + n_queries, 50_000):
        n = min(50_000, n_codes + n_queries - start)
        inner = topics[rng.choice(2000, n, p=share / share.sum())] + rng.standard_normal((n, 64), dtype=np.float32)
        values = inner @ basis
        values += 0.35 * values.std() * rng.standard_normal(values.shape, dtype=np.float32)
        blocks.append(np.packbits(values > 0, axis=1))
    codes = np.concatenate(blocks)
    return codes[n_queries:], codes[:n_queries]


def recall_of(found, expected):
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, expected, strict=True)]))


def one_by_one(search, queries):
    return lambda: [search(query) for query in queries]


def test_recall_and_speed_against_peers(source, full, note, hold, kept, pytestconfig):
    codes, queries = read(source, full)
    name = f"{Path(source).stem if source else 'stand-in'}, {len(codes):,} x {8 * codes.shape[1]}"
    exact = hashkit.Index(codes, method="scan")
    _, expected = exact.query(queries, K)
    start = time.perf_counter()
    index = hashkit.Index(codes, method="cells")
    index.query(queries[0], K, recall=RECALLS[0])
    seconds = time.perf_counter() - start
    cells = index.describe()["parts"][0].get("cells")
    if cells:
        hold(f"{name}: built and calibrated", seconds / len(codes) * 1e6, BUILD_SECONDS_PER_MILLION, "s a million")
        note(f"{name}: cells take {cells['memory'] / codes.nbytes:.1%} of the codes")
    timed = queries[: N_TIMED[full]]
    words = pytestconfig.getoption("--peers") or [""]
    chosen = {peer: make for peer, make in PEERS.items() if any(word in peer for word in words)}
    contestants = {("hashkit, exact",): lambda q: exact.query(q, K, n_threads=1)}
    for recall in RECALLS:
        _, found = index.query(queries, K, recall=recall)
        hold(f"{name}: asked for {recall}, short by", recall - recall_of(found, expected), MOST_BELOW, "of recall")
        contestants["hashkit", recall] = lambda q, recall=recall: index.query(q, K, recall=recall, n_threads=1)
        for peer, search in fastest_peers(codes, queries, expected, recall, chosen, kept).items():
            contestants[peer, recall] = search
    times = medians_in_turn([one_by_one(search, timed) for search in contestants.values()], 5)
    micros = {key: 1e6 * seconds / len(timed) for key, seconds in zip(contestants, times, strict=True)}
    note(f"{name}: exact scan {micros[('hashkit, exact',)]:.0f} µs a query")
    ratios = {}
    for recall in RECALLS:
        own = micros["hashkit", recall]
        peers = {key[0]: value for key, value in micros.items() if key[-1] == recall and key[0] != "hashkit"}
        others = "; ".join(f"{peer} {value:.0f} µs ({value / own:.1f} x)" for peer, value in peers.items())
        note(f"{name}, recall {recall}: hashkit {own:.0f} µs; {others}")
        if peers:
            ratios[recall] = min(peers.values()) / own
    for recall, ratio in ratios.items():
        hold(f"{name}: recall {recall}, best peer", ratio, FASTER_THAN_PEERS, "x as long", at_least=True)


def fastest_peers(codes, queries, expected, recall, peers, kept):
    """For each of the peers the search of least effort that has the recall, as a function of one query."""
    found = {}
    for name, make in peers.items():
        for setting in make(codes, kept / f"{name}, {len(codes)} x {8 * codes.shape[1]}"):
            rows = np.concatenate([setting(query) for query in queries[:300]])
            if recall_of(rows, expected[:300]) >= recall:
                found[name] = setting
                break
    return found


@cache
def faiss():
    module = pytest.importorskip("faiss")
    module.omp_set_num_threads(1)
    return module


_built = {}


def built(path, make, write, load):
    """An index that is made once for all recalls, and once for all runs that keep it at this path."""
    if path not in _built:
        if not path.exists():
            write(make(), str(path))
        _built[path] = load(str(path))
    return _built[path]


def built_by_faiss(path, make):
    return built(path, make, faiss().write_index_binary, faiss().read_index_binary)


def binary_ivf(codes, path):
    n_bits, n_lists = 8 * codes.shape[1], int(4 * np.sqrt(len(codes)))

    def make():
        quantizer = faiss().IndexBinaryFlat(n_bits)
        index = faiss().IndexBinaryIVF(quantizer, n_bits, n_lists)
        index.own_fields = False
        index.cp.niter = 10
        index.train(codes[:: max(1, len(codes) // (40 * n_lists))])
        index.add(codes)
        index.quantizer_ = quantizer  # lives as long as the index
        return index

    index = built_by_faiss(path, make)
    for n_probe in (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512):

        def search(query, n_probe=n_probe):
            index.nprobe = n_probe
            return index.search(query[None], K)[1]

        yield search


def binary_hnsw(codes, path):
    def make():
        index = faiss().IndexBinaryHNSW(8 * codes.shape[1], 16)
        index.hnsw.efConstruction = 100
        faiss().omp_set_num_threads(2)
        index.add(codes)
        faiss().omp_set_num_threads(1)
        return index

    index = built_by_faiss(path, make)
    for effort in (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768):

        def search(query, effort=effort):
            index.hnsw.efSearch = effort
            return index.search(query[None], K)[1]

        yield search


def usearch_b1(codes, path):
    module = pytest.importorskip("usearch.index") if _has("usearch") else None
    if module is None:
        return

    def make():
        index = module.Index(ndim=8 * codes.shape[1], dtype="b1", metric="hamming")
        index.add(np.arange(len(codes)), codes, threads=2)
        return index

    index = built(path, make, lambda index, to: index.save(to), module.Index.restore)
    for effort in (16, 32, 64, 128, 256, 512):

        def search(query, effort=effort):
            index.expansion_search = effort
            found = index.search(query, K, threads=1).keys.astype(np.int64)
            return np.pad(found, (0, K - len(found)), constant_values=-1)[None]

        yield search


def pynndescent(codes, path):
    module = pytest.importorskip("pynndescent") if _has("pynndescent") else None
    if module is None or len(codes) > MOST_FOR_PYNNDESCENT:
        return

    def make():
        index = module.NNDescent(codes, metric="bit_hamming", n_neighbors=30, n_jobs=2, random_state=0)
        index.prepare()
        index.query(codes[:1], K)  # compiled on the first call
        return index

    index = _built.get(path) or _built.setdefault(path, make())
    for epsilon in (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4):

        def search(query, epsilon=epsilon):
            return index.query(query[None], K, epsilon=epsilon)[0]

        yield search


def _has(module):
    try:
        __import__(module)
    except ImportError:
        return False
    return True


PEERS = {
    "faiss BinaryIVF": binary_ivf,
    "faiss BinaryHNSW": binary_hnsw,
    "usearch b1": usearch_b1,
    "PyNNDescent": pynndescent,
}


def test_exact_queries_beside_reading_all_codes(source, full, note, hold):
    codes, queries = read(source, full)
    name = f"{Path(source).stem if source else 'stand-in'}, {len(codes):,} x {8 * codes.shape[1]}"
    scan, index = hashkit.Index(codes, method="scan"), hashkit.Index(codes, method="cells")
    for k in (1, K, 100):
        for a, b in zip(scan.query(queries[:30], k), index.query(queries[:30], k), strict=True):
            np.testing.assert_array_equal(a, b)
    bounds = index.describe()["parts"][0].get("bounds", {"work": 1, "memory": 0})
    share = index.query_stats(queries[:30], K)[2].candidates.mean() / len(codes)
    note(f"{name}: bounds take {bounds['memory'] / codes.nbytes:.1%} of the codes, and leave {share:.1%} to be read")
    timed, words = queries[:50], codes.reshape(-1)[: codes.size // 8 * 8].view(np.uint64)
    works = [lambda: [words.max() for _ in timed]]
    for k in (1, K, 100):
        works += [one_by_one(lambda q, of=of, k=k: of.query(q, k, n_threads=1), timed) for of in (scan, index)]
    reading, *times = (seconds / len(timed) * 1e6 for seconds in medians_in_turn(works, 5))
    for k, by_scan, own in zip((1, K, 100), times[::2], times[1::2], strict=True):
        note(f"{name}, k = {k}: reading {reading:.0f} µs, scan {by_scan:.0f} µs, exact by bounds {own:.0f} µs")
        bar = OF_READING if k == K and bounds["memory"] else None
        hold(f"{name}: exact, k = {k}", own / reading, bar, "of the time that reading the codes takes")
        hold(f"{name}: exact, k = {k}", own / by_scan, WORSE_THAN_SCAN, "x the scan")


def test_recall_after_other_codes_came(source, full, hold):
    codes, queries = read(source, full)
    index = hashkit.Index(codes)
    index.query(queries[0], K, recall=0.95)
    other = np.ascontiguousarray(np.roll(codes[: len(codes) // 5], 3, axis=1) ^ np.uint8(0x5A))
    index.add(other)
    index.compact()
    _, expected = index.query(queries, K)
    for recall in RECALLS:
        _, found = index.query(queries, K, recall=recall)
        short = recall - recall_of(found, expected)
        hold(f"a fifth of other codes added, asked for {recall}, short by", short, MOST_BELOW, "of recall")


def test_uniform_codes_cost_no_more_than_a_scan(full, hold):
    rng = np.random.default_rng(1)
    codes = rng.integers(256, size=(300_000 if full else 40_000, 64), dtype=np.uint8)
    queries = rng.integers(256, size=(50, 64), dtype=np.uint8)
    scan, index = hashkit.Index(codes, method="scan"), hashkit.Index(codes, method="cells")
    for a, b in zip(scan.query(queries, K), index.query(queries, K, recall=0.95), strict=True):
        np.testing.assert_array_equal(a, b)
    works = [
        one_by_one(lambda q: scan.query(q, K, n_threads=1), queries),
        one_by_one(lambda q: index.query(q, K, recall=0.95, n_threads=1), queries),
        one_by_one(lambda q: index.query(q, K, n_threads=1), queries),
    ]
    by_scan, approximate, exact = medians_in_turn(works, 7)
    hold("uniform codes at recall .95", approximate / by_scan, WORSE_THAN_SCAN, "x the scan")
    hold("uniform codes, exact", exact / by_scan, WORSE_THAN_SCAN, "x the scan")


def test_growth(full, hold):
    small, large = (1_000_000, 10_000_000) if full else (40_000, 160_000)
    times = []
    for n_codes in (small, large):
        codes, queries = stand_in(n_codes, 256)
        index = hashkit.Index(codes, method="cells")
        index.query(queries[0], K, recall=0.95)
        work = one_by_one(lambda q, index=index: index.query(q, K, recall=0.95, n_threads=1), queries[: N_TIMED[full]])
        times += medians_in_turn([work], 5)
    hold(f"{large // small} times the codes of 256 bits", times[1] / times[0], 4, "x the time a query")
