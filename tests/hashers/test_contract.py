"""What every hasher promises: packed codes, stable signs, seeds, files, and clear errors."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import hashkit
from hashkit.hashers import METHODS, features, hasher_class


def make(method, n_bits=16, **options):
    cls = hasher_class(method)
    known = cls._get_param_names()
    small = {"random_state": 0, "n_epochs": 1, "n_hidden": 8}
    return cls(n_bits, **{name: value for name, value in small.items() if name in known}, **options)


def blobs(n=300, d=24, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(6, d)) * 2
    return (centers[rng.integers(6, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


@pytest.fixture(params=sorted(METHODS))
def method(request):
    return request.param


@parametrize_with_checks([make(method, 2) for method in sorted(METHODS)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_codes_are_the_signs_of_the_projection(method):
    X = blobs()
    hasher = make(method, 13).fit(X)
    values, codes = hasher.project(X), hasher.encode(X)
    assert values.shape == (300, 13)
    assert values.dtype == np.float32
    assert codes.shape == (300, 2)
    assert codes.dtype == np.uint8
    assert np.array_equal(codes, np.packbits(values > 0, axis=1))
    assert np.array_equal(codes, hasher.transform(X))


@pytest.mark.parametrize("normalize", [True, False])
def test_code_of_a_row_does_not_depend_on_its_batch(method, normalize, monkeypatch):
    X = blobs(200)
    # Rows in the mean of others and rows of zeros sit where rounding decides.
    X[::7] = 0
    hasher = make(method, 16, normalize=normalize).fit(X)
    together = hasher.encode(X)
    alone = np.concatenate([hasher.encode(X[i : i + 1]) for i in range(len(X))])
    backwards = hasher.encode(np.asfortranarray(X[::-1]))[::-1]
    monkeypatch.setattr(features, "_BLOCK_VALUES", 1)
    in_blocks = hasher.encode(np.tile(X, (2, 1)))
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)
    assert np.array_equal(np.tile(together, (2, 1)), in_blocks)


def test_a_network_encodes_a_row_as_it_does_alone(monkeypatch):
    """And rounding is far within the margin in which values are computed again: a product may add in two orders."""
    pytest.importorskip("torch")
    X = blobs(700, 100)
    shuffled = np.random.default_rng(0).permutation(700)
    for method in ("bi_half", "udhpl"):
        options = {"network": "always"} if method == "udhpl" else {}
        hasher = make(method, 37, **options).fit(X[:300])
        codes = hasher.encode(X)
        with monkeypatch.context() as patch:
            patch.setattr(type(hasher), "_score_error", lambda self, block, norms: np.float32(-1))
            together = hasher.project(X)
            for rows in (slice(0, 1), slice(699, 700), slice(5, 7), slice(100, 229), slice(1, 700), shuffled):
                assert (np.abs(hasher.project(X[rows]) - together[rows]) <= hasher.rounding_[:-1] / 4).all()
        for rows in (slice(0, 1), slice(699, 700), slice(5, 7), slice(100, 229), slice(1, 700), shuffled):
            assert np.array_equal(hasher.encode(X[rows]), codes[rows])


def test_rows_on_the_threshold_keep_their_signs(method):
    # All rows are alike: every projection is rounding noise around zero.
    X = np.full((200, 24), 0.1, dtype=np.float32)
    X[:, ::2] = 0.7
    hasher = make(method, 16).fit(X)
    assert len(np.unique(hasher.encode(X), axis=0)) == 1
    assert np.array_equal(hasher.encode(X[:1])[0], hasher.encode(X)[-1])
    assert np.array_equal(hasher.encode(X), np.packbits(hasher.project(X) > 0, axis=1))


def test_same_seed_same_codes(method):
    X = blobs()
    first, second = make(method).fit(X), make(method).fit(X)
    assert np.array_equal(first.project(X), second.project(X))
    assert np.array_equal(clone(first).fit(X).encode(X), first.encode(X))


THREADS = """
import hashlib
import numpy as np
import hashkit, hashkit.hashers

