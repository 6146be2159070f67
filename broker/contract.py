"""The contract of a log: what every implementation promises to flows, services and tools.

A log holds topics of numbered partitions. Within a partition records keep the order in which they were committed and
are addressed by offset. Readers see committed records only. A transaction writes records to any topics and moves the
offsets of one consumer group, all or nothing; opening a transaction with an id fences every earlier holder of that id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from broker.byte_columns import BytesColumn  # who only asks for an address need not load what columns are made of

Headers = list[tuple[str, bytes | None]]


class TopicPartition(NamedTuple):
    """The address of one partition."""

    topic: str
    partition: int


class Record(Protocol):
    """One record as read: the subset of `confluent_kafka.Message` in use, so that Kafka needs no wrapper."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Headers | None: ...
    def timestamp(self) -> tuple[int, int]:
        """Kind (1 create time, 2 append time, 0 none) and milliseconds since the epoch."""
        ...


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to be created. `config` holds Kafka topic options by their Kafka names."""

    name: str
    partitions: int
    replication_factor: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicLimits:
    """The largest records that topics take, by name."""

    record_bytes_max: Mapping[str, int] = field(default_factory=dict)
    """Key, value and headers; topics that take whatever the log takes are missing."""
    untold: Mapping[str, str] = field(default_factory=dict)
    """Topics whose limit the log does not tell, and why."""


class Reader(Protocol):
    """Reads committed records of the partitions assigned to it; belongs to one thread and joins no group."""

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Reads these partitions, each from the offset given, from now on. Replaces any earlier assignment."""
        ...

    def read(self, records_max: int, timeout_s: float) -> Sequence[Record]:
        """Up to `records_max` records, in offset order within each partition.

        Returns as soon as there is something, and after `timeout_s` with nothing. An offset that the log no longer
        has is a `BrokerUnavailableError` that names it: silently skipping records is no option.
        """
        ...

    def at_end(self) -> bool:
        """True if every assigned partition has been read to the committed end known to the last `read`."""
        ...

    def ended(self) -> AbstractSet[TopicPartition]:
        """The assigned partitions of which that is true."""
        ...

    def near_end(self, partition: TopicPartition, offset: int) -> bool:
        """Whether hardly anything is known to lie between an offset and the end of an assigned partition.

        Of a partition that is written to all the time a reader may never see the very end. False if it knows no end.
        """
        ...

    def hold(self, partitions: Iterable[TopicPartition]) -> None:
        """Gives nothing of these partitions until called again without them; then it goes on where it was.

        A client may have to fetch again what it had in memory of them.
        """
        ...

    def fetched(self) -> Mapping[TopicPartition, int]:
        """Offsets before which this reader needs nothing more from the log, as far as it knows; for watching it.

        What lies before was given out, waits in memory, or is no record that anybody will see: markers of transactions
        and what aborted ones wrote. A partition may be missing, and an offset lag behind for some seconds.
        """
        ...

    def close(self) -> None: ...


class Producer(Protocol):
    """Sends records idempotently, outside transactions. Records without a partition go by murmur2 of their key."""

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None: ...

    def flush(self) -> None:
        """Returns when everything sent is durable; raises `BrokerUnavailableError` if some of it is not."""
        ...

    def close(self) -> None: ...


class Transaction(Protocol):
    """The one writer of a transactional id. Opening it fences all earlier holders and aborts what they left open.

    After an error of any call the object is broken: close it, open a new one (which fences), and start from the
    committed offsets again.
    """

    def begin(self) -> None: ...

    def send_batch(self, topic: str, keys: BytesColumn, values: BytesColumn, *, partition: int | None = None) -> None:
        """Sends many records without headers; without `partition` each goes by murmur2 of its key."""
        ...

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None: ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Makes the records visible and moves the group's offsets, atomically. Raises `FencedError` for a zombie."""
        ...

    def abort(self) -> None: ...

    def close(self) -> None:
        """Lets go of all resources; an open transaction is left to be aborted by the successor or by time."""
        ...


class Admin(Protocol):
    """Questions and changes about topics and groups."""

    def create_topics(self, topics: Sequence[TopicSpec]) -> list[str]:
        """Creates those that do not exist; the names of the ones created."""
        ...

    def delete_topics(self, names: Sequence[str]) -> None: ...

    def topics(self) -> dict[str, int]:
        """Partition count by topic name, internal topics of the log left out."""
        ...

    def limits(self, topics: Sequence[str]) -> TopicLimits:
        """How large a record these topics take. What may not be asked is told, and no error."""
        ...

    def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """First offset that is still there."""
        ...

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Offset after the last committed record (read_committed: the last stable offset)."""
        ...

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Offsets of a group, only those that it has; stable ones (waits for an open transaction on them)."""
        ...

    def groups(self) -> list[str]: ...

    def alter_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Sets a group's offsets outside a transaction; the flow must not run."""
        ...

    def delete_group(self, group: str) -> None: ...

    def close(self) -> None: ...


class Log(Protocol):
    """A log to connect to. Making one does no I/O; each method opens a connection of its own, but admins share one."""

    @property
    def record_bytes_max(self) -> int:
        """Bytes of the largest record that it takes: key, value and headers."""
        ...

    def limited(self, record_bytes_max: int) -> Log:
        """The same log, which takes no record larger than that, and sends none in a larger piece."""
        ...

    def reader(self, client_id: str) -> Reader: ...

    def producer(self, client_id: str) -> Producer: ...

    def transaction(self, transactional_id: str, group: str) -> Transaction: ...

    def admin(self) -> Admin: ...
