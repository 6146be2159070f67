"""The tables of an embedded log and every rule on them, as functions of an open LMDB transaction.

| table      | key                              | value                                             |
|------------|----------------------------------|---------------------------------------------------|
| topics     | name                             | id, partition count and options as MessagePack    |
| partitions | topic id, partition              | first offset, offset after the last record, bytes |
| records    | topic id, partition, offset      | timestamp, key, value, headers: `encode_row`      |
| keys       | topic id, partition, key digest  | offset of the key's last record (compacted only)  |
| offsets    | group, topic id, partition       | offset to read next                               |
| epochs     | transactional id                 | times it was opened                               |
|            | transactional id, a zero byte    | who opened it last, as JSON                       |
| counters   | name                             | number                                            |

Numbers in keys are big-endian, so that LMDB's byte order is offset order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import repeat
from typing import Any

import msgspec

from broker.contract import Headers, TopicPartition, TopicSpec
from broker.embedded_environment import Environment
from broker.holder import Holder, decoded, encoded, taken_over
from config.errors import BrokerUnavailableError, ConfigurationError, Problem, TakenOverError

CREATE_TIME = 1
_ROW = struct.Struct("<qii")  # timestamp in ms, key length, value length; -1 says null
_PARTITION = struct.Struct(">II")
_RECORD = struct.Struct(">IIQ")
_BOUNDS = struct.Struct("<QQQ")
_NUMBER = struct.Struct("<Q")
_NAME_BYTES_MAX = 249  # Kafka's own limit for topic names; keys of LMDB end at 511 bytes
_TRIM_RECORDS_MAX = 10_000
_HOLDER = b"\0"

_decode_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes | None]]).decode
_encode = msgspec.msgpack.Encoder().encode


class Topic(msgspec.Struct, frozen=True):
    """A topic as stored. Ids are never used twice, so rows of a deleted topic cannot come back under its name."""

    id: int
    name: str
    partitions: int
    config: dict[str, str]

    @property
    def compacted(self) -> bool:
        return "compact" in self.config.get("cleanup.policy", "delete").split(",")

    def limit(self, option: str) -> int | None:
        """A retention option as a number; None for its absence and for Kafka's -1, without limit."""
        value = int(self.config.get(option, "-1"))
        return None if value < 0 else value


class Bounds(msgspec.Struct, frozen=True):
    """First offset that is there, offset after the last record, and bytes kept."""

    beginning: int
    end: int
    size_bytes: int


class EmbeddedRecord:
    """A record as read; its parts are taken out of the stored row when asked for."""

    __slots__ = ("_offset", "_partition", "_row", "_topic")

    def __init__(self, topic: str, partition: int, offset: int, row: bytes) -> None:
        self._topic = topic
        self._partition = partition
        self._offset = offset
        self._row = row

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        length = _ROW.unpack_from(self._row)[1]
        return None if length < 0 else self._row[16 : 16 + length]

    def value(self) -> bytes | None:
        _, key_length, length = _ROW.unpack_from(self._row)
        start = 16 + key_length if key_length > 0 else 16
        return None if length < 0 else self._row[start : start + length]

    def headers(self) -> Headers | None:
        _, key_length, length = _ROW.unpack_from(self._row)
        packed = self._row[16 + max(key_length, 0) + max(length, 0) :]
        return _decode_headers(packed) if packed else None

    def timestamp(self) -> tuple[int, int]:
        return CREATE_TIME, _ROW.unpack_from(self._row)[0]

    def __repr__(self) -> str:
        return f"EmbeddedRecord({self._topic}[{self._partition}]@{self._offset}, key={self.key()!r})"


def encode_row(key: bytes | None, value: bytes | None, headers: Headers | None, timestamp_ms: int) -> bytes:
    """The stored form of a record; the offset is its address and not part of it."""
    row = _ROW.pack(timestamp_ms, -1 if key is None else len(key), -1 if value is None else len(value))
    row += (key or b"") + (value or b"")
    return row + _encode(headers) if headers else row


def encode_rows(keys: Sequence[bytes | None], values: Sequence[bytes | None], timestamp_ms: int) -> list[bytes]:
    """The stored form of many records without headers."""
    pack = _ROW.pack
    return [
        pack(timestamp_ms, len(key), len(value)) + key + value
        if key is not None and value is not None
        else encode_row(key, value, None, timestamp_ms)
        for key, value in zip(keys, values, strict=True)
    ]


