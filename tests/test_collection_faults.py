"""A collection whose process is killed, or whose disk is full, loses nothing that was acknowledged."""

import os
import resource
import signal

import numpy as np
import pytest
from children import SECONDS_TO_LIVE, kill_in_the_middle, run_in_child

import hashkit


def random_codes(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 4), np.uint8)


def step(number, collection, model):
    """The change of that number, to a collection and to a dict of (code, note) by id; it depends on these alone."""
    rng = np.random.default_rng(number)
    ids = sorted(model)
    some = [ids[place] for place in rng.permutation(len(ids))[:3].tolist()]
    kind = rng.choice(["add", "add", "remove", "replace", "compact"], p=[0.3, 0.3, 0.2, 0.17, 0.03])
    if kind == "add" or len(ids) < 10:
        codes, notes = random_codes(4, number), [f"note {number}"] * 4
        added = range(10 * number, 10 * number + 4)
        if collection is not None:
            collection.add(codes, list(added), metadata=notes)
        model.update({id: (code.tobytes(), note) for id, code, note in zip(added, codes, notes, strict=True)})
    elif kind == "remove":
        if collection is not None:
            collection.remove(some)
        for id in some:
            del model[id]
    elif kind == "replace":
        codes = random_codes(len(some), number)
        if collection is not None:
            collection.replace(codes, some)
        model.update({id: (code.tobytes(), model[id][1]) for id, code in zip(some, codes, strict=True)})
    elif collection is not None:
        collection.compact()


def contents(collection):
    ids = collection.ids
    codes, notes = collection.get(ids), collection.metadata(ids)
    return {id: (code.tobytes(), note) for id, code, note in zip(ids.tolist(), codes, notes, strict=True)}


def test_kill_during_changes(tmp_path, rng, long_run):
    path = tmp_path / "collection"
    hashkit.Collection(path, 32).close()
    model, number, n_acknowledged, patience = {}, 0, 0, 0.1
    for trial in range(200 if long_run else 30):

        def change_for_ever(tell, number=number, trial=trial):
            collection = hashkit.Collection(path, sync=("always", "batch")[trial % 2])
            here = dict(model)
            tell("ready")
            while True:
                step(number, collection, here)
                tell(number)
                number += 1

        told = kill_in_the_middle(change_for_ever, rng.uniform(0, patience), wait=trial % 4 > 0)
        n_acknowledged += len(told)
        patience = 0.1 if told else 2 * patience  # a slow disk may need longer for one change
        for _ in told:
            step(number, None, model)
            number += 1
        with hashkit.Collection(path) as collection:  # the dead process does not hold the lock
            found = contents(collection)
        if found != model:  # then the change under way, which was not acknowledged, is there as a whole
            step(number, None, model)
            number += 1
            assert found == model
    assert n_acknowledged > 30


def test_disk_full(tmp_path):
    path = tmp_path / "collection"
    with hashkit.Collection(path, 32) as collection:
        collection.add(random_codes(1000, 0), metadata=list(range(1000)))

    def fill():
        with hashkit.Collection(path) as collection:
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
            with pytest.raises(OSError, match="cannot write"):
                collection.add(random_codes(100_000, 1), metadata=list(range(100_000)))
            with pytest.raises(OSError, match="cannot write"):  # noqa: PT012
                for seed in range(1000):
                    collection.add(random_codes(100, seed))
            n_codes = len(collection)
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            collection.add(random_codes(5, 2), metadata=[1] * 5)
            assert len(collection) == n_codes + 5
            os.write(writer, str(n_codes + 5).encode())

    reader, writer = os.pipe()
    run_in_child(fill)
    n_codes = int(os.read(reader, 100))
    assert n_codes > 1005
    with hashkit.Collection(path) as collection:
        assert len(collection) == n_codes
        np.testing.assert_array_equal(collection.get(range(1000)), random_codes(1000, 0))
        assert collection.metadata(range(1000)) == list(range(1000))


def test_full_disks(memory_folder, rng, long_run):
    """The disk is full at any write: the change that fails leaves no trace, and with room again all goes on."""
    path, model, number = memory_folder / "collection", {}, 0
    hashkit.Collection(path, 32).close()
    limits = rng.integers(1_000, 250_000, 700 if long_run else 40).tolist()

    def fill():
        nonlocal number
        signal.alarm(0 if long_run else SECONDS_TO_LIVE)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        for trial, limit in enumerate(limits):
            failed = 0
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                with hashkit.Collection(path, sync=("always", "batch")[trial % 2]) as collection:
                    for _ in range(30):
                        before = dict(model)
                        try:
                            step(number, collection, model)
                        except OSError:
                            failed += 1
                            model.clear()
                            model.update(before)
                        assert contents(collection) == model
                        number += 1
            except OSError:  # no room for opening
                failed += 1
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            with hashkit.Collection(path) as collection:
                assert contents(collection) == model, (trial, limit)
            n_failed.append(failed)
            if len(model) > 300:
                with hashkit.Collection(path) as collection:
                    collection.remove(list(model))
                    collection.compact()
                model.clear()
        assert np.count_nonzero(n_failed) > 0.1 * len(limits)

    n_failed = []
    run_in_child(fill)


def test_disk_full_during_compaction(tmp_path):
    path = tmp_path / "collection"

    def fill():
        with hashkit.Collection(path, 32) as collection:
            collection.add(random_codes(20_000, 0))
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
            with pytest.raises(OSError, match="cannot write"):
                collection.compact()
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert sorted(name for name in os.listdir(path) if "index" in name or "tmp" in name) == []
            collection.compact()

    run_in_child(fill)
    assert [name for name in os.listdir(path) if "index" in name] == ["index-1.hashkit"]
    with hashkit.Collection(path) as collection:
        np.testing.assert_array_equal(collection.get(range(20_000)), random_codes(20_000, 0))


@pytest.mark.parametrize("step", ["begin_generation", "flush"])
def test_interrupted_compaction(tmp_path, monkeypatch, step):
    path = tmp_path / "collection"

    def interrupt(*args):
        raise KeyboardInterrupt

    with hashkit.Collection(path, 32) as collection:
        collection.add(random_codes(50, 0))
        collection.compact()
        collection.add(random_codes(50, 1))
        monkeypatch.setattr(f"hashkit.storage.journal.Journal.{step}", interrupt)
        with pytest.raises(KeyboardInterrupt):
            collection.compact()
        monkeypatch.undo()
        collection.add(random_codes(50, 2))
    with hashkit.Collection(path) as collection:
        expected = np.concatenate([random_codes(50, seed) for seed in range(3)])
        np.testing.assert_array_equal(collection.get(range(150)), expected)
        assert len([name for name in os.listdir(path) if "index" in name]) == 1
