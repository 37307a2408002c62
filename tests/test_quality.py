"""The bench of methods: measures, continues where it stopped, lays out and draws."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import hashkit
from hashkit import evaluation


@pytest.fixture(scope="module")
def quality():
    path = Path(__file__).parents[1] / "benchmarks" / "quality.py"
    spec = importlib.util.spec_from_file_location("quality", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(quality):
    app = typer.Typer()
    app.command()(quality.main)

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout + result.stderr

    return run


@pytest.fixture
def blobs(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    features = (rng.normal(size=(4, 24))[labels] + rng.normal(size=(160, 24))).astype(np.float32)
    np.savez(tmp_path / "blobs.npz", features=features, labels=labels)
    return tmp_path / "blobs.npz"


def test_every_method_is_measured_by_default(quality, run, blobs, tmp_path, monkeypatch):
    scores = {**dict.fromkeys(quality.SCORES, 0.5), "fit_seconds": 1.0, "encode_seconds": 1.0}
    monkeypatch.setattr(quality, "measure", lambda split, job, neighbors: scores)
    assert run(blobs, "--queries", 40, "--out", tmp_path / "table.md")[0] == 0
    lines = (tmp_path / "table.md").read_text().splitlines()
    start = lines.index("### blobs: 40 queries, 120 items, 3 seeds")
    assert lines[start + 4].split("|")[2:-1] == ["       16 bits "]  # 24 dimensions have no longer codes
    measured = [line.split("|")[1].strip() for line in lines[start:] if line.startswith("|")]
    assert measured == 2 * ["method", measured[1], "float features", *sorted(quality.SETTINGS)]


def test_a_small_run_with_udhpl_in_both_settings(run, blobs):
    options = ("--queries", 40, "--bits", 8, "--seeds", 1, "--method", "udhpl", "--method", "udhpl_neighbors")
    code, output = run(blobs, *options, "--method", "itq")
    assert code == 0
    (line,) = (line for line in output.splitlines() if line.startswith("- recall@10"))
    assert re.search(r"udhpl_neighbors minus the best other method: 8 bits [+-]0\.\d{3} \(itq\)", line)


def test_scores_are_those_of_the_library(run, blobs, tmp_path):
    run(blobs, "--queries", 40, "--bits", 8, "--seeds", 2, "--method", "itq", "--results", tmp_path / "r.jsonl")
    floats, *rows = map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines())
    assert [(row["method"], row["n_bits"], row["seed"]) for row in rows] == [("itq", 8, 0), ("itq", 8, 1)]
    with np.load(blobs) as file:
        features, labels = file["features"], file["labels"]
    codes = hashkit.fit(features[40:], n_bits=8, method="itq", random_state=1).encode(features)
    task = codes[:40], codes[40:], labels[:40], labels[40:]
    near = evaluation.float_neighbors(features[:40], features[40:])
    assert rows[1]["mAP@all"] == evaluation.mean_average_precision(*task).value
    assert rows[1]["precision r=2"] == evaluation.precision_within_radius(*task).value
    assert rows[1]["recall@10"] == evaluation.neighbor_recall(codes[:40], codes[40:], near).value
    ranking = evaluation.float_neighbors(features[:40], features[40:], n_neighbors=120)
    expected = evaluation.mean_average_precision_of_rankings(ranking, labels[:40], labels[40:]).value
    assert floats["mAP@1000"] == expected


def test_a_run_that_was_cut_off_is_continued(quality, run, blobs, tmp_path, monkeypatch):
    results = tmp_path / "r.jsonl"
    arguments = (blobs, "--queries", 40, "--bits", 8, "--bits", 16, "--method", "itq", "--results", results)
    code, expected = run(*arguments)
    lines = results.read_text().splitlines()
    assert (code, len(lines)) == (0, 7)
    results.write_text("\n".join(lines[:5]) + "\n" + lines[5][:20])
    measured = []
    original = quality.measure
    monkeypatch.setattr(quality, "measure", lambda split, job, near: measured.append(job) or original(split, job, near))
    code, again = run(*arguments)
    assert code == 0
    assert [(job["n_bits"], job["seed"]) for job in measured] == [(8, 2), (16, 2)]
    assert again.split("Mean")[0] == expected.split("Mean")[0]
    run(*arguments)
    assert len(measured) == 2


def test_mean_spread_and_distance_to_the_best_other_method(quality):
    def row(method, n_bits, seed, value):
        return {"method": method, "n_bits": n_bits, "seed": seed, **dict.fromkeys(quality.SCORES, value)}

    rows = [row("itq", 8, 0, 0.5), row("bi_half", 8, 0, 0.6), row("udhpl", 8, 0, 0.7), row("udhpl", 8, 1, 0.8)]
    assert quality.mean_and_spread(quality.values_of(rows, "udhpl", 8, "mAP@all")) == "0.750 ± 0.071"
    assert quality.mean_and_spread([0.5]) == "0.500"
    assert quality.verdicts(rows)[0] == "mAP@1000, udhpl minus the best other method: 8 bits +0.150 (bi_half)"


def test_development_and_test_sets_stand_apart_with_mean_ranks(quality):
    def row(data, method, value, seed=0):
        named = {
            "data": data,
            "n_queries": 2,
            "n_items": 8,
            "method": method,
            "n_bits": 8 if value else 0,
            "seed": seed,
        }
        return {**named, **dict.fromkeys(quality.SCORES, value), "fit_seconds": 1.0, "encode_seconds": 1.0}

    rows = [row("digits", "itq", 0.5), row("digits", "udhpl", 0.7), row("letters", "itq", 0.6)]
    rows += [row("letters", "udhpl", 0.3), row("words", "itq", 0.5), row("words", "udhpl", 0.5)]
    text = "\n".join(quality.describe_roles(rows))
    development, test = text.split("## Test sets")
    assert "### digits" in development
    assert "### letters" not in development
    assert [line.split("|")[2].strip() for line in development.splitlines()[2:6]] == ["8 bits", "-----:", "2.0", "1.0"]
    assert [line.split("|")[2].strip() for line in test.splitlines()[2:6]] == ["8 bits", "-----:", "1.2", "1.8"]


def test_recall_alone_is_measured_without_labels(run, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(160, 16)).astype(np.float16)
    np.savez(tmp_path / "bare.npz", vectors=vectors)
    options = ("--queries", 40, "--bits", 8, "--seeds", 1, "--method", "itq", "--results", tmp_path / "r.jsonl")
    assert run(tmp_path / "bare.npz", *options)[0] == 0
    (_, row) = map(json.loads, (tmp_path / "r.jsonl").read_text().splitlines())
    assert row["mAP@1000"] is None
    assert 0 < row["recall@10"] <= 1


def test_picture_has_a_panel_for_each_data_set(run, blobs, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ("--rows", 160, "--queries", 40, "--queries", 60, "--bits", 8, "--bits", 16, "--seeds", 2)
    code, output = run(blobs, "digits", *arguments, "--method", "itq", "--picture", tmp_path / "picture.png")
    assert code == 0
    assert "### digits: 60 queries, 100 items" in output
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits", "--method", "lsh"), "unknown method lsh"),
        (("digits", "--queries", 10, "--queries", 20), "one number for all 1 data sets"),
        (("letters",), "letters is made from packages: give --cache"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, output = run(*arguments)
    assert code == 2
    assert message in " ".join(output.replace("│", " ").split())
