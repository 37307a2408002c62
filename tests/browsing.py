"""A real browser without a screen, and what a test asks of it."""

import os
import shutil
from pathlib import Path

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
]
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


def start(profile):
    """A browser that keeps its profile in a folder."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in [*OPTIONS, f"--user-data-dir={profile}"]:
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(60)
    return driver


def wait(browser, condition):
    """Wait until a function of no arguments gives something."""
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, 30, 0.05).until(lambda _: condition())


def path(browser):
    """The address that is shown, without the server."""
    return browser.execute_script("return location.pathname + location.search")


def axe_core():
    """The text of axe-core's script: that of HASHKIT_AXE_CORE, or of node_modules; None if there is none."""
    places = [os.environ.get("HASHKIT_AXE_CORE", ""), "node_modules/axe-core/axe.min.js"]
    found = next((Path(place) for place in places if place and Path(place).is_file()), None)
    return found and found.read_text(encoding="utf-8")