class Tables:
    """The rules of the log over one environment. Every method takes the transaction it works in."""

    def __init__(self, environment: Environment) -> None:
        self._path = environment.path
        tables = environment.tables
        self._topics, self._partitions, self._records = tables["topics"], tables["partitions"], tables["records"]
        self._keys, self._offsets = tables["keys"], tables["offsets"]
        self._epochs, self._counters = tables["epochs"], tables["counters"]

    def topic(self, transaction: Any, name: str) -> Topic:
        """The topic of that name; `BrokerUnavailableError` if there is none."""
        found = transaction.get(name.encode(), db=self._topics)
        if found is None:
            raise BrokerUnavailableError(
                f"topic {name} does not exist in the embedded log {self._path}: create it first"
            )
        return msgspec.msgpack.decode(found, type=Topic)

    def topics(self, transaction: Any) -> list[Topic]:
        """All topics, by name."""
        with transaction.cursor(db=self._topics) as cursor:
            return [msgspec.msgpack.decode(found, type=Topic) for found in cursor.iternext(keys=False, values=True)]

    def create_topic(self, transaction: Any, spec: TopicSpec) -> bool:
        """Creates a topic unless its name is taken; says whether it did."""
        if not 0 < len(spec.name.encode()) <= _NAME_BYTES_MAX or spec.partitions < 1:
            raise ConfigurationError(
                [Problem(f"topic {spec.name!r} with {spec.partitions} partitions cannot be created")]
            )
        name = spec.name.encode()
        if transaction.get(name, db=self._topics) is not None:
            return False
        topic = Topic(self._next_number(transaction, b"topic"), spec.name, spec.partitions, dict(spec.config))
        transaction.put(name, _encode(topic), db=self._topics)
        for partition in range(spec.partitions):
            self._put_bounds(transaction, topic, partition, Bounds(0, 0, 0))
        return True

    def delete_topic(self, transaction: Any, name: str) -> None:
        """Deletes a topic, its records and all groups' offsets on it; a name that is not there is no error."""
        found = transaction.get(name.encode(), db=self._topics)
        if found is None:
            return
        topic = msgspec.msgpack.decode(found, type=Topic)
        transaction.delete(name.encode(), db=self._topics)
        prefix = topic.id.to_bytes(4, "big")
        for table in (self._records, self._keys, self._partitions):
            _delete_prefix(transaction, table, prefix)
        with transaction.cursor(db=self._offsets) as cursor:
            stale = [key for key in cursor.iternext(values=False) if key[-8:-4] == prefix]
        for key in stale:
            transaction.delete(key, db=self._offsets)

    def bounds(self, transaction: Any, topic: Topic, partition: int) -> Bounds:
        """What a partition holds; `BrokerUnavailableError` if there is no such partition."""
        found = transaction.get(_PARTITION.pack(topic.id, partition), db=self._partitions)
        if found is None:
            raise BrokerUnavailableError(
                f"topic {topic.name} has no partition {partition}, only {topic.partitions} of them (or it was deleted)"
            )
        return Bounds(*_BOUNDS.unpack(found))

    def append(self, transaction: Any, topic: Topic, partition: int, rows: Sequence[bytes], now_ms: int) -> None:
        """Adds rows at the end of a partition, then compacts or trims it as the topic's options say."""
        bounds = self.bounds(transaction, topic, partition)
        end = bounds.end + len(rows)
        keys = map(_RECORD.pack, repeat(topic.id), repeat(partition), range(bounds.end, end))
        items: Iterable[tuple[bytes, bytes]] = zip(keys, rows, strict=False)
        if topic.compacted:
            items = self._compact(transaction, topic, partition, list(items))
        with transaction.cursor(db=self._records) as cursor:
            cursor.putmulti(items)
        bounds = Bounds(bounds.beginning, end, bounds.size_bytes + sum(map(len, rows)))
        if not topic.compacted:
            bounds = self._trim(transaction, topic, partition, bounds, now_ms)
        self._put_bounds(transaction, topic, partition, bounds)

    def read(
        self, transaction: Any, topic: Topic, partition: int, start: int, records_max: int
    ) -> tuple[list[EmbeddedRecord], int]:
        """Records from offset `start` on, and the offset to read next.

        Raises `BrokerUnavailableError` for an offset outside the partition. Compacted topics have holes and no
        beginning that moves.
        """
        bounds = self.bounds(transaction, topic, partition)
        if start > bounds.end or start < bounds.beginning:
            raise BrokerUnavailableError(
                f"offset {start} of {topic.name}[{partition}] is out of range: "
                f"the log has {bounds.beginning} to {bounds.end}"
            )
        if start == bounds.end or records_max <= 0:
            return [], start
        prefix, name = _PARTITION.pack(topic.id, partition), topic.name
        records: list[EmbeddedRecord] = []
        with transaction.cursor(db=self._records) as cursor:
            if not cursor.set_range(_RECORD.pack(topic.id, partition, start)):
                return [], bounds.end
            for key, row in cursor.iternext():
                if key[:8] != prefix:
                    return records, bounds.end
                offset = int.from_bytes(key[8:], "big")
                if len(records) == records_max:
                    return records, offset
                records.append(EmbeddedRecord(name, partition, offset, row))
        return records, bounds.end

    def open_epoch(self, transaction: Any, transactional_id: str, holder: Holder) -> tuple[int, Holder | None]:
        """Counts an opening of the id; its number, and who opened it before.

        From the commit of this transaction on, every earlier holder is a zombie.
        """
        epoch = self._epoch(transaction, transactional_id) + 1
        before = self._holder(transaction, transactional_id)
        transaction.put(_name_key(transactional_id), _NUMBER.pack(epoch), db=self._epochs)
        transaction.put(_name_key(transactional_id) + _HOLDER, encoded(holder), db=self._epochs)
        return epoch, before

    def check_epoch(self, transaction: Any, transactional_id: str, epoch: int, holder: Holder) -> None:
        """Raises `TakenOverError` unless the holder of `epoch` is still the newest."""
        if self._epoch(transaction, transactional_id) != epoch:
            newest = self._holder(transaction, transactional_id)
            raise TakenOverError(taken_over(transactional_id, mine=holder, newest=newest))

    def put_offsets(self, transaction: Any, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Sets where the group goes on reading."""
        topics: dict[str, Topic] = {}
        for (name, partition), offset in offsets.items():
            topic = topics.get(name) or topics.setdefault(name, self.topic(transaction, name))
            key = _name_key(group) + b"\0" + _PARTITION.pack(topic.id, partition)
            transaction.put(key, _NUMBER.pack(offset), db=self._offsets)

    def offset(self, transaction: Any, group: str, topic: Topic, partition: int) -> int | None:
        """Where the group goes on reading a partition; None if it never said."""
        key = _name_key(group) + b"\0" + _PARTITION.pack(topic.id, partition)
        found = transaction.get(key, db=self._offsets)
        return None if found is None else int(_NUMBER.unpack(found)[0])

    def groups(self, transaction: Any) -> list[str]:
        """Every group that has an offset."""
        names: list[str] = []
        with transaction.cursor(db=self._offsets) as cursor:
            more = cursor.first()
            while more:
                name = cursor.key()[:-9]
                names.append(name.decode())
                more = cursor.set_range(name + b"\1")
        return names

    def delete_group(self, transaction: Any, group: str) -> None:
        """Forgets a group's offsets."""
        _delete_prefix(transaction, self._offsets, _name_key(group) + b"\0")

    def _compact(
        self, transaction: Any, topic: Topic, partition: int, items: list[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Deletes what the new rows replace; the new rows that none of the others replaces."""
        last: dict[bytes, tuple[bytes, bytes]] = {}
        for item in items:
            length = _ROW.unpack_from(item[1])[1]
            if length < 0:
                raise BrokerUnavailableError(f"compacted topic {topic.name} refuses a record without a key")
            last[blake2b(item[1][16 : 16 + length], digest_size=16).digest()] = item
        prefix = _PARTITION.pack(topic.id, partition)
        with transaction.cursor(db=self._keys) as cursor:
            for digest, (address, _) in last.items():
                replaced = cursor.get(prefix + digest)
                if replaced is not None:
                    transaction.delete(prefix + replaced, db=self._records)
                cursor.put(prefix + digest, address[8:])
        return sorted(last.values())

    def _trim(self, transaction: Any, topic: Topic, partition: int, bounds: Bounds, now_ms: int) -> Bounds:
        """Deletes from the beginning what retention does not keep: best effort, a bounded piece at each append."""
        retention_ms, retention_bytes = topic.limit("retention.ms"), topic.limit("retention.bytes")
        if retention_ms is None and retention_bytes is None:
            return bounds
        beginning, size_bytes = bounds.beginning, bounds.size_bytes
        with transaction.cursor(db=self._records) as cursor:
            if not cursor.set_range(_RECORD.pack(topic.id, partition, beginning)):
                return bounds
            while beginning < bounds.end and beginning - bounds.beginning < _TRIM_RECORDS_MAX:
                row = cursor.value()
                expired = retention_ms is not None and _ROW.unpack_from(row)[0] < now_ms - retention_ms
                if not expired and (retention_bytes is None or size_bytes <= retention_bytes):
                    break
                size_bytes -= len(row)
                beginning += 1
                cursor.delete()
        return Bounds(beginning, bounds.end, size_bytes)

    def _put_bounds(self, transaction: Any, topic: Topic, partition: int, bounds: Bounds) -> None:
        packed = _BOUNDS.pack(bounds.beginning, bounds.end, bounds.size_bytes)
        transaction.put(_PARTITION.pack(topic.id, partition), packed, db=self._partitions)

    def _epoch(self, transaction: Any, transactional_id: str) -> int:
        found = transaction.get(_name_key(transactional_id), db=self._epochs)
        return int(_NUMBER.unpack(found)[0]) if found else 0

    def _holder(self, transaction: Any, transactional_id: str) -> Holder | None:
        return decoded(transaction.get(_name_key(transactional_id) + _HOLDER, db=self._epochs))

    def _next_number(self, transaction: Any, counter: bytes) -> int:
        found = transaction.get(counter, db=self._counters)
        number = int(_NUMBER.unpack(found)[0]) + 1 if found else 1
        transaction.put(counter, _NUMBER.pack(number), db=self._counters)
        return number


def _name_key(name: str) -> bytes:
    encoded = name.encode()
    if not 0 < len(encoded) <= _NAME_BYTES_MAX or b"\0" in encoded:
        raise ConfigurationError([Problem(f"{name!r} cannot name a group or a transaction: 1 to 249 bytes, no NUL")])
    return encoded


def _delete_prefix(transaction: Any, table: Any, prefix: bytes) -> None:
    with transaction.cursor(db=table) as cursor:
        more = cursor.set_range(prefix)
        while more and cursor.key().startswith(prefix):
            more = cursor.delete()
