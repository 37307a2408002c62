"""The map holds: imports and includes go down only, and what is heavy or dangerous stays in its room."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

import hashkit

ROOT = Path(__file__).parents[1]

# Rooms from the ground up: a room imports from itself and from lower floors, never from its neighbors. "hashkit" is the
# lazy top level, which looks names up in their homes.
FLOORS = [
    ["_native"],
    ["checks", "extras", "progress"],
    ["codes", "cosines", "storage"],
    ["index", "networks", "tables"],
    ["datasets", "hashers"],
    ["evaluation", "udhpl"],
    ["training"],
    ["collection", "interop", "vectors"],
    ["hashkit"],
    ["images", "scale"],
    ["cli"],
    ["__main__"],
]
# Metrics take arrays; only the comparison of methods may name what it compares.
COMPARISON = {f"hashkit/evaluation/{name}.py" for name in ("comparison", "plots", "results")}
FORBIDDEN = {
    ("evaluation", room) for room in ("datasets", "hashers", "index", "networks", "training", "udhpl", "vectors")
}
NETWORKS = "hashkit/images/networks.py"  # runs pretrained networks; its weights come from an installed package
NEVER_IMPORTED = {"cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}

# The same for csrc: the rooms that each room may include, besides itself.
INCLUDES = {
    "cpu": set(),
    "parallel": {"cpu"},
    "kernels": {"cpu"},
    "core": {"cpu", "kernels", "parallel"},
    "scan": {"core", "cpu", "kernels", "parallel"},
    "mih": {"core", "cpu", "kernels", "parallel", "scan"},
    "join": {"core", "cpu", "jaccard", "kernels", "parallel"},
    "jaccard": {"core", "cpu", "kernels", "parallel"},
    "far": {"core", "cpu", "kernels", "parallel", "scan"},
    "vectors": {"core", "cpu", "kernels", "parallel", "scan"},
    "bindings": {"core", "cpu", "far", "jaccard", "join", "kernels", "mih", "parallel", "scan", "vectors"},
}

PYTHON_FILES = sorted((ROOT / "hashkit").rglob("*.py"))
CYTHON_FILES = sorted((ROOT / "hashkit").rglob("*.pyx"))
CPP_FILES = sorted(path for path in (ROOT / "csrc").rglob("*") if path.suffix in {".cpp", ".hpp", ".inl"})


def name_of(path):
    return str(path.relative_to(ROOT))


def room_of(module):
    """`hashkit.index.core` is in the room `index`, a public name of the top level in the room of its home."""
    parts = module.split(".")
    if len(parts) == 1:
        return "hashkit"
    if parts[1] in hashkit._HOMES and not (ROOT / "hashkit" / parts[1]).exists():
        return hashkit._HOMES[parts[1]].split(".")[1]
    return parts[1]


def imported_modules(path):
    """Full names of everything that a module imports, also within functions."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import"
            is_top = node.module == "hashkit"
            modules += [f"hashkit.{alias.name}" for alias in node.names] if is_top else [node.module]
    return modules


def file_of(module):
    """The file of the longest part of a module's full name that is a file of ours: `hashkit.codes.pack` is in codes."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        stem = ROOT.joinpath(*parts[:end])
        for path in (stem.with_suffix(".py"), stem.with_suffix(".pyx"), stem / "__init__.py"):
            if path.exists():
                return name_of(path)
    return None


def imported_files(path):
    """The files of ours that a file imports: at once, later or for its types."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    return {file_of(module) for module in modules if module.split(".")[0] == "hashkit"} - {None}


def find_circle(graph):
    """The nodes of one circle of a graph, node -> set of nodes, in their order; [] if there is none."""
    rest = {node: set(ends) & set(graph) for node, ends in graph.items()}
    while leaves := {node for node, ends in rest.items() if not ends}:
        rest = {node: ends - leaves for node, ends in rest.items() if node not in leaves}
    way = [min(rest)] if rest else []
    while rest and (following := min(rest[way[-1]])) not in way:
        way.append(following)
    return way[way.index(following) :] if rest else []


