"""What travels through a flow: records as read, records as columns, and what a process hands to the committer."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broker.byte_columns import BytesColumn, by_itself
from broker.contract import Headers, Record, TopicPartition
from config.errors import BadRecordError
from operators.stream.agreement import Told

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(slots=True)
class Read:
    """Records of one source as read from one partition, in offset order."""

    source: str
    topic: str
    partition: int
    records: list[Record]


@dataclass(slots=True)
class Item:
    """What a lane emits: everything it read for one epoch so far, or a tick with nothing.

    `epoch` is the epoch's number, the same on every lane; `now_ms` the wall clock when it was read, so that logic that
    needs a clock gets it as data; `progress` the offset after the last record read, per partition. `lanes` is, where
    this is all that the lane emits in the epoch, how many lanes do so; otherwise 0. `told` is for the other lanes, and
    with `tells_only` there is nothing else to it: no step may run yet, since what it makes could not reach everybody.
    """

    epoch: int
    now_ms: int
    reads: list[Read] = field(default_factory=list)
    progress: dict[TopicPartition, int] = field(default_factory=dict)
    lanes: int = 0
    told: Told | None = None
    tells_only: bool = False


@dataclass(frozen=True, slots=True)
class RecordCopy:
    """A record detached from the client that read it, so that it can cross processes."""

    fields: tuple[str, int, int, bytes | None, bytes | None, Headers | None, tuple[int, int]]

    @classmethod
    def of(cls, record: Record) -> RecordCopy:
        """A copy of a record of any log."""
        place = record.topic(), record.partition(), record.offset()
        return cls((*place, record.key(), record.value(), record.headers(), record.timestamp()))

    def topic(self) -> str:
        return self.fields[0]

    def partition(self) -> int:
        return self.fields[1]

    def offset(self) -> int:
        return self.fields[2]

    def key(self) -> bytes | None:
        return self.fields[3]

    def value(self) -> bytes | None:
        return self.fields[4]

    def headers(self) -> Headers | None:
        return self.fields[5]

    def timestamp(self) -> tuple[int, int]:
        return self.fields[6]


class Origin:
    """The records behind some rows, so that one that fails later can be named and dead-lettered with its bytes."""

    __slots__ = ("records",)

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    def take(self, rows: Ints) -> Origin:
        """The origin of some of the rows."""
        records = self.records
        return Origin([records[i] for i in rows.tolist()])

    def __reduce__(self) -> tuple[type[Origin], tuple[list[RecordCopy]]]:
        return Origin, ([RecordCopy.of(record) for record in self.records],)


@dataclass(slots=True)
class Columns:
    """Records of one stream, decoded: a row per record, in the order of each partition.

    `batch` has the columns of the topic's reader schema, `record_keys` the records' own keys, `keys` what the step at
    hand is keyed by, `groups` the key group of each row, `times_ms` its event time.
    """

    topic: str
    batch: pa.RecordBatch
    record_keys: Sequence[bytes]
    keys: Sequence[bytes]
    groups: Ints
    times_ms: Ints
    origin: Origin

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Ints) -> Columns:
        """Some of the rows, in the order given."""
        record_keys, keys, picked = self.record_keys, self.keys, rows.tolist()
        return Columns(
            self.topic,
            self.batch.take(pa.array(rows)),
            [record_keys[i] for i in picked],
            [keys[i] for i in picked],
            self.groups[rows],
            self.times_ms[rows],
            self.origin.take(rows),
        )

    def dead_letter(self, row: int, *, step: str, error: Exception) -> DeadLetter:
        """The dead letter of one row."""
        return dead_letter(self.origin.records[row], step=step, error=error)

    def rekeyed(self, keys: Sequence[bytes], groups: Ints) -> Columns:
        """The same rows under other keys."""
        return Columns(self.topic, self.batch, self.record_keys, keys, groups, self.times_ms, self.origin)

    def rows(self) -> list[dict[str, Any]]:
        """Every row as a dictionary."""
        result: list[dict[str, Any]] = self.batch.to_pylist()
        return result


def concatenate(parts: Sequence[Columns]) -> Columns:
    """The rows of several pieces of one stream, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Columns(
        parts[0].topic,
        pa.Table.from_batches([part.batch for part in parts]).combine_chunks().to_batches()[0],
        [key for part in parts for key in part.record_keys],
        [key for part in parts for key in part.keys],
        np.concatenate([part.groups for part in parts]),
        np.concatenate([part.times_ms for part in parts]),
        Origin([record for part in parts for record in part.origin.records]),
    )


@dataclass(slots=True)
class Encoded:
    """Records of one topic ready to be sent."""

    topic: str
    keys: Sequence[bytes | None] | pa.Array
    values: BytesColumn

    def __len__(self) -> int:
        return len(self.keys)

    def __reduce__(self) -> tuple[type[Encoded], tuple[object, ...]]:
        return Encoded, (self.topic, by_itself(self.keys), by_itself(self.values))


@dataclass(slots=True)
class Changes:
    """New values of one key group of one step, on their way to the changelog; None is a tombstone."""

    topic: str
    group: int
    keys: Sequence[bytes]
    values: BytesColumn

    def __reduce__(self) -> tuple[type[Changes], tuple[object, ...]]:
        return Changes, (self.topic, self.group, self.keys, by_itself(self.values))


@dataclass(slots=True)
class DeadLetter:
    """A record that could not be processed: its bytes unchanged, where it stood, which step failed, and why."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    step: str
    error: str
    message: str


def dead_letter(record: Record, *, step: str, error: Exception) -> DeadLetter:
    """The dead letter of a record as read. A fault of logic brings its trace, for whoever mends it."""
    trace = "" if isinstance(error, BadRecordError) else "\n" + "".join(traceback.format_exception(error)[-3:])
    return DeadLetter(
        topic=record.topic(),
        partition=record.partition(),
        offset=record.offset(),
        key=record.key(),
        value=record.value(),
        headers=record.headers() or [],
        step=step,
        error=type(error).__name__,
        message=str(error) + trace,
    )


@dataclass(slots=True)
class Outcome:
    """Everything one call of one process hands to the committer of the epoch."""

    epoch: int
    progress: dict[TopicPartition, int] = field(default_factory=dict)
    outputs: list[Encoded] = field(default_factory=list)
    changes: list[Changes] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    anomalies: dict[str, int] = field(default_factory=dict)
    timestamps_ms: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def __bool__(self) -> bool:
        return bool(self.progress or self.outputs or self.changes or self.dead_letters)


@dataclass(slots=True)
class Part:
    """What an exchange carries from one process to another: rows of its key groups by `role@step`, or a tick with none.

    With `lanes` the rows of so many lanes belong together, see `Exchange`.
    """

    sender: int
    epoch: int
    now_ms: int
    inputs: Mapping[str, Columns]
    lanes: int
