"""The native core: kernels, scans and tables. Private: hashkit's own modules are its only callers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Nearest = tuple[NDArray[np.int32], NDArray[np.int64]]
_WithinRadius = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]

def bucket_pairs(
    codes: NDArray[np.uint8],
    first: int,
    last: int,
    others: NDArray[np.uint8] | None,
    table_codes: NDArray[np.uint8],
    table_rows: NDArray[np.uint32],
    table_starts: NDArray[np.uint32],
    n_bits: int,
    radius: int,
    max_pairs: int,
    n_threads: int,
    isa: str = "",
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]] | None: ...
def bucket_tables(
    codes: NDArray[np.uint8], n_bits: int, n_left: int, radius: int, n_threads: int, always: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[np.uint32]] | None: ...

class Forest:
    def __init__(self, n_rows: int) -> None: ...
    def unite(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> None: ...
    def firsts(self) -> NDArray[np.int64]: ...

class Tables: ...

def build_tables(codes: NDArray[np.uint8], n_bits: int, compact: bool, n_threads: int) -> Tables: ...
def count_rows(rows: NDArray[np.uint8], n_rows: int) -> int: ...
def default_isa() -> str: ...
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
    isa: str = "",
) -> tuple[NDArray[np.float64], NDArray[np.int64], int]: ...
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
def merge_nearest(parts: list[_Nearest], k: int, n_threads: int) -> _Nearest: ...
def merge_within_radius(parts: list[_WithinRadius], n_threads: int) -> _WithinRadius: ...
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
def supported_isas() -> list[str]: ...
def unordered_query(part: tuple[NDArray[Any], ...]) -> int | None: ...
def unpack(codes: NDArray[np.uint8], n_bits: int, n_threads: int) -> NDArray[np.bool]: ...
