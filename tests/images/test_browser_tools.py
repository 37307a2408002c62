"""The page's tools in a real browser: lightbox, choosing, moving, pasting, the map; every view in every dress."""

import base64
import os
from pathlib import Path

import pytest

pytest.importorskip("PIL", reason="needs the extra images")
pytest.importorskip("fastapi", reason="needs the extra explore")
pytest.importorskip("selenium", reason="needs the extra pages")

from browsing import CHROMIUM, DRIVER, PHONE, path, start, violations, wait
from page_server import serving
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from hashkit.images import Gallery, index_folder

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")

VIEWS = [
    "/",
    "/?q=nothing",
    "/neighbors/3",
    "/neighbors/3?radius=0",
    "/duplicates",
    "/duplicates?way=similar&select=largest",
    "/duplicates?radius=4",
    "/duplicates?similarity=1",
    "/map",
    "/quality",
    "/searches",
]

PASTE = """
const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
const carried = new DataTransfer();
for (const name of arguments[1]) carried.items.add(new File([bytes], name, { type: "image/jpeg" }));
document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true }));
"""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory, crops):
    top = tmp_path_factory.mktemp("tools") / "pictures"
    (top / "albums").mkdir(parents=True)
    for number, picture in enumerate(crops):
        picture.save(top / f"{number:02}.jpg")
    for number in range(40, 130):
        crops[number % 40].rotate(number).save(top / "albums" / f"{number}.jpg")
    for number in (3, 5, 7):
        crops[number].resize((90, 90)).save(top / f"copy-{number:02}.jpg", quality=60)
    index_folder(top, top.parent / "g", model="dct")
    made = Gallery(top.parent / "g")
    _ = made.findings.layout, made.findings.pairs("copies"), made.findings.pairs("similar")
    return made


@pytest.fixture(scope="module")
def site(gallery):
    with serving(gallery, move_to=f"{gallery.path}-away") as running:
        yield running.address.rstrip("/")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(autouse=True)
def no_complaints(browser):
    yield
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def press(browser, *keys):
    webdriver.ActionChains(browser).send_keys(*keys).perform()


def find(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def paste(browser, file, names):
    """Paste a file under each of some names."""
    browser.execute_script(PASTE, base64.b64encode(Path(file).read_bytes()).decode(), names)


def is_open(browser):
    return browser.execute_script("return document.getElementById('lightbox').open")


def source(browser, id):
    return browser.execute_script(f"return document.getElementById('{id}').getAttribute('src')")


def test_the_lightbox_by_keyboard(browser, site, gallery):
    browser.get(f"{site}/neighbors/3")
    ids = [match.photo.id for match in gallery.nearest(gallery.code_of(3), 60)]
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.SPACE)
    wait(browser, lambda: is_open(browser))
    assert source(browser, "shown").startswith(f"/pictures/{ids[1]}?")
    press(browser, Keys.ARROW_RIGHT)
    assert source(browser, "shown").startswith(f"/pictures/{ids[2]}?")
    press(browser, "1")
    assert source(browser, "shown").startswith(f"/full/{ids[2]}?")
    width = "const i = document.getElementById('shown'); return i.complete && [i.clientWidth, i.naturalWidth]"
    wait(browser, lambda: len(set(browser.execute_script(width) or [0, 1])) == 1)  # at 100 %
    press(browser, "1", "s")
    assert find(browser, "#beside").is_displayed()
    assert source(browser, "beside").startswith("/pictures/3?")
    press(browser, "f")
    seen = set()
    for _ in range(60):
        seen.add(find(browser, "#shown").is_displayed())
        if len(seen) == 2:
            break
        browser.execute_async_script("setTimeout(arguments[0], 60)")
    assert seen == {True, False}
    press(browser, Keys.ESCAPE)
    wait(browser, lambda: not is_open(browser))
    assert path(browser) == "/neighbors/3"
    assert browser.execute_script("return document.activeElement.pathname") == f"/neighbors/{ids[2]}"


def test_back_closes_the_lightbox_and_then_leaves(browser, site):
    browser.get(site)
    browser.get(f"{site}/neighbors/3")
    find(browser, "#asked").click()
    wait(browser, lambda: is_open(browser))
    browser.back()
    wait(browser, lambda: not is_open(browser))
    assert path(browser) == "/neighbors/3"
    browser.back()
    wait(browser, lambda: path(browser) == "/")
    browser.forward()
    wait(browser, lambda: path(browser) == "/neighbors/3")


def test_whole_pictures_and_their_size(browser, site):
    browser.get(site)
    assert (
        browser.execute_script("return getComputedStyle(document.querySelector('.frame img')).objectFit") == "contain"
    )
    before = find(browser, "a.tile").size["width"]
    move = "arguments[0].value = 320; arguments[0].dispatchEvent(new Event('input'))"
    browser.execute_script(move, find(browser, "#tile-size"))
    assert find(browser, "a.tile").size["width"] >= 320 > before
    browser.refresh()
    assert find(browser, "a.tile").size["width"] >= 320
    browser.execute_script("localStorage.clear()")


