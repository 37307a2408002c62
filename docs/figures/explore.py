"""Draws docs/explore.png, the page with photographs: python docs/figures/explore.py PHOTOGRAPHS.zip QUERY

The zip file has pictures as class/name.jpg; QUERY is the path of one of them. The picture in the repository shows
photographs of Caltech-101 (Fei-Fei, Fergus, Perona 2004; CC BY 4.0). It needs the extra `pages`, and chromium.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

from PIL import Image

from hashkit.images import Gallery, index_folder

ROOT = Path(__file__).parents[2]
PER_CLASS = 2  # the page shows a few dozen pictures
WIDTH, HEIGHT, MOST_BYTES = 1100, 760, 300_000


def unpack(archive: Path, query: str, folder: Path) -> None:
    """The first pictures of each class, and all of the query's class."""
    seen: dict[str, int] = {}
    with zipfile.ZipFile(archive) as file:
        for name in sorted(name for name in file.namelist() if name.endswith(".jpg")):
            label = Path(name).parent.name
            seen[label] = seen.get(label, 0) + 1
            if seen[label] <= PER_CLASS or label == Path(query).parent.name:
                target = folder / label / Path(name).name
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(file.read(name))


def photograph(gallery: Gallery, query: str, path: Path, profile: Path) -> None:
    """The page of a picture's neighbors, as a browser shows it."""
    sys.path.insert(0, str(ROOT / "tests"))
    import browsing
    from page_server import serving

    (id,) = (photo.id for photo in gallery.photos.values() if photo.path.endswith(query))
    with serving(gallery) as site:
        browser = browsing.start(profile)
        try:
            browser.set_window_size(WIDTH, HEIGHT)
            browser.get(f"http://127.0.0.1:{site.port}/neighbors/{id}")
            shown = "image.complete || image.getBoundingClientRect().top > innerHeight"  # the others load lazily
            all_shown = f"return [...document.images].every(image => {shown})"
            browsing.wait(browser, lambda: browser.execute_script(all_shown))
            browser.save_screenshot(str(path))
        finally:
            browser.quit()


def shrink(path: Path) -> None:
    """Fewer colors, the most that the size allows."""
    picture = Image.open(path).convert("RGB")
    for colors in (256, 192, 128, 96, 64):
        picture.quantize(colors, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return
    raise ValueError(f"{path} has {path.stat().st_size} bytes with the fewest colors")


if __name__ == "__main__":
    archive, query = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        photographs, index = Path(folder, "photographs"), Path(folder, "index")
        photographs.mkdir()
        unpack(Path(archive), query, photographs)
        index_folder(photographs, index, method="pca_sign", n_bits=64)
        photograph(Gallery(index), query, ROOT / "docs" / "explore.png", Path(folder, "profile"))
    shrink(ROOT / "docs" / "explore.png")
