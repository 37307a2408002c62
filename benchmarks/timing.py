"""How the benchmarks take the time of a call."""

import time

import numpy as np


def median_seconds(work, rounds=5, clock=time.process_time):
    """The median time of some calls after one that does not count: CPU time, unless another clock is given."""
    work()
    times = []
    for _ in range(rounds):
        start = clock()
        work()
        times.append(clock() - start)
    return float(np.median(times))


def median_wall_seconds(work, rounds=5):
    """The same by the clock on the wall: where threads, disks or other processes are the question."""
    return median_seconds(work, rounds, time.perf_counter)
