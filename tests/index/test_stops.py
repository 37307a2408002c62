"""Ctrl-C ends every native call in the middle, and queries are answered as before."""

import signal
import threading
import time

import numpy as np
import pytest
from children import run_in_child
from stoppable import interrupt, seconds_to_interrupt, stoppable_calls

import hashkit
from hashkit import _native
from hashkit.checks import MAX_THREADS
from hashkit.index.snapshot import take_codes

N_CODES, N_BYTES, N_QUERIES = 60_000, 128, 2000
SECONDS = 0.5  # on a machine that does other things; benchmarks/bench_interrupts.py has the figure


@pytest.fixture(scope="module", params=[1, 2])
def calls(request):
    return stoppable_calls(N_CODES, N_BYTES, N_QUERIES, request.param)


@pytest.mark.parametrize("name", stoppable_calls(100, 128, 10, 1))
def test_an_interrupt_ends_the_call(calls, name, rng, long_run):
    for _ in range(20 if long_run else 1):
        assert interrupt(calls[name], rng, 0.2) < SECONDS


def test_signals_are_seen_while_rows_are_copied(rng):
    """Not only after the last one, as numpy would by itself."""
    codes, seen = rng.integers(0, 256, (60_000, 128), np.uint8), []
    rows, index = rng.integers(0, len(codes), 1_000_000), hashkit.Index(codes, method="scan")
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(True))
    try:
        for copy in (lambda: take_codes(codes, rows), lambda: index.get(rows)):
            seen.clear()
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            copied = copy()
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert len(seen) > 20
            np.testing.assert_array_equal(copied, codes[rows])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert take_codes(codes, rows[:0]).shape == (0, 128)


@pytest.fixture(scope="module")
def index():
    return hashkit.Index(np.random.default_rng(0).integers(0, 256, (30_000, 16), np.uint8), method="scan")


def test_the_next_call_gives_the_right_answer(index, rng):
    codes = index.get(index.ids)
    expected = index.query(codes[:200], 30), index.radius(codes[:200], 40), index.groups(3)
    for work in (
        lambda: index.query(codes, 30),
        lambda: index.radius(codes, 40),
        lambda: index.groups(40),
    ):
        interrupt(work, rng, 0.1)
        nearest, within, groups = index.query(codes[:200], 30), index.radius(codes[:200], 40), index.groups(3)
        for found, wanted in zip((*nearest, groups), (*expected[0], expected[2]), strict=True):
            np.testing.assert_array_equal(found, wanted)
        for name in ("offsets", "distances", "ids"):
            np.testing.assert_array_equal(getattr(within, name), getattr(expected[1], name))


def test_a_handler_that_returns_does_not_stop_the_call(index):
    """It may search itself, within the search that it interrupts."""
    codes, answers = index.get(index.ids), []
    before = signal.signal(signal.SIGALRM, lambda *_: answers.append(index.query(codes[:3], 5)))
    try:
        expected = index.query(codes[:5000], 5)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.05)
        found = index.query(codes[:5000], 5)
        deadline = time.monotonic() + 20
        while not answers and time.monotonic() < deadline:
            found = index.query(codes[:5000], 5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    for a, b, of_handler in zip(found, expected, answers[0], strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(of_handler, b[:3])


def test_signals_are_no_business_of_other_threads(index):
    """The main thread gets the exception; a search of another thread goes on to its end."""
    codes, answers = index.get(index.ids), []
    thread = threading.Thread(target=lambda: answers.append(index.query(codes[:3000], 5)))
    thread.start()
    while thread.is_alive():
        assert seconds_to_interrupt(lambda: time.sleep(5), 0.02) < SECONDS
    thread.join()
    np.testing.assert_array_equal(answers[0][1], index.query(codes[:3000], 5)[1])


def test_a_forked_child_can_be_interrupted(index):
    codes = index.get(index.ids)

    def work():
        signal.alarm(0)
        seconds = seconds_to_interrupt(lambda: [index.query(codes, 30) for _ in range(1000)], 0.1)
        assert seconds is not None
        assert seconds < SECONDS

    run_in_child(work)


EXIT = """
import threading, time, numpy as np, hashkit
codes = np.random.default_rng(0).integers(0, 256, (100_000, 8), np.uint8)
index = hashkit.Index(codes, method="scan", metric="{metric}")
def work():
    while True:
        {call}
threading.Thread(target=work, daemon=True).start()
time.sleep({seconds})
"""


@pytest.mark.parametrize(
    ("metric", "call"),
    [
        ("hamming", "index.query(codes[:50], 10, n_threads=1)"),
        ("hamming", "index.query(codes[:50], 10, n_threads=2)"),
        ("hamming", "index.radius(codes[:50], 12)"),
        ("hamming", "list(index.pairs(20))"),
        ("jaccard", "index.query(codes[:50], 10)"),
        ("jaccard", "index.radius(codes[:50], 0.3)"),
    ],
)
def test_a_process_ends_while_a_daemon_thread_searches(run_python, metric, call):
    for seconds in (0.1, 0.17, 0.25):
        done = run_python(EXIT.format(metric=metric, call=call, seconds=seconds))
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("n_threads", [MAX_THREADS + 1, 2**62, 2**63, 2**64, 10**30])
@pytest.mark.parametrize("metric", ["hamming", "jaccard"])
def test_too_many_threads_are_refused(n_threads, metric):
    codes = np.zeros((10, 8), np.uint8)
    index = hashkit.Index(codes, metric=metric)
    calls = [
        lambda: index.query(codes, n_threads=n_threads),
        lambda: index.radius(codes, 0, n_threads=n_threads),
        lambda: hashkit.hamming_distances(codes, codes, n_threads=n_threads),
        lambda: hashkit.pack(np.zeros((3, 8), np.float32), n_threads=n_threads),
        lambda: hashkit.unpack(codes, n_threads=n_threads),
        lambda: hashkit.merge([(np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int64))], 1, n_threads=n_threads),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"n_threads must be at most {MAX_THREADS}, got {n_threads}"):
            call()


@pytest.mark.parametrize("n_threads", [-(10**30), -1, 0, MAX_THREADS + 1, 2**62, 2**63, 2**64, 10**30])
def test_the_border_bounds_threads(n_threads):
    codes = np.zeros((10, 8), np.uint8)
    for call in (
        lambda: _native.scan_k_nearest(codes, codes, 1, n_threads),
        lambda: _native.scan_within_radius(codes, codes, 1, n_threads),
        lambda: _native.hamming_distances(codes, codes, n_threads),
        lambda: _native.popcount_order(codes, n_threads),
        lambda: _native.build_tables(codes, 64, False, n_threads),
    ):
        with pytest.raises(ValueError, match=f"n_threads must be 1 to {MAX_THREADS}"):
            call()
    assert len(_native.popcount_order(codes, MAX_THREADS)[0]) == 10
