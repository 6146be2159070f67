"""The Confluent wire format: byte 0, the schema id as a big-endian int32, then one Avro datum."""

from __future__ import annotations

from struct import Struct

from config.errors import DecodeError

HEADER_BYTES = 5
_HEADER = Struct(">bi")


def header(schema_id: int) -> bytes:
    """The five bytes before a datum written with this schema."""
    return _HEADER.pack(0, schema_id)


def schema_id(value: bytes | None) -> int:
    """The schema id of a framed value; `DecodeError` says how the value breaks the format."""
    if value is None:
        raise DecodeError("the value is null, expected an Avro datum in the Confluent wire format")
    if len(value) < HEADER_BYTES:
        raise DecodeError(
            f"the value is {len(value)} bytes long, expected at least {HEADER_BYTES}: byte 0 and a four-byte schema id"
        )
    magic, identity = _HEADER.unpack_from(value)
    if magic != 0:
        raise DecodeError(f"the first byte is 0x{value[0]:02x}, expected 0x00 of the Confluent wire format")
    return int(identity)
