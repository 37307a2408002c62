"""Files of rows as people have them: `.npy`, safetensors, Parquet, Arrow, CSV and standard input, read in blocks.

:func:`open_rows` reads a matrix of features or a column of codes, with a column of ids beside it where there is one.
:func:`write_codes`, :func:`write_columns` and :func:`write_column_blocks` write them. Only Parquet and Arrow need
pyarrow, the extra `arrow`.
"""

from hashkit.tables.converting import to_codes
from hashkit.tables.reading import open_rows
from hashkit.tables.rows import Block, Rows
from hashkit.tables.writing import check_target, write_codes, write_column_blocks, write_columns

__all__ = [
    "Block",
    "Rows",
    "check_target",
    "open_rows",
    "to_codes",
    "write_codes",
    "write_column_blocks",
    "write_columns",
]
