"""What the harnesses do with an entry, from their documented interfaces, on data that takes seconds.

VIBE and ann-benchmarks look for an entry's module in a package of algorithms beside a module with their base class,
make every combination of its arguments, and call fit, set_query_arguments and query.
"""

import importlib
import itertools
import shutil
import sys
from pathlib import Path

import pytest

HARNESSES = Path(__file__).parents[1] / "benchmarks" / "harnesses"
BASE = """
class BaseANN:
    def get_additional(self):
        return {}

    def done(self):
        pass

    def __str__(self):
        return self.name
"""


def install(monkeypatch, folder, package, entry, name):
    """The module of an entry's folder, imported as `package.algorithms.name.module`."""
    algorithms = folder / package / "algorithms"
    (algorithms / "base").mkdir(parents=True)
    (algorithms / "base" / "module.py").write_text(BASE)
    shutil.copytree(entry, algorithms / name)
    for made in [known for known in sys.modules if known.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, made)
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module(f"{package}.algorithms.{name}.module")


def read_config(path):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(path.read_text())


def combinations(spec):
    """Every choice of one value for each argument; a value that is no list is itself the only one."""
    values = list(spec.values()) if isinstance(spec, dict) else spec
    return [list(chosen) for chosen in itertools.product(*(v if isinstance(v, list) else [v] for v in values))]


def definitions(entry, variables):
    """(arguments of the constructor, list of arguments of queries) of each index of a config's entry."""
    for group in entry["run_groups"].values():
        for arguments in combinations(group["args"]):
            given = [variables.get(a, a) if isinstance(a, str) else a for a in [*entry["base_args"], *arguments]]
            yield given, combinations(group["query_args"]) if "query_args" in group else [[]]


def run_entry(module, entry, codes, queries, k, variables):
    """What a harness records of each set of arguments: name, and the ids that each query found."""
    results = []
    for arguments, query_arguments in definitions(entry, variables):
        algorithm = getattr(module, entry["constructor"])(*arguments)
        algorithm.fit(codes)
        for chosen in query_arguments:
            if chosen:
                algorithm.set_query_arguments(*chosen)
            found = [list(algorithm.query(query, k)) for query in queries]
            results.append((str(algorithm), chosen, found, algorithm.get_additional()))
    return results
