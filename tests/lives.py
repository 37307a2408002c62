"""Lives of an index: every operation at random, beside a model in numpy without tables or threads.

Run as a program, ``python tests/lives.py SECONDS SEED``, it goes from life to life until the time is over, and ends
with a line of JSON that counts what it did. A mistake ends it with the seed of the life and what was done in it. A life
repeats with its seed but for the moments of its interrupts: an alarm raises KeyboardInterrupt in the middle of a call,
and afterwards the index must equal the model before the call or after it.
"""

from __future__ import annotations

import copy
import faulthandler
import json
import os
import pickle
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from index_inputs import Inputs
from index_model import Model

import hashkit
from hashkit.index import filters, growth, tables

NO_DISTANCE = 2**31 - 1
SECONDS_FOR_A_CALL = 120


def equal(found, expected):
    np.testing.assert_array_equal(found, expected, strict=True)


class Life(Inputs):
    """Some indexes, each beside its model, changed and searched at random."""

    def __init__(self, seed, folder, counts):
        super().__init__(seed)
        self.folder, self.counts, self.done = folder, counts, []
        self.interrupts, self.seconds = self.rng.random() < 0.7, {}
        # Small limits let few codes take every way that many take.
        self.saved = growth.SMALL_PART, filters.ALLOWED_FOR_EACH, filters.FEW_ROWS, tables.LEAST_CODES
        if self.rng.random() < 0.8:
            growth.SMALL_PART = int(self.rng.choice([0, 4, 64]))
            filters.ALLOWED_FOR_EACH = int(self.rng.choice([1, 16, 256]))
            filters.FEW_ROWS = float(self.rng.choice([1 / 256, 1 / 8]))
            tables.LEAST_CODES = int(self.rng.choice([1, 200, 2**15]))
        self.operations = {
            self.add: 5, self.remove: 4, self.replace: 3, self.query: 5, self.query_stats: 3, self.radius: 3,
            self.pairs: 2, self.groups: 2, self.subset: 2, self.copy: 1, self.compact: 1, self.save: 1.5,
            self.load: 1.5, self.merge: 1, self.look: 1, self.refused: 0.5,
        }  # fmt: skip
        self.all = []  # pairs of an index and its model
        self.file = None  # the model of what was saved

    def end(self):
        growth.SMALL_PART, filters.ALLOWED_FOR_EACH, filters.FEW_ROWS, tables.LEAST_CODES = self.saved

    # One call, interrupted or not.

    def call(self, name, work, before=None, after=None, index=None):
        """The result of `work`, None if it was interrupted, and which of `before` and `after` the index then holds."""
        self.counts[name] += 1
        self.done.append(name)
        if not self.interrupts or self.rng.random() < 0.6:
            faulthandler.dump_traceback_later(SECONDS_FOR_A_CALL, exit=True)
            begin = time.perf_counter()
            result = work()
            self.seconds[name] = time.perf_counter() - begin
            return result, after
        broken, result = interrupted(work, self.rng.uniform(1e-6, 1.2 * self.seconds.get(name, 0.001)))
        if not broken:
            return result, after
        self.counts["interrupts"] += 1
        self.counts[f"interrupts of {name}"] += 1
        self.done.append("interrupted")
        if index is None:
            return None, None
        held = before if np.array_equal(index.ids, before.ids) else after
        if (
            after is not before
            and held is before
            and len(before)
            and not np.array_equal(index.get(before.ids), before.codes)
        ):
            held = after
        self.check(index, held)
        return None, held

    def check(self, index, model):
        assert len(index) == len(model)
        equal(index.ids, model.ids)
        equal(index.get(model.ids), model.codes)
        assert index.metric == model.metric
        assert index.n_bits == model.n_bits
        queries, k = self.some_queries(model, single=False)[:2], int(self.rng.integers(1, 12))
        for row, query in enumerate(queries):
            for found, expected in zip(index.query(queries, k), model.nearest(query, k), strict=True):
                equal(found[row], expected)

    # Operations. Each takes an index and its model, and returns the model afterwards.

    def build(self):
        n = self.n_new()
        codes = self.some_codes(n)
        empty = Model(codes[:0], np.empty(0, np.int64), self.n_bits, self.metric, 0, True)
        ids = None if self.rng.random() < 0.4 else self.new_ids(empty, n)
        model = replace(empty, codes=codes, ids=np.arange(n), next_id=n)
        if ids is not None:
            codes = codes[: len(ids)]
            order = np.argsort(ids)
            next_id = max(0, int(ids.max()) + 1) if len(ids) else 0
            model = replace(
                model, codes=codes[order], ids=ids[order], next_id=next_id, in_order=bool((np.diff(order) > 0).all())
            )
        method = str(self.rng.choice(["auto", "scan", "mih"]))
        compact = bool(self.rng.random() < 0.3)
        given = None if ids is None else ids.copy()
        index, _ = self.call(
            "build",
            lambda: hashkit.Index(
                codes, ids=given, n_bits=self.n_bits, metric=self.metric, method=method, compact=compact
            ),
        )
        if given is not None:
            given[:] = -7  # the caller's own again
        self.done[-1] += f" {len(model)} codes, {self.n_bits} bits, {self.metric}, {method}, {compact=}"
        if index is not None:
            self.all.append((index, model))

    def add(self, index, model):
        n = self.n_new()
        codes = self.some_codes(n)
        own = self.rng.random() < 0.5
        ids = self.new_ids(model, n) if own else model.next_id + np.arange(n, dtype=object)
        codes = codes[: len(ids)]
        if not own and model.next_id + n - 1 > 2**63 - 1:
            with pytest.raises(ValueError, match="ids must be given"):
                index.add(codes)
            return model
        ids = ids.astype(np.int64)
        after = model
        if len(ids):
            behind = len(model) == 0 or (model.in_order and ids[0] >= model.next_id)
            all_ids = np.concatenate([model.ids, ids])
            order = np.argsort(all_ids)
            after = replace(
                model,
                codes=np.concatenate([model.codes, codes])[order],
                ids=all_ids[order],
                next_id=max(model.next_id, int(ids.max()) + 1),
                in_order=bool(behind and (np.diff(ids.astype(object)) > 0).all()),
            )
        given, given_codes = (self.laid_out(ids) if own else None), codes.copy()
        found, after = self.call("add", lambda: index.add(given_codes, given), model, after, index)
        if found is not None:
            equal(found, ids)
            found[:] = given_codes[:] = 77  # the caller's own
        return after

    def remove(self, index, model):
        ids = self.some_ids(model, self.rng.choice([0.001, 0.05, 0.3, 0.9, 1], p=[0.4, 0.3, 0.15, 0.1, 0.05]))
        unknown = self.new_ids(model, 2)
        given, missing = ids, "raise"
        if self.rng.random() < 0.3 and len(unknown):
            given, missing = np.concatenate([ids, unknown]), "ignore"
            with pytest.raises(ValueError, match="ids must be in the index"):
                index.remove(given)
        after = model.only(~np.isin(model.ids, ids))
        given = self.laid_out(given)
        return self.call("remove", lambda: index.remove(given, missing=missing), model, after, index)[1]

    def replace(self, index, model):
        ids = self.some_ids(model)
        codes = self.some_codes(len(ids))
        changed = model.codes.copy()
        changed[model.rows(ids)] = codes
        after = replace(model, codes=changed)
        given = self.laid_out(ids)
        return self.call("replace", lambda: index.replace(codes, given), model, after, index)[1]

    def refused(self, index, model):
        """What is no change: an id that is there, and two of the same."""
        self.counts["refused"] += 1
        if len(model):
            some = self.some_ids(model, 0.01)[:1]
            with pytest.raises(ValueError, match="already in the index"):
                index.add(self.some_codes(1), some)
        with pytest.raises(ValueError, match="comes twice"):
            index.add(self.some_codes(2), [5, 5])
        self.check(index, model)
        return model

    def compact(self, index, model):
        return self.call("compact", index.compact, model, model, index)[1]

    def save(self, index, model):
        path = os.path.join(self.folder, "index.hashkit")
        before = self.file
        _, held = self.call("save", lambda: index.save(path), model, model, index)
        self.file = model
        if self.done[-1] == "interrupted":
            if not os.path.exists(path):
                assert before is None
                self.file = None
            elif before is not None:
                there = hashkit.Index.load(path, method="scan")
                self.file = model if there_is(there, model) else before
                self.check(there, self.file)
        return held

    def load(self, index, model):
        path = os.path.join(self.folder, "index.hashkit")
        if self.file is not None:
            options = {"mmap": self.rng.random() < 0.5, "verify": self.rng.random() < 0.7}
            method = str(self.rng.choice(["auto", "scan", "mih"]))
            loaded, _ = self.call("load", lambda: hashkit.Index.load(path, method=method, **options))
            if loaded is not None:
                self.check(loaded, self.file)
                self.all.append((loaded, self.file))
        return model

    def copy(self, index, model):
        way = [copy.copy, copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))][self.rng.integers(3)]
        copied, held = self.call("copy", lambda: way(index), model, model, index)
        if copied is not None:
            self.all.append((copied, model))
        return held

    def subset(self, index, model):
        filter, allowed = self.some_filter(model)
        subset, held = self.call("subset", lambda: index.subset(filter), model, model, index)
        if subset is not None:
            self.check(subset, model.only(allowed))
            self.all.append((subset, model.only(allowed)))
        return held

    def query(self, index, model):
        filter, allowed = self.some_filter(model)
        queries, k, n_threads = self.some_queries(model), self.some_k(model), self.n_threads()
        work = lambda: index.query(queries, k, filter=filter, n_threads=n_threads)  # noqa: E731
        found, held = self.call("query", work, model, model, index)
        if found is not None:
            some = model.only(allowed)
            for row, query in enumerate(np.atleast_2d(queries)):
                for array, expected in zip(found, some.nearest(query, k), strict=True):
                    equal(np.atleast_2d(array)[row], expected)
        return held

    def some_k(self, model):
        return int(self.rng.choice([1, 2, 10, 100, max(1, len(model) - 1), len(model) + 5]))

    def query_stats(self, index, model):
        if self.metric == "jaccard":
            with pytest.raises(ValueError, match="by Hamming distance only"):
                index.query_stats(model.codes[:1], 1)
            return model
        filter, allowed = self.some_filter(model)
        queries, k = self.some_queries(model, single=False), self.some_k(model)
        most = None if self.rng.random() < 0.3 else int(self.rng.choice([1, 5, 100, 10**6, 10**30]))
        work = lambda: index.query_stats(queries, k, filter=filter, max_candidates=most, n_threads=3)  # noqa: E731
        found, held = self.call("query_stats", work, model, model, index)
        if found is None:
            return held
        distances, ids, stats = found
        some = model.only(allowed)
        assert distances.shape == ids.shape == (len(queries), min(k, len(some)))
        for row, query in enumerate(queries):
            expected = some.nearest(query, k)
            if stats.exact[row]:
                equal(distances[row], expected[0])
                equal(ids[row], expected[1])
                continue
            assert most is not None
            real = distances[row] != NO_DISTANCE
            assert (ids[row][~real] == -1).all()
            assert np.isin(ids[row][real], some.ids).all()
            equal(distances[row][real], some.distances(query)[some.rows(ids[row][real])])
            order = np.lexsort((ids[row][real], distances[row][real]))
            assert (np.diff(order) > 0).all(), "ordered by (distance, id), none of them twice"
        return held

    def radius(self, index, model):
        filter, allowed = self.some_filter(model)
        queries, radius, n_threads = self.some_queries(model), self.some_radius(), self.n_threads()
        work = lambda: index.radius(queries, radius, filter=filter, n_threads=n_threads)  # noqa: E731
        result, held = self.call("radius", work, model, model, index)
        if result is not None:
            for found, query in zip(result, np.atleast_2d(queries), strict=True):
                for array, expected in zip(found, model.only(allowed).within(query, radius), strict=True):
                    equal(array, expected)
        return held

    def pairs(self, index, model):
        if self.metric == "jaccard" or len(model) > 400:
            return model
        other, partners = self.all[self.rng.integers(len(self.all))] if self.rng.random() < 0.5 else (None, None)
        if partners is not None and len(partners) > 400:
            return model
        radius, n_threads = min(self.some_radius(), 6), self.n_threads()
        work = lambda: list(index.pairs(radius, other, n_threads=n_threads))  # noqa: E731
        blocks, held = self.call("pairs", work, model, model, index)
        if blocks is not None:
            columns = [(block.left, block.right, block.distances.astype(np.int64)) for block in blocks]
            found = np.concatenate([np.stack(column, axis=1) for column in columns] or [np.empty((0, 3), np.int64)])
            equal(found, model.pairs(partners, radius))
        return held

    def groups(self, index, model):
        if self.metric == "jaccard" or len(model) > 400:
            return model
        radius, n_threads = min(self.some_radius(), 6), self.n_threads()
        labels, held = self.call("groups", lambda: index.groups(radius, n_threads=n_threads), model, model, index)
        if labels is not None:
            equal(labels, model.groups(radius))
        return held

    def merge(self, index, model):
        """Two halves, searched on their own."""
        left = self.rng.random(len(model)) < 0.5
        queries, k = self.some_queries(model), self.some_k(model)
        halves = [index.subset(model.ids[half]) for half in (left, ~left)] if len(model) > 2 else [index]
        self.counts["merge"] += 1
        whole = index.query(queries, k)
        if self.metric == "hamming":
            for found, expected in zip(hashkit.merge([h.query(queries, k) for h in halves], k), whole, strict=True):
                equal(found, expected)
            radius = self.some_radius()
            merged = hashkit.merge_radius([half.radius(queries, radius) for half in halves])
            for name in ("offsets", "distances", "ids"):
                equal(getattr(merged, name), getattr(index.radius(queries, radius), name))
        return model

    def look(self, index, model):
        self.counts["look"] += 1
        self.check(index, model)
        assert list(index)[:5] == model.ids[:5].tolist()
        for id in [*self.some_ids(model, 0.01)[:3].tolist(), *self.new_ids(model, 2).tolist(), 2**70]:
            assert (id in index) == (id in model.ids)
        parts = index.describe()["parts"]
        assert sum(part["n_codes"] - part["n_removed"] for part in parts) == len(model)
        if not model.in_order and len(model):
            with pytest.raises(ValueError, match="filter cannot be a mask"):
                index.subset(np.ones(len(model), bool))
        return model

    def drop(self, place):
        self.all.pop(place)

    def live(self, n_operations):
        """Do something at random so many times."""
        chances = np.array(list(self.operations.values())) / sum(self.operations.values())
        while not self.all:
            self.build()
        for operation in self.rng.choice(list(self.operations), n_operations, p=chances):
            place = int(self.rng.integers(len(self.all)))
            index, model = self.all[place]
            after = operation(index, model)
            assert after is not None
            self.all[place] = index, after
            while len(self.all) > 4:  # the copies that are kept must not change with the others
                self.drop(int(self.rng.integers(len(self.all))))
            if self.rng.random() < 0.02:
                self.build()
        for index, model in self.all:
            self.check(index, model)


