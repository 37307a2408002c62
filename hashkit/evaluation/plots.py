"""Pictures of a comparison; needs matplotlib, the extra `plots`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import evaluation
from hashkit.evaluation.comparison import Split, Trial
from hashkit.evaluation.relevance import same_label
from hashkit.extras import needs_extra
from hashkit.index import Index

__all__ = ["save_picture"]

N_SHOWN_QUERIES, N_SHOWN_RESULTS = 6, 12
SAME, OTHER, QUERY = "#2a9d4a", "#d1495b", "#333333"


def save_picture(
    path: str | os.PathLike[str], split: Split, trials: Sequence[Trial], images: NDArray[np.uint8] | None = None
) -> None:
    """Draw a comparison: one precision-recall plot per code length, and queries beside what was retrieved.

    Parameters
    ----------
    path : path
        Picture to write; its suffix (.png, .pdf, .svg) is its format.
    split : Split
        With labels, or there are no curves.
    trials : sequence of Trial
        The queries are shown with the results of the first method at its longest code.
    images : uint8 array of shape (n_rows, height, width), optional
        Images of the rows of the whole data set.

    Raises
    ------
    ModuleNotFoundError
        Without matplotlib.
    ValueError
        If there is nothing to draw: neither labels nor images.
    """
    with needs_extra("hashkit.evaluation.plots", "plots"):
        from matplotlib.figure import Figure

    if split.labels is None and images is None:
        raise ValueError("split must have labels, or images must be given: there is nothing to draw")
    heights = [3.2] * (split.labels is not None) + [4.2] * (images is not None)
    figure = Figure(figsize=(11, sum(heights)), layout="constrained")
    parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    if split.query_labels is not None and split.labels is not None:
        _draw_curves(parts.pop(0), trials, split.query_labels, split.labels)
    if images is not None:
        first = [trial for trial in trials if trial.method == trials[0].method]
        _draw_results(parts.pop(0), split, max(first, key=lambda trial: trial.n_bits), images)
    figure.savefig(path, dpi=100)


def _draw_curves(figure: Any, trials: Sequence[Trial], query_labels: NDArray[Any], labels: NDArray[Any]) -> None:
    lengths = sorted({trial.n_bits for trial in trials})
    panels = figure.subplots(1, len(lengths), sharey=True, squeeze=False)[0]
    for panel, n_bits in zip(panels, lengths, strict=True):
        for trial in (trial for trial in trials if trial.n_bits == n_bits):
            curve = evaluation.precision_recall_curve(trial.query_codes, trial.codes, query_labels, labels)
            panel.plot(curve.recall, curve.precision, label=trial.method, marker=".", markersize=4)
        panel.set(title=f"{n_bits} bits", xlabel="recall within radius", xlim=(0, 1), ylim=(0, 1.02))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("precision within radius")
    panels[0].legend(loc="lower left")


def _draw_results(figure: Any, split: Split, trial: Trial, images: NDArray[np.uint8]) -> None:
    """Draw each query to the left, framed in black; the frame of an item shows whether it has the query's label."""
    distances, ids = Index(trial.codes).query(trial.query_codes, k=N_SHOWN_RESULTS)
    shown, colors = np.arange(min(N_SHOWN_QUERIES, len(ids))), np.full(ids.shape, QUERY)
    if split.query_labels is not None and split.labels is not None:
        same = np.take_along_axis(same_label(split.query_labels, split.labels), ids, axis=1).view(np.bool_)
        shown, colors = choose_queries(same), np.where(same, SAME, OTHER)
    distances, ids, colors, n_shown = distances[shown], ids[shown], colors[shown], len(shown)
    panel = figure.subplots()  # one for all: dozens of small ones take seconds to lay out
    for row, query in enumerate(shown):
        _draw_image(panel, -0.3, row, images[split.query_rows[query]], QUERY)
        for column, item in enumerate(ids[row], start=1):
            _draw_image(panel, column, row, images[split.item_rows[item]], colors[row, column - 1])
            panel.text(column + 0.4, row + 0.83, distances[row, column - 1], fontsize=7, ha="center", va="top")
    panel.set(xlim=(-0.4, ids.shape[1] + 1), ylim=(n_shown, -0.1))
    panel.axis("off")
    panel.set_title(
        f"Queries (left) and their nearest items by {trial.method} at {trial.n_bits} bits, with Hamming distances; "
        "green: same label, red: another",
        fontsize=9,
    )


def choose_queries(same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Row numbers of the queries to draw: the first ones, and the one with the fewest misses if they have no miss.

    Parameters
    ----------
    same : bool array of shape (n_queries, n_results)
        Whether a result has the query's label.
    """
    shown = np.arange(min(N_SHOWN_QUERIES, len(same)))
    n_missed = np.count_nonzero(~same, axis=1)
    if n_missed.any() and same[shown].all():
        shown[-1] = np.argmin(np.where(n_missed, n_missed, same.shape[1] + 1))
    return shown


def _draw_image(panel: Any, x: float, y: float, image: NDArray[np.uint8], frame: str) -> None:
    """Draw an image of 0.8 units with its upper left corner at (x, y), in a frame."""
    panel.imshow(image, cmap="gray", extent=(x, x + 0.8, y + 0.8, y), interpolation="nearest")
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * 0.8 + (x, y)
    panel.plot(*corners.T, color=frame, linewidth=2)
