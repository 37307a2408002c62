"""A program that asks shards the same queries over and over, and writes a line for every answer.

Usage: ``query_stream.py N_NODES ADDRESS OWN_ADDRESS FOLDER QUERIES EXPECTED``: how many nodes to wait for, where Ray's
head and this process are, the shards, and files of the queries and of the right answers. The lines say ``right``,
``wrong``, or which shards were missing; the first one, the addresses of the shards.
"""

import contextlib
import os
import sys
import time

import numpy as np
import ray

from hashkit.scale import MissingShardsError, ShardedIndex

OUTPUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # Ray writes to the standard output, too


def outcome(index, queries, expected):
    try:
        distances, ids = index.query(queries, 10, timeout=1.0)
    except MissingShardsError as error:
        return f"missing {' '.join(error.shards)}"
    return "right" if np.array_equal(distances, expected[0]) and np.array_equal(ids, expected[1]) else "wrong"


def connect(n_nodes, address, own_address):
    while not ray.is_initialized():
        with contextlib.suppress(ConnectionError):
            ray.init(address, _node_ip_address=own_address, log_to_driver=False, logging_level="error")
    while sum(node["Alive"] for node in ray.nodes()) < n_nodes:
        time.sleep(0.1)


def say(line):
    OUTPUT.write(f"{line}\n")
    OUTPUT.flush()


def main(n_nodes, address, own_address, folder, queries, expected):
    queries, expected = np.load(queries), np.load(expected)
    connect(int(n_nodes), address, own_address)
    addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()}
    with ShardedIndex(folder, num_cpus=1) as index:
        say(" ".join(addresses[host.node] for host in index._wait(index._dispatcher.hosts())))
        while True:
            say(outcome(index, queries, expected))


if __name__ == "__main__":
    main(*sys.argv[1:])
