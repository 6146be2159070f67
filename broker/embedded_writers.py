"""Writing to the embedded log: records are buffered in memory and applied in one LMDB transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from broker.byte_columns import BytesColumn, as_array, lengths
from broker.contract import Headers, TopicPartition
from broker.embedded_connection import Connection
from broker.embedded_environment import Environment
from broker.embedded_tables import Tables, Topic, encode_row, encode_rows
from broker.holder import announce, this_holder
from broker.murmur2 import partition_of, partitions_of
from broker.record_size import batch_bytes, check_record
from config.errors import BrokerUnavailableError

# A producer commits on its own after this many records; what is sent after that waits for `flush`.
_PRODUCER_RECORDS_MAX = 1_000


class EmbeddedProducer(Connection):
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


class EmbeddedTransaction(Connection):
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
        self._holder = this_holder()
        try:
            self._epoch, before = environment.write(
                lambda transaction: self._tables.open_epoch(transaction, transactional_id, self._holder)
            )
            announce(transactional_id, before)
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        assert not self._begun, "begin follows open, commit or abort"
        with self._environment.read() as transaction:
            self._tables.check_epoch(transaction, self._transactional_id, self._epoch, self._holder)
        self._begun = True

    def send_batch(self, topic: str, keys: BytesColumn, values: BytesColumn, *, partition: int | None = None) -> None:
        assert self._begun, "records are sent between begin and commit"
        self._buffer.add_batch(topic, as_array(keys), as_array(values), partition)

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
            self._tables.check_epoch(transaction, self._transactional_id, self._epoch, self._holder)
            self._buffer.apply(transaction)
            self._tables.put_offsets(transaction, self._group, offsets)

        self._environment.write(apply)
        self.abort()

    def abort(self) -> None:
        self._buffer.clear()
        self._begun = False


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

    def add_batch(self, topic: str, keys: Any, values: Any, partition: int | None) -> None:
        """Keys and values are of type `pyarrow.BinaryArray`."""
        batch_bytes(topic, lengths(keys), lengths(values), record_bytes_max=self._record_bytes_max)
        partitions = self._topic(topic).partitions
        keys = keys.to_pylist()
        rows = encode_rows(keys, values.to_pylist(), _now_ms())
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


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
