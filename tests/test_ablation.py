"""The bench of constants: what it changes, and how it lays out what that is worth."""

import json
from dataclasses import fields

import ablation
import numpy as np
import typer
from typer.testing import CliRunner

from hashkit.udhpl import Configuration


def test_every_number_of_the_configuration_is_halved_and_doubled():
    changed = {name.partition(":")[0] for name, _ in ablation.list_changes()}
    numbers = {field.name for field in fields(Configuration) if getattr(Configuration(), field.name) is not None}
    assert numbers <= changed
    assert set(ablation.STAGES) <= {name for name, _ in ablation.list_changes()}


def test_a_change_changes_what_it_is_named_after():
    changes = dict(ablation.list_changes())
    assert changes["ridge: half"][1].ridge == Configuration().ridge / 2
    assert changes["n_neighbors: double"][1].n_neighbors == 2 * Configuration().n_neighbors
    assert changes["term_weights: double"][1].term_weights == (2.0, 2.0, 2.0)
    assert changes["no network"] == ({"network": "never"}, Configuration())


def test_moves_are_against_the_same_set_and_seed():
    def row(data, change, value):
        return {"data": data, "seed": 0, "change": change, "mAP@1000": value}

    rows = [row("digits", "as it is", 0.5), row("kernel_docs", "as it is", 0.7), row("letters", "as it is", 0.6)]
    rows += [row("digits", "no network", 0.4), row("kernel_docs", "no network", 0.5), row("letters", "no network", 0.7)]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ablation.table(rows).splitlines()]
    assert lines[0] == ["change", "development sets", "test sets"]
    assert lines[2] == ["as it is", "0.600 ± 0.100", "0.600"]
    assert lines[3] == ["no network", "-0.150 ± 0.050", "+0.100"]


def test_a_small_run_is_kept_and_continued(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    features = (3 * np.eye(3, 12)[labels] + rng.normal(size=(120, 12))).astype(np.float32)
    np.savez(tmp_path / "blobs.npz", features=features, labels=labels)
    app = typer.Typer()
    app.command()(ablation.main)
    options = [str(tmp_path / "blobs.npz"), "--rows", "0", "--bits", "8", "--only", "ridge", "--only", "no network"]
    options += ["--results", str(tmp_path / "r.jsonl")]
    first = CliRunner().invoke(app, options)
    assert first.exception is None
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [row["change"] for row in rows] == ["as it is", "no network", "ridge: half", "ridge: double"]
    monkeypatch.setattr(ablation, "measure", lambda *_: 1 / 0)
    assert CliRunner().invoke(app, options).stdout == first.stdout
