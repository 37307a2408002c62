"""The README's examples run as they stand, in its order."""

import re
from pathlib import Path

import numpy as np

README = Path(__file__).parents[1] / "README.md"


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
        "names": [f"{number}.jpg" for number in range(200)],
        "query_codes": rng.integers(0, 256, (5, 8), dtype=np.uint8),
        "query_labels": np.arange(5),
        "labels": np.arange(200) % 7,
    }
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(examples) > 4
    for example in examples:
        exec(compile(example, "README.md", "exec"), given)
    assert 0 < given["score"].value < 1
    assert given["notes"][0]["file"] in given["names"]
