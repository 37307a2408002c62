"""Readers and writers on one index at once: every answer is that of a state between the call's begin and its end."""

import copy
import pickle
import threading
import time

import numpy as np
import pytest

import hashkit
from hashkit.index import growth

SECONDS, SECONDS_LONG = 4, 60
N_WRITERS, N_READERS, N_SAVERS = 8, 13, 3
RANGE = 1_000_000  # ids of writer w: [w * RANGE, (w + 1) * RANGE)
RADIUS, K = 6, 5


class Owner:
    """The codes of one writer, as they should be, in every version from the first.

    A version is noted in `versions` before the index gets it and counted in `n_done` after, so that what a reader finds
    is one of those from `n_done` before its call to the last of `versions` after it.
    """

    def __init__(self, number):
        self.rng = np.random.default_rng(number)
        self.number, self.next_id = number, number * RANGE
        self.versions, self.n_done = [(np.empty(0, np.int64), np.empty((0, 2), np.uint8))], 0

    def new_codes(self, n):
        return self.rng.integers(0, 256, (n, 2), np.uint8)

    def write(self, index):
        """One change of several codes at once, to the index and to the notes."""
        ids, codes = self.versions[-1]
        changed = self.rng.permutation(len(ids))[:5]
        if len(ids) < 40 or (self.rng.random() < 0.4 and len(ids) < 200):
            new_ids, new_codes = np.arange(self.next_id, self.next_id + 7), self.new_codes(7)
            self.next_id += 7
            version = np.concatenate([ids, new_ids]), np.concatenate([codes, new_codes])
            self.commit(version, lambda: index.add(new_codes, new_ids))
        elif self.rng.random() < 0.5:
            version = np.delete(ids, changed), np.delete(codes, changed, axis=0)
            self.commit(version, lambda: index.remove(ids[changed]))
        else:
            new_codes, replaced = self.new_codes(len(changed)), codes.copy()
            replaced[changed] = new_codes
            self.commit((ids, replaced), lambda: index.replace(new_codes, ids[changed]))

    def commit(self, version, change):
        self.versions.append(version)
        change()
        self.n_done += 1

    def explains(self, first, fits):
        """Whether `fits(ids, codes)` for one of the versions from `first` on."""
        return any(fits(ids, codes) for ids, codes in self.versions[first:])


def distances_to(query, codes):
    return np.bitwise_count(codes ^ query).sum(axis=1, dtype=np.int32)


def nearest(query, ids, codes):
    distances = distances_to(query, codes)
    order = np.lexsort((ids, distances))[:K]
    return distances[order], ids[order]


def within(query, ids, codes):
    distances = distances_to(query, codes)
    order = np.lexsort((ids, distances))
    order = order[distances[order] <= RADIUS]
    return distances[order], ids[order]


def same(found, expected):
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def check_nearest(index, owners, rng):
    """The nearest among one writer's codes, by a filter."""
    owner = owners[rng.integers(len(owners))]
    query, first = rng.integers(0, 256, 2, np.uint8), owner.n_done
    allowed = np.arange(owner.number * RANGE, owner.next_id + 5000)  # more than may be added meanwhile
    found = index.query(query, K, filter=allowed, n_threads=int(rng.integers(1, 3)))
    assert owner.explains(first, lambda ids, codes: same(found, nearest(query, ids, codes)))


def check_radius(index, owners, rng):
    """All within a radius; what is found of each writer must fit one of its versions."""
    query, firsts = rng.integers(0, 256, 2, np.uint8), [owner.n_done for owner in owners]
    check_found(index.radius(query[None], RADIUS, n_threads=1)[0], query, owners, firsts)


def check_found(found, query, owners, firsts):
    distances, ids = found
    order = np.lexsort((ids, distances))
    np.testing.assert_array_equal(order, np.arange(len(order)))
    for owner, first in zip(owners, firsts, strict=True):
        of_owner = ids // RANGE == owner.number
        part = distances[of_owner], ids[of_owner]
        assert owner.explains(first, lambda ids, codes, part=part: same(part, within(query, ids, codes)))


def check_copies(index, owners, rng, path):
    """A saved, copied or pickled index is of one moment."""
    query, firsts = rng.integers(0, 256, 2, np.uint8), [owner.n_done for owner in owners]
    kind = rng.integers(4)
    if kind < 2:
        index.save(path)
        twin = hashkit.Index.load(path, mmap=bool(kind))
    else:
        twin = copy.copy(index) if kind == 2 else pickle.loads(pickle.dumps(index))
    check_found(twin.radius(query[None], RADIUS)[0], query, owners, firsts)
    time.sleep(0.02)


def test_hammer(tmp_path, monkeypatch, long_run):
    monkeypatch.setattr(growth, "SMALL_PART", 32)  # so that there are several parts
    index = hashkit.Index(np.empty((0, 2), np.uint8))
    owners = [Owner(number) for number in range(N_WRITERS)]
    end = time.monotonic() + (SECONDS_LONG if long_run else SECONDS)
    failures, counts = [], {"writes": 0, "reads": 0, "copies": 0}

    def repeat(kind, work):
        n = 0
        try:
            while time.monotonic() < end and not failures:
                work()
                n += 1
        except BaseException as error:
            failures.append(error)
        counts[kind] += n

    jobs = [("writes", lambda owner=owner: owner.write(index)) for owner in owners]
    for number in range(N_READERS):
        rng, check = np.random.default_rng(100 + number), (check_nearest, check_radius)[number % 2]
        jobs.append(("reads", lambda rng=rng, check=check: check(index, owners, rng)))
    for number in range(N_SAVERS):
        rng, path = np.random.default_rng(200 + number), tmp_path / f"{number}"
        jobs.append(("copies", lambda rng=rng, path=path: check_copies(index, owners, rng, path)))
    threads = [threading.Thread(target=repeat, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    assert all(counts.values()), counts
    expected = np.concatenate([owner.versions[-1][0] for owner in owners])
    np.testing.assert_array_equal(index.ids, np.sort(expected))


def test_changes_wait_for_each_other():
    index = hashkit.Index(np.zeros((0, 8), np.uint8))
    barrier = threading.Barrier(16)

    def add():
        barrier.wait()
        for _ in range(20):
            index.add(np.zeros((3, 8), np.uint8))

    threads = [threading.Thread(target=add) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(index) == list(range(16 * 20 * 3))


def test_an_id_is_added_once():
    index = hashkit.Index(np.zeros((0, 8), np.uint8))
    barrier, refused = threading.Barrier(8), []

    def add():
        barrier.wait()
        try:
            index.add(np.zeros((1, 8), np.uint8), [7])
        except ValueError as error:
            refused.append(error)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert list(index) == [7]


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_answers_do_not_depend_on_threads(n_threads):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (3000, 2), np.uint8)
    index = hashkit.Index(codes)
    index.remove(np.arange(0, 3000, 3))
    index.add(codes[:500])
    mask = rng.random(len(index)) < 0.3
    for filter in (None, mask, index.ids[mask]):
        found = index.query(codes[:20], 50, filter=filter, n_threads=n_threads)
        for left, right in zip(found, index.query(codes[:20], 50, filter=filter, n_threads=3), strict=True):
            np.testing.assert_array_equal(left, right)
