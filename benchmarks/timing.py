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


def medians_in_turn(works, rounds):
    """The median time of each by the clock on the wall, called in turn: what else the machine does then meets all."""
    for work in works:
        work()
    times = np.empty((rounds, len(works)))
    for row in times:
        for i, work in enumerate(works):
            start = time.perf_counter()
            work()
            row[i] = time.perf_counter() - start
    return np.median(times, axis=0).tolist()
