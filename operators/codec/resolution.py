"""Columns written with one schema, read with another: Avro's schema resolution done on Arrow, where that is possible.

It is possible where every record would resolve alike: fields added with a default, removed, reordered or renamed by an
alias, numbers promoted, a type made optional. What depends on the single value is left to fastavro: None is returned.
Source of the rules: Apache Avro specification, "Schema Resolution".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from operators.codec.columnar import Array, ArrowSchema, DataType, RecordBatch
from operators.codec.schema import AvroType, Schema, kind, nullable

PROMOTIONS = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
"""What each primitive of a writer may be read as besides itself."""

Reshape: TypeAlias = Callable[[Array], Array]
Gather: TypeAlias = Callable[[list[Array], int], list[Array]]


def resolution(writer: Schema, reader: Schema, target: ArrowSchema) -> Callable[[RecordBatch], RecordBatch] | None:
    """The change from the writer's columns to the reader's, `target`; None if it cannot be done on whole columns."""
    gather = _record(writer.parsed, reader.parsed, list(target))
    if gather is None:
        return None

    def resolve(batch: RecordBatch) -> RecordBatch:
        return pa.RecordBatch.from_arrays(gather(batch.columns, batch.num_rows), schema=target)

    return resolve


def writer_field(reader_field: AvroType, writer_fields: dict[str, int]) -> int | None:
    """The number of the writer's field that a reader's field stands for: by its name, else by one of its aliases."""
    for name in (reader_field["name"], *reader_field.get("aliases", ())):
        if name in writer_fields:
            return writer_fields[name]
    return None


def _record(writer: AvroType, reader: AvroType, target: list[Any]) -> Gather | None:
    if writer["name"].rpartition(".")[2] != reader["name"].rpartition(".")[2]:
        return None
    numbers = {field["name"]: i for i, field in enumerate(writer["fields"])}
    steps: list[Callable[[list[Array], int], Array]] = []
    for field, arrow in zip(reader["fields"], target, strict=True):
        i = writer_field(field, numbers)
        if i is not None:
            reshape = _reshape(writer["fields"][i]["type"], field["type"], arrow.type)
            if reshape is None:
                return None
            steps.append(partial(_given, i, reshape))
        elif "default" in field and not (isinstance(field["default"], dict) and field["default"]):
            steps.append(partial(_constant, pa.array([field["default"]], arrow.type)))
        else:
            return None

    def gather(columns: list[Array], rows: int) -> list[Array]:
        return [step(columns, rows) for step in steps]

    return gather


def _given(i: int, reshape: Reshape, columns: list[Array], _: int) -> Array:
    return reshape(columns[i])


def _constant(default: Array, _: list[Array], rows: int) -> Array:
    return pa.nulls(rows, default.type) if default.null_count else default.take(pa.array(np.zeros(rows, np.int64)))


def _reshape(writer: AvroType, reader: AvroType, target: DataType) -> Reshape | None:
    writer, writer_null = nullable(writer)
    reader, reader_null = nullable(reader)
    if writer_null and not reader_null:
        return None
    of, to = kind(writer), kind(reader)
    if of == to == "record":
        return _struct(writer, reader, target)
    if of == to == "array":
        return _unchanged if _without_names(writer) == _without_names(reader) else None
    if of == to:
        return _unchanged
    if to in PROMOTIONS.get(of, ()):
        # Avro promotes long to float and double at the cost of precision, so the cast must not insist on exactness.
        return lambda column: column.cast(target, safe=False)
    return None


def _struct(writer: AvroType, reader: AvroType, target: DataType) -> Reshape | None:
    gather = _record(writer, reader, list(target))
    if gather is None:
        return None
    fields, of_writer = list(target), range(len(writer["fields"]))

    def reshape(column: Array) -> Array:
        children = [column.field(i) for i in of_writer]
        mask = column.is_null() if column.null_count else None
        return pa.StructArray.from_arrays(gather(children, len(column)), fields=fields, mask=mask)

    return reshape


def _unchanged(column: Array) -> Array:
    return column


def _without_names(avro_type: AvroType) -> AvroType:
    """The type as far as it decides the columns: no defaults, aliases or parser's marks."""
    if isinstance(avro_type, list):
        return [_without_names(branch) for branch in avro_type]
    if not isinstance(avro_type, dict):
        return avro_type
    parts = {key: _without_names(avro_type[key]) for key in ("type", "items") if key in avro_type}
    if "fields" in avro_type:
        parts["fields"] = [(field["name"], _without_names(field["type"])) for field in avro_type["fields"]]
    return parts
