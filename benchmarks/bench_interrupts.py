"""How long does a native call take to end after Ctrl-C?

The time from SIGINT, sent by another process at a random moment of the call, to KeyboardInterrupt: for each of the
calls of tests/stoppable.py, by one thread and by two. With ``--full``, on 1,000,000 x 1,024 bits, the longest of a
call's is held to 100 ms (8 GB, a quarter of an hour; `-k one` or `-k two` runs half); without, small sizes show that
all of it runs.
"""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from stoppable import stoppable_calls

N_BYTES = 128
N_CODES = {False: 20_000, True: 1_000_000}
N_QUERIES = {False: 1000, True: 4000}
WITHIN = {False: 0.05, True: 4.0}  # seconds of a call in which signals come, fewer if it ends before
N_SIGNALS = {False: 1, True: 5}  # that came in time, for each call
BAR = 100  # ms

# time.monotonic is one clock for all processes.
SENDER = """
import os, signal, sys, time
for moment in sys.stdin:
    time.sleep(max(0, float(moment) - time.monotonic()))
    sent = time.monotonic()
    os.kill(os.getppid(), signal.SIGINT)
    print(sent, flush=True)
"""


@pytest.fixture(scope="module")
def sender():
    """A process that sends SIGINT at each moment that it is given, and returns when it did."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
    with subprocess.Popen(
        [sys.executable, "-c", SENDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
    signal.signal(signal.SIGINT, before)


def seconds_to_end(sender, work, delay):
    """From a SIGINT after so many seconds to the end of `work()`; None if that ended before."""
    ended = False
    try:
        print(time.monotonic() + delay, file=sender.stdin, flush=True)
        work()
        ended = True
        time.sleep(delay + 60)
    except KeyboardInterrupt:
        end = time.monotonic()
    else:
        pytest.fail("no KeyboardInterrupt within a minute")
    sent = float(sender.stdout.readline())
    return None if ended else end - sent


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "two"])
def calls(request, full):
    return request.param, stoppable_calls(N_CODES[full], N_BYTES, N_QUERIES[full], request.param)


@pytest.mark.parametrize("name", stoppable_calls(100, 8, 10, 1))
def test_time_to_end(calls, sender, name, full, hold):
    n_threads, works = calls
    rng = np.random.default_rng(7)
    within, times = WITHIN[full], []
    for _ in range(12 * N_SIGNALS[full]):
        seconds = seconds_to_end(sender, works[name], rng.uniform(0.02, 1) * within)
        if seconds is None:
            within /= 1.5
        else:
            times.append(seconds)
        if len(times) == N_SIGNALS[full]:
            break
    assert times or not full, f"{name} always ended before the signal"
    if times:
        figures = f"{name}, n_threads={n_threads}: median {1e3 * np.median(times):.0f} ms of {len(times)}, longest"
        hold(figures, 1e3 * max(times), BAR, "ms")
