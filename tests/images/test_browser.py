"""The page in a real browser: open, click, keyboard, slider, a file that is dropped."""

import base64
from pathlib import Path

import pytest

pytest.importorskip("PIL", reason="needs the extra images")

pytest.importorskip("fastapi", reason="needs the extra explore")
pytest.importorskip("selenium", reason="needs the extra pages")

from browsing import CHROMIUM, DRIVER, PHONE, path, start, wait
from page_server import serving
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from hashkit import datasets
from hashkit.images import Gallery, index_folder

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")

KINDS = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]

# What a person's hand does, as the page sees it: files cannot be dragged into a browser without a screen.
DROP_FILE = """
const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
const carried = new DataTransfer();
carried.items.add(new File([bytes], "dropped.jpg", { type: "image/jpeg" }));
for (const type of ["dragover", "drop"])
  document.body.dispatchEvent(new DragEvent(type, { dataTransfer: carried, bubbles: true, cancelable: true }));
"""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory, crops):
    top = tmp_path_factory.mktemp("browser") / "pictures"
    top.mkdir()
    for number, picture in enumerate(crops):
        picture.save(top / f"{number:02}.jpg")
    for number in range(40, 160):  # more than a page of them
        crops[number % 40].rotate(number).save(top / f"{number}.jpg")
    crops[3].save(top / "copy.jpg", quality=40)
    index_folder(top, top.parent / "g", model="dct")
    return Gallery(top.parent / "g")


@pytest.fixture(scope="module")
def site(gallery):
    with serving(gallery) as running:
        yield running.address.rstrip("/")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(autouse=True)
def no_complaints(browser):
    yield
    complaints = [entry["message"] for entry in browser.get_log("browser") if "422" not in entry["message"]]
    assert complaints == []  # no refused script, no picture that is missing


def tiles(browser):
    return browser.find_elements(By.CSS_SELECTOR, "a.tile")


def shown_ids(browser):
    links = browser.execute_script("return [...document.querySelectorAll('a.tile')].map((tile) => tile.pathname)")
    return [int(link.rsplit("/", 1)[1]) for link in links]


def test_open_click_and_read_the_order(browser, site, gallery):
    browser.get(site)
    assert browser.title == "Pictures · hashkit"
    assert len(tiles(browser)) == 60
    tiles(browser)[5].click()
    id = list(gallery.photos)[5]
    wait(browser, lambda: path(browser) == f"/neighbors/{id}")
    assert shown_ids(browser) == [match.photo.id for match in gallery.nearest(gallery.code_of(id), 60)]
    distances = [int(badge.text.split()[-1]) for badge in browser.find_elements(By.CSS_SELECTOR, ".distance")]
    assert distances == sorted(distances)
    assert distances[0] == 0
    loaded = "return [...document.querySelectorAll('.asked img, li:first-child img')].every((i) => i.naturalWidth > 0)"
    wait(browser, lambda: browser.execute_script(loaded))


def test_the_slider_moves_the_radius(browser, site, gallery):
    browser.get(f"{site}/neighbors/3")
    slider = browser.find_element(By.ID, "range")
    move = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    for radius in (0, 8, 22):
        browser.execute_script(move, slider, radius)
        expected = [match.photo.id for match in gallery.nearest(gallery.code_of(3), 60, radius)]
        wait(browser, lambda expected=expected: shown_ids(browser) == expected)
    assert path(browser) == "/neighbors/3?radius=22"
    slider.send_keys(Keys.ARROW_RIGHT)
    wait(browser, lambda: path(browser) == "/neighbors/3?radius=23")
    browser.refresh()
    assert browser.find_element(By.ID, "range").get_property("value") == "23"


