"""Run VIBE's binary track with hashkit's entry, without containers.

    python run.py VIBE CODES.npz NAME [--modules hashkit faiss ...] [--full]

VIBE is a clone of github.com/vector-index-bench/vibe, CODES.npz as `data.py` describes it. NAME becomes the data set
`NAME-BITS-hamming-binary`. Results are in VIBE/results; `../results.py` makes tables and pictures of them.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from data import read_codes, write_dataset

import hashkit

sys.path.append(str(Path(__file__).parents[1] / "common"))
from grids import short_grids

HERE = Path(__file__).parent
OURS = ("hashkit", "binary_peers")
MOST_QUERIES = 1000
"""As in VIBE's own sets."""


def install(vibe: Path) -> None:
    """Copy the entries to where VIBE looks for them."""
    for name in OURS:
        shutil.copytree(HERE / "algorithms" / name, vibe / "vibe" / "algorithms" / name, dirs_exist_ok=True)


def dataset_name(vibe: Path, codes_path: Path, name: str) -> str:
    """The name of the data set in VIBE, which is written if it is not there yet."""
    codes, queries = read_codes(codes_path)
    queries = queries[:MOST_QUERIES]
    full_name = f"{name}-{8 * codes.shape[1]}-hamming-binary"
    path = vibe / "data" / f"{full_name}.hdf5"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        write_dataset(path, codes, queries)
    return full_name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vibe", type=Path)
    parser.add_argument("codes", type=Path)
    parser.add_argument("name")
    parser.add_argument("--modules", nargs="+", default=["hashkit", "faiss", "pynndescent", "binary_peers"])
    parser.add_argument("--algorithm", help="only this one of a module's algorithms")
    parser.add_argument("--full", action="store_true", help="every parameter that VIBE has: hours")
    parser.add_argument("--runs", type=int, default=3, help="the best of so many counts (VIBE's own default: 5)")
    args = parser.parse_args()
    vibe = args.vibe.resolve()
    install(vibe)
    name = dataset_name(vibe, args.codes, args.name)
    source = Path(hashkit.__file__).parents[1]
    environment = dict(os.environ, PYTHONPATH=f"{source}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "run.py", "--local", "--dataset", name, "--runs", str(args.runs)]
    if not args.full:
        command += ["--definitions", str(short_grids(HERE, vibe))]
    if args.algorithm:
        command += ["--algorithm", args.algorithm]
    runs = {
        module: subprocess.run([*command, "--module", module], cwd=vibe, env=environment) for module in args.modules
    }
    if failed := [module for module, run in runs.items() if run.returncode]:
        raise SystemExit(f"VIBE ended with an error for {', '.join(failed)}: see above, or all of it has run before")


if __name__ == "__main__":
    main()
