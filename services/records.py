"""Many records at once to and from the bytes of a topic, or all of a topic: through columns, faster than one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from broker.contract import Log, Reader, TopicPartition
from operators.codec.codec import Codec

READ_RECORDS = 20_000


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


def read_topic(log: Log, codec: Codec, topic: str) -> Iterator[list[dict[str, Any]]]:
    """The readable records of a topic from its beginning to its committed end of now, in batches.

    Values that cannot be decoded are left out: no logic sees them.
    """
    return (batch.to_pylist() for batch in read_columns(log, codec, topic))


def read_columns(log: Log, codec: Codec, topic: str) -> Iterator[pa.RecordBatch]:
    """The same as columns."""
    admin = log.admin()
    try:
        partitions = [TopicPartition(topic, number) for number in range(admin.topics().get(topic, 0))]
        beginnings, ends = admin.beginnings(partitions), admin.ends(partitions)
    finally:
        admin.close()
    reader = log.reader("verdict")
    try:
        for partition in partitions:
            yield from _read_partition(reader, codec, partition, beginnings[partition], ends[partition])
    finally:
        reader.close()


def _read_partition(
    reader: Reader, codec: Codec, partition: TopicPartition, beginning: int, end: int
) -> Iterator[pa.RecordBatch]:
    if beginning >= end:
        return
    reader.assign({partition: beginning})
    position = beginning
    while position < end:
        records = reader.read(READ_RECORDS, 0.2)
        if records:
            position = records[-1].offset() + 1
            values = [record.value() for record in records if record.offset() < end]
            yield codec.decode(partition.topic, values).batch
        elif reader.at_end():
            # A log may end in markers that are no records.
            return
