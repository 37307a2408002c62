"""Draws docs/quality.png out of the tables of docs/method.md: python docs/figures/quality.py"""

import itertools
import re
from pathlib import Path

from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1]
TITLES = re.compile(r"^\*\*(.+?)(?:, pixels)? \(([\d,]+) queries, ([\d,]+) items\)\*\*$", re.MULTILINE)
# Few lines, each with a name of its own color. The others are in the tables.
LINES = {
    "udhpl": ("UDHPL", "#c8553d", 2.6),
    "greedy_hash": ("GreedyHash", "#4f7cac", 1.6),
    "bi_half": ("Bi-half", "#6a994e", 1.6),
    "itq": ("ITQ", "#7b5ea7", 1.6),
    "random_hyperplanes": ("random hyperplanes", "#999999", 1.6),
}
FLOATS = "float features"


def read_tables(text: str) -> dict[str, dict[str, dict[int, float]]]:
    """Data set -> method -> bits -> mAP@1000."""
    tables = {}
    for title in TITLES.finditer(text):
        lines = re.match(r"\n*((?:\|.*\|\n)+)", text[title.end() :])[1].splitlines()
        bits = [int(cell.split()[0]) for cell in lines[0].strip("|").split("|")[1:]]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
        tables[title[1]] = {
            name: {n: float(cell.split("/")[0]) for n, cell in zip(bits, cells, strict=True) if cell}
            for name, *cells in rows
        }
    return tables


def spread(heights: list[float], least: float) -> list[float]:
    """The heights moved apart until none is nearer to the next than `least`."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for _ in range(50):
        for low, high in itertools.pairwise(order):
            gap = moved[high] - moved[low]
            if gap < least:
                moved[low] -= (least - gap) / 2
                moved[high] += (least - gap) / 2
    return moved


def draw_panel(panel, name: str, table: dict[str, dict[int, float]]) -> None:
    bits = list(table[FLOATS])
    ends = []
    for method, (label, color, width) in LINES.items():
        values = [table[method][n] for n in bits]
        panel.plot(range(len(bits)), values, color=color, linewidth=width, marker="o", markersize=4)
        ends.append((label, color, values[-1]))
    floats = table[FLOATS][bits[0]]
    panel.plot([0, len(bits) - 1], [floats, floats], color="black", linewidth=1.2, linestyle=(0, (4, 3)))
    ends.append(("float features", "black", floats))
    low, high = panel.get_ylim()
    for (label, color, _), height in zip(ends, spread([end[2] for end in ends], (high - low) / 16), strict=True):
        panel.text(len(bits) - 1 + 0.12, height, label, color=color, fontsize=10, va="center")
    panel.set_xlim(-0.15, (len(bits) - 1) * 1.62)
    panel.set_xticks(range(len(bits)), [f"{n}" for n in bits])
    panel.set_title(name, fontsize=12, loc="left", fontweight="bold")
    panel.set_yticks(panel.get_yticks()[::2] if len(panel.get_yticks()) > 8 else panel.get_yticks())
    panel.set_ylim(low, high)
    panel.grid(axis="y", alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=10)


def draw(tables: dict[str, dict[str, dict[int, float]]], path: Path) -> None:
    figure = Figure(figsize=(8.8, 6.6), layout="constrained")
    panels = figure.subplots(2, 2)
    for panel, (name, table) in zip(panels.flat, tables.items(), strict=True):
        draw_panel(panel, name.removeprefix("scikit-learn's ").capitalize() if "digits" in name else name, table)
    for panel in panels[1]:
        panel.set_xlabel("bits", fontsize=10)
    for panel in panels[:, 0]:
        panel.set_ylabel("mAP@1000 by label", fontsize=10)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    found = read_tables((DOCS / "method.md").read_text())
    draw(dict(list(found.items())[:4]), DOCS / "quality.png")
