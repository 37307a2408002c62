"""Every call that can take long, and how long it takes to stop when an alarm's handler raises."""

import signal
import time

import numpy as np

import hashkit
from hashkit import _native, evaluation


class Interrupted(KeyboardInterrupt):
    pass


def _interrupt(*_):
    raise Interrupted


def seconds_to_interrupt(work, delay):
    """How long after `delay` seconds `work()` raises the handler's exception; None if it ended before."""
    before = signal.signal(signal.SIGALRM, _interrupt)
    begin = time.perf_counter()
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        work()
        signal.setitimer(signal.ITIMER_REAL, 0)
        return None
    except Interrupted:
        return time.perf_counter() - begin - delay
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupt(work, rng, longest):
    """Interrupt `work` at a random moment within so many seconds, sooner if it ends before: how long it took."""
    for _ in range(20):
        delay = rng.uniform(0.2, 1) * longest
        seconds = seconds_to_interrupt(work, delay)
        if seconds is not None:
            return seconds
        longest /= 2
    raise AssertionError("no interrupt came before the end")


def _searches(codes, n_queries, n_threads):
    n_codes, n_bytes = codes.shape
    queries, few = codes[:n_queries], codes[:: n_codes // 20].copy()
    scan = hashkit.Index(codes, method="scan")
    part = np.ascontiguousarray(codes[:, :8])
    tables = hashkit.Index(part, method="mih")
    jaccard = hashkit.Index(codes, metric="jaccard")
    jaccard.query(codes[0], 1)
    everything, quarter = 8 * n_bytes, 3 * n_bytes
    return {
        "query": lambda: scan.query(queries, 10, n_threads=n_threads),
        "query, k = n": lambda: scan.query(few, n_codes, n_threads=n_threads),
        "query with a filter": lambda: scan.query(queries, 10, filter=scan.ids[::3], n_threads=n_threads),
        "radius": lambda: scan.radius(queries, quarter, n_threads=n_threads),
        "radius of everything": lambda: scan.radius(few, everything, n_threads=n_threads),
        "mih query": lambda: tables.query(part[: 10 * n_queries], 10, n_threads=n_threads),
        "mih radius": lambda: tables.radius(part[: 10 * n_queries], 6, n_threads=n_threads),
        "Jaccard query": lambda: jaccard.query(queries, 10, n_threads=n_threads),
        "Jaccard query, k = n": lambda: jaccard.query(few[:3], n_codes, n_threads=n_threads),
        "Jaccard radius": lambda: jaccard.radius(queries, 0.6, n_threads=n_threads),
        "popcount order": lambda: _native.popcount_order(codes, n_threads),
        "building tables": lambda: hashkit.Index(codes, method="mih"),
        "pairs": lambda: list(scan.pairs(quarter, n_threads=n_threads)),
        "pairs by tables": lambda: list(scan.pairs(6, n_threads=n_threads)),
        "groups": lambda: scan.groups(2, n_threads=n_threads),
    }


def _conversions(codes, n_queries, n_threads):
    n_codes = len(codes)
    bits = hashkit.unpack(codes[: n_codes // 8])
    distances = np.zeros((4, n_codes), np.int32)
    nearest = [(distances, np.arange(4 * n_codes).reshape(4, n_codes) + i) for i in range(3)]
    within = [hashkit.index.results.RadiusResult(np.arange(5) * n_codes, *map(np.ravel, pair)) for pair in nearest]
    labels, ids = np.arange(n_codes) % 10, np.arange(0, 2 * n_codes, 2)
    shuffled = np.random.default_rng(0).permutation(ids)
    indexed = hashkit.Index(codes, ids=ids, method="scan")
    everything = np.full((n_codes + 7) // 8, 0xFF, np.uint8)
    everything[-1] >>= -n_codes % 8
    return {
        "pack": lambda: hashkit.pack(bits, n_threads=n_threads),
        "unpack": lambda: hashkit.unpack(codes, n_threads=n_threads),
        "hamming_distances": lambda: hashkit.hamming_distances(codes[:400], codes, n_threads=n_threads),
        "merge": lambda: hashkit.merge(nearest, 3 * n_codes, n_threads=n_threads),
        "merge_radius": lambda: hashkit.merge_radius(within, n_threads=n_threads),
        "gather": lambda: _native.gather_rows(codes, everything, n_threads),
        "find_ids": lambda: _native.find_ids(ids, shuffled),
        "get": lambda: indexed.get(shuffled),
        "distinct codes": lambda: _native.distinct_codes(codes),
        "mAP": lambda: evaluation.mean_average_precision(codes[:n_queries], codes, labels[:n_queries], labels),
    }


def _embeddings(codes, n_queries, n_threads):
    """Calls for codes of embeddings, and for their vectors, as the classes make them."""
    rng = np.random.default_rng(2)
    n_codes, n_bytes = codes.shape
    n_bits, n_cells = 8 * n_bytes, max(2, n_codes // 2000)
    queries = codes[:n_queries]
    cells = _native.build_cells(codes, n_bits, n_cells, 32, 2)
    limits = np.full(n_bits + 1, n_bits, np.int32)
    sparse = codes & np.roll(codes, 1, axis=0) & np.roll(codes, 2, axis=0) & np.roll(codes, 3, axis=0)
    similar = hashkit.Index(sparse, metric="jaccard")
    values = rng.standard_normal((n_queries, n_bits), np.float32)
    planes, steps = _native.quantize_queries(values, 4)
    factors = rng.random((n_codes, 2), np.float32)
    candidates = rng.integers(0, n_codes, (n_queries, min(n_codes, 1000)))
    scan = (codes, factors, planes, steps, n_bits)
    row_scales, column_scales = np.ones(n_codes, np.float32), np.ones(n_bytes, np.float32)
    stored = np.zeros((n_queries, n_bytes), np.float32), codes, "int8", row_scales, column_scales
    matrix = rng.standard_normal((n_bits, n_bits), np.float32)
    encoder = _native.VectorEncoder("ip", np.zeros(n_bits, np.float32), n_bits, None, matrix, None)
    funnel = _native.VectorFunnel(encoder, codes, factors, None, "", None, None, None, None)
    of_bytes = _native.VectorEncoder("ip", np.zeros(n_bytes, np.float32), 8, None, matrix[:8, :n_bytes].copy(), None)
    encoded = np.empty((n_codes, 1), np.uint8), np.empty((n_codes, 2), np.float32)
    return {
        "building cells": lambda: _native.build_cells(codes, n_bits, n_cells, 32, n_threads),
        "query by cells": lambda: _native.cells_k_nearest(cells, codes, queries, 10, n_threads, n_bits, limits, n_bits),
        "sketches": lambda: _native.cell_sketches(cells, codes),
        "checking cells": lambda: _native.check_cells(cells, codes),
        "Jaccard pairs": lambda: list(similar.pairs(similarity=0.5, n_threads=n_threads)),
        "checksums": lambda: _native.block_sums(codes.reshape(-1), n_threads),
        "scan by estimates": lambda: _native.scan_planes(*scan, 10, n_threads),
        "estimates of candidates": lambda: _native.score_planes(*scan, candidates, 10, n_threads),
        "rescore": lambda: _native.rescore(*stored, candidates, None, 10, "ip", n_threads),
        "quantizing queries": lambda: _native.quantize_queries(values, 8),
        "preparing queries": lambda: encoder.prepare(values, n_threads),
        "encoding vectors": lambda: of_bytes.encode(*stored[1:], 0, *encoded, None, n_threads),
        "funnel": lambda: funnel.query(values, 10, True, 1000, 0, np.inf, None, n_threads),
        "funnel of estimates": lambda: funnel.query(values, 10, False, 0, 0, np.inf, None, n_threads),
    }


def stoppable_calls(n_codes, n_bytes, n_queries, n_threads):
    """The calls by name, on random codes."""
    codes = np.random.default_rng(1).integers(0, 256, (n_codes, n_bytes), np.uint8)
    return (
        _searches(codes, n_queries, n_threads)
        | _conversions(codes, n_queries, n_threads)
        | _embeddings(codes, n_queries, n_threads)
    )
