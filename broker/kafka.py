"""The log on Apache Kafka, by confluent-kafka: the contract's guarantees as client options and error handling."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from confluent_kafka import Consumer, KafkaError, Message
from confluent_kafka import TopicPartition as Position

from broker.contract import TopicPartition
from broker.kafka_admin import AdminConnection, KafkaAdmin
from broker.kafka_client import LOGGER, TopicLookup, make_client
from broker.kafka_errors import is_transient
from broker.kafka_reach import why_unreachable
from broker.kafka_sender import KafkaProducer
from broker.kafka_transaction import KafkaTransaction
from broker.kafka_waits import Waits
from broker.record_size import RECORD_BYTES_MAX_DEFAULT
from config.errors import BrokerUnavailableError

_DEADLINE_S_DEFAULT = 60.0
_NEAR_END_RECORDS = 100
"""What several fetches in a row may bring of a busy partition."""
_STATISTICS_EVERY_MS = 5_000


@dataclass(frozen=True, slots=True)
class KafkaLog:
    """A Kafka cluster.

    `options` are librdkafka options for all clients, such as those of authentication; the ones that the guarantees
    depend on cannot be overridden. `deadline_s` bounds every call that waits for the cluster.
    """

    bootstrap_servers: str
    options: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float = _DEADLINE_S_DEFAULT
    _waits: Waits = field(init=False, repr=False, compare=False)
    _admin: AdminConnection = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        waits = Waits(self.bootstrap_servers, why=lambda: why_unreachable(self._client("reach")))
        object.__setattr__(self, "_waits", waits)
        object.__setattr__(self, "_admin", AdminConnection(self._client("admin")))

    @property
    def record_bytes_max(self) -> int:
        return int(self.options.get("message.max.bytes", RECORD_BYTES_MAX_DEFAULT))

    def limited(self, record_bytes_max: int) -> KafkaLog:
        """As the contract says; it shares this one's connection for questions."""
        most = min(record_bytes_max, self.record_bytes_max)
        log = replace(self, options={**self.options, "message.max.bytes": str(most)})
        object.__setattr__(log, "_waits", self._waits)
        object.__setattr__(log, "_admin", self._admin)
        return log

    def reader(self, client_id: str) -> KafkaReader:
        return KafkaReader(self._client(client_id), self._waits, deadline_s=self.deadline_s)

    def producer(self, client_id: str) -> KafkaProducer:
        return KafkaProducer(self._client(client_id), self._waits, deadline_s=self.deadline_s)

    def transaction(self, transactional_id: str, group: str) -> KafkaTransaction:
        client = self._client(transactional_id)
        return KafkaTransaction(
            client, self._waits, transactional_id=transactional_id, group=group, deadline_s=self.deadline_s
        )

    def admin(self) -> KafkaAdmin:
        return KafkaAdmin(self._admin, self._waits, deadline_s=self.deadline_s)

    def _client(self, client_id: str) -> dict[str, object]:
        defaults = {"client.id": client_id, "socket.nagle.disable": True}
        return {**defaults, **self.options, "bootstrap.servers": self.bootstrap_servers}


class KafkaReader:
    """A consumer that assigns itself partitions and joins no group. Its records are `confluent_kafka.Message`s."""

    def __init__(self, client: Mapping[str, object], waits: Waits, *, deadline_s: float) -> None:
        options = {
            "fetch.wait.max.ms": 10,
            "queued.min.messages": 200_000,
            **client,
            "group.id": client["client.id"],  # demanded by the client; nothing is ever committed under it
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
            "statistics.interval.ms": _STATISTICS_EVERY_MS,
            "stats_cb": self._take_statistics,
        }
        self._fetched: dict[TopicPartition, int] = {}
        self._consumer = make_client(Consumer, options)
        self._lookup = TopicLookup(self._consumer, waits, deadline_s)
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._ended: set[TopicPartition] = set()
        self._held: frozenset[TopicPartition] = frozenset()

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        for topic, partition in offsets:
            self._lookup.check(topic, partition)
        self.hold(())
        self._assigned = frozenset(offsets)
        self._ended.clear()
        self._fetched.clear()
        self._consumer.assign([Position(topic, number, offset) for (topic, number), offset in offsets.items()])

    def read(self, records_max: int, timeout_s: float) -> list[Message]:
        """As the contract says; returns early, with nothing, when it turns out that all partitions are at their end."""
        # `consume` with a timeout waits until it has `records_max` records; without one it takes what was fetched.
        was_at_end = self.at_end()
        records = self._without_events(self._consumer.consume(records_max, 0))
        deadline = time.monotonic() + timeout_s
        while not records and (was_at_end or not self.at_end()):
            left_s = deadline - time.monotonic()
            first = self._consumer.poll(left_s) if left_s > 0 else None
            if first is None:
                break
            rest = self._consumer.consume(records_max - 1, 0) if records_max > 1 else []
            records = self._without_events([first, *rest])
            was_at_end = was_at_end and self.at_end()
        return records

    def at_end(self) -> bool:
        return len(self._ended) == len(self._assigned)

    def ended(self) -> AbstractSet[TopicPartition]:
        return self._ended

    def near_end(self, partition: TopicPartition, offset: int) -> bool:
        if partition in self._ended:
            return True
        _, end = self._consumer.get_watermark_offsets(Position(*partition), cached=True)
        return bool(end >= 0 and end - offset <= _NEAR_END_RECORDS)  # below 0: nothing of it was fetched yet

    def hold(self, partitions: Iterable[TopicPartition]) -> None:
        held = frozenset(partitions)
        if released := self._held - held:
            for partition in released:  # what was fetched of it and not given yet is fetched again
                self._fetched.pop(partition, None)
            self._consumer.resume([Position(*partition) for partition in released])
        if more := held - self._held:
            self._consumer.pause([Position(*partition) for partition in more])
        self._held = held

    def fetched(self) -> Mapping[TopicPartition, int]:
        return self._fetched

    def close(self) -> None:
        self._consumer.close()

    def _without_events(self, messages: list[Message]) -> list[Message]:
        """The records among the messages; the others are ends of partitions and errors."""
        records = [message for message in messages if message.error() is None]
        if self._ended or len(records) != len(messages):
            last: tuple[str, int] | None = None
            for message in messages:
                if message.error() is not None:
                    self._take_note(message)
                    last = None
                elif (place := (message.topic(), message.partition())) != last:  # records come in runs
                    self._ended.discard(TopicPartition(*place))
                    last = place
        return records

    def _take_note(self, message: Message) -> None:
        partition = TopicPartition(message.topic(), message.partition())
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(partition)
            self._pass(partition, message.offset())
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise BrokerUnavailableError(
                f"offset {message.offset()} of {partition.topic}[{partition.partition}] is out of range: {error.str()}"
            )
        elif is_transient(error):
            LOGGER.warning("reading goes on after: %s", error.str())
        else:
            raise BrokerUnavailableError(f"{partition.topic}[{partition.partition}] cannot be read: {error.str()}")

    def _pass(self, partition: TopicPartition, offset: int) -> None:
        if partition in self._assigned:
            self._fetched[partition] = max(offset, self._fetched.get(partition, 0))

    def _take_statistics(self, text: str) -> None:
        """Notes where the client fetches next: it also passes what it gives to nobody, such as aborted records.

        Of a partition that is held it says where it was before, which counts no more.
        """
        for name, topic in json.loads(text).get("topics", {}).items():
            for number, partition in topic["partitions"].items():
                tp = TopicPartition(name, int(number))
                if tp not in self._held:
                    self._pass(tp, partition["next_offset"])
