"""Many records at once to and from the bytes of a topic: through columns, some times faster than one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from operators.codec.codec import Codec


def encode_rows(codec: Codec, topic: str, rows: Sequence[dict[str, Any]]) -> list[bytes]:
    """One framed value per row, equal to what `Codec.encode_records` gives.

    Rows are our own: every field of the contract is present with its type. `EncodeError` or an Arrow error otherwise.
    """
    values: list[bytes] = codec.encode(
        topic, pa.RecordBatch.from_pylist(list(rows), schema=codec.arrow_schema(topic))
    ).to_pylist()
    return values


def decode_rows(codec: Codec, topic: str, values: Sequence[bytes | None]) -> tuple[list[dict[str, Any]], int]:
    """The readable values as records, in order, and how many could not be read."""
    decoded = codec.decode(topic, values)
    return decoded.batch.to_pylist(), len(decoded.bad)
