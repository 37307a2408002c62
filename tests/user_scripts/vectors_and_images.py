"""A user's script, for type checkers in their strictest mode: tests/test_typing.py."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

import hashkit
from hashkit.hashers.report import HasherReport
from hashkit.networks import TrainingConfig
from hashkit.tables import Block, open_rows, write_codes


def search_vectors(vectors: NDArray[np.float32], path: Path) -> NDArray[np.int64]:
    """Index embeddings, save them, and search the file."""
    index = hashkit.VectorIndex.fit(vectors, recall=0.9)
    index.save(path / "vectors")
    scores, ids = hashkit.VectorIndex.load(path / "vectors", mmap=True).query(vectors[:3], 10)
    best: NDArray[np.float32] = scores
    print(best.max(), index.describe(), hashkit.suggest_bits(vectors))
    return ids


def encode_images(images: NDArray[np.uint8], path: Path) -> HasherReport:
    """Train a backbone on pixels, and read it again."""
    backbone = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten())
    hasher = hashkit.ImageHasher(backbone, n_bits=16, config=TrainingConfig(n_epochs=2)).fit(images)
    hasher.save(path / "images")
    codes: NDArray[np.uint8] = hashkit.load(path / "images", backbone=backbone).encode(images)
    groups: NDArray[np.int64] = hashkit.Index(codes).groups(2)
    print(groups.max(), hasher.image_shape_)
    return hasher.report(images)


def encode_table(features: Path, codes: Path) -> int:
    """Encode a file, block by block."""
    rows = open_rows(features, holds="features")
    hasher = hashkit.fit(rows.whole().values, n_bits=32, method="itq")
    blocks = (Block(hasher.encode(block.values), block.ids) for block in rows.blocks(1 << 16))
    return write_codes(codes, blocks, n_bits=32)
