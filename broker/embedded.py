"""The embedded log: the contract of a log on one LMDB environment, for many processes of one host.

A transaction keeps its records in memory and applies them, with the group's offsets, in one LMDB write transaction,
after checking that no successor has opened its transactional id. So a commit is atomic, a zombie changes nothing, and
readers, who work on LMDB snapshots, see committed records only. It is not a cluster: one disk, one host.

Without `durable` nothing is flushed to the disk by hand. The death of a process, however sudden, loses nothing then,
but after a power failure or a crash of the operating system the whole folder may be unreadable and has to be deleted.
With `durable` every commit is flushed before it returns, and such an end loses nothing that was committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from broker.contract import Headers, TopicPartition, TopicSpec
from broker.embedded_environment import Environment
from broker.embedded_tables import EmbeddedRecord, Tables, Topic, encode_row, encode_rows
from broker.murmur2 import partition_of, partitions_of
from broker.record_size import RECORD_BYTES_MAX_DEFAULT, batch_bytes, check_record
from config.errors import BrokerUnavailableError

_MAP_BYTES_DEFAULT = 1 << 30
_POLL_S = 0.001
# A producer commits on its own after this many records; what is sent after that waits for `flush`.
_PRODUCER_RECORDS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class EmbeddedLog:
    """A log in the folder `path`, created on first use.

    `map_bytes` is the size of the memory map to start with; it takes address space, not disk, and doubles when full.
    """

    path: str | Path
    durable: bool = False
    map_bytes: int = _MAP_BYTES_DEFAULT
    record_bytes_max: int = RECORD_BYTES_MAX_DEFAULT

    def reader(self, client_id: str) -> EmbeddedReader:
        return EmbeddedReader(self._acquire())

    def producer(self, client_id: str) -> EmbeddedProducer:
        return EmbeddedProducer(self._acquire(), record_bytes_max=self.record_bytes_max)

    def transaction(self, transactional_id: str, group: str) -> EmbeddedTransaction:
        return EmbeddedTransaction(
            self._acquire(), transactional_id=transactional_id, group=group, record_bytes_max=self.record_bytes_max
        )

    def admin(self) -> EmbeddedAdmin:
        return EmbeddedAdmin(self._acquire())

    def _acquire(self) -> Environment:
        return Environment.acquire(str(self.path), map_bytes=self.map_bytes, durable=self.durable)


class _Connection:
    """What the four ways of using the log share: the environment, let go of once."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._tables = Tables(environment)
        self._closed = False

    def close(self) -> None:
        """Lets go of the environment; the second call does nothing."""
        if not self._closed:
            self._closed = True
            self._environment.release()


