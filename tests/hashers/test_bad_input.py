"""Features as they come in practice: few, constant, duplicated, lopsided, with outliers; and trainings that fail."""

import signal
import subprocess
import sys

import numpy as np
import pytest

import hashkit
from hashkit.hashers import METHODS, hasher_class

LEARNT_BY_GRADIENT = ["bi_half", "greedy_hash", "rank_matching", "udhpl"]


def make(method, n_bits=8, **options):
    """A hasher that learns in a moment, UDHPL with its network."""
    cls = hasher_class(method)
    small = {"random_state": 0, "n_epochs": 10, "n_hidden": 32, "batch_size": 64, "network": "always"}
    return cls(n_bits, **{name: value for name, value in small.items() if name in cls._get_param_names()} | options)


def blobs(n=300, d=24, seed=0):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(6, size=n)
    return (rng.normal(size=(6, d))[kinds] * 2 + rng.normal(size=(n, d))).astype(np.float32), kinds


def same_kind_share(hasher, X, kinds):
    """Share of the 10 nearest rows by code that are of a row's kind."""
    distances = hashkit.hamming_distances(hasher.encode(X), hasher.encode(X)).astype(int)
    np.fill_diagonal(distances, 999)
    return (kinds[distances.argsort(axis=1, kind="stable")[:, :10]] == kinds[:, None]).mean()


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Threads that wait for each other over so little work take most of the time on a busy machine."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=sorted(METHODS))
def method(request):
    return request.param


@pytest.mark.parametrize("n_rows", [4, 17])
def test_fewer_rows_than_any_clusters_or_batch(method, n_rows):
    X = blobs(n_rows)[0]
    assert make(method, 3).fit(X).encode(X).shape == (n_rows, 1)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_features_that_are_all_the_same(method, value):
    X = np.full((60, 24), value, dtype=np.float32)
    hasher = make(method).fit(X)
    assert np.isfinite(hasher.project(X)).all()
    assert len(np.unique(hasher.encode(X), axis=0)) == 1


def test_a_few_rows_many_times_over(method):
    X = blobs(3)[0][np.random.default_rng(0).integers(3, size=400)]
    codes = make(method).fit(X).encode(X)
    assert 2 <= len(np.unique(codes, axis=0)) <= 3
    assert len(np.unique(np.c_[X, codes], axis=0)) == 3


def test_one_giant_cluster_does_not_hide_the_others(method):
    X, kinds = blobs(400)
    X[40:] = X[0] + np.random.default_rng(1).normal(size=(360, 24))
    kinds[40:] = kinds[0]
    hasher = make(method, 16).fit(X)
    assert len(np.unique(hasher.encode(X[40:]), axis=0)) > 5
    assert same_kind_share(hasher, X, kinds) > 0.8


def test_outliers_do_not_take_the_bits(method):
    X, kinds = blobs()
    X[5], X[70, 3], X[100:103] = X[5] * 1e6, 1e6, -1e6
    plain, kinds_of_plain = np.delete(X, [5, 70, 100, 101, 102], axis=0), np.delete(kinds, [5, 70, 100, 101, 102])
    with_outliers, without = make(method, 16).fit(X), make(method, 16).fit(plain)
    share = same_kind_share(with_outliers, plain, kinds_of_plain)
    assert share > same_kind_share(without, plain, kinds_of_plain) - 0.1


def test_outliers_of_rows_that_are_not_scaled_stay_finite(method):
    X = blobs()[0]
    X[5], X[70, 3] = X[5] * 1e6, 1e6
    hasher = make(method, normalize=False).fit(X)
    assert np.isfinite(hasher.project(X)).all()
    assert np.array_equal(hasher.encode(X[70:71])[0], hasher.encode(X)[70])


def test_float16_whose_squares_overflow(method):
    X = (blobs()[0] * 5000).astype(np.float16)
    assert np.isfinite(X).all()
    with np.errstate(over="ignore"):
        assert np.isinf(np.square(X)).any()
    codes = make(method).fit(X).encode(X)
    assert np.array_equal(codes, make(method).fit(X.astype(np.float32)).encode(X))


@pytest.mark.parametrize("method", LEARNT_BY_GRADIENT)
def test_a_loss_that_diverges_is_told(method):
    from hashkit.networks import DivergedError

    with pytest.raises(DivergedError, match=r"the loss became (nan|inf) in epoch 1; try a lower rate"):
        make(method, learning_rate=1e30).fit(blobs()[0])


@pytest.mark.parametrize("method", ["bi_half", "udhpl"])
@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"learning_rate": -1.0}, ValueError),
        ({"learning_rate": np.nan}, ValueError),
        ({"learning_rate": "fast"}, TypeError),
        ({"batch_size": 1}, ValueError),
        ({"n_epochs": 0}, ValueError),
        ({"n_hidden": 2.5}, TypeError),
        ({"device": "abacus"}, ValueError),
    ],
)
def test_wrong_options_of_a_training_are_refused(method, option, error):
    (name,) = option
    with pytest.raises(error, match=f"{name} must be"):
        make(method, **option).fit(blobs()[0])


@pytest.mark.parametrize(
    ("weights", "error"),
    [((1, 1), TypeError), ((1, 1, np.nan), ValueError), (("a", 1, 1), TypeError), (1.0, TypeError)],
)
def test_wrong_weights_of_the_terms_are_refused(weights, error):
    with pytest.raises(error, match="term_weights"):
        make("udhpl", term_weights=weights).fit(blobs()[0])


INTERRUPTED = """
import signal, time
import numpy as np
import hashkit

signal.signal(signal.SIGINT, signal.default_int_handler)  # the jobs of a shell in the background ignore it

def tell(report):
    print(report.epoch, flush=True)
    time.sleep(0.05)

def fit(checkpoint):
    small = {"n_epochs": 12, "n_hidden": 16, "batch_size": 64}
    return hashkit.fit(X, n_bits=16, network="always", checkpoint=checkpoint, callbacks=[tell], **small)

X = np.load("X.npy")
continued = fit("checkpoint").project(X)
print("continued", np.array_equal(continued, fit(None).project(X)))
"""


def test_an_interrupted_training_leaves_a_checkpoint_that_is_continued(tmp_path, monkeypatch):
    """A real Ctrl-C in a child: what comes out after the second start is what an unbroken training gives."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    np.save("X.npy", blobs(600)[0])

    def start():
        command = [sys.executable, "-c", INTERRUPTED]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with start() as child:
        assert [child.stdout.readline() for _ in range(3)] == ["1\n", "2\n", "3\n"]
        child.send_signal(signal.SIGINT)
        rest, error = child.communicate(timeout=60)
    assert child.returncode != 0
    assert error.rstrip().endswith("KeyboardInterrupt")
    assert "12\n" not in rest
    with start() as child:
        done, error = child.communicate(timeout=60)
    assert (child.returncode, error) == (0, "")
    epochs, (_, equal) = done.split()[:-2], done.split()[-2:]
    assert 3 < int(epochs[0]) < 12
    assert epochs[-12:] == [f"{epoch}" for epoch in range(1, 13)]
    assert equal == "True"
