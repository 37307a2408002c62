"""Run ann-benchmarks over bits with hashkit's entry, without containers.

    python run.py ANN_BENCHMARKS DATASET [--algorithms hashkit pynndescent ...] [-k 10] [--full]

ANN_BENCHMARKS is a clone of github.com/erikbern/ann-benchmarks. DATASET is one that it generates itself, such as
random-s-128-hamming, random-l-256-hamming or random-s-jaccard. Results are in ANN_BENCHMARKS/results; `../results.py`
makes tables and pictures of them.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hashkit

sys.path.append(str(Path(__file__).parents[1] / "common"))
from grids import short_grids

HERE = Path(__file__).parent
HAMMING = ["hashkit", "hashkit-recall", "pynndescent", "hnsw(nmslib)", "faiss-ivf"]
JACCARD = ["hashkit", "pynndescent", "hnsw(nmslib)"]
TRIES = 4


def install(harness: Path) -> None:
    """Copy the entry to where ann-benchmarks looks for it."""
    to = harness / "ann_benchmarks" / "algorithms" / "hashkit"
    shutil.copytree(HERE / "algorithms" / "hashkit", to, dirs_exist_ok=True)


def measure(command: list[str], harness: Path, environment: dict[str, str], results: Path) -> None:
    """Run one algorithm until there are results: on a busy machine the harness may end before its queue is filled.

    It ends with an error where all has run before, so that its exit code says little.
    """
    for _ in range(TRIES):
        subprocess.run(command, cwd=harness, env=environment)
        if any(results.glob("*.hdf5")):
            return
    sys.stderr.write(f"no results in {results} after {TRIES} tries\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("harness", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--algorithms", nargs="+", help="by default hashkit and what installs by pip")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--full", action="store_true", help="every parameter that ann-benchmarks has: hours")
    parser.add_argument("--runs", type=int, default=3, help="the best of so many counts (its own default: 5)")
    args = parser.parse_args()
    harness = args.harness.resolve()
    install(harness)
    (harness / "data").mkdir(exist_ok=True)
    source = Path(hashkit.__file__).parents[1]
    environment = dict(os.environ, PYTHONPATH=f"{source}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    command = [sys.executable, "run.py", "--local", "--dataset", args.dataset, "--runs", str(args.runs)]
    command += ["--count", str(args.k)]
    if not args.full:
        command += ["--definitions", str(short_grids(HERE, harness))]
    for algorithm in args.algorithms or (JACCARD if args.dataset.endswith("-jaccard") else HAMMING):
        results = harness / "results" / args.dataset / str(args.k) / algorithm
        measure([*command, "--algorithm", algorithm], harness, environment, results)


if __name__ == "__main__":
    main()
