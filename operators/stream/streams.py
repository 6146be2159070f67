"""The output streams of a step: whose schema their records have, and whether what was made fits the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from broker.byte_columns import as_array, lengths
from broker.contract import Record
from broker.record_size import RECORD_BYTES_MAX_DEFAULT, batch_bytes
from config.errors import EncodeError
from operators.model.money import INT64_MAX, INT64_MIN
from operators.stream.kernel import StreamBatch
from operators.stream.records import Origin

_FEW: Final = 1_000
"""More records than this are encoded batch by batch: putting them together would cost more than it saves."""

Encode = Callable[[pa.RecordBatch], pa.Array]


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """An output stream of a step: the topic whose schema its records have, and that schema as Arrow sees it.

    `target` is the topic it is written to and `encode` makes the values for it; None where only other steps read it.
    """

    topic: str
    schema: pa.Schema
    target: str | None = None
    encode: Encode | None = None
    record_bytes_max: int = RECORD_BYTES_MAX_DEFAULT

    def encoded(self, batch: StreamBatch) -> StreamBatch:
        """The batch with its values, if the stream is written to a topic.

        `EncodeError` or `RecordTooLargeError` for the first record that does not fit: whoever made it can still take
        back all that came of its input, which nobody can once it is on its way to the committer.
        """
        if self.encode is None or self.target is None:
            return batch
        values = self.encode(batch.batch)
        check_sizes(self.target, batch.keys, values, self.record_bytes_max)
        return StreamBatch(batch.batch, batch.keys, batch.origin, batch.origin_rows, values)

    def check(self, key: bytes, record: dict[str, Any]) -> None:
        """Raises `EncodeError` or `RecordTooLargeError` for a record that does not fit."""
        for path, value in _integers(record):
            if not INT64_MIN <= value <= INT64_MAX:
                raise EncodeError(f"{path} {value} of an output for {self.topic} does not fit 64 bits")
        try:
            batch = pa.RecordBatch.from_pylist([record], schema=self.schema)
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise EncodeError(f"an output for {self.topic} does not fit its schema: {error}") from error
        self.encoded(StreamBatch(batch, [key], Origin([])))


def put_together(batches: Sequence[StreamBatch]) -> Sequence[StreamBatch]:
    """The same records as one batch where they are few: each costs something to encode and send, whatever is in it.

    For batches that have no values yet.
    """
    if len(batches) < 2 or sum(batch.batch.num_rows for batch in batches) > _FEW:
        return batches
    records: list[Record] = []
    rows = []
    for batch in batches:
        of_batch = np.arange(batch.batch.num_rows) if batch.origin_rows is None else batch.origin_rows
        rows.append(of_batch + len(records))
        records += batch.origin.records
    whole = pa.concat_batches([batch.batch for batch in batches])
    keys = [as_array(batch.keys) for batch in batches]
    return [StreamBatch(whole, pa.concat_arrays(keys), Origin(records), np.concatenate(rows))]


def check_sizes(topic: str, keys: Sequence[bytes] | pa.Array, values: pa.Array, record_bytes_max: int) -> None:
    """Raises `RecordTooLargeError` for the first record larger than the log takes."""
    if _bytes_at_most(values) + _bytes_at_most(keys) <= record_bytes_max:
        return  # all of them together are no larger, so a small batch need not be looked at one by one
    batch_bytes(topic, lengths(as_array(keys)), lengths(as_array(values)), record_bytes_max=record_bytes_max)


def _integers(value: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """Every integer of a record, and where it stands."""
    if isinstance(value, dict):
        for name, content in value.items():
            yield from _integers(content, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for content in value:
            yield from _integers(content, f"{path}[]")
    elif isinstance(value, int):
        yield path, value


def _bytes_at_most(values: Sequence[bytes] | pa.Array) -> int:
    return int(values.nbytes) if isinstance(values, pa.Array) else sum(map(len, values))
