"""What searches return prints as a line, however much it holds."""

import numpy as np
import pytest

import hashkit

N_QUERIES = 1000


@pytest.fixture(scope="module")
def codes():
    return np.random.default_rng(0).integers(0, 4, (3000, 8), np.uint8)


@pytest.mark.parametrize("method", ["scan", "mih"])
def test_query_stats_are_summed_up(codes, method):
    stats = hashkit.Index(codes, method=method).query_stats(codes[:N_QUERIES], 3, max_candidates=50)[2]
    text = repr(stats)
    assert len(text) < 300
    assert text.startswith("<QueryStats of 1,000 queries; probes: ")
    for name in ("probes", "candidates", "radius"):
        counts = getattr(stats, name)
        assert f"{name}: {counts.min():,} to {counts.max():,}, mean {counts.mean():,.1f}" in text
    assert f"scanned: {stats.scanned.sum():,}; exact: {stats.exact.sum():,}>" in text


def test_no_queries_have_no_figures(codes):
    index = hashkit.Index(codes)
    assert repr(index.query_stats(codes[:0])[2]) == "<QueryStats of 0 queries>"
    assert repr(index.radius(codes[:0], 3)) == "<hashkit.RadiusResult of 0 queries: 0 codes>"


def test_results_are_counted(codes):
    index = hashkit.Index(codes)
    result = index.radius(codes[:N_QUERIES], 2)
    assert repr(result) == f"<hashkit.RadiusResult of 1,000 queries: {len(result.ids):,} codes>"
    block = next(index.pairs(2))
    assert repr(block) == f"<hashkit.PairBlock of {len(block):,} pairs>"


def test_scores_are_short(codes):
    labels = np.arange(3000) % 7
    score = hashkit.evaluation.precision_within_radius(codes[:N_QUERIES], codes, labels[:N_QUERIES] + 1, labels)
    assert repr(score) == (
        f"Score(value={score.value:.6g}, n_queries=1000, n_without_relevant={score.n_without_relevant})"
    )
    assert score.n_without_relevant > 0
    curve = hashkit.evaluation.precision_recall_curve(codes[:9], codes, labels[:9], labels)
    assert repr(curve) == "Curve(radii 0 to 64, n_queries=9, n_without_relevant=0)"
