"""The native core: kernels, scans and tables. Private: hashkit's own modules are its only callers."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Distance = TypeVar("_Distance", np.int32, np.float64)
_Nearest = tuple[NDArray[np.int32], NDArray[np.int64]]
_Scored = tuple[NDArray[np.float32], NDArray[np.int64]]
_WithinRadius = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]

class BlockChecks:
    def __init__(self, bytes: NDArray[np.uint8], sums: NDArray[np.uint64], name: str) -> None: ...
    def require(self, values: NDArray[Any], rows: NDArray[np.int64] | None = None) -> None: ...

class Bounds: ...
class Cells: ...
class DamagedError(ValueError): ...

class Forest:
    def __init__(self, n_rows: int) -> None: ...
    def unite(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> None: ...
    def firsts(self) -> NDArray[np.int64]: ...

class JoinTables: ...

class NearLimits:
    def __init__(
        self,
        n_bytes: int,
        threshold: float,
        is_similarity: bool,
        weights: tuple[int, int, int] = (1, 1, 1),
        is_directed: bool = True,
    ) -> None: ...

class Tables: ...

class VectorEncoder:
    def __init__(
        self,
        metric: str,
        center: NDArray[np.float32],
        n_bits: int,
        signs: NDArray[np.uint8] | None,
        matrix: NDArray[np.float32] | None,
        offsets: NDArray[np.float32] | None,
    ) -> None: ...
    def encode(
        self,
        vectors: NDArray[np.uint8],
        type: str,
        row_scales: NDArray[np.float32] | None,
        column_scales: NDArray[np.float32] | None,
        first: int,
        codes: NDArray[np.uint8],
        factors: NDArray[np.float32],
        units: NDArray[np.float32] | None,
        n_threads: int,
        isa: str = "",
    ) -> int: ...
    def prepare(
        self, queries: NDArray[np.float32], n_threads: int, isa: str = ""
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]: ...

class VectorFunnel:
    def __init__(
        self,
        encoder: VectorEncoder,
        codes: NDArray[np.uint8],
        factors: NDArray[np.float32],
        vectors: NDArray[np.uint8] | None,
        type: str,
        row_scales: NDArray[np.float32] | None,
        column_scales: NDArray[np.float32] | None,
        ids: NDArray[np.int64] | None,
        checks: BlockChecks | None,
    ) -> None: ...
    def query(
        self,
        queries: NDArray[np.float32],
        k: int,
        by_codes: bool,
        n_candidates: int,
        n_rescored: int,
        slack: float,
        candidates: NDArray[np.int64] | None,
        n_threads: int,
        isa: str = "",
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], int, int]: ...

def block_sums(bytes: NDArray[np.uint8], n_threads: int) -> NDArray[np.uint64]: ...
def build_cells(
    codes: NDArray[np.uint8], n_bits: int, n_cells: int, sketch_bytes: int, n_threads: int, isa: str = ""
) -> Cells: ...
def bounded_k_nearest(
    bounds: Bounds,
    cells: Cells,
    codes: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    k: int,
    n_threads: int,
    allowed: NDArray[np.uint8] | None = None,
    limits: NDArray[np.int32] | None = None,
    mask: NDArray[np.bool] | None = None,
    counts: NDArray[np.int64] | None = None,
    isa: str = "",
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
def bounds_arrays(bounds: Bounds) -> tuple[NDArray[Any], ...]: ...
def bounds_from(columns: tuple[Any, ...], cells: Cells, sketch_bytes: int) -> Bounds: ...
def bounds_memory(bounds: Bounds) -> int: ...
def build_bounds(
    cells: Cells, codes: NDArray[np.uint8], sketch_bytes: int, n_threads: int, isa: str = ""
) -> Bounds: ...
def cell_arrays(cells: Cells) -> dict[str, Any]: ...
def cell_centroids(cells: Cells) -> NDArray[np.uint8]: ...
def cell_sketches(cells: Cells, codes: NDArray[np.uint8]) -> NDArray[np.uint8]: ...
def cells_k_nearest(
    cells: Cells,
    codes: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    k: int,
    n_threads: int,
    twice_slack: int,
    sketch_limits: NDArray[np.int32] | None,
    start_distance: int,
    by_sketches: bool = True,
    allowed: NDArray[np.uint8] | None = None,
    limits: NDArray[np.int32] | None = None,
    mask: NDArray[np.bool] | None = None,
    counts: NDArray[np.int64] | None = None,
    isa: str = "",
) -> _Nearest: ...
def cells_from(
    columns: tuple[Any, ...],
    checks: BlockChecks | None,
    codes: NDArray[np.uint8],
    n_bits: int,
    sketch_bytes: int,
    starts: NDArray[np.uint32],
    places: NDArray[np.uint32],
    steps: NDArray[np.uint16],
) -> Cells: ...
def check_bounds(bounds: Bounds, cells: Cells, codes: NDArray[np.uint8]) -> None: ...
def check_cells(cells: Cells, codes: NDArray[np.uint8]) -> None: ...
def check_tables(tables: Tables, codes: NDArray[np.uint8], n_threads: int) -> None: ...
def describe_cells(cells: Cells) -> dict[str, Any]: ...
def bucket_pairs(
    codes: NDArray[np.uint8],
    first: int,
    last: int,
    others: NDArray[np.uint8] | None,
    tables: JoinTables,
    radius: int,
    max_pairs: int,
    n_threads: int,
    isa: str = "",
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]] | None: ...
def build_join_tables(
    codes: NDArray[np.uint8], n_bits: int, n_left: int, radius: int, n_threads: int, reach: int | None = None
) -> JoinTables | None: ...
def build_tables(codes: NDArray[np.uint8], n_bits: int, compact: bool, n_threads: int, isa: str = "") -> Tables: ...
def count_rows(rows: NDArray[np.uint8], n_rows: int) -> int: ...
def default_isa() -> str: ...
def describe_join_tables(tables: JoinTables) -> dict[str, int]: ...
def describe_tables(tables: Tables) -> dict[str, Any]: ...
def distinct_codes(codes: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def find_ids(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]: ...
def force_isa(name: str | None) -> None: ...
def gather_rows(
    codes: NDArray[np.uint8], rows: NDArray[np.uint8], n_threads: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]: ...
def hamming_distances(
    a: NDArray[np.uint8], b: NDArray[np.uint8], n_threads: int, isa: str = ""
) -> NDArray[np.uint16]: ...
def jaccard_k_nearest(
    codes: NDArray[np.uint8],
    starts: NDArray[np.int64],
    rows: NDArray[np.int64],
    queries: NDArray[np.uint8],
    k: int,
    n_threads: int,
    allowed: NDArray[np.uint8] | None = None,
    sketches: NDArray[np.uint8] | None = None,
    isa: str = "",
) -> tuple[NDArray[np.float64], NDArray[np.int64], int]: ...
def jaccard_pairs(
    codes: NDArray[np.uint8],
    first: int,
    last: int,
    sorted: NDArray[np.uint8],
    starts: NDArray[np.int64],
    rows: NDArray[np.int64],
    sketches: NDArray[np.uint8],
    offset: int | None,
    limits: NearLimits,
    max_pairs: int,
    n_threads: int,
    isa: str = "",
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None: ...
def jaccard_sketches(
    codes: NDArray[np.uint8],
    starts: NDArray[np.int64],
    rows: NDArray[np.int64],
    limits: NearLimits | None,
    n_sketch_bytes: int | None,
    n_threads: int,
    isa: str = "",
) -> NDArray[np.uint8]: ...
def jaccard_within_radius(
    codes: NDArray[np.uint8],
    starts: NDArray[np.int64],
    rows: NDArray[np.int64],
    queries: NDArray[np.uint8],
    radius: float,
    n_threads: int,
    allowed: NDArray[np.uint8] | None = None,
    isa: str = "",
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], int]: ...
def list_rows(mask: NDArray[np.bool], most: int) -> NDArray[np.int64] | None: ...
def merge_nearest(
    parts: list[tuple[NDArray[_Distance], NDArray[np.int64]]], k: int, n_threads: int
) -> tuple[NDArray[_Distance], NDArray[np.int64]]: ...
def merge_within_radius(
    parts: list[tuple[NDArray[np.int64], NDArray[_Distance], NDArray[np.int64]]], n_threads: int
) -> tuple[NDArray[np.int64], NDArray[_Distance], NDArray[np.int64]]: ...
def mih_k_nearest(
    tables: Tables,
    codes: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    k: int,
    n_threads: int,
    allowed: NDArray[np.uint8] | None = None,
    limits: NDArray[np.int32] | None = None,
    max_candidates: int | None = None,
    counts: NDArray[np.int64] | None = None,
    mask: NDArray[np.bool] | None = None,
    n_allowed: int | None = None,
    isa: str = "",
) -> _Nearest: ...
def mih_within_radius(
    tables: Tables,
    codes: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    radius: int,
    n_threads: int,
    allowed: NDArray[np.uint8] | None = None,
    isa: str = "",
) -> _WithinRadius: ...
def narrow_bitmap(rows: NDArray[np.uint8], mask: NDArray[np.bool], n_rows: int) -> NDArray[np.uint8]: ...
def pack_bool(bits: NDArray[np.bool], n_threads: int, isa: str = "") -> NDArray[np.uint8]: ...
def pack_float16(half_bits: NDArray[np.uint16], n_threads: int, isa: str = "") -> NDArray[np.uint8]: ...
def pack_float32(values: NDArray[np.float32], n_threads: int, isa: str = "") -> NDArray[np.uint8]: ...
def popcount_order(
    codes: NDArray[np.uint8], n_threads: int, isa: str = ""
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]: ...
def quantize_queries(values: NDArray[np.float32], n_planes: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]: ...
def rescore(
    queries: NDArray[np.float32],
    vectors: NDArray[np.uint8],
    type: str,
    row_scales: NDArray[np.float32] | None,
    column_scales: NDArray[np.float32] | None,
    rows: NDArray[np.int64],
    ids: NDArray[np.int64] | None,
    k: int,
    metric: str,
    n_threads: int,
    isa: str = "",
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]: ...
def scan_k_nearest(
    codes: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    k: int,
    n_threads: int,
    allowed: NDArray[np.uint8] | None = None,
    limits: NDArray[np.int32] | None = None,
    mask: NDArray[np.bool] | None = None,
    isa: str = "",
) -> _Nearest: ...
def scan_planes(
    codes: NDArray[np.uint8],
    factors: NDArray[np.float32],
    planes: NDArray[np.uint8],
    steps: NDArray[np.float32],
    n_bits: int,
    k: int,
    n_threads: int,
    allowed: NDArray[np.uint8] | None = None,
    isa: str = "",
) -> _Scored: ...
def scan_within_radius(
    codes: NDArray[np.uint8],
    queries: NDArray[np.uint8],
    radius: int,
    n_threads: int,
    allowed: NDArray[np.uint8] | None = None,
    isa: str = "",
) -> _WithinRadius: ...
def scan_pairs(
    codes: NDArray[np.uint8],
    first: int,
    last: int,
    others: NDArray[np.uint8] | None,
    radius: int,
    max_pairs: int,
    n_threads: int,
    isa: str = "",
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]] | None: ...
def score_planes(
    codes: NDArray[np.uint8],
    factors: NDArray[np.float32],
    planes: NDArray[np.uint8],
    steps: NDArray[np.float32],
    n_bits: int,
    candidates: NDArray[np.int64],
    k: int,
    n_threads: int,
    isa: str = "",
) -> _Scored: ...
def supported_isas() -> list[str]: ...
def unordered_query(part: tuple[NDArray[Any], ...]) -> int | None: ...
def unpack(codes: NDArray[np.uint8], n_bits: int, n_threads: int) -> NDArray[np.bool]: ...
def table_arrays(tables: Tables) -> dict[str, Any]: ...
def tables_from(
    columns: tuple[Any, ...],
    checks: BlockChecks | None,
    codes: NDArray[np.uint8],
    places: NDArray[np.uint32],
    expected: NDArray[np.float64],
    costs: NDArray[np.float64],
    neighbors: NDArray[np.int32],
    n_neighbors: int,
    isa: str,
    compact: bool,
) -> Tables: ...
