"""Hashers in files: what is written can be read, and no crafted file is read as a hasher."""

import copy
import re

import numpy as np
import pytest

import hashkit
from hashkit import storage
from hashkit.hashers import METHODS, hasher_class
from hashkit.hashers.base import FILE_KIND
from hashkit.udhpl import Configuration

X = np.random.default_rng(0).normal(size=(60, 24)).astype(np.float32)
SMALL = {"random_state": 0, "n_epochs": 1, "n_hidden": 12, "batch_size": 16}
# Every kind of file: each method, and UDHPL without a network.
KINDS = [*sorted(METHODS), "udhpl_linear"]


def make(kind, n_bits=16):
    """A hasher of that kind that learns in a moment."""
    cls = hasher_class(kind.partition("_linear")[0])
    options = {name: value for name, value in SMALL.items() if name in cls._get_param_names()}
    if kind == "udhpl":
        options["network"] = "always"
    return cls(n_bits, **options)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Kind -> (arrays, settings) of a file that was saved."""
    pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("files") / "hasher"
    found = {}
    for kind in KINDS:
        make(kind).fit(X).save(path)
        found[kind] = storage.read_tensors(path, FILE_KIND)
    return found


def array(name, change):
    """A crafted file: one array changed, or left out if `change` gives None."""

    def craft(arrays, settings):
        arrays[name] = change(arrays[name].copy())
        if arrays[name] is None:
            del arrays[name]

    return name, craft


def parameter(name, value, named=None):
    return named or name, lambda arrays, settings: settings["parameters"].__setitem__(name, value)


def setting(name, value, named=None):
    return named or name, lambda arrays, settings: settings.__setitem__(name, value)


def with_value(value):
    def change(a):
        a.flat[len(a) // 2] = value
        return a

    return change


def shapes(name):
    """An array that is missing, one column or row too few, of another dtype or number of dimensions."""
    yield array(name, lambda a: None)
    yield array(name, lambda a: a[..., :-1])
    yield array(name, lambda a: a[..., :8])
    yield array(name, lambda a: np.concatenate([a, a[-1:]]))
    yield array(name, lambda a: a.astype(np.float64) if a.dtype != np.float64 else a.astype(np.float32))
    yield array(name, lambda a: a.astype(np.int32) if a.dtype != np.int32 else a.astype(np.int16))
    yield array(name, lambda a: a[None])


def values(name, *wrong):
    return [array(name, with_value(value)) for value in wrong]


COMMON = [
    *(parameter("n_bits", value) for value in (0, -8, True, 10**9, 16.0, "16", None)),
    *(parameter("n_bits", value, "weights_|offsets_") for value in (8, 17)),
    *(parameter("normalize", value) for value in (None, 1, "yes")),
    parameter("no_such_parameter", 1),
    *(setting("n_features", value) for value in (0, -24, True, 24.0, "24", None)),
    *(setting("n_features", value, "weights_") for value in (23, 25, 10**30)),
    *(setting("method", value, "unknown hasher") for value in ("LinearHasher", "Hasher", 7, None, ["ITQ"])),
    *(setting("parameters", value) for value in (None, [], 3)),
    ("surplus", lambda arrays, settings: arrays.__setitem__("surplus", np.zeros(3))),
    *shapes("weights_"),
    *shapes("offsets_"),
    *values("weights_", np.nan, np.inf),
    *values("offsets_", np.nan, -np.inf),
]
SEEDED = [parameter("random_state", value) for value in (-1, "seed", [1], 1.5, True)]
LEARNT = [
    *(parameter("max_rows", value) for value in (-1, 0, "all", 2.5)),
    *(parameter("n_hidden", value) for value in (0, -8, 2.5)),
    *(parameter("batch_size", value) for value in (1, True)),
    *(parameter("n_epochs", value) for value in (0, -1, 0.5)),
    *(parameter("learning_rate", value) for value in (-1.0, "fast")),
    parameter("device", 3),
    parameter("progress", "no"),
]
LAYERS = [
    *shapes("hidden_weights_"),
    *shapes("hidden_offsets_"),
    *shapes("output_weights_"),
    *shapes("output_offsets_"),
    *shapes("rounding_"),
    *(values("hidden_weights_", np.nan) + values("output_weights_", np.inf) + values("output_offsets_", np.nan)),
    *values("rounding_", -1, np.nan),
    ("hidden_weights_", lambda a, s: a.update(hidden_weights_=a["hidden_weights_"].T.copy())),
    ("hidden_weights_|weights_|offsets_", lambda a, s: a.update(hidden_offsets_=np.zeros(0, np.float32))),
]
OWN = {
    "spectral_hashing": [*shapes("frequencies_"), *values("frequencies_", np.nan, -1)],
    "random_hyperplanes": [parameter("center", 3), *SEEDED],
    "itq": [parameter("n_iterations", -1), parameter("max_rows", 0), *SEEDED],
    "sign": [
        array("choice_", lambda a: a[:1]),
        array("choice_", lambda a: np.array([3, 0], np.uint8)),
        array("choice_", lambda a: np.array([0, 2], np.uint8)),
        parameter("threshold", "half"),
        parameter("rotation", 3),
        parameter("max_rows", 0),
        *SEEDED,
    ],
    "bi_half": [*LEARNT, *LAYERS, *SEEDED],
    "greedy_hash": LAYERS,
    "rank_matching": LAYERS,
    "udhpl": [
        *LEARNT,
        *LAYERS,
        *SEEDED,
        *(parameter("preserve", value) for value in ("all", 3, None)),
        *(parameter("network", value) for value in ("maybe", 3)),
        *(parameter("term_weights", value) for value in ([1, 1], "abc", [1, 1, -1])),
        *(parameter("config", value) for value in ("default", 3, [])),
        parameter("config", {"n_smoothing": -1}, "n_smoothing"),
        parameter("config", {"granularities": []}, "granularities"),
        parameter("config", {"no_such_constant": 1}, "no_such_constant"),
        parameter("callbacks", 3),
        parameter("checkpoint", 3),
        *values("pseudo_labels_", -1),
        *values("sample_rows_", -1),
        *values("stability_", np.inf),
        *values("criterion_", np.inf),
        array("pseudo_labels_", lambda a: a[:-1]),
        array("pseudo_labels_", lambda a: a.astype(np.int64)),
        array("sample_rows_", lambda a: a.astype(np.int32)),
        array("objective_", lambda a: np.zeros((2, 2))),
        array("objective_", lambda a: np.full((1, 3), np.nan)),
        array("preserved_clusters", lambda a: np.zeros(2, np.uint8)),
        array("criterion_", lambda a: a[:2]),
        *(array(name, lambda a: None) for name in ("stability_", "excess_modularity_", "preserved_clusters")),
    ],
    "udhpl_linear": [
        array("hidden_weights_", lambda a: np.zeros((16, 0), np.float32)),
        array("output_weights_", lambda a: np.zeros((0, 16), np.float32)),
        array("output_offsets_", lambda a: np.zeros(16, np.float32)),
    ],
}
CRAFTED = [(kind, name, craft) for kind in KINDS for name, craft in [*COMMON, *OWN.get(kind, [])]]


def test_there_are_enough_crafted_files():
    assert len(CRAFTED) > 500


@pytest.mark.parametrize("kind", KINDS)
def test_no_crafted_file_is_read(kind, files, tmp_path):
    """Each has right checksums, and what is wrong is named: the array, parameter or setting."""
    for number, (_, name, craft) in enumerate(one for one in CRAFTED if one[0] == kind):
        arrays, settings = copy.deepcopy(files[kind])
        craft(arrays, settings)
        storage.write_tensors(tmp_path / "hasher", FILE_KIND, arrays, settings)
        with pytest.raises(storage.FormatError) as caught:
            hashkit.load(tmp_path / "hasher")
        # Where two arrays do not fit each other either is named.
        either = r"\w+_ must be of shape" if name.endswith("_") else name
        assert re.search(f"{name}|{either}", str(caught.value)), (number, name, caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fitted_length_counts_until_the_next_fit(kind, tmp_path):
    hasher = make(kind, 8).fit(X)
    codes, values = hasher.encode(X), hasher.project(X)
    hasher.set_params(n_bits=16, normalize=False)
    assert np.array_equal(hasher.encode(X), codes)
    assert np.array_equal(hasher.project(X), values)
    hasher.save(tmp_path / "hasher")
    loaded = hashkit.load(tmp_path / "hasher")
    assert (loaded.n_bits, loaded.n_bits_, loaded.normalize) == (8, 8, True)
    assert np.array_equal(loaded.encode(X), codes)
    with pytest.raises(ValueError, match="row 7 "):
        hasher.fit(np.where(np.arange(60)[:, None] == 7, np.nan, X))
    assert np.array_equal(hasher.encode(X), codes)  # a fit that fails changes nothing
    assert hasher.fit(X).encode(X).shape == (60, 2)


class Own(hashkit.ITQ):
    pass


def test_a_subclass_is_not_saved_since_it_could_not_be_loaded(tmp_path):
    with pytest.raises(TypeError, match=r"one of hashkit's own classes, .* to be saved, got Own"):
        Own(8, random_state=0).fit(X).save(tmp_path / "hasher")
    assert not (tmp_path / "hasher").exists()


def test_parameters_of_numpy_and_a_configuration_are_kept(tmp_path):
    config = Configuration(granularities=(2, 3), n_smoothing=4)
    hasher = hashkit.UDHPL(np.int64(8), network="never", ridge=np.float64(0.25), config=config, random_state=0).fit(X)
    hasher.save(tmp_path / "hasher")
    loaded = hashkit.load(tmp_path / "hasher")
    assert loaded.config == hasher._configuration()
    assert loaded.get_params() == {**hasher.get_params(), "config": loaded.config}
    assert np.array_equal(loaded.fit(X).project(X), hasher.project(X))


def test_files_of_before_maps_of_signs_competed_are_read(tmp_path):
    hasher = hashkit.UDHPL(8, network="never", config=Configuration(n_smoothing=4), random_state=0).fit(X)
    hasher.save(tmp_path / "now")
    arrays, settings = storage.read_tensors(tmp_path / "now", FILE_KIND)
    arrays = {**arrays, "criterion_": np.array([0.5, np.nan, 0.25])}
    settings["parameters"]["config"] |= {"component_shares": [1.0, 0.75], "recalled_share": 0.01, "most_judges": 4000}
    storage.write_tensors(tmp_path / "before", FILE_KIND, arrays, settings)
    loaded = hashkit.load(tmp_path / "before")
    assert loaded.criterion_ == {"linear": 0.5, "network": 0.25}
    assert loaded.config == hasher.config
    assert np.array_equal(loaded.encode(X), hasher.encode(X))
