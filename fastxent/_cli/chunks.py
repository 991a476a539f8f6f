"""Pieces of a file, as readers give them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fastxent._cli.selection import ColumnSelection


class Chunk(NamedTuple):
    """Some rows of a file."""

    fraction: float  # of the file, read so far
    columns: dict[str, Any]  # an Arrow array or an ndarray for each name
    first: int | None = None  # rows of the file before these; None: those that were read


def columns(batch: Any, selection: ColumnSelection) -> dict[str, Any]:
    """The selected columns of an Arrow batch."""
    return {name: batch.column(batch.schema.get_field_index(name)) for name in selection.names}


def checked(batch: Any) -> Any:
    """A batch, whose offsets and codes are checked: a reader that copies bytes trusts them."""
    batch.validate(full=True)
    return batch


def check_codes(batch: Any) -> None:
    """Raise if codes are outside their dictionary: the reader of Parquet does not look."""
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            codes, size = column.indices, column.indices.type.bit_width // 8
            values = np.frombuffer(codes.buffers()[1], f"u{size}", len(codes), size * codes.offset)
            if values.max(initial=0) >= len(column.dictionary):
                column.validate(full=True)  # raises, unless it is the code of a null


def slices(batch: Any, selection: ColumnSelection) -> Iterator[Any]:
    """An Arrow batch in pieces of a few MiB."""
    rows = selection.rows(selection.width(batch.schema))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)
