"""The Arrow schema of records that travel between steps only, from their type."""

from __future__ import annotations

import msgspec
import pyarrow as pa
from msgspec import inspect

_PLAIN = {
    inspect.StrType: pa.string(),
    inspect.IntType: pa.int64(),
    inspect.FloatType: pa.float64(),
    inspect.BoolType: pa.bool_(),
}


def schema_of(kind: type[msgspec.Struct]) -> pa.Schema:
    """The columns that records of this type have: text, numbers, truth values, lists and records of these, or null.

    `TypeError` for a field of any other type.
    """
    return pa.schema(_fields(inspect.type_info(kind)))


def _fields(info: inspect.Type) -> list[pa.Field]:
    assert isinstance(info, inspect.StructType)
    return [pa.field(field.encode_name, _type(field.type)) for field in info.fields]


def _type(info: inspect.Type) -> pa.DataType:
    if isinstance(info, inspect.UnionType):
        given = [each for each in info.types if not isinstance(each, inspect.NoneType)]
        if len(given) == 1:
            return _type(given[0])
    if isinstance(info, inspect.ListType):
        return pa.list_(_type(info.item_type))
    if isinstance(info, inspect.StructType):
        return pa.struct(_fields(info))
    if type(info) in _PLAIN:
        return _PLAIN[type(info)]
    raise TypeError(f"a stream between steps has no column of type {info}")
