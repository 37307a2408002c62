"""Pictures with copies planted among them, and how well groups of duplicates find these."""

import io
import itertools

import numpy as np
from PIL import Image, ImageOps


def _reencoded(picture):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


def _halved(picture):
    return picture.resize((max(8, picture.width // 2), max(8, picture.height // 2)), Image.Resampling.BICUBIC)


def _cropped(picture):
    """A tenth of each side is gone, a twentieth at each end."""
    width, height = picture.size
    return picture.crop((width // 20, height // 20, width - width // 20, height - height // 20))


def _bordered(picture):
    return ImageOps.expand(picture, max(picture.size) // 20, "white")


def _rotated(picture):
    return picture.transpose(Image.Transpose.ROTATE_90)


COPIES = {
    "re-encoded": _reencoded,
    "halved": _halved,
    "cropped": _cropped,
    "bordered": _bordered,
    "mirrored": ImageOps.mirror,
    "rotated": _rotated,
}


def plant(folder, pictures, n_copies, *, quality=90, seed=0):
    """Write pictures and `n_copies` of some of them; gives the pairs of names and each pair's way of copying.

    A picture has one copy at most; the ways of copying take turns.
    """
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        picture.save(folder / f"picture-{number:05}.jpg", quality=quality)
    pairs = {}
    chosen = np.random.default_rng(seed).permutation(len(pictures))[:n_copies]
    for number, (original, way) in enumerate(zip(chosen.tolist(), itertools.cycle(COPIES), strict=False)):
        name = f"copy-{number:05}.jpg"
        COPIES[way](pictures[original]).save(folder / name, quality=quality)
        pairs[frozenset((name, f"picture-{original:05}.jpg"))] = way
    return pairs


def pairs_within(groups):
    """All pairs of names that stand in one group."""
    return {frozenset(pair) for group in groups for pair in itertools.combinations(group, 2)}


def precision_and_recall(groups, planted):
    """Of the pairs within groups, the share that is planted; of the planted pairs, the share within groups."""
    found = pairs_within(groups)
    hits = len(found & set(planted))
    return hits / len(found) if found else 1.0, hits / len(planted)
