"""Where a harness that is run here finds entries and their parameters."""

import shutil
from pathlib import Path


def short_grids(ours: Path, harness: Path) -> Path:
    """A folder of definitions in the harness: those of our entries, and fewer of its own than it has.

    Parameters
    ----------
    ours : path
        A folder of this repository, with `algorithms/` and `short/`.
    harness : path
        A clone.
    """
    folder = harness / "short_grids"
    for source in (ours / "algorithms", ours / "short"):
        for config in source.glob("*/config.yml"):
            (folder / config.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(config, folder / config.parent.name)
    return folder
