"""A change that an interrupt breaks off happens wholly or not at all, in the journal and in memory."""

import gc
import os
import re
import signal
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from children import run_in_child

import hashkit

CHANGES = ("make", "add", "remove", "replace", "set_metadata", "compact", "flush", "close", "open", "recover")
N_BYTES = 4
STRIDES = {"compact": 5, "make": 11, "open": 11, "recover": 11}  # else every place
MOST_CODES, MOST_CHANGES = 60, 50  # more codes are removed, more changes folded in: every opening reads all of them
SECONDS_TO_WAIT = 20  # for a thread that a lock left behind would block for ever


def contents(collection):
    ids = collection.ids
    codes, notes = collection.get(ids), collection.metadata(ids)
    return {id: (code.tobytes(), note) for id, code, note in zip(ids.tolist(), codes, notes, strict=True)}


class Life:
    """A collection and the dict it must equal, to which one of CHANGES happens again and again."""

    def __init__(self, path, change):
        self.path, self.change, self.number = path, change, 0
        self.collection, self.model, self.kept = None, {}, []
        if change != "make":
            self.open()

    def open(self):
        self.collection = hashkit.Collection(self.path, 8 * N_BYTES, sync="batch")

    def prepare(self):
        """Before each change: what it needs."""
        self.number += 1
        if self.change == "make":
            self.path = f"{self.path.rpartition('-')[0]}-{self.number}"
            return
        if len(self.model) > MOST_CODES:
            old = sorted(self.model)[:-10]
            self.collection.remove(old)
            self.collection.compact()
            for id in old:
                del self.model[id]
        if self.number % MOST_CHANGES < 2:  # it grows by one or two
            self.collection.compact()
        if len(self.model) < 10:
            ids, codes = np.arange(3) + 10 * self.number, self.codes()
            self.collection.add(codes, ids, metadata=[self.number] * 3)
            self.model |= {id: (code.tobytes(), self.number) for id, code in zip(ids.tolist(), codes, strict=True)}
            self.number += 1
        if self.change == "recover":
            self.collection.compact()
            self.model = {id: (code, None) for id, (code, _) in self.model.items()}
        if self.change in ("open", "recover"):
            self.collection.close()
        if self.change == "recover":
            for name in ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"):
                Path(self.path, name).unlink(missing_ok=True)

    def codes(self):
        return np.random.default_rng(self.number).integers(0, 256, (3, N_BYTES), np.uint8)

    def step(self):
        """What the change makes of the model, and a function that does it to the collection."""
        collection, number, codes, ids = self.collection, self.number, self.codes(), sorted(self.model)[-3:]
        after = dict(self.model)
        if self.change == "add":
            new = range(10 * number, 10 * number + 3)
            after.update({id: (code.tobytes(), number) for id, code in zip(new, codes, strict=True)})
            return after, lambda: collection.add(codes, list(new), metadata=[number] * 3)
        if self.change == "remove":
            for id in ids:
                del after[id]
            return after, lambda: collection.remove(ids)
        if self.change == "replace":
            after.update({id: (code.tobytes(), number) for id, code in zip(ids, codes, strict=True)})
            return after, lambda: collection.replace(codes, ids, metadata=[number] * 3)
        if self.change == "set_metadata":
            after.update({id: (self.model[id][0], number) for id in ids})
            return after, lambda: collection.set_metadata(ids, [number] * 3)
        if self.change in ("make", "open", "recover"):
            return after, self._hold
        return after, getattr(collection, self.change)

    def _hold(self):
        open_it = hashkit.Collection.recover if self.change == "recover" else hashkit.Collection
        self.collection = open_it(self.path, *([8 * N_BYTES] if self.change == "make" else []))

    def compare(self, after, broken):
        """Memory at once, and what is there after reopening, against the model before or after the change."""
        if self.change not in ("make", "open", "recover", "close"):
            found = contents(self.collection)
            assert found == after or (broken and found == self.model), (self.change, self.number)
            self.model = found
        if self.collection is not None:
            self.collection.close()
        if self.change == "recover" and broken and not self._has_journal():
            hashkit.Collection.recover(self.path).close()
        self.open()
        found = contents(self.collection)
        assert found in ((self.model, after) if self.change == "close" else (self.model,)), (self.change, self.number)
        if self.change == "make":
            self.collection.close()
            self.collection = None

    def _has_journal(self):
        try:
            hashkit.Collection(self.path).close()
        except (hashkit.storage.FormatError, ValueError):
            return False
        return True


class At:
    """A profile function that interrupts at the n-th place where CPython looks for signals: the start of a function of
    Python, the end of one of C. A signal cannot be placed there with any precision, and an exception has its effect.
    Only in hashkit's functions and those of contextlib: callbacks of weak references swallow exceptions."""

    PLACES = re.compile(r"/hashkit/|contextlib\.py$")

    def __init__(self, n):
        self.n_left = n

    def __call__(self, frame, event, arg):
        if event in ("call", "c_return") and self.PLACES.search(frame.f_code.co_filename):
            self.n_left -= 1
            if self.n_left == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt


def interrupted_at(work, n, kept):
    """Whether `work` was interrupted at its n-th place; the exception is kept, with all frames of its traceback."""
    sys.setprofile(At(n))
    try:
        work()
    except KeyboardInterrupt as error:
        kept.append(error)
        return True
    finally:
        sys.setprofile(None)
    return False


@pytest.mark.parametrize("change", CHANGES)
def test_an_interrupt_at_every_place(memory_folder, change, long_run):
    """Nor does what the traceback keeps alive hold a lock: a notebook keeps the last one."""
    kept, stride = [], 1 if long_run else STRIDES.get(change, 1)
    life = Life(f"{memory_folder}/collection-0", change)
    n, broken = 1, True
    while broken:
        life.prepare()
        after, work = life.step()
        broken = interrupted_at(work, n, kept)
        thread = threading.Thread(target=life.compare, args=(after, broken), daemon=True)
        failures = []
        thread.run = lambda run=thread.run, failures=failures: _catch(run, failures)
        thread.start()
        thread.join(SECONDS_TO_WAIT)
        assert not thread.is_alive(), f"a lock was left behind at place {n}"
        assert not failures, f"at place {n}: {failures}"
        n += stride
    assert len(kept) >= 10
    if life.collection is not None:
        life.collection.close()
    with warnings.catch_warnings():  # files that the tracebacks kept open are closed here, not in another test
        warnings.simplefilter("ignore", ResourceWarning)
        kept.clear()
        gc.collect()


def _catch(run, failures):
    try:
        run()
    except BaseException as error:
        failures.append(error)


def interrupted_after(work, seconds):
    """Run `work` with an interrupt after `seconds`; whether it came in the middle."""
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        work()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return False


def interrupt_many(path, change, n_interrupts):
    rng = np.random.default_rng(CHANGES.index(change))
    life, n_done, longest = Life(f"{path}-0", change), 0, 0.002
    while n_done < n_interrupts:
        assert life.number < 40 * n_interrupts, f"only {n_done} interrupts in {life.number} calls came in the middle"
        life.prepare()
        after, work = life.step()
        broken = interrupted_after(work, rng.uniform(1e-5, longest))
        life.compare(after, broken)
        n_done += broken
        longest *= 1.03 if broken else 0.97
    if life.collection is not None:
        life.collection.close()


@pytest.mark.parametrize("change", CHANGES)
def test_interrupts_at_random_moments(memory_folder, change, long_run):
    def work():
        def interrupt(*_):
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)  # in place of the child's own limit
        interrupt_many(os.fspath(memory_folder / "collection"), change, 2000 if long_run else 40)

    run_in_child(work)
