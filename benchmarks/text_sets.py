"""Texts with labels, out of Debian's packages: as components of weighted word counts, and as sentence embeddings."""

import gzip
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

KERNEL_DOCS = Path("/usr/share/doc/linux-doc-6.1/Documentation")
WORDNET = Path("/usr/share/wordnet")
WORD_LISTS = Path("/usr/share/dict")
LANGUAGES = {
    "british-english": "English",
    "danish": "Danish",
    "dutch": "Dutch",
    "french": "French",
    "italian": "Italian",
    "ngerman": "German",
    "polish": "Polish",
    "portuguese": "Portuguese",
    "spanish": "Spanish",
    "swedish": "Swedish",
}
N_COMPONENTS = 256
MAX_TEXTS = 6000
# Sections of Debian that say how something is packaged rather than what it is about.
FORMS = {
    "doc",
    "libs",
    "libdevel",
    "oldlibs",
    "debug",
    "devel",
    "misc",
    "utils",
    "metapackages",
    "localization",
    "tasks",
}

Texts = tuple[list[str], list[str]]


def document_components(texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    """The 256 first components (Deerwester et al. 1990) of word counts, log(1 + count) times inverse frequency."""
    documents, labels = _draw(texts)
    counts = TfidfVectorizer(sublinear_tf=True, min_df=3, max_df=0.5, stop_words="english").fit_transform(documents)
    return TruncatedSVD(N_COMPONENTS, random_state=0).fit_transform(counts), np.asarray(labels)


def embeddings(texts: Texts, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """all-MiniLM-L6-v2's sentence embeddings, of length 1, of the texts' first 48 tokens."""
    from minilm import MiniLM

    documents, labels = _draw(texts)
    return MiniLM().embed(documents[:n_rows], n_tokens=48), np.asarray(labels[:n_rows])


def kernel_texts() -> Texts:
    """Pieces of 150 words of the Linux kernel's documentation; the label is the directory, of the 20 largest."""
    pieces: dict[str, list[str]] = {}
    for path in sorted(KERNEL_DOCS.rglob("*.gz")):
        topic = path.relative_to(KERNEL_DOCS).parts[0]
        if topic in ("translations", "ABI", "features", "userspace-api", "process") or not path.is_file():
            continue
        words = gzip.decompress(path.read_bytes()).decode("utf-8", "replace").split()
        cut = [" ".join(words[i : i + 150]) for i in range(0, len(words), 150)]
        pieces.setdefault(topic, []).extend(piece for piece in cut if len(piece) > 300)
    return _flatten(_largest(pieces, 20))


def package_texts() -> Texts:
    """Descriptions of Debian's packages, of several lines; the label is the section."""
    sections = {name: section for name, section, _ in _packages()}
    texts: dict[str, list[str]] = {}
    for name, text in _descriptions():
        section = sections.get(name, "")
        if section and section not in FORMS and len(text) > 200:
            texts.setdefault(section, []).append(text)
    return _flatten({section: sorted(set(found)) for section, found in _largest(texts, 20).items()})


def summaries_and_descriptions(n_packages: int) -> list[tuple[str, str]]:
    """One-line summary and description of several lines of some packages, in an order that is always the same.

    No two packages have the same summary. A description does not begin with its summary, which it has in apt's lists.
    """
    summaries = {name: summary for name, _, summary in _packages()}
    pairs = {}
    for name, text in _descriptions():
        summary = summaries.get(name, "")
        body = text.removeprefix(summary).strip()
        if len(summary) > 20 and len(body) > 200:
            pairs.setdefault(summary, body)
    found = sorted(pairs.items())
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:n_packages]]


def summary_texts() -> Texts:
    """One-line descriptions of Debian's packages; the label is the section."""
    texts: dict[str, list[str]] = {}
    for _, section, summary in _packages():
        if section not in FORMS and len(summary) > 20:
            texts.setdefault(section, []).append(summary)
    return _flatten({section: sorted(set(found)) for section, found in _largest(texts, 30).items()})


def gloss_texts() -> Texts:
    """Glosses of WordNet's nouns and verbs; the label is the lexicographer file: animals, food, motion, ..."""
    texts: dict[str, list[str]] = {}
    for part in ("noun", "verb"):
        for line in (WORDNET / f"data.{part}").read_text().splitlines():
            if line.startswith("  "):
                continue
            entry, _, gloss = line.partition(" | ")
            fields = entry.split()
            names = " ".join(word.replace("_", " ") for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2])
            texts.setdefault(fields[1], []).append(f"{names}: {gloss.split(';')[0].strip()}")
    return _flatten(_largest(texts, 25))


def words() -> tuple[np.ndarray, np.ndarray]:
    """Words of ten languages as 256 components of counts of one to three letters; the label is the language."""
    texts: dict[str, list[str]] = {}
    for name, language in LANGUAGES.items():
        found = (WORD_LISTS / name).read_text(encoding="utf-8", errors="replace").splitlines()
        texts[language] = sorted({word.lower() for word in found if len(word) >= 5 and word.isalpha()})
    documents, labels = _draw(_flatten(texts))
    counts = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), min_df=3, sublinear_tf=True).fit_transform(
        documents
    )
    return TruncatedSVD(N_COMPONENTS, random_state=0).fit_transform(counts), np.asarray(labels)


def _draw(texts: Texts) -> Texts:
    """At most MAX_TEXTS of the texts, always the same."""
    documents, labels = texts
    rows = np.random.default_rng(0).permutation(len(documents))[:MAX_TEXTS]
    return [documents[i] for i in rows], [labels[i] for i in rows]


def _largest(texts: dict[str, list[str]], n_labels: int) -> dict[str, list[str]]:
    kept = sorted(texts, key=lambda label: (-len(texts[label]), label))[:n_labels]
    return {label: texts[label] for label in sorted(kept)}


def _flatten(texts: dict[str, list[str]]) -> Texts:
    pairs = [(text, label) for label, found in texts.items() for text in found]
    return [text for text, _ in pairs], [label for _, label in pairs]


def _packages() -> Iterator[tuple[str, str, str]]:
    """Name, section and summary of every package in main."""
    for stanza in _index("Packages"):
        fields = dict(re.findall(r"^(Package|Section|Description): (.*)$", stanza, re.MULTILINE))
        if len(fields) == 3 and "/" not in fields["Section"]:
            yield fields["Package"], fields["Section"], fields["Description"]


def _descriptions() -> Iterator[tuple[str, str]]:
    """Name and description of every package in main, its lines joined."""
    for stanza in _index("Translations"):
        name, _, body = stanza.partition("\n")
        yield name.removeprefix("Package: "), " ".join(body.partition("Description-en: ")[2].split())


def _index(kind: str) -> Iterable[str]:
    """Stanzas of apt's lists of a kind, in order and without those that stand in several lists."""
    options = ["-o", "Acquire::Languages=en", "--format", "$(FILENAME)", f"Created-By: {kind}"]
    targets = subprocess.run(["apt-get", "indextargets", *options], check=True, capture_output=True, text=True).stdout
    paths = sorted(set(targets.split()))
    if not paths:
        raise FileNotFoundError(f"apt has no {kind}: run apt-get -o Acquire::Languages=en update")
    read = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", *paths], check=True, capture_output=True).stdout
    return dict.fromkeys(stanza for stanza in read.decode("utf-8", "replace").split("\n\n") if stanza.strip())
