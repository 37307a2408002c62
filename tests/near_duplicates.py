"""Folders of pictures in which the near-duplicates are known."""

import io

import numpy as np
from PIL import Image


def retouched(picture, number):
    """The picture compressed harder, resized, or cropped by a fiftieth on each side, in turn."""
    width, height = picture.size
    if number % 3 == 0:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=30)
        return Image.open(file).convert("RGB")
    if number % 3 == 1:
        return picture.resize((max(8, width * 6 // 10), max(8, height * 6 // 10)), Image.Resampling.BICUBIC)
    return picture.crop((width // 50, height // 50, width - width // 50, height - height // 50))


def write_folder(folder, pictures, n_pictures, n_pairs, n_copied=None):
    """Write a folder of `n_pictures`, `n_pairs` of them retouched copies; give each copy's name and its partner's.

    `pictures` is a function from a number to a picture; the pairs are spread over the first `n_copied`, or all of them.
    """
    folder.mkdir(parents=True)
    n_originals = n_pictures - n_pairs
    for number in range(n_originals):
        pictures(number).save(folder / f"{number:05}.jpg", quality=92)
    pairs = {}
    for number, original in enumerate(np.linspace(0, (n_copied or n_originals) - 1, n_pairs).astype(int).tolist()):
        name = f"copy-{number:03}.jpg"
        retouched(pictures(original), number).save(folder / name, quality=85)
        pairs[name] = f"{original:05}.jpg"
    return pairs


def count_partners_first(gallery, pairs, *, rerank=False):
    """How many retouched pictures have their partner before every other picture."""
    hits = 0
    for copy, partner in pairs.items():
        matches = gallery.query(f"{gallery.settings.folder}/{copy}", k=20, rerank=rerank)
        hits += next(match.photo.path for match in matches if match.photo.path != copy) == partner
    return hits
