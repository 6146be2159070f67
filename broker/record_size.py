"""The largest record a log takes, checked before any part of a batch is sent."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from broker.contract import Headers
from config.errors import RecordTooLargeError

Ints: TypeAlias = npt.NDArray[np.int64]

RECORD_BYTES_MAX_DEFAULT = 1_000_000


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers | None = None) -> int:
    """Bytes of a record as the limit counts them: key, value and headers, framing left out."""
    size = (len(key) if key else 0) + (len(value) if value else 0)
    for name, content in headers or ():
        size += len(name.encode()) + (len(content) if content else 0)
    return size


def batch_bytes(topic: str, key_bytes: Ints, value_bytes: Ints, *, record_bytes_max: int) -> int:
    """Bytes of a whole batch, given the lengths of its keys and values.

    Raises `RecordTooLargeError` for the first record above the limit.
    """
    if len(key_bytes) != len(value_bytes):
        raise ValueError(f"{len(key_bytes)} keys but {len(value_bytes)} values for topic {topic}")
    sizes = key_bytes + value_bytes
    if len(sizes) and sizes.max() > record_bytes_max:
        index = int(np.argmax(sizes > record_bytes_max))
        size_bytes = int(sizes[index])
        raise RecordTooLargeError(topic=topic, index=index, size_bytes=size_bytes, size_bytes_max=record_bytes_max)
    return int(sizes.sum())


def check_record(
    topic: str, key: bytes | None, value: bytes | None, headers: Headers | None, *, record_bytes_max: int
) -> int:
    """Bytes of one record. Raises `RecordTooLargeError` if it is above the limit."""
    size = record_bytes(key, value, headers)
    if size > record_bytes_max:
        raise RecordTooLargeError(topic=topic, index=0, size_bytes=size, size_bytes_max=record_bytes_max)
    return size
