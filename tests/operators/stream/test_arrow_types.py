"""Records that travel between steps only have columns by their type, and come back as they were."""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest

from operators.stream.arrow_types import schema_of
from operators.stream.rows import records_of


class Inner(msgspec.Struct, frozen=True, rename="camel"):
    a_name: str
    size: float | None = None


class Outer(msgspec.Struct, frozen=True, rename="camel"):
    key: str
    inner: Inner
    many: list[Inner] = []
    flag: bool = False
    count_of: int | None = None


class Unfit(msgspec.Struct):
    both: int | str


def test_records_of_records_lists_and_nulls_come_back_as_they_were() -> None:
    records = [Outer("k", Inner("i", 0.5), [Inner("a"), Inner("b", 1.5)], True, 7), Outer("l", Inner("j"))]
    batch = pa.RecordBatch.from_pylist([msgspec.to_builtins(each) for each in records], schema=schema_of(Outer))
    assert batch.schema.names == ["key", "inner", "many", "flag", "countOf"]
    assert records_of(batch, Outer) == records


def test_a_field_that_has_no_column_is_named() -> None:
    with pytest.raises(TypeError, match="no column of type"):
        schema_of(Unfit)
