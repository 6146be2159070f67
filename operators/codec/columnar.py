"""Whole batches between framed Avro and Arrow through pyruhvro: the one place that knows that library and its traps.

A framed value is read and written in one pass: its five header bytes are declared to Avro as two fields before the
record's own, a boolean (the magic byte) and a float (the four id bytes, bit for bit), so no value is sliced or joined.

The Arrow form: `long` and every logical type on it is int64, `int` is int32, strings are `pa.string()`. So times are
microseconds in int64 and dates are days in int32, without time zones.

What pyruhvro accepts differs from fastavro so: it refuses negative union branches, integers of more than ten bytes and
booleans other than 0 and 1, as the Avro specification does. It cuts an `int` to 32 bits, so here `int` is read as
`long` and checked; it takes any bytes for a string, so here strings are checked to be UTF-8. Both ignore bytes after
the datum, as Confluent's Java deserializer does, both wrap a ten-byte integer to 64 bits, and both ignore the byte
count that may precede an array block.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro

from config.errors import EncodeError
from operators.codec.schema import AvroType, Schema, kind, nullable
from operators.codec.wire import header

RecordBatch: TypeAlias = Any
Array: TypeAlias = Any
DataType: TypeAlias = Any
ArrowSchema: TypeAlias = Any

_PRIMITIVES = ("boolean", "int", "long", "float", "double", "string")
_HEADER_NAMES = ("__magic", "__schema_id")
_HEADER_FIELDS = [{"name": name, "type": avro} for name, avro in zip(_HEADER_NAMES, ("boolean", "float"), strict=True)]


_PLACEMENTS_MAX = 8
_Structs: TypeAlias = "dict[int, _Structs]"


@dataclass(frozen=True, slots=True)
class _Placement:
    """Where the columns for a schema's fields are in batches of another one."""

    given: ArrowSchema
    places: list[tuple[int, DataType | None]]
    """For each field the number of the given column, and the type to cast it to, None where it fits as it is."""
    structs: dict[int, _Structs]
    """Of the given columns that hold structs, which of their fields do."""


class MalformedBatchError(Exception):
    """At least one value of the batch is not what the schema says; pyruhvro does not tell which. Stays in the codec."""


def supported(avro_type: AvroType) -> bool:
    """True for what pyruhvro reads and writes rightly: records, arrays, optional types and all primitives but bytes."""
    avro_type, _ = nullable(avro_type)
    match kind(avro_type):
        case "record":
            return all(supported(field["type"]) for field in avro_type["fields"])
        case "array":
            return supported(avro_type["items"])
        case name:
            return name in _PRIMITIVES