def load_more(browser):
    """Press the button until it is gone; gives the numbers of tiles after each time."""
    count = "return document.querySelectorAll('#pages a.tile').length"
    counts = [browser.execute_script(count)]
    while more := browser.find_elements(By.CSS_SELECTOR, "a[data-more]"):
        browser.execute_script("arguments[0].click()", more[0])
        wait(browser, lambda: browser.execute_script(count) > counts[-1])
        counts.append(browser.execute_script(count))
    return counts


def shown_ids(browser):
    links = browser.execute_script(
        "return [...document.querySelectorAll('#pages a.tile')].map((tile) => tile.pathname)"
    )
    return [int(link.rsplit("/", 1)[1]) for link in links]


def test_load_more_pictures(browser, site, gallery):
    browser.get(site)
    assert load_more(browser) == [60, 120, 133]
    assert shown_ids(browser) == list(gallery.photos)
    assert browser.execute_script("return document.activeElement === document.querySelectorAll('a.tile')[120]")


def test_load_more_neighbors(browser, site, gallery):
    browser.get(f"{site}/neighbors/3")
    assert load_more(browser) == [60, 120, 133]
    assert shown_ids(browser) == [match.photo.id for match in gallery.nearest(gallery.code_of(3), 133)]
    assert len(browser.find_elements(By.CSS_SELECTOR, "#pages .closer")) == 133
    move = "arguments[0].value = 40; arguments[0].dispatchEvent(new Event('input'))"
    browser.execute_script(move, find(browser, "#range"))
    wait(browser, lambda: path(browser) == "/neighbors/3?radius=40")
    within = [match.photo.id for match in gallery.nearest(gallery.code_of(3), 133, 40)]
    assert len(within) > 60
    assert load_more(browser)[-1] == len(within)  # of the results that the slider brought
    assert shown_ids(browser) == within


def test_load_more_groups(browser, tmp_path):
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(35):
        picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 64))
        for copy in "ab":
            picture.save(tmp_path / f"{number:02}{copy}.png")
    index_folder(tmp_path, tmp_path / "g", model="dct")
    with serving(Gallery(tmp_path / "g")) as running:
        browser.get(f"{running.address}duplicates")
        assert load_more(browser) == [60, 70]
        assert len(browser.find_elements(By.CSS_SELECTOR, ".group .rules")) == 35  # each once
        labels = "return [...document.querySelectorAll('.group')].map((group) => group.getAttribute('aria-label'))"
        assert browser.execute_script(labels) == [f"Group {number}" for number in range(1, 36)]
        browser.execute_script("document.querySelector('.group:last-child [data-rule=largest]').click()")
        assert find(browser, "#chosen").text.startswith("1 chosen, ")
        browser.execute_script("document.querySelector('.selecting [data-rule=largest]').click()")
        assert find(browser, "#chosen").text.startswith("35 chosen, ")
        browser.execute_script("sessionStorage.clear()")
        browser.get("about:blank")  # asks for no more pictures before the server ends


def test_choose_by_rule_by_keyboard_and_across_groups(browser, site):
    browser.get(f"{site}/duplicates")
    groups = browser.find_elements(By.CSS_SELECTOR, ".group")
    assert len(groups) >= 3
    count = "return document.querySelectorAll('input[name=id]:checked').length"
    groups[0].find_element(By.CSS_SELECTOR, "[data-rule=largest]").click()
    assert browser.execute_script(count) == 1
    find(browser, ".selecting [data-rule=largest]").click()
    n_chosen = browser.execute_script(count)
    assert n_chosen >= 3
    assert find(browser, "#chosen").text.startswith(f"{n_chosen} chosen, ")
    browser.execute_script("document.querySelector('.group li[data-kept-by~=largest] a.tile').focus()")
    press(browser, "x")
    assert browser.execute_script(count) == n_chosen + 1
    press(browser, "x")
    browser.get(site)
    browser.get(f"{site}/duplicates")
    assert browser.execute_script(count) == n_chosen  # remembered
    find(browser, ".selecting [data-rule='']").click()
    assert find(browser, "#chosen").text == "none chosen"


def test_counts_follow_the_slider(browser, site, gallery):
    browser.get(f"{site}/duplicates")
    move = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    count = "return document.querySelector('.count b').textContent"  # the element is replaced meanwhile
    for similarity in (1, 0.85):
        n = len(gallery.groups("copies", similarity))
        browser.execute_script(move, find(browser, "#range"), similarity)
        wait(browser, lambda n=n: browser.execute_script(count) == f"{n:,}")
    assert path(browser) == "/duplicates?similarity=0.85"
    assert browser.find_elements(By.CSS_SELECTOR, ".rules")  # the rules came with the new groups


