"""The site builds without a warning, every public name is on a page, links lead somewhere, docstring examples run."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

import pytest

import hashkit

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# Public submodules besides the rooms themselves.
SUBMODULES = [
    "collection",
    "evaluation.comparison",
    "evaluation.plots",
    "evaluation.results",
    "images.phash",
    "images.words",
]
# Functions that lazy rooms define for Python itself.
HOOKS = {"needs_extra", "annotations"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built by the one command that the docs name; any warning ends it with an error."""
    pytest.importorskip("sphinx", reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", "html", str(DOCS), str(folder)]
    # Not in the checkout, whose hashkit may not be built.
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def public_names():
    for room in ["", *hashkit._ROOMS, *SUBMODULES]:
        module = importlib.import_module(f"hashkit.{room}".rstrip("."))
        own = [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not isinstance(value, TypeVar)
        ]
        names = getattr(module, "__all__", [n for n in own if not n.startswith("_")])
        yield from ((module, name) for name in names if name not in {*hashkit._ROOMS, *HOOKS, "__version__"})


def test_every_public_name_is_on_a_page(site):
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    documented = {name for kind in inventory.data if kind.startswith("py:") for name in inventory.data[kind]}
    objects = {}
    for name in documented:
        home, _, last = name.rpartition(".")
        try:
            objects[id(getattr(importlib.import_module(home), last))] = name
        except (ImportError, AttributeError, ValueError):
            continue  # a method, or a module
    missing = [
        f"{module.__name__}.{name}"
        for module, name in public_names()
        if f"{module.__name__}.{name}" not in documented and id(getattr(module, name)) not in objects
    ]
    assert missing == []


def test_every_command_is_on_a_page(site):
    page = (site / "reference" / "commands.html").read_text()
    for command in ("demo", "fit", "encode", "query", "evaluate", "info", "images explore", "vectors build"):
        assert f"hashkit {command}</a>" in page or f"hashkit {command}<" in page, command


def test_pages_ask_no_other_host(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*", page.read_text())
        assert loaded == [], page.name


def anchors(page):
    """What GitHub and the site make of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))], ids=str)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(file), f"{target}: there is no such heading"


def modules_with_examples():
    for found in pkgutil.walk_packages(hashkit.__path__, "hashkit."):
        source = getattr(found.module_finder.find_spec(found.name, None), "origin", None) or ""
        if source.endswith(".py") and ">>> " in Path(source).read_text():
            yield found.name


@pytest.mark.parametrize("module", ["hashkit", *modules_with_examples()])
def test_examples_of_docstrings_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert failed == 0
    assert tried > 0 or module == "hashkit.scale"
