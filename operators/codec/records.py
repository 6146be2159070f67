"""One record at a time with fastavro: the reference for the columns, strict where fastavro would bend a number."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, TypeAlias

import fastavro

from operators.codec.schema import AvroType, Schema, kind
from operators.codec.wire import HEADER_BYTES, header

Check: TypeAlias = Callable[[Any, str], None]

_INT_MAX = 2**31 - 1


class RecordWriter:
    """Writes records with one schema, framed."""

    def __init__(self, schema: Schema) -> None:
        self._parsed = schema.parsed
        self._header = header(schema.id)
        self._check = _check(schema.parsed)

    def write(self, record: Mapping[str, Any]) -> bytes:
        """The framed value; raises whatever says why the record does not fit: `ValueError`, `TypeError`, ..."""
        if self._check is not None:
            self._check(record, "")
        target = io.BytesIO()
        target.write(self._header)
        fastavro.schemaless_writer(target, self._parsed, record)
        return target.getvalue()


def read_record(value: bytes, writer: Schema, reader: Schema | None) -> dict[str, Any]:
    """The record of a framed value, in the reader's fields if there is a reader; raises whatever stops the parser."""
    source = io.BytesIO(value)
    source.seek(HEADER_BYTES)
    return dict(fastavro.schemaless_reader(source, writer.parsed, None if reader is None else reader.parsed))


def _check(avro_type: AvroType) -> Check | None:
    """Refuses what fastavro bends: fractions for integers, 33 bits for an int, words for doubles. Unions it checks."""
    match kind(avro_type):
        case "record":
            return _check_fields(avro_type)
        case "array":
            return _check_items(avro_type)
        case "int":
            return _check_int
        case "long":
            return _check_integer
        case "float" | "double":
            return _check_real
        case _:
            return None


def _check_fields(avro_type: AvroType) -> Check | None:
    checks = [(field["name"], check) for field in avro_type["fields"] if (check := _check(field["type"])) is not None]

    def check_fields(record: Any, path: str) -> None:
        for name, check in checks:
            if name in record:
                check(record[name], f"{path}.{name}" if path else name)

    return check_fields if checks else None


def _check_items(avro_type: AvroType) -> Check | None:
    check = _check(avro_type["items"])
    if check is None:
        return None

    def check_items(items: Any, path: str) -> None:
        for item in items:
            check(item, f"{path}[]")

    return check_items


def _check_integer(value: Any, path: str) -> None:
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, Integral)):
        raise TypeError(f"{path} is {value!r}, expected an integer")


def _check_int(value: Any, path: str) -> None:
    _check_integer(value, path)
    if not -_INT_MAX - 1 <= value <= _INT_MAX:
        raise ValueError(f"{path} is {value}, which does not fit 32 bits")


def _check_real(value: Any, path: str) -> None:
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, Real)):
        raise TypeError(f"{path} is {value!r}, expected a number")