def test_move_and_undo(browser, site, gallery):
    browser.get(f"{site}/duplicates")
    group = find(browser, ".group")
    group.find_element(By.CSS_SELECTOR, "[data-rule=largest]").click()
    chosen = browser.execute_script("return Number(document.querySelector('input[name=id]:checked').value)")
    browser.execute_script("arguments[0].click()", find(browser, "[formaction='/move']"))
    wait(browser, lambda: path(browser) == "/move")
    assert find(browser, "h1").text == "1 picture moved"
    file = gallery.file_of(gallery.photos[chosen])
    assert not os.path.exists(file)
    find(browser, "form[action='/undo'] button").click()
    wait(browser, lambda: path(browser) == "/undo")
    assert os.path.exists(file)


def test_paste_one_and_several(browser, site, gallery):
    browser.get(site)
    file = gallery.file_of(gallery.photos[7])
    paste(browser, file, ["one.jpg"])
    wait(browser, lambda: path(browser).startswith("/search/"))
    paste(browser, file, ["one.jpg", "two.jpg"])
    wait(browser, lambda: path(browser) == "/searches")
    assert len(browser.find_elements(By.CSS_SELECTOR, "a.tile")) == 1  # the same picture twice


def test_the_map_is_drawn_and_leads_to_pictures(browser, site):
    browser.get(f"{site}/map")
    wait(browser, lambda: find(browser, "#plane").is_displayed())
    drawn = """const c = document.getElementById("plane");
    return c.getContext("2d").getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v).length"""
    wait(browser, lambda: browser.execute_script(drawn) > 133)
    place = browser.execute_script("""const box = plane.getBoundingClientRect();
    return [points.places[0] / SIDE * (box.width - 2), points.places[1] / SIDE * (box.height - 2), points.ids[0]]""")
    canvas = find(browser, "#plane")
    at = int(place[0] - canvas.size["width"] / 2) + 1, int(place[1] - canvas.size["height"] / 2) + 1
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center' })", canvas)
    webdriver.ActionChains(browser).move_to_element_with_offset(canvas, *at).perform()
    wait(browser, lambda: find(browser, "#under").is_displayed())
    webdriver.ActionChains(browser).click().perform()
    wait(browser, lambda: path(browser).startswith("/neighbors/"))


def test_a_large_map_is_drawn_smoothly(browser, site, tmp_path):
    browser.get(f"{site}/map")
    wait(browser, lambda: find(browser, "#plane").is_displayed())
    milliseconds = browser.execute_script("""
    const n = 100_000;
    points.ids = new Uint32Array(n);
    points.places = Uint16Array.from({ length: 2 * n }, (_, i) => (i * 2654435761) % 65536);
    points.clusters = Uint8Array.from({ length: n }, (_, i) => i % 30);
    draw();
    const times = [];
    for (let i = 0; i < 7; i++) { const start = performance.now(); draw(); times.push(performance.now() - start); }
    return times.sort((a, b) => a - b)[0]""")
    assert milliseconds < 300


@pytest.fixture(params=["light", "dark"])
def dark(request, browser):
    """Whether the page is shown dark."""
    scheme = {"features": [{"name": "prefers-color-scheme", "value": request.param}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    yield request.param == "dark"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.fixture(params=["desktop", "phone"])
def phone(request, browser):
    """Whether the page is shown on a phone."""
    if request.param == "phone":
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    yield request.param == "phone"
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_every_view_in_every_dress(browser, site, gallery, phone, dark):
    """No console error (see no_complaints), nothing from elsewhere, nothing beyond the edge, nothing axe-core finds."""
    pytest.importorskip("axe_playwright_python", reason="needs the extra pages")
    whole_group = f"/duplicates/{gallery.groups('similar')[0][0].photo.id}?way=similar"
    browser.get(site)
    paste(browser, gallery.file_of(gallery.photos[7]), ["one.jpg"])
    wait(browser, lambda: path(browser).startswith("/search/"))
    for view in [path(browser), whole_group, *VIEWS]:
        browser.get(site + view)
        assert browser.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches") == dark
        loaded = browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
        assert loaded
        assert all(name.startswith(f"{site}/") for name in loaded), view
        if phone:
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, view
        assert violations(browser) == [], view


def test_axe_finds_nothing_wrong_with_what_opens(browser, site, phone, dark):
    pytest.importorskip("axe_playwright_python", reason="needs the extra pages")
    browser.get(f"{site}/neighbors/3")
    find(browser, "#asked").click()
    wait(browser, lambda: is_open(browser))
    assert violations(browser) == []
    browser.get(f"{site}/quality")
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert violations(browser) == []


def test_axe_finds_what_is_wrong(browser, site):
    pytest.importorskip("axe_playwright_python", reason="needs the extra pages")
    browser.get(site)
    browser.execute_script("document.querySelector('.tile img').removeAttribute('alt')")
    assert "image-alt" in {rule for rule, _ in violations(browser)}
