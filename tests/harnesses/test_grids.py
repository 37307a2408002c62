"""The parameters of entries, in the form that VIBE and ann-benchmarks read."""

import importlib.util

import pytest
from harness_stand_ins import HARNESSES, definitions, read_config

CONFIGS = sorted(path for name in ("vibe", "ann_benchmarks") for path in (HARNESSES / name).rglob("config.yml"))
VARIABLES = {"@metric": "hamming", "@count": 10, "@dimension": 64}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: "/".join(path.parts[-4:-1]))
def test_every_index_has_a_module_a_name_and_arguments(path):
    package = path.relative_to(HARNESSES).parts[0]
    image = {"vibe": "singularity_image", "ann_benchmarks": "docker_tag"}[package]
    ((_, by_metric),) = read_config(path).items()
    assert set(by_metric) <= {"hamming", "jaccard"}
    for entry in (entry for entries in by_metric.values() for entry in entries):
        assert entry["module"] == f"{package}.algorithms.{path.parent.name}"
        assert entry[image]
        groups = entry["run_groups"].values()
        for group in groups:
            assert set(group) <= {"args", "arg_groups", "query_args"}
            # VIBE names what it stores by the arguments of queries, and cannot store what has none.
            assert package != "vibe" or group["query_args"]
        if all("args" in group for group in groups):
            assert list(definitions(entry, VARIABLES))


@pytest.mark.parametrize("name", ["vibe", "ann_benchmarks"])
def test_short_grids_are_put_into_the_clone(name, tmp_path):
    spec = importlib.util.spec_from_file_location("harness_grids", HARNESSES / "common" / "grids.py")
    grids = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grids)
    folder = grids.short_grids(HARNESSES / name, tmp_path)
    assert folder.parent == tmp_path
    copied = {path.parent.name: path.read_bytes() for path in folder.glob("*/config.yml")}
    ours = [path for path in CONFIGS if path.relative_to(HARNESSES).parts[0] == name]
    assert copied == {path.parent.name: path.read_bytes() for path in ours}
