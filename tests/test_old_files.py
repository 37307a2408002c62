"""Files and collections that version 0.1.0 wrote still open, with everything that was in them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import hashkit
from hashkit.hashers import METHODS

FOLDER = Path(__file__).parent / "data" / "v1"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


NEWER = {"sign"}  # methods that version 0.1.0 did not have


def test_every_method_has_a_file():
    assert sorted(EXPECTED["hashers"]) == sorted(METHODS.keys() - NEWER)


@pytest.mark.parametrize("method", EXPECTED["hashers"])
def test_hashers_encode_as_they_did(method):
    rows, codes = EXPECTED["hashers"][method]
    features = np.array(EXPECTED["features"], np.float32)[rows]
    np.testing.assert_array_equal(hashkit.load(FOLDER / f"{method}.safetensors").encode(features), codes)


def test_collections_hold_what_they_held(tmp_path):
    """The index file has 20 codes; additions, removals, replacements and notes stand in the journal."""
    expected = EXPECTED["collection"]
    for change in ("none", "compact"):
        folder = shutil.copytree(FOLDER / "collection", tmp_path / change)
        for _ in range(2):  # as it was, and as this version left it
            with hashkit.Collection(folder) as collection:
                assert collection.ids.tolist() == expected["ids"]
                assert collection.get(collection.ids).tolist() == expected["codes"]
                assert collection.metadata(collection.ids) == expected["metadata"]
                if change == "compact":
                    collection.compact()
