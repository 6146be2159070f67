"""The largest record a log takes, checked before any part of a batch is sent."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add

from broker.contract import Headers
from config.errors import RecordTooLargeError

RECORD_BYTES_MAX_DEFAULT = 1_000_000


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers | None = None) -> int:
    """Bytes of a record as the limit counts them: key, value and headers, framing left out."""
    size = (len(key) if key else 0) + (len(value) if value else 0)
    for name, content in headers or ():
        size += len(name.encode()) + (len(content) if content else 0)
    return size


def batch_bytes(
    topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None], *, record_bytes_max: int
) -> int:
    """Bytes of a whole batch. Raises `RecordTooLargeError` for the first record above the limit."""
    if len(keys) != len(values):
        raise ValueError(f"{len(keys)} keys but {len(values)} values for topic {topic}")
    try:
        sizes = list(map(add, map(len, keys), map(len, values)))  # type: ignore[arg-type] # a null raises, see below
    except TypeError:
        sizes = [record_bytes(key, value) for key, value in zip(keys, values, strict=True)]
    if sizes and max(sizes) > record_bytes_max:
        index = next(i for i, size in enumerate(sizes) if size > record_bytes_max)
        raise RecordTooLargeError(topic=topic, index=index, size_bytes=sizes[index], size_bytes_max=record_bytes_max)
    return sum(sizes)


def check_record(
    topic: str, key: bytes | None, value: bytes | None, headers: Headers | None, *, record_bytes_max: int
) -> int:
    """Bytes of one record. Raises `RecordTooLargeError` if it is above the limit."""
    size = record_bytes(key, value, headers)
    if size > record_bytes_max:
        raise RecordTooLargeError(topic=topic, index=0, size_bytes=size, size_bytes_max=record_bytes_max)
    return size
