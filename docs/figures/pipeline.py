"""Draws docs/method.svg, the stages of UDHPL: python docs/figures/pipeline.py"""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

matplotlib.rcParams["svg.hashsalt"] = "hashkit"  # the same picture every time
matplotlib.rcParams["svg.fonttype"] = "path"

STEP = 1.0
# Boxes: name -> (text, column, row). Column 0 is the middle.
BOXES = {
    "features": ("features", 0, 0),
    "reduce": ("1  reduce\nprincipal components of distinct rows", 0, 1),
    "graph": ("2  graph\nneighbors that share neighbors", 0, 2),
    "labels": ("3  labels\nclusters at four granularities\nlikelihood", 0, 3),
    "projection": ("4  projection\ncanonical correlations with the labels\nmutual information", 0, 4),
    "rotation": ("5  rotation\ntowards the signs: the linear map\nquantization error", -1, 5),
    "targets": ("6  targets\nvectors whose cosines say\nhow similar two rows are", 1, 5),
    "network": ("7  network\none hidden layer", 1, 6),
    "selection": ("8  selection\non rows that took no part", 0, 7),
    "code": ("codes\nsigns of the outputs", 0, 8),
}
ARROWS = [
    ("features", "reduce"),
    ("reduce", "graph"),
    ("graph", "labels"),
    ("labels", "projection"),
    ("projection", "rotation"),
    ("projection", "targets"),
    ("targets", "network"),
    ("rotation", "selection"),
    ("network", "selection"),
    ("selection", "code"),
]
WIDTH, HEIGHT, ACROSS = 3.4, 0.72, 2.1


def place(name: str) -> tuple[float, float]:
    _, column, row = BOXES[name]
    return column * ACROSS, -row * STEP


def draw(path: Path) -> None:
    figure = Figure(figsize=(7.2, 8))
    panel = figure.add_axes((0, 0, 1, 1))
    for name, (text, _, _) in BOXES.items():
        x, y = place(name)
        corner = (x - WIDTH / 2, y - HEIGHT / 2)
        panel.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0.02", fc="#eef4fb", ec="#38618c"))
        panel.text(x, y, text, ha="center", va="center", fontsize=9, linespacing=1.25)
    for start, end in ARROWS:
        (x0, y0), (x1, y1) = place(start), place(end)
        line = {"arrowstyle": "-|>", "color": "#38618c"}
        panel.annotate("", (x1, y1 + HEIGHT / 2), (x0, y0 - HEIGHT / 2), arrowprops=line)
    # The three terms are maximized in turn: back from the projection to the labels; the graph also serves the targets.
    (x0, y0), (_, y1) = place("projection"), place("labels")
    back = {"arrowstyle": "-|>", "color": "#c8553d", "connectionstyle": "arc3,rad=-0.5"}
    panel.annotate("", (x0 - WIDTH / 2, y1), (x0 - WIDTH / 2, y0), arrowprops=back)
    panel.text(
        x0 - WIDTH / 2 - 0.4,
        (y0 + y1) / 2,
        "rounds, while\nthe objective\nimproves",
        ha="right",
        va="center",
        fontsize=8,
    )
    (x0, y0), (x1, y1) = place("graph"), place("targets")
    walks = {"arrowstyle": "-|>", "color": "#38618c", "connectionstyle": "arc3,rad=-0.45"}
    panel.annotate("", (x1 + 0.9, y1 + HEIGHT / 2), (x0 + WIDTH / 2, y0), arrowprops=walks)
    panel.text(3.15, -2.75, "walks along\nthe graph", ha="center", va="center", fontsize=8)
    panel.set(xlim=(-4, 4), ylim=(-8.6, 0.6))
    panel.axis("off")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(__file__).parents[1] / "method.svg")
