"""Broadcast tables: small compacted topics that every process holds whole, read to their end before any record.

A table is never older after a restart than before it, because starting reads it to its end; so a decision never uses
an older version of the controls than an earlier decision did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from broker.contract import Log, Reader, TopicPartition
from config.errors import BrokerUnavailableError, DecodeError
from operators.codec.codec import Codec

_READ_RECORDS_MAX = 10_000
_READ_TIMEOUT_S = 0.2

log = structlog.get_logger(__name__)


class Table(dict[str, Any]):
    """One table. `changes` grows with every change, so that what is worked out from it is so once per change."""

    changes = 0


class BroadcastTables:
    """The tables of one process by source name: key -> latest record."""

    def __init__(self, sources: Mapping[str, str], event_types: Mapping[str, type[msgspec.Struct]]) -> None:
        self._topics = dict(sources)
        self._event_types = event_types
        self.tables: dict[str, Table] = {name: Table() for name in sources}
        self.version = 0
        self.refused = 0
        self._reader: Reader | None = None
        self._codec: Codec | None = None

    def open(self, log_: Log, client_id: str, codec: Codec) -> None:
        """Reads all tables to their ends; follows them from then on with `poll`."""
        if not self._topics:
            return
        self._codec = codec
        admin = log_.admin()
        try:
            counts = admin.topics()
            missing = [topic for topic in self._topics.values() if topic not in counts]
            if missing:
                raise BrokerUnavailableError(f"there is no topic {', '.join(missing)}: run `orderflow topics create`")
            partitions = [TopicPartition(t, p) for t in set(self._topics.values()) for p in range(counts[t])]
            beginnings = admin.beginnings(partitions)
        finally:
            admin.close()
        self._reader = log_.reader(client_id)
        self._reader.assign(beginnings)
        while True:
            self._read(_READ_TIMEOUT_S)
            if self._reader.at_end():
                break

    def poll(self) -> bool:
        """Takes in what is new; True if something was."""
        return self._reader is not None and self._read(0.0)

    def _read(self, timeout_s: float) -> bool:
        assert self._reader is not None
        records = self._reader.read(_READ_RECORDS_MAX, timeout_s)
        for record in records:
            self.put(record.topic(), record.key() or b"", record.value(), f"{record.partition()}@{record.offset()}")
        return bool(records)

    def put(self, topic: str, key: bytes, value: bytes | None, place: str) -> None:
        """Sets or, with None, removes a key in every table of the topic; what cannot be read changes nothing."""
        assert self._codec is not None
        record = None
        try:
            name = key.decode()
            if value is not None:
                record = msgspec.convert(self._codec.decode_record(topic, value), self._event_types[topic])
        except (DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            self.refused += 1
            log.error("broadcast record refused, the table keeps what it had", topic=topic, at=place, error=str(error))
            return
        for source, source_topic in self._topics.items():
            if source_topic == topic:
                self.tables[source].changes += 1
                if record is None:
                    self.tables[source].pop(name, None)
                else:
                    self.tables[source][name] = record
        self.version += 1

    def close(self) -> None:
        """Lets go of the reader."""
        if self._reader is not None:
            self._reader.close()
