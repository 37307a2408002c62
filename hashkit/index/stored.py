"""Tables, cells and bounds in an index file, beside the codes they were made of: mapped, they are searched at once.

Arrays lie in the file as they lie in memory, so that nothing is made when it is opened. Names that begin with
``tables/``, ``cells/`` or ``bounds/`` belong to them; what is no array is in the settings of these names. All say which
codes they are of, by the checksum of these, and in which byte order. Bounds go with the cells beside them.

Of a mapped file only the small arrays are read when it is opened, and which codes are in the cells. The rest is
verified page by page as a search comes to it (:mod:`hashkit.storage.blocks`), and whatever a file contains, a search
reads nothing outside its arrays.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashkit import _native
from hashkit.checks import check_n_threads
from hashkit.index.bounds import CodeBounds
from hashkit.index.cells import CodeCells, Rule
from hashkit.index.snapshot import Part, Snapshot
from hashkit.storage import FormatError, TensorFile
from hashkit.storage.header import checksum

VERSIONS = {"tables": 1, "cells": 2, "bounds": 2}
"""Cells of version 1 were in the order of rows. What is older is not loaded, but made anew when a query needs it."""
BUCKETS = ("offsets", "occupied", "rows", "words")
SMALL_TABLES = ("places", "expected", "costs", "neighbors")
CELLS = ("centroids", "rows", "sketches")
SMALL_CELLS = ("starts", "places", "steps", "limits")
BOUNDS = ("places", "centroid_sketches", "reaches", "rows", "distances", "rests", "sketches")
SMALL_BOUNDS = ("places", "centroid_sketches", "reaches")
SMALL = {"tables": SMALL_TABLES, "cells": SMALL_CELLS, "bounds": SMALL_BOUNDS}
USED = {
    "auto": ("tables", "cells", "bounds"),
    "mih": ("tables", "cells"),
    "cells": ("cells", "bounds"),
    "scan": ("cells",),
}
"""Which stored structures each method uses. Cells serve queries at a recall below 1, so every method loads them."""
MOST_RULES = 10_000

Tensors = dict[str, NDArray[Any]]


def to_store(part: Part) -> tuple[Tensors, dict[str, Any]]:
    """The arrays of the tables, cells and bounds that a part has, and their settings; nothing if it has none.

    Raises
    ------
    FormatError
        If they are those of a mapped file, and damaged.
    """
    tensors: Tensors = {}
    settings: dict[str, Any] = {}
    origin = {"byte_order": sys.byteorder, "codes": checksum(part.codes)}
    if part.tables is not None:
        arrays = _native.table_arrays(part.tables)
        for j, bucket in enumerate(arrays["columns"]):
            tensors |= {f"tables/{j}/{name}": array for name, array in zip(BUCKETS, bucket, strict=True)}
        tensors |= {f"tables/{name}": arrays[name] for name in SMALL_TABLES}
        others = {name: arrays[name] for name in ("n_neighbors", "isa", "compact")}
        settings["tables"] = {**origin, "version": VERSIONS["tables"], "n_substrings": len(arrays["columns"]), **others}
    if "cells" in part.derived:
        cells: CodeCells = part.derived["cells"]
        tensors |= {f"cells/{name}": array for name, array in _native.cell_arrays(cells.native).items()}
        rules, limits = cells.rules_to_store()
        tensors["cells/limits"] = limits
        own = {"sketch_bytes": tensors["cells/sketches"].shape[1], "rules": rules}
        settings["cells"] = {**origin, "version": VERSIONS["cells"], **own}
    if "bounds" in part.derived:
        bounds: CodeBounds = part.derived["bounds"]
        if bounds.native is not None:
            columns = zip(BOUNDS, _native.bounds_arrays(bounds.native), strict=True)
            tensors |= {f"bounds/{name}": column for name, column in columns}
        own = {"is_kept": bounds.native is not None, "sketch_bits": bounds.sketch_bits, "work": bounds.work}
        settings["bounds"] = {**origin, "version": VERSIONS["bounds"], **own}
    if part.blocks is not None:
        for tensor in tensors.values():
            part.blocks.require(tensor)
    return tensors, settings


def attach(file: TensorFile, snapshot: Snapshot, *, method: str, verify: bool) -> None:
    """Attach to the part of `snapshot`, read from `file`, the stored tables and cells that `method` uses.

    Parameters
    ----------
    file : TensorFile
    snapshot : Snapshot
    method : str
        As for :class:`hashkit.Index`.
    verify : bool
        Verify the small arrays now, and the rest of a mapped file as it is used.

    Raises
    ------
    FormatError
        If they are damaged, of other codes, of a machine with another byte order or made by a newer hashkit.
    """
    (part,) = snapshot.parts
    stored = [name for name in SMALL if name in file.settings]
    if not stored or snapshot.metric != "hamming":
        return
    if verify:
        if file.is_mapped and file.blocks is None:
            raise FormatError(f"{file.path!r} is damaged: it has tables or cells, but no checksums of its pages")
        part.derived["blocks"] = file.blocks
        small = (f"{kind}/{name}" for kind in stored for name in SMALL[kind])
        file.verify([name for name in small if name in file.tensors])
        if file.blocks is not None:
            for name in ("cells/rows", "bounds/rows"):
                if name in file.tensors:
                    file.blocks.require(file.tensors[name])
    for kind in stored:
        if kind in USED[method] and _is_current(file, kind):
            try:
                part.derived[kind] = READERS[kind](file, snapshot, part)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise FormatError(f"{file.path!r} is damaged: its {kind} do not fit: {error}") from None
            part.derived[f"source of {kind}"] = "read" if not file.is_mapped else "mapped"


def check_contents(file: TensorFile, part: Part) -> None:
    """Compare all contents of a part's tables, cells and bounds with its codes.

    Raises
    ------
    FormatError
        If they are not of these codes.
    """
    try:
        if part.tables is not None:
            _native.check_tables(part.tables, part.codes, check_n_threads(None))
        if "cells" in part.derived:
            _native.check_cells(part.derived["cells"].native, part.codes)
        if "bounds" in part.derived and part.derived["bounds"].native is not None:
            _native.check_bounds(part.derived["bounds"].native, part.derived["cells"].native, part.codes)
    except _native.DamagedError:
        raise FormatError(f"{file.path!r} is damaged: its tables or cells are not those of its codes") from None


def _is_current(file: TensorFile, kind: str) -> bool:
    """Whether it is of this version and not of an older one; what is of a newer one or of other codes is refused."""
    settings = file.settings[kind]
    if not isinstance(settings, dict) or type(settings.get("version")) is not int:
        raise FormatError(f"{file.path!r} is damaged: the version of its {kind} is missing")
    if settings["version"] < VERSIONS[kind]:
        return False
    if settings["version"] > VERSIONS[kind]:
        raise FormatError(
            f"{file.path!r} has {kind} of version {settings['version']}, this hashkit reads {VERSIONS[kind]}: "
            "load it with method='scan', or save it without tables"
        )
    if settings.get("byte_order") != sys.byteorder:
        raise FormatError(
            f"{file.path!r} has {kind} in the byte order {settings.get('byte_order')!r}, this machine's is "
            f"{sys.byteorder!r}: save it without tables"
        )
    if settings.get("codes") != file.checksums["codes"]:
        raise FormatError(f"{file.path!r} is damaged: its {kind} are not those of its codes")
    return True


def _tables(file: TensorFile, snapshot: Snapshot, part: Part) -> _native.Tables:
    settings, arrays = file.settings["tables"], file.tensors
    n_substrings, isa = _int(settings["n_substrings"], snapshot.n_bits), settings["isa"]
    columns = tuple(tuple(arrays[f"tables/{j}/{name}"] for name in BUCKETS) for j in range(n_substrings))
    costs = arrays["tables/costs"]
    if isa not in _native.supported_isas():  # measured on another machine: replaced by estimates
        isa, costs = "portable", np.zeros_like(costs)
    if arrays["tables/places"].size != snapshot.n_bits:
        raise ValueError("places must have one for each bit")
    return _native.tables_from(
        columns,
        _checks(part),
        part.codes,
        arrays["tables/places"],
        arrays["tables/expected"],
        costs,
        arrays["tables/neighbors"],
        _int(settings["n_neighbors"], 2**20),
        isa,
        bool(settings["compact"]),
    )


def _cells(file: TensorFile, snapshot: Snapshot, part: Part) -> CodeCells:
    settings, arrays = file.settings["cells"], file.tensors
    native = _native.cells_from(
        tuple(arrays[f"cells/{name}"] for name in CELLS),
        _checks(part),
        part.codes,
        snapshot.n_bits,
        _int(settings["sketch_bytes"], part.codes.shape[1]),
        arrays["cells/starts"],
        arrays["cells/places"],
        arrays["cells/steps"],
    )
    _require_each_code_once(arrays["cells/rows"], part)
    rules = _rules(settings["rules"], arrays["cells/limits"], snapshot.n_bits, bool(arrays["cells/places"].size))
    return CodeCells(native, part.codes, snapshot.n_bits, rules, part.blocks)


def _require_each_code_once(rows: NDArray[Any], part: Part) -> None:
    """Read the rows of all cells: a search relies on each code being in one cell, once."""
    is_there, rows = np.zeros(len(part.codes), np.bool_), rows.reshape(-1)
    if rows.max(initial=0) < len(is_there):
        is_there[rows] = True
    if not is_there.all():
        raise ValueError("rows must have each code once")


def _bounds(file: TensorFile, snapshot: Snapshot, part: Part) -> CodeBounds:
    settings = file.settings["bounds"]
    cells: CodeCells = part.derived["cells"]
    sketch_bits, native = _int(settings["sketch_bits"], snapshot.n_bits), None
    if cells.has_copies != (sketch_bits == 0):
        raise ValueError("sketch_bits must be 0 where codes are copied")
    if settings["is_kept"]:
        columns = tuple(file.tensors[f"bounds/{name}"] for name in BOUNDS)
        _require_each_code_once(file.tensors["bounds/rows"], part)
        native = _native.bounds_from(columns, cells.native, sketch_bits // 8)
    return CodeBounds(native, cells, sketch_bits, _share(settings["work"]))


def _rules(stored: Any, limits: NDArray[Any], n_bits: int, have_limits: bool) -> dict[tuple[int, float], Rule]:
    """Return the calibrated rules in a file."""
    if not isinstance(stored, list) or len(stored) > MOST_RULES:
        raise TypeError("rules must be a list")
    if limits.dtype != np.int32 or limits.shape != (len(stored) if have_limits else 0, n_bits + 1):
        raise ValueError("limits must have a row for each rule")
    rules = {}
    for i, each in enumerate(stored):
        k, slack, start = (
            _int(each["k"], 2**62),
            _int(each["twice_slack"], 2**20, -(2**20)),
            _int(each["start"], n_bits),
        )
        recall, sample_recall, work = (_share(each[name]) for name in ("recall", "sample_recall", "work"))
        own = np.ascontiguousarray(limits[i]) if have_limits else None
        rules[max(1, k), recall] = Rule(slack, own, start, bool(each["by_sketches"]), sample_recall, work)
    return rules


def _checks(part: Part) -> _native.BlockChecks | None:
    return None if part.blocks is None else part.blocks.native


def _int(value: Any, most: int, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"a setting must be an int from {least} to {most}")
    return value


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1e6:
        raise ValueError("a setting must be a share")
    return float(value)


READERS = {"tables": _tables, "cells": _cells, "bounds": _bounds}
