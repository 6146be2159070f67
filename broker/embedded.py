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
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

from broker.contract import TopicLimits, TopicPartition, TopicSpec
from broker.embedded_connection import Connection
from broker.embedded_environment import Environment
from broker.embedded_tables import EmbeddedRecord, Topic
from broker.embedded_writers import EmbeddedProducer, EmbeddedTransaction
from broker.record_size import RECORD_BYTES_MAX_DEFAULT

_MAP_BYTES_DEFAULT = 1 << 30
_POLL_S = 0.001


@dataclass(frozen=True, slots=True)
class EmbeddedLog:
    """A log in the folder `path`, created on first use.

    `map_bytes` is the size of the memory map to start with; it takes address space, not disk, and doubles when full.
    """

    path: str | Path
    durable: bool = False
    map_bytes: int = _MAP_BYTES_DEFAULT
    record_bytes_max: int = RECORD_BYTES_MAX_DEFAULT

    def limited(self, record_bytes_max: int) -> EmbeddedLog:
        return replace(self, record_bytes_max=min(record_bytes_max, self.record_bytes_max))

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


class EmbeddedReader(Connection):
    """Reads from snapshots; waits for news by looking at the number of the last commit every millisecond."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._topics: dict[str, Topic] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._turn = 0
        self._ended: set[TopicPartition] = set()
        self._held: frozenset[TopicPartition] = frozenset()

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        with self._environment.read() as transaction:
            self._topics = {name: self._tables.topic(transaction, name) for name in {tp.topic for tp in offsets}}
            for topic, partition in offsets:
                self._tables.bounds(transaction, self._topics[topic], partition)
        self._positions = {TopicPartition(*partition): offset for partition, offset in offsets.items()}
        self._ended = set()
        self._held = frozenset()

    def read(self, records_max: int, timeout_s: float) -> list[EmbeddedRecord]:
        """As the contract says; returns early, with nothing, when it turns out that all partitions are at their end."""
        was_at_end = self.at_end()
        deadline = time.monotonic() + timeout_s
        while True:
            with self._environment.read() as transaction:
                seen = transaction.id()
                records = self._take(transaction, records_max)
            if records or (self.at_end() and not was_at_end):
                return records
            while self._environment.last_change() == seen:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return []
                time.sleep(min(_POLL_S, left_s))
            if time.monotonic() >= deadline:
                return []

    def at_end(self) -> bool:
        return len(self._ended) == len(self._positions)

    def ended(self) -> AbstractSet[TopicPartition]:
        return self._ended

    def near_end(self, partition: TopicPartition, offset: int) -> bool:
        return partition in self._ended

    def hold(self, partitions: Iterable[TopicPartition]) -> None:
        self._held = frozenset(partitions)

    def fetched(self) -> Mapping[TopicPartition, int]:
        return self._positions

    def _take(self, transaction: object, records_max: int) -> list[EmbeddedRecord]:
        """A fair share from every partition first, then what is left from whichever has more; turns rotate."""
        partitions = [partition for partition in self._positions if partition not in self._held]
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
        self._ended = {
            partition
            for partition in self._positions
            if self._positions[partition]
            == self._tables.bounds(transaction, self._topics[partition.topic], partition.partition).end
        }
        return records

    def _take_from(self, transaction: object, partition: TopicPartition, records_max: int) -> list[EmbeddedRecord]:
        records, self._positions[partition] = self._tables.read(
            transaction, self._topics[partition.topic], partition.partition, self._positions[partition], records_max
        )
        return records


class EmbeddedAdmin(Connection):
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

    def limits(self, topics: Sequence[str]) -> TopicLimits:
        """None: they take what the log takes."""
        return TopicLimits()

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
