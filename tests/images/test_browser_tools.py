"""The page's tools in a real browser: lightbox, choosing, moving, pasting, the map; every view in every dress."""

import base64
import os

import pytest

pytest.importorskip("PIL", reason="needs the extra images")
pytest.importorskip("fastapi", reason="needs the extra explore")
pytest.importorskip("selenium", reason="needs the extra pages")

from browsing import CHROMIUM, DRIVER, PHONE, axe_core, path, start, wait
from page_server import serving
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from hashkit.images import Gallery, index_folder

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")

VIEWS = ["/", "/?q=nothing", "/neighbors/3", "/duplicates", "/duplicates?way=similar", "/map", "/quality", "/searches"]

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


def test_load_more(browser, site):
    browser.get(site)
    assert len(browser.find_elements(By.CSS_SELECTOR, "a.tile")) == 120
    find(browser, "a[data-more]").click()
    wait(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "a.tile")) == 133)
    ids = browser.execute_script("return [...document.querySelectorAll('a.tile')].map((tile) => tile.pathname)")
    assert len(set(ids)) == 133
    assert not browser.find_elements(By.CSS_SELECTOR, "a[data-more]")


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
    with open(gallery.file_of(gallery.photos[7]), "rb") as file:
        data = base64.b64encode(file.read()).decode()
    browser.execute_script(PASTE, data, ["one.jpg"])
    wait(browser, lambda: path(browser).startswith("/search/"))
    browser.execute_script(PASTE, data, ["one.jpg", "two.jpg"])
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


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_every_view_in_every_dress(browser, site, phone, dark):
    """No console error (see no_complaints), nothing from elsewhere, nothing beyond the edge, nothing axe finds."""
    axe = axe_core()
    if phone:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    try:
        for view in VIEWS:
            browser.get(site + view)
            assert browser.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches") == dark
            loaded = browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
            assert loaded
            assert all(name.startswith(f"{site}/") for name in loaded), view
            if phone:
                assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, view
            assert nameless(browser) == [], view
            if axe is not None:
                assert violations(browser, axe) == [], view
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def violations(browser, axe):
    browser.execute_script(axe)
    found = browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
    return [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found]


def nameless(browser):
    """Controls without a name, pictures without a text, and doubled ids: what needs no axe-core."""
    return browser.execute_script("""
    const wrong = [];
    for (const control of document.querySelectorAll("button, a[href], input:not([type=hidden]), select")) {
      const name = control.getAttribute("aria-label") || control.textContent.trim() || control.title
        || control.labels?.[0]?.textContent.trim() || control.querySelector?.("img")?.alt;
      if (!name) wrong.push(control.outerHTML.slice(0, 120));
    }
    for (const image of document.querySelectorAll("img:not([alt])")) wrong.push(image.outerHTML.slice(0, 120));
    const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
    return wrong.concat(ids.filter((id, i) => ids.indexOf(id) !== i));""")
