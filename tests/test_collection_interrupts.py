"""A change that an interrupt breaks off happens wholly or not at all, in the journal and in memory."""

import os
import signal

import numpy as np
import pytest
from children import run_in_child

import hashkit

CHANGES = ("add", "remove", "replace", "set_metadata", "compact", "flush", "close", "open")
N_BYTES = 4


def contents(collection):
    ids = collection.ids
    codes, notes = collection.get(ids), collection.metadata(ids)
    return {id: (code.tobytes(), note) for id, code, note in zip(ids.tolist(), codes, notes, strict=True)}


def perform(change, collection, model, number):
    """What `change` makes of `model`, and a function that does it to the collection."""
    codes = np.random.default_rng(number).integers(0, 256, (3, N_BYTES), np.uint8)
    ids = sorted(model)[-3:]
    after = dict(model)
    if change == "add":
        new = range(10 * number, 10 * number + 3)
        after.update({id: (code.tobytes(), number) for id, code in zip(new, codes, strict=True)})
        return after, lambda: collection.add(codes, list(new), metadata=[number] * 3)
    if change == "remove":
        for id in ids:
            del after[id]
        return after, lambda: collection.remove(ids)
    if change == "replace":
        after.update({id: (code.tobytes(), number) for id, code in zip(ids, codes, strict=True)})
        return after, lambda: collection.replace(codes, ids, metadata=[number] * 3)
    if change == "set_metadata":
        after.update({id: (model[id][0], number) for id in ids})
        return after, lambda: collection.set_metadata(ids, [number] * 3)
    if change == "open":
        return after, lambda: hashkit.Collection(collection._folder).close()
    return after, getattr(collection, change)


def interrupted(work, seconds):
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
    collection, model, n_done, number, longest = hashkit.Collection(path, 32, sync="batch"), {}, 0, 0, 0.002
    while n_done < n_interrupts:
        number += 1
        assert number < 40 * n_interrupts, f"only {n_done} interrupts in {number} calls came in the middle"
        while len(model) < 10:
            model, work = perform("add", collection, model, 1_000_000 + number)
            work()
            number += 1
        if change == "open":
            collection.close()
        after, work = perform(change, collection, model, number)
        broken = interrupted(work, rng.uniform(1e-5, longest))
        n_done += broken
        longest = longest * (0.97 if not broken else 1.03)
        if collection._durable.closed:
            collection.close()
        else:
            found = contents(collection)  # memory, before anything else is changed
            assert found == after or (broken and found == model), (change, number)
            model = found
            if number % 5:
                continue
            collection.close()
        collection = hashkit.Collection(path, sync="batch")
        found = contents(collection)
        assert found in (model, after), (change, number)
        model = found
    collection.close()


@pytest.mark.parametrize("change", CHANGES)
def test_interrupts(tmp_path, change, long_run):
    def work():
        def interrupt(*_):
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)  # in place of the child's own limit
        interrupt_many(os.fspath(tmp_path / "collection"), change, 2000 if long_run else 100)

    run_in_child(work)
