"""Rows of a batch as the records that scalar logic works with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec
import pyarrow as pa

SLICE_ROWS: Final = 512
"""Rows that are dictionaries at one time: as many as a processor's cache holds."""


def records_of(batch: pa.RecordBatch, kind: type[msgspec.Struct]) -> list[Any]:
    """Every row as a record; `msgspec.ValidationError` if one is not what its type takes.

    Options that no row has are left out: most rows lack most of them, and null is their default.
    """
    null_by_default = _null_by_default(kind)
    batch = batch.select(
        [
            name
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
            if not (name in null_by_default and column.null_count == len(column))
        ]
    )
    records: list[Any] = []
    for start in range(0, batch.num_rows, SLICE_ROWS):
        rows = batch.slice(start, SLICE_ROWS).to_pylist()
        records += msgspec.convert(rows, list[kind])  # type: ignore[valid-type]
    return records


@lru_cache
def _null_by_default(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind) if field.default is None)
