"""How long does a native call take to end after Ctrl-C?

The time from SIGINT, sent by another process at a random moment of the call, to KeyboardInterrupt: for each of the
calls of tests/stoppable.py, by one thread and by two. With ``--full``, on 1,000,000 x 1,024 bits, the longest of a
call's is held to 100 ms (4 GB, a quarter of an hour; `-k one` or `-k two` runs half); without, small sizes show that
all of it runs. Beside the longest stands how much of it the main thread may have waited for a CPU that other processes
had, where the system counts that.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
from bench_interrupts import seconds_waited
for moment in sys.stdin:
    time.sleep(max(0, float(moment) - time.monotonic()))
    waited, sent = seconds_waited(os.getppid()), time.monotonic()
    os.kill(os.getppid(), signal.SIGINT)
    print(sent, waited, flush=True)
"""


def seconds_waited(process):
    """How long the main thread of a process has been ready to run without a CPU; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process}/task/{process}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


@pytest.fixture(scope="module")
def sender():
    """A process that sends SIGINT at each moment that it is given, and returns when it did."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command, pipe = [sys.executable, "-c", SENDER], subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
    signal.signal(signal.SIGINT, before)


def seconds_to_end(sender, work, delay):
    """From SIGINT after so many seconds to the end of `work()`, and waiting for a CPU; None if it ended before."""
    ended = False
    try:
        print(time.monotonic() + delay, file=sender.stdin, flush=True)
        work()
        ended = True
        time.sleep(delay + 60)
    except KeyboardInterrupt:
        end, waited_at_end = time.monotonic(), seconds_waited(os.getpid())
    else:
        pytest.fail("no KeyboardInterrupt within a minute")
    sent, waited = map(float, sender.stdout.readline().split())
    return None if ended else (end - sent, waited_at_end - waited)


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "two"])
def calls(request, full):
    return request.param, stoppable_calls(N_CODES[full], N_BYTES, N_QUERIES[full], request.param)


@pytest.mark.parametrize("name", stoppable_calls(100, 128, 10, 1))
def test_time_to_end(calls, sender, name, full, hold):
    n_threads, works = calls
    rng = np.random.default_rng(7)
    within, times = WITHIN[full], []
    for _ in range(12 * N_SIGNALS[full]):
        time_to_end = seconds_to_end(sender, works[name], rng.uniform(0.02, 1) * within)
        if time_to_end is None:
            within /= 1.5
        else:
            times.append(time_to_end)
        if len(times) == N_SIGNALS[full]:
            break
    assert times or not full, f"{name} always ended before the signal"
    if times:
        wall, waited = 1e3 * np.array(times).T
        figures = f"median {np.median(wall):.0f} ms, up to {waited[np.argmax(wall)]:.0f} of the longest without a CPU"
        hold(f"{name}, n_threads={n_threads}, {len(wall)} signals: {figures}; longest", max(wall), BAR, "ms")
