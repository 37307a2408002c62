"""The examples of the README and of the page about learning run as they stand, in their order."""

import re
from pathlib import Path

import numpy as np

import hashkit

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def run_examples(page, given):
    examples = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    for example in examples:
        exec(compile(example, page.name, "exec"), given)
    return len(examples)


def test_examples_of_learning_run(rng, capsys):
    given = {
        "hashkit": hashkit,
        "features": rng.standard_normal((200, 80)).astype(np.float32),
        "images": rng.standard_normal((200, 1, 8, 8)).astype(np.float32),
    }
    assert run_examples(ROOT / "docs" / "method.md", given) == 3
    assert "dead bits" in capsys.readouterr().out
    assert given["codes"].shape == (200, 4)


def test_examples_run(rng, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features = rng.standard_normal((300, 80)).astype(np.float32)
    given = {
        "features": features,
        "queries": features[:5] + 0.1,
        "embeddings": rng.standard_normal((200, 64)).astype(np.float32),
        "binary_embeddings": rng.integers(-128, 128, (200, 8), dtype=np.int8),
        "own_ids": np.arange(1000, 1200),
        "hex_strings": [bytes(row).hex() for row in rng.integers(0, 256, (50, 8), dtype=np.uint8)],
        "more_codes": rng.integers(0, 256, (20, 8), dtype=np.uint8),
        "allowed_ids": np.arange(30),
        "names": [f"{number}.jpg" for number in range(200)],
        "query_codes": rng.integers(0, 256, (5, 8), dtype=np.uint8),
        "query_labels": np.arange(5),
        "labels": np.arange(200) % 7,
    }
    assert run_examples(README, given) > 4
    assert 0 < given["score"].value < 1
    assert given["notes"][0]["file"] in given["names"]