def test_drop_a_file(browser, site, gallery):
    browser.get(f"{site}/quality")
    photo = gallery.photos[7]
    with open(gallery.file_of(photo), "rb") as file:
        browser.execute_script(DROP_FILE, base64.b64encode(file.read()).decode())
    wait(browser, lambda: path(browser).startswith("/search/"))
    assert shown_ids(browser)[0] == 7
    browser.get(site)
    browser.execute_script(DROP_FILE, base64.b64encode(b"no picture").decode())
    message = browser.find_element(By.ID, "message")
    wait(browser, lambda: "it is no image of a known format" in message.text)


def test_choose_a_file(browser, site, gallery):
    browser.get(site)
    browser.find_element(By.ID, "file").send_keys(gallery.file_of(gallery.photos[9]))
    wait(browser, lambda: path(browser).startswith("/search/"))
    assert shown_ids(browser)[0] == 9


def test_keyboard_alone(browser, site, gallery):
    def press(*keys):
        webdriver.ActionChains(browser).send_keys(*keys).perform()

    def focused():
        return browser.execute_script("return [...document.querySelectorAll('a.tile')].indexOf(document.activeElement)")

    browser.get(site)
    places = []
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_DOWN, Keys.ARROW_UP):
        press(key)
        places.append(focused())
    columns = places[4] - places[3]
    assert places == [0, 1, 2, 1, 1 + columns, 1]
    assert columns > 3
    press(Keys.END)
    assert focused() == 59
    press(Keys.HOME, Keys.ENTER)
    wait(browser, lambda: path(browser) == f"/neighbors/{next(iter(gallery.photos))}")
    press(Keys.ESCAPE)
    wait(browser, lambda: path(browser) == "/")
    press("/", "copy", Keys.ENTER)
    wait(browser, lambda: path(browser) == "/?q=copy")
    assert len(tiles(browser)) == 1


def test_pages_and_duplicates(browser, site):
    browser.get(site)
    browser.find_element(By.CSS_SELECTOR, "a[rel=next]").click()
    wait(browser, lambda: path(browser) == "/?page=2")
    assert len(tiles(browser)) == 60
    browser.get(f"{site}/duplicates?radius=2")
    names = [name.get_attribute("textContent") for name in browser.find_elements(By.CSS_SELECTOR, ".group .name")]
    assert "copy.jpg" in names
    assert "03.jpg" in names


@pytest.mark.skipif(not Path(datasets.FASHION_MNIST).is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_a_screenshot(browser, tmp_path):
    """The picture of docs/images.md is what this test writes."""
    clothes = datasets.fashion_mnist()
    for number, (pixels, label) in enumerate(zip(clothes.images[:1500], clothes.labels, strict=False)):
        path = tmp_path / "clothes" / KINDS[label] / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - pixels).resize((224, 224), Image.Resampling.BICUBIC).save(path)
    index_folder(tmp_path / "clothes", tmp_path / "g", model="dct")
    gallery = Gallery(tmp_path / "g")
    boot = next(id for id, photo in gallery.photos.items() if photo.path.startswith("ankle boot/"))
    with serving(gallery) as running:
        browser.get(f"{running.address}neighbors/{boot}")
        shown = """return [...document.querySelectorAll("main img")].every(
            (image) => image.getBoundingClientRect().top > 900 || image.naturalWidth > 0)"""
        wait(browser, lambda: browser.execute_script(shown))
        browser.save_screenshot(str(tmp_path / "explore.png"))
        browser.get("about:blank")  # asks for no more pictures before the server ends
    with Image.open(tmp_path / "explore.png") as picture:
        assert picture.width == 1280
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 100  # the gray of clothes, and the accent's color


def test_a_phone_s_width(browser, site):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        for place in ("/", "/neighbors/3", "/duplicates", "/quality"):
            browser.get(site + place)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_comes_from_elsewhere(browser, site):
    for place in ("/", "/neighbors/3", "/duplicates", "/quality"):
        browser.get(site + place)
        loaded = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert loaded
        assert all(name.startswith(f"{site}/") for name in loaded)