rng = np.random.default_rng(0)
X = rng.normal(size=(12, 300))[rng.integers(12, size=3000)] + rng.normal(size=(3000, 300))
for method in sorted(hashkit.hashers.METHODS):
    known = hashkit.hashers.hasher_class(method)._get_param_names()
    few = {name: value for name, value in {"n_epochs": 2, "network": "always"}.items() if name in known}
    hasher = hashkit.fit(X, n_bits=24, method=method, **few)
    arrays = [getattr(hasher, name) for name in hasher._state]
    print(method, [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays])
    print(hashlib.sha256(hasher.encode(X).tobytes()).hexdigest())
"""


def test_same_codes_whatever_the_number_of_threads(run_python, monkeypatch):
    """All that is learned is the same bit for bit; 3,000 rows of 300 features are several blocks and wake threads."""
    pytest.importorskip("torch")
    found = []
    for n_threads in (1, 2):
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.setenv(name, f"{n_threads}")
        done = run_python(THREADS)
        assert done.stderr == ""
        found.append(done.stdout)
    assert len(found[0].splitlines()) == 2 * len(METHODS)
    assert found[0] == found[1]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_tensors_and_maps_give_the_same_codes(method, dtype, tmp_path):
    torch = pytest.importorskip("torch")
    X = blobs().astype(dtype)
    np.save(tmp_path / "X.npy", X)
    expected = make(method).fit(X).encode(X)
    for same in (torch.from_numpy(X), np.load(tmp_path / "X.npy", mmap_mode="r"), np.asfortranarray(X)):
        assert np.array_equal(make(method).fit(same).encode(same), expected)


def test_a_map_larger_than_a_block_is_read_in_blocks(method, tmp_path, monkeypatch):
    X = blobs(1000)
    np.save(tmp_path / "X.npy", X.astype(np.float16))
    monkeypatch.setattr(features, "_BLOCK_VALUES", 1)
    seen = []
    original = features.to_float32
    monkeypatch.setattr(
        features, "to_float32", lambda rows, numbers: (seen.append(len(rows)), original(rows, numbers))[1]
    )
    make(method).fit(np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert seen
    assert max(seen) <= 64


def test_save_and_load(method, tmp_path):
    X = blobs()
    hasher = make(method, 13).fit(X)
    hasher.save(tmp_path / "hasher.safetensors")
    loaded = hashkit.load(tmp_path / "hasher.safetensors")
    assert type(loaded) is type(hasher)
    assert loaded.get_params() == hasher.get_params()
    assert np.array_equal(loaded.project(X), hasher.project(X))


def test_legal_oddities(method):
    X = blobs()
    X[:50] = 0
    X[50:100] = X[100]
    X[:, 3] = 5
    hasher = make(method).fit(X)
    codes = hasher.encode(X)
    assert len(np.unique(codes[:50], axis=0)) == 1
    assert np.isfinite(hasher.project(X)).all()
    assert np.array_equal(hasher.encode(X[7:8])[0], codes[7])
    assert hasher.encode(X[:0]).shape == (0, 2)


def test_scale_of_a_row_does_not_matter(method):
    X = blobs().astype(np.float64)
    hasher = make(method).fit(X)
    for scale in (2.0**-100, 2.0**90):
        assert np.array_equal(hasher.encode(X * scale), hasher.encode(X))


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, np.float32), (np.inf, np.float16), (1e300, np.float64)])
def test_rows_that_are_not_finite_are_named(method, value, dtype):
    X = blobs().astype(dtype)
    hasher = make(method).fit(X)
    X[123, 4] = value
    with pytest.raises(ValueError, match=r"finite.*row 123 "):
        make(method).fit(X)
    with pytest.raises(ValueError, match=r"finite.*row 123 "):
        hasher.encode(X)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros(5), ValueError, "1D array"),
        (np.zeros((2, 3, 4)), ValueError, "dim 3"),
        (np.zeros((0, 24)), ValueError, "0 sample"),
        (np.zeros((40, 0)), ValueError, "0 feature"),
        (np.zeros((1, 24)), ValueError, "1 sample"),
        (np.zeros((40, 24), dtype=complex), ValueError, "Complex"),
        (np.full((40, 24), "x"), ValueError, "numeric"),
        (np.zeros((40, 24), dtype=bool), TypeError, "bool"),
    ],
)
def test_wrong_arrays_are_refused(method, X, error, message):
    with pytest.raises(error, match=message):
        make(method).fit(X)


def test_wrong_width_is_refused(method):
    hasher = make(method).fit(blobs())
    with pytest.raises(ValueError, match="24 features"):
        hasher.encode(np.zeros((3, 23)))


def test_wrong_tensor_is_refused(method):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"X must be bfloat16 or what numpy can hold, got Tensor .*float8_e5m2"):
        make(method).fit(torch.zeros((40, 24)).to(torch.float8_e5m2))
    with pytest.raises(TypeError, match=r"X must not be a masked array"):
        make(method).fit(np.ma.masked_array(np.eye(40, 24), mask=True))


@pytest.mark.parametrize("dtype", ["bfloat16", "int32", "int8"])
@pytest.mark.parametrize("method", ["pca_sign", "random_hyperplanes"])
def test_tensors_that_numpy_lacks_or_that_hold_integers(method, dtype):
    torch = pytest.importorskip("torch")
    values = 50 * torch.from_numpy(np.random.default_rng(0).normal(size=(60, 24)).astype(np.float32))
    tensor = values.to(getattr(torch, dtype))
    X = tensor.float().numpy()
    hasher = make(method).fit(tensor)
    assert np.array_equal(hasher.encode(tensor), make(method).fit(X).encode(X))
    assert np.array_equal(hasher.encode(tensor.requires_grad_() if dtype == "bfloat16" else tensor), hasher.encode(X))


def test_random_states(monkeypatch):
    X = np.random.default_rng(0).normal(size=(60, 24)).astype(np.float32)

    def codes(random_state):
        return hashkit.RandomHyperplanes(16, random_state=random_state).fit(X).encode(X).tobytes()

    assert codes(3) == codes(np.int64(3)) == codes(np.random.RandomState(3))
    generator = np.random.default_rng(3)
    first, second = codes(generator), codes(generator)
    assert first == codes(np.random.default_rng(3)) != second
    monkeypatch.setattr("numpy.random.mtrand._rand", np.random.RandomState(3))  # as np.random.seed(3) leaves it
    assert codes(None) == codes(3)
    for wrong, error in (("3", TypeError), (3.0, TypeError), (True, TypeError), (-1, ValueError), (2**32, ValueError)):
        with pytest.raises(error, match="random_state must be"):
            codes(wrong)


@pytest.mark.parametrize(
    ("n_bits", "error"), [(0, ValueError), (-8, ValueError), (8.0, TypeError), (True, TypeError), ("8", TypeError)]
)
def test_wrong_n_bits_is_refused(method, n_bits, error):
    with pytest.raises(error, match="n_bits must be"):
        make(method, n_bits).fit(blobs())


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"random_hyperplanes", "sign"}))
def test_too_few_rows_or_features_are_refused(method):
    with pytest.raises(ValueError, match=r"n_bits=25 with n_features=24"):
        make(method, 25).fit(blobs())
    with pytest.raises(ValueError, match=r"n_samples=16 with n_bits=16"):
        make(method, 16).fit(blobs(16))


def test_more_hyperplanes_than_features():
    assert make("random_hyperplanes", 50).fit(blobs()).encode(blobs()).shape == (300, 7)


def test_encode_before_fit_is_refused(method):
    with pytest.raises(ValueError, match="not fitted"):
        make(method).encode(blobs())


def test_fit_by_name():
    X = blobs()
    hasher = hashkit.fit(X, n_bits=8, method="itq", n_iterations=3)
    assert isinstance(hasher, hashkit.ITQ)
    assert hasher.get_params() == {
        "n_bits": 8,
        "normalize": True,
        "n_iterations": 3,
        "max_rows": 50_000,
        "random_state": 0,
    }
    with pytest.raises(ValueError, match=r"method must be one of .*, itq, .*got 'lsh'"):
        hashkit.fit(X, method="lsh")
    with pytest.raises(TypeError, match="method 'itq' has no option 'rounds'"):
        hashkit.fit(X, method="itq", rounds=3)


def test_load_refuses_other_files(tmp_path):
    (tmp_path / "x").write_bytes(b"not a hasher")
    with pytest.raises(hashkit.storage.FormatError):
        hashkit.load(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        hashkit.load(tmp_path / "y")