def own_room(path):
    parts = path.relative_to(ROOT / "hashkit").with_suffix("").parts
    return "hashkit" if parts == ("__init__",) else parts[0]


def floor_of(room):
    floors = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    assert floors, f"the room {room!r} has no floor in {name_of(Path(__file__))}"
    return floors[0]


@pytest.mark.parametrize("path", PYTHON_FILES, ids=name_of)
def test_imports_go_down_only(path):
    room = own_room(path)
    for module in imported_modules(path):
        if module.split(".")[0] != "hashkit":
            continue
        imported = room_of(module)
        assert imported == room or floor_of(imported) < floor_of(room), f"{room} imports {module}"
        assert name_of(path) in COMPARISON or (room, imported) not in FORBIDDEN, f"{room} imports {module}"


def test_no_files_import_each_other():
    assert find_circle({name_of(path): imported_files(path) for path in PYTHON_FILES}) == []


def test_no_headers_include_each_other():
    headers = {path: set(re.findall(r'#\s*include "([^"]+)"', path.read_text())) for path in CPP_FILES}
    assert find_circle({str(path.relative_to(ROOT / "csrc")): included for path, included in headers.items()}) == []


@pytest.mark.parametrize(
    ("graph", "circle"),
    [
        ({}, []),
        ({"a": {"b", "c"}, "b": {"c"}, "c": {"elsewhere"}}, []),
        ({"a": {"a"}}, ["a"]),
        ({"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set()}, ["b", "c"]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "x": {"y"}, "y": {"x"}}, ["a", "b", "c"]),
    ],
)
def test_a_circle_is_found_where_there_is_one(graph, circle):
    assert find_circle(graph) == circle


def test_imports_are_seen_wherever_they_stand(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nimport hashkit\nfrom hashkit import storage\n"
        "if TYPE_CHECKING:\n    from hashkit.index import files, Index\n"
        "def work():\n    from hashkit.codes import pack\n    import hashkit.evaluation._ranking\n"
    )
    assert imported_files(path) == {
        "hashkit/__init__.py",
        "hashkit/storage/__init__.py",
        "hashkit/index/files.py",
        "hashkit/index/__init__.py",
        "hashkit/codes.py",
        "hashkit/evaluation/_ranking.pyx",
    }


@pytest.mark.parametrize("path", PYTHON_FILES, ids=name_of)
def test_only_networks_import_torch(path):
    allowed = own_room(path) == "networks" or name_of(path) == NETWORKS
    assert allowed or "torch" not in {module.split(".")[0] for module in imported_modules(path)}


@pytest.mark.parametrize("path", PYTHON_FILES, ids=name_of)
def test_the_library_neither_prints_nor_unpickles(path):
    assert not NEVER_IMPORTED & {module.split(".")[0] for module in imported_modules(path)}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        assert function != "print", f"print in line {node.lineno}"
        safe = name_of(path) == NETWORKS and "weights_only=True" in map(ast.unparse, node.keywords)
        assert safe or function not in {"torch.load", "torch.save"}, f"{function}, which pickles, in line {node.lineno}"
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle":
                assert ast.unparse(keyword.value) == "False", f"allow_pickle in line {node.lineno}"


HEAVY = "torch", "sklearn", "scipy", "typer", "matplotlib", "pandas", "PIL", "pyarrow", "ray"


@pytest.mark.parametrize("use", ["pass", "dir(hashkit)", "hashkit.Index; hashkit.pack; hashkit.hamming_distances"])
def test_importing_hashkit_is_light(use, run_python):
    program = f"import sys, hashkit; {use}; print([name for name in {HEAVY} if name in sys.modules])"
    done = run_python(program)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_importing_hashkit_loads_none_of_its_rooms(run_python):
    done = run_python("import sys, hashkit; print([name for name in sys.modules if name.startswith('hashkit.')])")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("room", hashkit._ROOMS)
def test_rooms_are_there_after_importing_hashkit(room, run_python):
    done = run_python(
        f"""import sys
for name in {HEAVY}:
    sys.modules[name] = None  # whoever imports it fails
import hashkit
assert {room!r} in dir(hashkit) and {room!r} in hashkit.__all__
print(hashkit.{room}.__name__)"""
    )
    assert (done.stdout.strip(), done.stderr) == (f"hashkit.{room}", "")


@pytest.mark.parametrize(
    ("use", "missing", "extra"),
    [
        ("hashkit.scale.ShardedIndex", "ray", "ray"),
        pytest.param(
            "hashkit.scale.encode",
            "pyarrow",
            "ray",
            marks=pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="without Ray that is named first"),
        ),
        ("hashkit.images.dct_hash", "PIL", "images"),
        ("hashkit.networks.train", "torch", "learn"),
        ("hashkit.images.Gallery", "PIL", "images"),
        ("hashkit.interop.to_arrow(codes)", "pyarrow", "arrow"),
        ("hashkit.interop.from_arrow(codes)", "pyarrow", "arrow"),
        ("from hashkit.evaluation.plots import save_picture; save_picture('x.png', None, [])", "matplotlib", "plots"),
    ],
)
def test_an_extra_that_is_missing_is_named_in_one_line(use, missing, extra, run_python):
    done = run_python(
        f"""import sys, numpy as np, hashkit
sys.modules[{missing!r}] = None
codes = np.zeros((2, 8), np.uint8)
try:
    {use}
except ImportError as error:
    print(error)"""
    )
    what = re.escape(use.partition("(")[0]) if "(codes)" in use else r"hashkit\.[a-z.]+"
    assert re.fullmatch(
        rf"{what} needs {missing}(\.[a-z]+)?: pip install 'hashkit-codes\[{extra}\]'", done.stdout.strip()
    ), done
    assert done.stderr == ""


@pytest.mark.parametrize("path", CYTHON_FILES, ids=name_of)
def test_cython_knows_no_cpp_of_ours(path):
    text = path.read_text()
    assert "csrc" not in text
    headers = re.findall(r"cdef extern from [\"<]([^\">]+)[\">]", text)
    assert not [header for header in headers if (ROOT / "csrc" / header).exists()]


@pytest.mark.parametrize("path", CPP_FILES, ids=name_of)
def test_includes_go_down_only(path):
    room = path.relative_to(ROOT / "csrc").parts[0]
    for header in re.findall(r'#\s*include "([^"]+)"', path.read_text()):
        included = header.split("/")[0]
        assert (ROOT / "csrc" / header).exists(), f"{header} is not named from csrc"
        assert included == room or included in INCLUDES[room], f"{room} includes {header}"


@pytest.mark.parametrize("path", CPP_FILES, ids=name_of)
def test_only_bindings_know_python(path):
    headers = re.findall(r"#\s*include <([^>]+)>", path.read_text())
    in_bindings = path.is_relative_to(ROOT / "csrc" / "bindings")
    assert in_bindings or not [header for header in headers if re.match(r"pybind11|Python\.h|numpy", header)]


@pytest.mark.parametrize("path", CPP_FILES, ids=name_of)
def test_the_core_is_a_good_neighbor(path):
    text = path.read_text()
    assert not re.search(r"#\s*pragma\s+omp|#\s*include <(iostream|cstdio|omp\.h)>", text)
    is_parallel = path.is_relative_to(ROOT / "csrc" / "parallel")
    assert is_parallel or "#include <thread>" not in text, "threads are made in csrc/parallel only"


@pytest.mark.parametrize("path", CPP_FILES, ids=name_of)
def test_conditional_compilation_stays_in_cpu_and_kernels(path):
    room = path.relative_to(ROOT / "csrc").parts[0]
    assert room in {"cpu", "kernels"} or not re.search(r"^\s*#\s*if", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted((ROOT / "csrc" / "kernels").glob("*.cpp")), ids=name_of)
def test_headers_come_before_the_target_region(path):
    inside = path.read_text().partition("HASHKIT_TARGET_BEGIN(")[2]
    assert not re.findall(r'#\s*include (<[^>]+>|"[^"]+\.hpp")', inside)
