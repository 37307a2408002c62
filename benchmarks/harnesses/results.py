"""Tables and pictures of what VIBE and ann-benchmarks measured, from their result files.

    python results.py HARNESS DATASET -k 100 [--undisturbed] [--picture OUT.png] [--title TITLE]

HARNESS is the folder of a clone, with `data/DATASET.hdf5` and `results/DATASET/K/ENTRY/*.hdf5`. Recall is counted as
both harnesses do: what is as near as the k-th true neighbor is found. Queries a second are those of the best run, as
in the harnesses' own plots; or with --undisturbed, one over the mean time of the queries of the last run that took at
most six times the median: on a machine with other work, what takes longer was interrupted.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

TIE = 1e-3
INTERRUPTED = 6
"""A query that takes so many times the median is taken for one that other work interrupted."""
RECALLS = (0.9, 0.95, 0.99, 1.0)


class Run(NamedTuple):
    """One set of arguments of one entry.

    Attributes
    ----------
    entry, name : str
        The entry's name in the harness, and its arguments.
    recall : float
        Mean over the queries.
    queries_per_second : float
    build_seconds : float
    kilobytes : float
        By how much the process grew while the index was built.
    """

    entry: str
    name: str
    recall: float
    queries_per_second: float
    build_seconds: float
    kilobytes: float


def recall_of(true_distances: NDArray[Any], distances: NDArray[Any], k: int) -> float:
    """Mean share of the first `k` found that are as near as the k-th true neighbor, arrays (n_queries, at least k)."""
    limits = true_distances[:, k - 1 : k] + TIE
    return float((distances[:, :k] <= limits).sum(axis=1).mean() / k)


def undisturbed_seconds(times: NDArray[Any]) -> float:
    """Mean time of the queries that nothing interrupted."""
    return float(times[times <= INTERRUPTED * np.median(times)].mean())


def read_run(group: Any, true_distances: NDArray[Any], k: int, *, undisturbed: bool = False) -> Run:
    """The run that a group of a result file holds."""
    facts = group.attrs
    seconds = undisturbed_seconds(group["times"][:]) if undisturbed else float(facts["best_search_time"])
    return Run(
        entry=str(facts["algo"]),
        name=str(facts["name"]),
        recall=recall_of(true_distances, group["distances"][:], k),
        queries_per_second=1 / seconds,
        build_seconds=float(facts["build_time"]),
        kilobytes=float(facts["index_size"]),
    )


def read_runs(harness: Path, dataset: str, k: int, *, undisturbed: bool = False) -> Iterator[Run]:
    """Every run over a data set."""
    with h5py.File(harness / "data" / f"{dataset}.hdf5") as file:
        true_distances = file["distances"][:]
    for path in sorted((harness / "results" / dataset / str(k)).glob("*/*.hdf5")):
        with h5py.File(path) as file:
            groups = [file] if "distances" in file else file.values()  # VIBE: one for each set of query arguments
            for group in groups:
                yield read_run(group, true_distances, k, undisturbed=undisturbed)


def fastest(runs: Iterable[Run], recall: float) -> Run | None:
    """The fastest run that reaches a recall; None if none does."""
    enough = [run for run in runs if run.recall >= recall]
    return max(enough, key=lambda run: run.queries_per_second, default=None)


def frontier(runs: Iterable[Run]) -> list[Run]:
    """The runs that no other beats in both recall and speed, by falling recall."""
    best: list[Run] = []
    for run in sorted(runs, key=lambda run: (-run.recall, -run.queries_per_second)):
        if not best or run.queries_per_second > best[-1].queries_per_second:
            best.append(run)
    return best


def by_entry(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs by entry, the entry that is fastest at the highest recall first."""
    entries: dict[str, list[Run]] = {}
    for run in runs:
        entries.setdefault(run.entry, []).append(run)

    def speeds(entry: str) -> list[float]:
        best = (fastest(entries[entry], recall) for recall in (0.99, 0.95, 0.9, 0))
        return [run.queries_per_second if run else 0 for run in best]

    return dict(sorted(entries.items(), key=lambda item: speeds(item[0]), reverse=True))


def table(runs: Iterable[Run]) -> str:
    """Markdown: for each entry the most queries a second at each recall, its best recall, build time and memory."""
    head = ["entry", *(f"q/s at recall {recall:g}" for recall in RECALLS), "highest recall", "build, s", "MB"]
    lines = [" | ".join(head), " | ".join(["---", *["---:"] * (len(head) - 1)])]
    for entry, own in by_entry(runs).items():
        cells = [entry]
        for recall in RECALLS:
            run = fastest(own, recall)
            cells.append("-" if run is None else f"{run.queries_per_second:,.0f}")
        cells.append(f"{max(run.recall for run in own):.3f}")
        # Of what reaches .95, or else of all: an entry may have several indexes.
        typical = fastest(own, 0.95) or fastest(own, 0)
        assert typical is not None
        cells += [f"{typical.build_seconds:.1f}", f"{max(0, typical.kilobytes) / 1024:.0f}"]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def draw(runs: Iterable[Run], out: Path, title: str, *, least: float = 0.5) -> None:
    """Recall against queries a second, as the harnesses draw it: up and to the right is better."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    markers = "os^vDPX*<>"
    for number, (entry, own) in enumerate(by_entry(runs).items()):
        best = [run for run in frontier(own) if run.recall >= least]
        is_ours = entry.startswith("hashkit")
        axes.plot(
            [run.recall for run in best],
            [run.queries_per_second for run in best],
            marker=markers[number % len(markers)],
            linewidth=2.4 if is_ours else 1.2,
            markersize=7 if is_ours else 4.5,
            label=entry,
        )
    axes.set(xlabel="recall", ylabel="queries a second, one thread", yscale="log", title=title)
    axes.grid(which="both", alpha=0.25)
    axes.legend(fontsize=8)
    figure.savefig(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("harness", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--undisturbed", action="store_true", help="speed of queries that nothing interrupted")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--title")
    args = parser.parse_args()
    runs = list(read_runs(args.harness, args.dataset, args.k, undisturbed=args.undisturbed))
    sys.stdout.write(table(runs) + "\n")
    if args.picture:
        draw(runs, args.picture, args.title or args.dataset)


if __name__ == "__main__":
    main()
