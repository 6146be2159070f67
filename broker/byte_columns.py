"""Many byte strings as one column: what a batch of keys or values is on its way to the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BytesColumn: TypeAlias = Iterable[bytes | None] | Any
"""Byte strings and nulls: a `pyarrow.Array` of strings or of bytes, or anything to iterate over."""


def as_array(column: BytesColumn) -> Any:
    """The column as a `pyarrow.BinaryArray`; strings are not copied."""
    if not isinstance(column, pa.Array):
        return pa.array(column if isinstance(column, list) else list(column), pa.binary())
    return column if column.type == pa.binary() else column.cast(pa.binary())


def as_list(column: BytesColumn) -> list[bytes | None]:
    """The column as a list."""
    found: list[bytes | None] = as_array(column).to_pylist() if isinstance(column, pa.Array) else list(column)
    return found


def by_itself(column: BytesColumn) -> BytesColumn:
    """The column without what else its memory holds: a pickled slice of an array brings all of the array along."""
    return column.take(pa.array(np.arange(len(column)))) if isinstance(column, pa.Array) else column


def lengths(array: Any) -> npt.NDArray[np.int64]:
    """The length of each byte string of a `pyarrow.BinaryArray`; that of a null says nothing, and mostly is 0."""
    return np.diff(_offsets(array)).astype(np.int64)


def addresses(array: Any) -> npt.NDArray[np.uintp]:
    """Where in memory each byte string of a `pyarrow.BinaryArray` begins; 0 for a null. Valid while the array lives."""
    data = array.buffers()[2]
    # A column of empty strings may have no data; yet an empty string is something else than a null.
    base = data.address if data is not None and data.address else array.buffers()[1].address
    begin: npt.NDArray[np.uintp] = _offsets(array)[:-1].astype(np.uintp) + np.uintp(base)
    if array.null_count:
        begin[array.is_null().to_numpy(zero_copy_only=False)] = 0
    return begin


def _offsets(array: Any) -> npt.NDArray[np.int32]:
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.zeros(1, np.int32)
    return np.frombuffer(buffer, np.int32)[array.offset : array.offset + len(array) + 1]
