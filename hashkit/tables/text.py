"""Rows of text: CSV and its kin, read in blocks with the standard library and numpy alone."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from hashkit.tables.safetensors import choose

_HEX = re.compile("(?:0[xX])?(?:[0-9A-Fa-f]{2})+")
CODE_COLUMNS = ("code", "codes", "hash", "hashes")
"""Names under which a column of codes is found."""


@dataclass(frozen=True)
class TextFile:
    """An open text file of rows, and what its first line says.

    Attributes
    ----------
    path : str
    columns : list of str
        The header, or the numbers of the columns from 0 on where there is none.
    """

    path: str
    columns: list[str]
    _first: list[str]
    _rows: Iterator[list[str]]
    _n_header: int

    def blocks(self, n_rows: int) -> Iterator[tuple[int, list[list[str]]]]:
        """The number of a block's first line, from 1 on, and its rows; empty lines are left out.

        Raises
        ------
        ValueError
            If a row has another number of cells than the first.
        """
        first = [] if self._n_header else [self._first]
        rows = itertools.chain(first, (row for row in self._rows if row))
        line = 1 + self._n_header
        while block := list(itertools.islice(rows, n_rows)):
            for number, row in enumerate(block):
                if len(row) != len(self.columns):
                    raise ValueError(
                        f"{self.path} must have {len(self.columns)} cells in each row like the first, row "
                        f"{line + number} has {len(row)}"
                    )
            yield line, block
            line += len(block)


def open_text(file: TextIO, path: str) -> TextFile:
    """Rows of a text file, separated by tabs if its first line has one, else by commas.

    Raises
    ------
    ValueError
        If it is empty.
    """
    line = file.readline()
    if not line.strip():
        raise ValueError(f"{path} must have rows, its first line is empty")
    rows = csv.reader(itertools.chain([line], file), delimiter="\t" if "\t" in line else ",")
    first = [cell.strip() for cell in next(rows)]
    has_header = not any(_is_number(cell) or _HEX.fullmatch(cell) for cell in first)
    columns = first if has_header else [str(number) for number in range(len(first))]
    return TextFile(path, columns, first, rows, int(has_header))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def to_features(file: TextFile, line: int, block: list[list[str]], without: int | None) -> NDArray[np.float32]:
    """The numbers of a block, all columns but one.

    Raises
    ------
    ValueError
        If a cell is no number: its row is named.
    """
    cells = [[cell for number, cell in enumerate(row) if number != without] for row in block]
    try:
        return np.array(cells, np.float64).astype(np.float32)
    except ValueError:
        for number, row in enumerate(cells):
            for cell in row:
                if not _is_number(cell):
                    raise ValueError(f"{file.path} must hold numbers, row {line + number} has {cell!r}") from None
        raise


def code_column(file: TextFile, column: str | None, ids: str | None) -> int:
    """Which column holds the codes: the one that is named, one of the usual names, or the only one beside the ids."""
    others = [name for name in file.columns if name != ids]
    usual = [name for name in others if name.lower() in CODE_COLUMNS]
    if column is None and len(usual) == 1:
        column = usual[0]
    return file.columns.index(choose(column, others, "column of codes", file.path))


def to_column(block: list[list[str]], number: int) -> NDArray[Any]:
    """One column of a block, as int64 or else uint64 where every cell is such a number, else as strings."""
    cells = [row[number].strip() for row in block]
    for dtype in (np.int64, np.uint64):
        try:
            return np.array([int(cell) for cell in cells], dtype)
        except (ValueError, OverflowError):
            continue
    return np.array(cells, object)
