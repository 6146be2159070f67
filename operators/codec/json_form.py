"""Records as people and web clients see them: JSON with Avro's field names, decimals for money and ISO-8601 times.

| Avro | record | JSON |
|---|---|---|
| integer with `"unit": "millionths"` | integer | decimal number, `412.355` |
| `timestamp-micros` | microseconds since 1970, UTC | `"2026-11-20T14:30:02.118204Z"` |
| `date` | days since 1970 | `"2026-11-20"` |
| `double`, `float` | float | number; `"NaN"`, `"Infinity"`, `"-Infinity"`, which JSON has no numbers for |
| the rest | as is | as is |

Times before year 1 or after 9999, which only a broken producer writes, stay integers, so that they too can be shown.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import msgspec

from config.errors import InvalidRecordError
from operators.codec.schema import AvroType, kind, nullable

MILLIONTHS = "millionths"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_BITS = {"int": 32, "long": 64}
_EXACT = Context(prec=64)
_NOT_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def dumps(value: Any) -> bytes:
    """One line of JSON; a `Decimal` becomes a number with all its digits."""
    return _ENCODER.encode(value)


def loads(text: str | bytes) -> Any:
    """JSON with fractions as `Decimal`, so that nothing is rounded; `InvalidRecordError` if it is not JSON."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRecordError(f"not JSON: {error}") from error


def to_json(schema: AvroType, record: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of a record as decoded, for `dumps`. `schema` is a record's document with its attributes."""
    return {f["name"]: _shown(f["type"], f, record[f["name"]]) for f in schema["fields"]}


def from_json(schema: AvroType, form: Any) -> dict[str, Any]:
    """The record that a JSON form stands for, missing fields set to their defaults.

    `InvalidRecordError` names the path of the first field that is unknown, missing without default or of a wrong type.
    """
    return _record(schema, form, "")


def _shown(avro_type: AvroType, field: AvroType, value: Any) -> Any:
    """`field` is whatever carries the attributes that say how a number is meant: the field, or the type itself."""
    avro_type, _ = nullable(avro_type)
    if value is None:
        return None
    match kind(avro_type):
        case "record":
            return to_json(avro_type, value)
        case "array":
            return [_shown(avro_type["items"], {}, item) for item in value]
        case "int" | "long":
            return _shown_integer(avro_type, field, value)
        case "float" | "double" if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case _:
            return value


def _shown_integer(avro_type: AvroType, field: AvroType, value: int) -> Any:
    if field.get("unit") == MILLIONTHS:
        whole, rest = divmod(value, 1_000_000)
        return whole if rest == 0 else Decimal(value).scaleb(-6, _EXACT).normalize(_EXACT)
    match _logical(avro_type):
        case "timestamp-micros":
            try:
                return (_EPOCH + value * _MICROSECOND).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
            except OverflowError:
                return value
        case "date":
            try:
                return date.fromordinal(_EPOCH_DAY + value).isoformat()
            except (ValueError, OverflowError):
                return value
        case _:
            return value


def _record(schema: AvroType, form: Any, path: str) -> dict[str, Any]:
    if not isinstance(form, Mapping):
        raise _wrong(path, "an object", form)
    prefix = f"{path}." if path else ""
    unknown = [name for name in form if name not in {field["name"] for field in schema["fields"]}]
    if unknown:
        raise InvalidRecordError(f"{prefix}{unknown[0]}: {schema['name']} has no such field")
    record = {}
    for field in schema["fields"]:
        name = field["name"]
        if name in form:
            record[name] = _read(field["type"], field, form[name], prefix + name)
        elif "default" in field:
            record[name] = copy.deepcopy(field["default"])
        else:
            raise InvalidRecordError(f"{prefix}{name}: missing, and it has no default")
    return record


def _read(avro_type: AvroType, field: AvroType, form: Any, path: str) -> Any:
    avro_type, optional = nullable(avro_type)
    if form is None and optional:
        return None
    match kind(avro_type), form:
        case "record", _:
            return _record(avro_type, form, path)
        case "array", list():
            return [_read(avro_type["items"], {}, item, f"{path}[{i}]") for i, item in enumerate(form)]
        case ("int" | "long") as name, _:
            return _within(_integer(avro_type, field, form, path), _BITS[name], path)
        case "boolean", bool():
            return form
        case "string", str() if _encodable(form):
            return form
        case (("float" | "double"), (int() | float() | Decimal())) if not isinstance(form, bool):
            return float(form)
        case (("float" | "double"), str()) if form in _NOT_NUMBERS:
            return _NOT_NUMBERS[form]
        case name, _:
            raise _wrong(path, {"array": "a list", "double": "a number", "float": "a number"}.get(name, name), form)


def _integer(avro_type: AvroType, field: AvroType, form: Any, path: str) -> int:
    if field.get("unit") == MILLIONTHS:
        return _millionths(form, path)
    if isinstance(form, int) and not isinstance(form, bool):
        return form
    match _logical(avro_type):
        case "timestamp-micros":
            return _micros(form, path)
        case "date":
            return _days(form, path)
        case _:
            raise _wrong(path, "an integer", form)


def _millionths(form: Any, path: str) -> int:
    if isinstance(form, bool) or not isinstance(form, int | Decimal):
        raise _wrong(path, "a decimal number", form)
    number = Decimal(form)
    if number.is_finite() and (number == 0 or -7 < number.adjusted() < 30):
        numerator, denominator = number.as_integer_ratio()
        whole, rest = divmod(numerator * 1_000_000, denominator)
        if rest == 0:
            return whole
    raise _wrong(path, "a decimal number of at most six places", form)


def _micros(form: Any, path: str) -> int:
    if isinstance(form, str) and _TIME.fullmatch(form):
        try:
            return (datetime.fromisoformat(form) - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            pass
    raise _wrong(path, "an ISO-8601 time with zone and at most microseconds", form)


def _days(form: Any, path: str) -> int:
    if isinstance(form, str) and _DAY.fullmatch(form):
        try:
            return date.fromisoformat(form).toordinal() - _EPOCH_DAY
        except ValueError:
            pass
    raise _wrong(path, "an ISO-8601 date", form)


def _within(value: int, bits: int, path: str) -> int:
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise InvalidRecordError(f"{path}: {value} does not fit {bits} bits")
    return value


def _logical(avro_type: AvroType) -> str | None:
    return avro_type.get("logicalType") if isinstance(avro_type, dict) else None


def _encodable(text: str) -> bool:
    """False for halves of surrogate pairs, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong(path: str, expected: str, form: Any) -> InvalidRecordError:
    shown = repr(form)
    return InvalidRecordError(f"{path or 'record'}: {shown[:80]}, expected {expected}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