class Columns:
    """Reads and writes whole batches with one schema, whose type must be `supported`."""

    def __init__(self, schema: Schema) -> None:
        framed = {**schema.layout, "fields": [*_HEADER_FIELDS, *schema.layout["fields"]]}
        self._layout = schema.layout
        self._names = [field["name"] for field in framed["fields"]]
        self._id_bits = np.frombuffer(header(schema.id), np.uint32, offset=1)[0]
        self._write_text = json.dumps(framed)
        self._read_text = json.dumps(_ints_as_longs(framed))
        self.arrow: ArrowSchema = pyruhvro.avro_to_arrow_schema(json.dumps(schema.layout))
        read = pyruhvro.avro_to_arrow_schema(self._read_text)
        self._narrowed = [i for i, field in enumerate(self.arrow) if read.field(i + 2).type != field.type]
        self._wanted = [_wanted(field["type"]) for field in self._layout["fields"]]
        self._some_headers: tuple[Array, Array] = pa.array([], pa.bool_()), pa.array([], pa.float32())
        self._placements: list[_Placement] = []

    def decode(self, values: Sequence[bytes | None]) -> RecordBatch:
        """All values as one batch; `MalformedBatchError` if any is null, malformed, or framed with another id."""
        if not values:
            return pa.RecordBatch.from_pylist([], schema=self.arrow)
        batch = _read(values, self._read_text)
        identities = batch.column(1).to_numpy().view(np.uint32)
        if batch.column(0).true_count or not (identities == self._id_bits).all():
            raise MalformedBatchError("a value is framed with another schema's id")
        columns = batch.columns[2:]
        for i in self._narrowed:
            columns[i] = self._narrow(columns[i], i)
        return pa.RecordBatch.from_arrays(columns, schema=self.arrow)

    def _narrow(self, column: Array, i: int) -> Array:
        """The column of a field that is an Avro int and was read as a long."""
        if not column.null_count and column.type == pa.int64():
            values = column.to_numpy()
            narrow = values.astype(np.int32)
            if (narrow == values).all():
                return pa.array(narrow)
        try:
            return column.cast(self.arrow.field(i).type)
        except pa.ArrowInvalid as error:
            raise MalformedBatchError(f"{self.arrow.field(i).name} does not fit an Avro int: {error}") from error

    def encode(self, batch: RecordBatch) -> Array:
        """The rows as framed values; `EncodeError` names the first row and field that do not fit."""
        placement, given, columns = self._placement(batch.schema), batch.columns, []
        for at, (i, target) in enumerate(placement.places):
            column = given[i]
            if (structs := placement.structs.get(i)) is not None and _has_offset(column, structs):
                column = column.take(pa.array(np.arange(len(column))))  # pyruhvro panics on slices of nested structs
            if target is not None:
                column = _cast(column, target, self.arrow.field(at).name)
            wanted = self._wanted[at]
            if wanted is not None and _may_lack(column, wanted):
                self._refuse_null(column, at)
            columns.append(column)
        framed = pa.RecordBatch.from_arrays([*self._headers(batch.num_rows), *columns], names=self._names)
        return pyruhvro.serialize_record_batch(framed, self._write_text, 1)[0]

    def _headers(self, count: int) -> tuple[Array, Array]:
        """The two columns that make a value's header."""
        magic, identity = self._some_headers
        if count > len(magic):
            magic = pa.array(np.zeros(count, bool))
            identity = pa.array(np.full(count, self._id_bits).view(np.float32))
            self._some_headers = magic, identity
        return magic.slice(0, count), identity.slice(0, count)

    def _refuse_null(self, column: Array, at: int) -> None:
        field = self._layout["fields"][at]
        missing = _first_null(column, field["type"], field["name"])
        if missing is not None:
            row, path = missing
            raise EncodeError(f"row {row}: {path} is null, expected a value", row)

    def _placement(self, given: ArrowSchema) -> _Placement:
        """Where the fields are among the given columns; the same schemas come again and again."""
        for placement in self._placements:
            if placement.given.equals(given):  # of one and the same schema it is a comparison of addresses
                return placement
        places = [_place(given, field) for field in self.arrow]
        placement = _Placement(given, places, _structs(given))
        self._placements = [placement, *self._placements[: _PLACEMENTS_MAX - 1]]
        return placement


def _read(values: Sequence[bytes | None], text: str) -> RecordBatch:
    try:
        batch = pyruhvro.deserialize_array(values if isinstance(values, list) else list(values), text)
        batch.validate(full=True)
        return batch
    except (ValueError, TypeError) as error:
        raise MalformedBatchError(str(error)) from error
    except BaseException as error:
        # A Rust panic derives from BaseException. None is known for supported schemas; should one come, it costs the
        # record that causes it and not the flow. Its trace on standard error is left: it is a bug to be reported.
        if type(error).__name__ != "PanicException":
            raise
        raise MalformedBatchError(f"pyruhvro panicked: {error}") from error


def _ints_as_longs(avro_type: AvroType) -> AvroType:
    if isinstance(avro_type, list):
        return [_ints_as_longs(branch) for branch in avro_type]
    if not isinstance(avro_type, dict):
        return "long" if avro_type == "int" else avro_type
    changed = {name: _ints_as_longs(avro_type[name]) for name in ("type", "items") if name in avro_type}
    if "fields" in avro_type:
        changed["fields"] = [_ints_as_longs(field) for field in avro_type["fields"]]
    return {**avro_type, **changed}


def _place(given: ArrowSchema, field: Any) -> tuple[int, DataType | None]:
    i = given.get_field_index(field.name)
    if i < 0:
        raise EncodeError(f"the batch has no column {field.name}")
    column_type = given.field(i).type
    if _same_layout(column_type, field.type):
        return i, None
    if not _castable(column_type, field.type):
        raise EncodeError(f"column {field.name} is {column_type}, expected {field.type}")
    return i, _all_nullable(field.type)


def _all_nullable(wanted: DataType) -> DataType:
    """The type with nulls allowed in nested fields, so that a cast does not trip over one without saying which row."""
    if pa.types.is_struct(wanted):
        return pa.struct([pa.field(child.name, _all_nullable(child.type)) for child in wanted])
    return pa.list_(_all_nullable(wanted.value_type)) if pa.types.is_list(wanted) else wanted