def there_is(index, model):
    """Whether an index holds what the model does; two empty ones may still differ in the id that comes next."""
    same = np.array_equal(index.ids, model.ids) and np.array_equal(index.get(model.ids), model.codes)
    return same and index._current().next_id == model.next_id


ARMED = [False]


def interrupt(*_):
    if ARMED[0]:
        ARMED[0] = False
        raise KeyboardInterrupt


def interrupted(work, seconds):
    """Whether an interrupt after so many seconds came in the middle of `work`, and what it returned if not."""
    faulthandler.dump_traceback_later(SECONDS_FOR_A_CALL, exit=True)
    try:
        try:
            ARMED[0] = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
            result = work()
        finally:
            ARMED[0] = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        return True, None
    return False, result


def main(kind, seconds, seed):
    signal.signal(signal.SIGALRM, interrupt)
    counts, end = Counter(), time.monotonic() + seconds
    while time.monotonic() < end or not counts["lives"]:
        with tempfile.TemporaryDirectory() as folder:
            life = kind(seed, folder, counts)
            try:
                life.live(int(life.rng.integers(10, 60)))
            except BaseException:
                sys.stderr.write(f"seed {seed}: {'; '.join(life.done)}\n")
                raise
            finally:
                life.end()
        counts["lives"] += 1
        seed += 1
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(Life, float(sys.argv[1]), int(sys.argv[2]))
