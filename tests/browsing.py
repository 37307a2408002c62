"""A real browser without a screen, and what a test asks of it."""

import shutil
from importlib.resources import files

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


def violations(browser):
    """What axe-core finds wrong with the page that is shown: rules, and the first elements that break each."""
    browser.execute_script((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
    return [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found]
