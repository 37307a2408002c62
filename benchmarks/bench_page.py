"""How long does each view of the page of pictures take at 100,000 of them: the answer alone, and in a real browser?

Every answer is looked at before it is timed. With --full there are 100,000 pictures, else 5,000; `--kept FOLDER` keeps
them for the next run. What is computed once for an index (pairs, map, groups by codes) is timed apart.

In a browser a view is there at DOMContentLoaded, counted from the click on a link: the text, the controls and a frame
for each picture can be used from then on. The bar holds it. The first paint follows by a frame or two, of which
Chromium's share is seen on the page of searches, which is empty. Thumbnails come after that, as they are scrolled to.
"""

import time
from urllib.parse import quote

import numpy as np
import pytest
from browsing import CHROMIUM, DRIVER, PHONE, start, wait
from large_gallery import large_gallery
from page_server import ask, serving
from timing import median_wall_seconds

pytest.importorskip("fastapi")

VIEWS = [
    "/",
    "/?page=30",
    "/?q=IMG_00",
    "/?q=album+003+77",
    f"/?folder={quote('album 003')}",
    "/?sort=newest",
    "/neighbors/7",
    "/neighbors/7?radius=26",
    "/neighbors/7?order=codes",
    "/neighbors/7?page=3",
    "/duplicates",
    "/duplicates?page=40",
    "/duplicates?similarity=0.9",
    "/duplicates?select=largest",
    "/duplicates?way=similar",
    "/duplicates?way=similar&similarity=0.7",
    "/duplicates?radius=4",
    "/duplicates?radius=8",
    "/map",
    "/quality",
    "/searches",
]
BAR, MAP_BAR = 100, 300
N_TIMES = 5
# Milliseconds since the click: the answer is there, DOMContentLoaded, first contentful paint; none before that is over.
IN_BROWSER = """const entry = performance.getEntriesByType("navigation")[0];
const paint = performance.getEntriesByName("first-contentful-paint")[0];
return location.pathname + location.search === arguments[0] && entry.loadEventEnd > 0 && paint
  && [entry.responseEnd, entry.domContentLoadedEventEnd, paint.startTime]"""
MAP_DATA = "return performance.getEntriesByType('resource').find((e) => e.name.endsWith('/map.bin'))?.duration"


@pytest.fixture(scope="module")
def gallery(kept, full):
    made = large_gallery(kept, 100_000 if full else 5000)
    _ = made.findings.measures
    return made


@pytest.fixture(scope="module")
def site(gallery):
    with serving(gallery) as running:
        yield running


@pytest.fixture(scope="module")
def computed(gallery, site):
    """Every view, once: what is computed for an index is there afterwards; gives the seconds that each one took."""
    seconds = {}
    for name, compute in {
        "pairs of copies": lambda: gallery.findings.pairs("copies"),
        "pairs of similar pictures": lambda: gallery.findings.pairs("similar"),
        "the map": lambda: gallery.findings.layout,
    }.items():
        begin = time.perf_counter()
        compute()
        seconds[name] = time.perf_counter() - begin
    for view in VIEWS:
        begin = time.perf_counter()
        while "refresh" in (text := ask(site, view).data.decode()) or 'id="map-waiting"' in text:
            time.sleep(0.05)
        seconds[view] = time.perf_counter() - begin
    return seconds


def test_page_first_time(computed, hold):
    for what, seconds in computed.items():
        hold(f"{what}, first time", seconds, None, "s")


def test_page_answers(computed, site, hold):
    times = {}
    for view in VIEWS:
        assert ask(site, view).status == 200
        times[view], busy = costs(site, view)
        hold(f"{view}, of which {busy:.3g} ms of CPU", times[view], None, "ms")
    assert len(ask(site, "/map.bin").data) > 5000 * 9 - 1
    hold("the map's data", 1e3 * median_wall_seconds(lambda: ask(site, "/map.bin"), 9), MAP_BAR, "ms")
    hold("the slowest view", max(times.values()), BAR, "ms")


def costs(site, view):
    """Median milliseconds of an answer, by the clock and of CPU; the latter says more on a busy machine."""
    clocks = time.perf_counter, time.process_time  # the server is a thread of this process
    found = []
    for _ in range(9):
        before = [clock() for clock in clocks]
        ask(site, view)
        found.append([1e3 * (clock() - start) for clock, start in zip(clocks, before, strict=True)])
    return np.median(found, axis=0)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_page_in_a_browser(full, computed, site, hold, phone, dark, tmp_path):
    """From the click to the page that can be used; see above."""
    if not full:
        pytest.skip("takes a minute, and tests/images looks at every view too: --full")
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver")
    pytest.importorskip("selenium")
    browser = start(tmp_path / "profile")
    try:
        scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        if phone:
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
        times = {}
        for view in VIEWS:
            found = [clicked(browser, site, view) for _ in range(1 + N_TIMES)][1:]  # the first one makes thumbnails
            answer, times[view], paint = np.median(found, axis=0)
            hold(f"{view}: answer {answer:.0f} ms, first paint {paint:.0f} ms, usable", times[view], None, "ms")
            names = browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
            assert all(name.startswith(site.address) for name in names)
        assert browser.get_log("browser") == []
        hold("the slowest view", max(times.values()), BAR, "ms")
        clicked(browser, site, "/map")
        hold("the map's data", wait(browser, lambda: browser.execute_script(MAP_DATA)), MAP_BAR, "ms")
    finally:
        browser.quit()


def clicked(browser, site, view):
    """What IN_BROWSER gives for a view that a link on another page leads to."""
    browser.get(site.address + ("quality" if view == "/searches" else "searches"))
    time.sleep(0.2)  # until the browser has nothing left to do for that page
    browser.execute_script("location.assign(arguments[0])", view)
    return wait(browser, lambda: browser.execute_script(IN_BROWSER, view))