def _same_layout(given: DataType, wanted: DataType) -> bool:
    """True if equal but for the nullability and order of nested fields, which pyruhvro does not look at."""
    if pa.types.is_struct(wanted) and pa.types.is_struct(given):
        fields = {child.name: child.type for child in given}
        return all(child.name in fields and _same_layout(fields[child.name], child.type) for child in wanted)
    if pa.types.is_list(wanted) and pa.types.is_list(given):
        return _same_layout(given.value_type, wanted.value_type)
    return bool(given == wanted)


def _castable(given: DataType, wanted: DataType) -> bool:
    """True for casts that keep the value: no parsing of strings, no rounding, no change of a time's unit."""
    if pa.types.is_struct(wanted) and pa.types.is_struct(given):
        return given.num_fields == wanted.num_fields and all(
            a.name == b.name and _castable(a.type, b.type) for a, b in zip(given, wanted, strict=True)
        )
    if pa.types.is_list(wanted) and pa.types.is_list(given):
        return _castable(given.value_type, wanted.value_type)
    if pa.types.is_dictionary(given):
        given = given.value_type
    if pa.types.is_timestamp(given):
        return bool(given.unit == "us" and wanted == pa.int64())
    if pa.types.is_integer(wanted):
        return bool(
            pa.types.is_integer(given) or pa.types.is_null(given) or (given, wanted) == (pa.date32(), pa.int32())
        )
    if pa.types.is_string(wanted):
        return bool(pa.types.is_large_string(given) or pa.types.is_string(given) or pa.types.is_null(given))
    return bool(given == wanted or pa.types.is_null(given) or (given == pa.float32() and wanted == pa.float64()))


def _cast(column: Array, target: DataType, name: str) -> Array:
    try:
        return column.cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise EncodeError(f"column {name} is {column.type}, expected {target}: {error}") from error


def _structs(fields: Any) -> _Structs:
    """The fields that are structs, and theirs."""
    return {i: _structs(f.type) for i, f in enumerate(fields) if pa.types.is_struct(f.type)}


def _has_offset(column: Array, structs: _Structs) -> bool:
    return column.offset != 0 or any(_has_offset(column.field(i), nested) for i, nested in structs.items())


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What of a column, or of a field in it, the schema wants a value of."""

    optional: bool
    fields: list[tuple[str, _Wanted]] = field(default_factory=list)
    items: _Wanted | None = None


def _wanted(avro_type: AvroType) -> _Wanted | None:
    """What the schema wants of a type; None if nothing of it can be missing."""
    avro_type, optional = nullable(avro_type)
    match kind(avro_type):
        case "record":
            fields = [(f["name"], wanted) for f in avro_type["fields"] if (wanted := _wanted(f["type"])) is not None]
            return None if optional and not fields else _Wanted(optional, fields)
        case "array":
            items = _wanted(avro_type["items"])
            return None if optional and items is None else _Wanted(optional, items=items)
    return None if optional else _Wanted(optional=False)


def _may_lack(column: Array, wanted: _Wanted) -> bool:
    """Whether some wanted value may be null: a quick look that errs on one side only, `_first_null` is exact."""
    nulls = column.null_count
    if nulls:
        return not (wanted.optional and nulls == len(column))
    if wanted.items is not None:
        return _may_lack(column.flatten(), wanted.items)
    return any(_may_lack(column.field(name), of_field) for name, of_field in wanted.fields)


def _first_null(column: Array, avro_type: AvroType, path: str) -> tuple[int, str] | None:
    """Row and path of a null where the schema wants a value: pyruhvro would write zero or an empty string instead."""
    avro_type, optional = nullable(avro_type)
    if column.null_count:
        valid = pc.is_valid(column)
        if not optional:
            return pc.index(valid, False).as_py(), path
        if isinstance(avro_type, dict):
            rows = np.flatnonzero(valid)
            found = _first_null(column.take(pa.array(rows)), avro_type, path)
            return found and (int(rows[found[0]]), found[1])
    match kind(avro_type):
        case "record":
            for field in avro_type["fields"]:
                found = _first_null(column.field(field["name"]), field["type"], f"{path}.{field['name']}")
                if found is not None:
                    return found
        case "array":
            found = _first_null(column.flatten(), avro_type["items"], f"{path}[]")
            return found and (pc.list_parent_indices(column)[found[0]].as_py(), found[1])
    return None
