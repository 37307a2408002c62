"""Instructions that the kernels execute, counted by callgrind, against the recorded ones.

Counts repeat where times do not. A kernel that has grown by more than 5 % fails the check; `--record` writes the counts
anew, after a change that is meant to change them. Counts are those of one compiler version each, named by CXX. A
compiler without recorded counts fails the check too: record its counts at a commit that is known to be good.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

RECORD = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.05


def count(program):
    """Instructions by name: callgrind writes a file at each of the program's requests, with its name and total."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", str(program)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        texts = [path.read_text() for path in Path(folder).iterdir()]
    found = {}
    for text in texts:
        request = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
        if request:
            found[request.group(1)] = int(re.search(r"^totals: (\d+)$", text, re.MULTILINE).group(1))
    return found


def compiler():
    """First line of what the compiler says of itself."""
    command = [os.environ.get("CXX", "g++"), "--version"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]


def compare(counts, recorded):
    """Lines about what changed, and how many kernels have grown too much."""
    lines, n_grown = [], 0
    for name, n in sorted(counts.items()):
        before = recorded.get(name)
        if before is None:
            lines.append(f"{name}: {n:,}, not recorded")
            n_grown += 1
        elif abs(n / before - 1) > TOLERANCE:
            lines.append(f"{name}: {before:,} -> {n:,} ({n / before - 1:+.1%})")
            n_grown += n > before
    return lines, n_grown


def say(text):
    sys.stdout.write(text + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path, help="what `make counts` built")
    parser.add_argument("--record", action="store_true", help="write the counts instead of comparing them")
    arguments = parser.parse_args()
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if not arguments.record and compiler() not in recorded:
        say(f"there are counts of {', '.join(recorded)}; none of {compiler()}")
        return 1
    counts = count(arguments.program)
    if arguments.record:
        recorded[compiler()] = counts
        RECORD.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
        return 0
    lines, n_grown = compare(counts, recorded[compiler()])
    say("\n".join([*lines, f"{len(counts) - n_grown} kernels within {TOLERANCE:.0%}, {n_grown} above or unknown"]))
    return 1 if n_grown or not counts else 0


if __name__ == "__main__":
    sys.exit(main())