class EmbeddedReader(_Connection):
    """Reads from snapshots; waits for news by looking at the number of the last commit every millisecond."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._topics: dict[str, Topic] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._turn = 0
        self._at_end = False

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        with self._environment.read() as transaction:
            self._topics = {name: self._tables.topic(transaction, name) for name in {tp.topic for tp in offsets}}
            for topic, partition in offsets:
                self._tables.bounds(transaction, self._topics[topic], partition)
        self._positions = {TopicPartition(*partition): offset for partition, offset in offsets.items()}
        self._at_end = not offsets

    def read(self, records_max: int, timeout_s: float) -> list[EmbeddedRecord]:
        """As the contract says; returns early, with nothing, when it turns out that all partitions are at their end."""
        was_at_end = self._at_end
        deadline = time.monotonic() + timeout_s
        while True:
            with self._environment.read() as transaction:
                seen = transaction.id()
                records = self._take(transaction, records_max)
            if records or (self._at_end and not was_at_end):
                return records
            while self._environment.last_change() == seen:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return []
                time.sleep(min(_POLL_S, left_s))
            if time.monotonic() >= deadline:
                return []

    def at_end(self) -> bool:
        return self._at_end

    def _take(self, transaction: object, records_max: int) -> list[EmbeddedRecord]:
        """A fair share from every partition first, then what is left from whichever has more; turns rotate."""
        partitions = list(self._positions)
        if not partitions:
            return []
        self._turn = (self._turn + 1) % len(partitions)
        partitions = partitions[self._turn :] + partitions[: self._turn]
        records: list[EmbeddedRecord] = []
        share = max(1, records_max // len(partitions))
        for limit in (share, records_max):
            for partition in partitions:
                wanted = min(limit, records_max - len(records))
                records += self._take_from(transaction, partition, wanted)
        self._at_end = all(
            self._positions[partition]
            == self._tables.bounds(transaction, self._topics[partition.topic], partition.partition).end
            for partition in partitions
        )
        return records

    def _take_from(self, transaction: object, partition: TopicPartition, records_max: int) -> list[EmbeddedRecord]:
        records, self._positions[partition] = self._tables.read(
            transaction, self._topics[partition.topic], partition.partition, self._positions[partition], records_max
        )
        return records


class _Buffer:
    """Records on their way into the log, encoded and sorted by partition, in the order in which they were sent."""

    def __init__(self, environment: Environment, tables: Tables, record_bytes_max: int) -> None:
        self._environment = environment
        self._tables = tables
        self._record_bytes_max = record_bytes_max
        self._topics: dict[str, Topic] = {}
        self._rows: dict[TopicPartition, list[bytes]] = {}
        self._round_robin = count()
        self.records = 0

    def add(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Headers | None,
        partition: int | None,
        timestamp_ms: int | None,
    ) -> None:
        check_record(topic, key, value, headers, record_bytes_max=self._record_bytes_max)
        partitions = self._topic(topic).partitions
        if partition is None:
            partition = next(self._round_robin) % partitions if key is None else partition_of(key, partitions)
        elif not 0 <= partition < partitions:
            raise BrokerUnavailableError(f"topic {topic} has no partition {partition}, only {partitions} of them")
        row = encode_row(key, value, headers, _now_ms() if timestamp_ms is None else timestamp_ms)
        self._rows.setdefault(TopicPartition(topic, partition), []).append(row)
        self.records += 1

    def add_batch(
        self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None], partition: int | None
    ) -> None:
        batch_bytes(topic, keys, values, record_bytes_max=self._record_bytes_max)
        partitions = self._topic(topic).partitions
        rows = encode_rows(keys, values, _now_ms())
        self.records += len(rows)
        if partition is not None:
            if not 0 <= partition < partitions:
                raise BrokerUnavailableError(f"topic {topic} has no partition {partition}, only {partitions} of them")
            self._rows.setdefault(TopicPartition(topic, partition), []).extend(rows)
            return
        lists = [self._rows.setdefault(TopicPartition(topic, number), []) for number in range(partitions)]
        for row, number in zip(rows, self._partitions_of(keys, partitions), strict=True):
            lists[number].append(row)

    def apply(self, transaction: object) -> None:
        """Appends everything to the log; the buffer stays as it is, for the transaction may be run again."""
        now_ms = _now_ms()
        for (topic, partition), rows in self._rows.items():
            if rows:
                self._tables.append(transaction, self._topics[topic], partition, rows, now_ms)

    def clear(self) -> None:
        self._rows.clear()
        self.records = 0

    def _partitions_of(self, keys: Sequence[bytes | None], partitions: int) -> list[int]:
        with_key = [key for key in keys if key is not None]
        found = iter(partitions_of(with_key, partitions))
        if len(with_key) == len(keys):
            return list(found)
        return [next(self._round_robin) % partitions if key is None else next(found) for key in keys]

    def _topic(self, name: str) -> Topic:
        """Kept once found: if it is deleted meanwhile, `append` finds its partitions gone and says so."""
        topic = self._topics.get(name)
        if topic is None:
            with self._environment.read() as transaction:
                topic = self._topics[name] = self._tables.topic(transaction, name)
        return topic


class EmbeddedProducer(_Connection):
    """Collects records and commits them a thousand at a time, the rest at `flush` or `close`."""

    def __init__(self, environment: Environment, *, record_bytes_max: int) -> None:
        super().__init__(environment)
        self._buffer = _Buffer(environment, self._tables, record_bytes_max)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        self._buffer.add(topic, key, value, headers=headers, partition=partition, timestamp_ms=timestamp_ms)
        if self._buffer.records >= _PRODUCER_RECORDS_MAX:
            self.flush()

    def flush(self) -> None:
        if self._buffer.records:
            self._environment.write(self._buffer.apply)
            self._buffer.clear()

    def close(self) -> None:
        """Flushes, then lets go of the environment."""
        try:
            if not self._closed:
                self.flush()
        finally:
            super().close()


class EmbeddedTransaction(_Connection):
    """The one writer of a transactional id.

    1. Opening counts the id's epoch up, durably: every earlier holder is a zombie from here on. A crash right after
       it costs nothing.
    2. Records sent collect in memory. A crash loses them and the log never knew them.
    3. `commit` checks the epoch and applies records and offsets in one LMDB write transaction. A crash before its end
       leaves the log as it was; after it, everything is there.
    """

    def __init__(self, environment: Environment, *, transactional_id: str, group: str, record_bytes_max: int) -> None:
        super().__init__(environment)
        self._transactional_id = transactional_id
        self._group = group
        self._buffer = _Buffer(environment, self._tables, record_bytes_max)
        self._begun = False
        try:
            self._epoch = environment.write(lambda transaction: self._tables.open_epoch(transaction, transactional_id))
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        assert not self._begun, "begin follows open, commit or abort"
        with self._environment.read() as transaction:
            self._tables.check_epoch(transaction, self._transactional_id, self._epoch)
        self._begun = True

    def send_batch(
        self, topic: str, keys: Iterable[bytes | None], values: Iterable[bytes | None], *, partition: int | None = None
    ) -> None:
        assert self._begun, "records are sent between begin and commit"
        self._buffer.add_batch(topic, list(keys), list(values), partition)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        assert self._begun, "records are sent between begin and commit"
        self._buffer.add(topic, key, value, headers=headers, partition=partition, timestamp_ms=timestamp_ms)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        assert self._begun, "commit follows begin"

        def apply(transaction: object) -> None:
            self._tables.check_epoch(transaction, self._transactional_id, self._epoch)
            self._buffer.apply(transaction)
            self._tables.put_offsets(transaction, self._group, offsets)

        self._environment.write(apply)
        self.abort()

    def abort(self) -> None:
        self._buffer.clear()
        self._begun = False


class EmbeddedAdmin(_Connection):
    """Questions and changes about topics and groups, each in one LMDB transaction."""

    def create_topics(self, topics: Sequence[TopicSpec]) -> list[str]:
        return self._environment.write(
            lambda transaction: [spec.name for spec in topics if self._tables.create_topic(transaction, spec)]
        )

    def delete_topics(self, names: Sequence[str]) -> None:
        def delete(transaction: object) -> None:
            for name in names:
                self._tables.delete_topic(transaction, name)

        self._environment.write(delete)

    def topics(self) -> dict[str, int]:
        with self._environment.read() as transaction:
            return {topic.name: topic.partitions for topic in self._tables.topics(transaction)}

    def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        with self._environment.read() as transaction:
            return {
                tp: self._tables.bounds(transaction, self._tables.topic(transaction, tp.topic), tp.partition).beginning
                for tp in partitions
            }

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        with self._environment.read() as transaction:
            return {
                tp: self._tables.bounds(transaction, self._tables.topic(transaction, tp.topic), tp.partition).end
                for tp in partitions
            }

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        with self._environment.read() as transaction:
            found = {
                tp: self._tables.offset(transaction, group, self._tables.topic(transaction, tp.topic), tp.partition)
                for tp in partitions
            }
        return {tp: offset for tp, offset in found.items() if offset is not None}

    def groups(self) -> list[str]:
        with self._environment.read() as transaction:
            return self._tables.groups(transaction)

    def alter_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self._environment.write(lambda transaction: self._tables.put_offsets(transaction, group, offsets))

    def delete_group(self, group: str) -> None:
        self._environment.write(lambda transaction: self._tables.delete_group(transaction, group))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
