"""The log on Apache Kafka, by confluent-kafka: the contract's guarantees as client options and error handling."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as Position

from broker.contract import Headers, TopicPartition
from broker.kafka_admin import KafkaAdmin
from broker.kafka_client import LOGGER, TopicLookup, make_client
from broker.kafka_errors import broken_world, is_transient
from broker.kafka_waits import Errand, Waits
from broker.record_size import RECORD_BYTES_MAX_DEFAULT, batch_bytes, check_record
from config.errors import BrokenWorldError, BrokerUnavailableError

# Beyond this much sent and not yet acknowledged, a send waits for the broker to catch up.
_UNACKNOWLEDGED_BYTES_MAX = 256 << 20
_UNACKNOWLEDGED_RECORDS_MAX = 1_000_000
_NO_LIMIT = 2**31 - 1
# The client counts the framing of a record batch as well; the limit that users set is one of content.
_FRAMING_BYTES = 1024
_MESSAGE_BYTES_MAX = 1_000_000_000
_DEADLINE_S_DEFAULT = 60.0
_STATISTICS_EVERY_MS = 5_000
# A call that is given a time and takes this much longer will never return.
_GIVE_UP_AFTER_S = 10.0
_RETRY_S = 0.01


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "_waits", Waits(self.bootstrap_servers))

    @property
    def record_bytes_max(self) -> int:
        return int(self.options.get("message.max.bytes", RECORD_BYTES_MAX_DEFAULT))

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
        return KafkaAdmin(self._client("admin"), self._waits, deadline_s=self.deadline_s)

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

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        for topic, partition in offsets:
            self._lookup.check(topic, partition)
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

    def fetched(self) -> Mapping[TopicPartition, int]:
        return self._fetched

    def close(self) -> None:
        self._consumer.close()

    def _without_events(self, messages: list[Message]) -> list[Message]:
        """The records among the messages; the others are ends of partitions and errors."""
        records = [message for message in messages if message.error() is None]
        if self._ended or len(records) != len(messages):
            for message in messages:
                self._take_note(message)
        return records

    def _take_note(self, message: Message) -> None:
        partition = TopicPartition(message.topic(), message.partition())
        error = message.error()
        if error is None:
            self._ended.discard(partition)
        elif error.code() == KafkaError._PARTITION_EOF:
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
        """Notes where the client fetches next: it also passes what it gives to nobody, such as aborted records."""
        for name, topic in json.loads(text).get("topics", {}).items():
            for number, partition in topic["partitions"].items():
                self._pass(TopicPartition(name, int(number)), partition["next_offset"])


class _Sender:
    """What the two kinds of producers share: options, the limit of a record, and waiting for a slow broker.

    librdkafka's own queue limits are lifted, because `produce_batch` goes on after a record that found the queue full,
    which would put records out of order. Instead each send first waits until the unacknowledged are few enough.
    """

    def __init__(
        self, client: Mapping[str, object], waits: Waits, guarantees: Mapping[str, object], *, deadline_s: float
    ) -> None:
        options = {
            "linger.ms": 2,
            "compression.type": "lz4",
            "batch.num.messages": 100_000,
            "retry.backoff.ms": 5,
            "message.max.bytes": RECORD_BYTES_MAX_DEFAULT,
            **client,
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": _NO_LIMIT,
            "queue.buffering.max.kbytes": _NO_LIMIT,
            "delivery.report.only.error": True,
            **guarantees,
        }
        self._record_bytes_max = int(str(options["message.max.bytes"]))
        options["message.max.bytes"] = min(self._record_bytes_max + _FRAMING_BYTES, _MESSAGE_BYTES_MAX)
        self._waits, self._deadline_s = waits, deadline_s
        self._unacknowledged_bytes = 0
        self._fatal: KafkaError | None = None
        self._producer: Producer = make_client(Producer, options)
        self._lookup = TopicLookup(self._producer, waits, deadline_s)

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
        size_bytes = check_record(topic, key, value, headers, record_bytes_max=self._record_bytes_max)
        self._lookup.check(topic, partition)
        self._make_room(size_bytes)
        try:
            self._producer.produce(
                topic,
                value=value,
                key=key,
                partition=-1 if partition is None else partition,
                timestamp=0 if timestamp_ms is None else timestamp_ms,
                headers=headers or None,
            )
        except KafkaException as error:
            raise self._broken_world(error, f"a record for topic {topic} cannot be sent") from error
        self._serve()

    def close(self) -> None:
        """Lets go of the connection. What was sent and not flushed or committed may be lost."""
        if hasattr(self, "_producer"):
            with suppress(KafkaException):  # a fenced producer refuses even this
                self._producer.purge()
            del self._lookup, self._producer

    def _serve(self) -> None:
        """Takes delivery reports and errors in. The client raises a fatal error here, and only the first time."""
        try:
            self._producer.poll(0)
        except KafkaException as error:
            self._fatal = self._fatal or error.args[0]

    def _broken_world(self, error: KafkaException | KafkaError, what: str) -> BrokenWorldError:
        """The error to raise. After a fatal one calls say no more than "fatal", so the first that came is the cause."""
        cause = error.args[0] if isinstance(error, KafkaException) else error
        self._serve()
        if cause.fatal() and cause.code() != KafkaError._FATAL:
            self._fatal = self._fatal or cause
        return broken_world(self._fatal or cause, what)

    def _make_room(self, size_bytes: int) -> None:
        waiting = len(self._producer)
        if waiting == 0:
            self._unacknowledged_bytes = 0
        self._unacknowledged_bytes += size_bytes
        if self._unacknowledged_bytes > _UNACKNOWLEDGED_BYTES_MAX or waiting > _UNACKNOWLEDGED_RECORDS_MAX:
            self._drain()
            self._unacknowledged_bytes = size_bytes

    def _drain(self) -> None:
        with self._waits("records sent cannot be delivered", self._deadline_s):
            self._flush()

    def _flush(self) -> None:
        try:
            left = self._producer.flush(self._deadline_s)
        except KafkaException as error:
            raise self._broken_world(error, "records sent cannot be delivered") from error
        if left:
            raise BrokerUnavailableError(f"{left} records were not acknowledged within {self._deadline_s} s")


class KafkaProducer(_Sender):
    """The idempotent producer outside transactions. A record that could not be delivered is an error of `flush`."""

    def __init__(self, client: Mapping[str, object], waits: Waits, *, deadline_s: float) -> None:
        super().__init__(client, waits, {"on_delivery": self._note_failure}, deadline_s=deadline_s)
        self._failures: list[str] = []

    def flush(self) -> None:
        self._drain()
        if self._failures:
            failures, self._failures = self._failures, []
            raise BrokerUnavailableError(f"{len(failures)} records were not delivered; the first: {failures[0]}")

    def close(self) -> None:
        """Flushes, then lets go of the connection."""
        try:
            self.flush()
        finally:
            super().close()

    def _note_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failures.append(f"{message.topic()}[{message.partition()}]: {error.str()}")


class KafkaTransaction(_Sender):
    """The one writer of a transactional id.

    1. Opening (`init_transactions`) fences every earlier holder and aborts what it left open. A crash right after it
       costs nothing.
    2. Records are sent while the epoch is open. A crash leaves an open transaction, which the successor aborts.
    3. `commit` adds the group's offsets to the transaction and commits it. A crash before the coordinator has
       logged the commit aborts everything, after it everything is there.
    """

    def __init__(
        self, client: Mapping[str, object], waits: Waits, *, transactional_id: str, group: str, deadline_s: float
    ) -> None:
        guarantees = {"transactional.id": transactional_id, "transaction.timeout.ms": 60_000}
        super().__init__(client, waits, guarantees, deadline_s=deadline_s)
        consumer = make_client(Consumer, {**client, "group.id": group, "enable.auto.commit": False})
        self._group = consumer.consumer_group_metadata()
        consumer.close()
        self._transactional_id = transactional_id
        self._errand = Errand()
        self._call("opened", self._producer.init_transactions)

    def begin(self) -> None:
        try:
            self._producer.begin_transaction()  # asks nobody, so it needs no time
        except KafkaException as error:
            raise self._broken_world(error, f"transaction {self._transactional_id} cannot be begun") from error

    def send_batch(
        self, topic: str, keys: Iterable[bytes | None], values: Iterable[bytes | None], *, partition: int | None = None
    ) -> None:
        keys, values = list(keys), list(values)
        size_bytes = batch_bytes(topic, keys, values, record_bytes_max=self._record_bytes_max)
        self._lookup.check(topic, partition)
        self._make_room(size_bytes)
        messages: list[dict[str, object]] = [
            {"key": key, "value": value} for key, value in zip(keys, values, strict=True)
        ]
        try:
            queued = self._producer.produce_batch(topic, messages, -1 if partition is None else partition)
        except KafkaException as error:
            raise self._broken_world(error, f"a batch for topic {topic} cannot be sent") from error
        if queued != len(messages):
            failed = next(message["_error"] for message in messages if "_error" in message)
            raise self._broken_world(failed, f"{len(messages) - queued} records for topic {topic} cannot be sent")
        self._serve()

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if offsets:
            positions = [Position(topic, number, offset) for (topic, number), offset in offsets.items()]
            self._call(
                "given offsets",
                lambda timeout_s: self._producer.send_offsets_to_transaction(positions, self._group, timeout_s),
            )
        self._call("committed", self._producer.commit_transaction)
        self._unacknowledged_bytes = 0

    def abort(self) -> None:
        self._call("aborted", self._producer.abort_transaction)

    def close(self) -> None:
        """As the contract says; a call that was given up keeps what it holds."""
        if hasattr(self, "_errand"):
            self._errand.close()
        super().close()

    def _call(self, done: str, call: Callable[[float], object]) -> None:
        """One step of the transaction protocol, tried again for as long as the client says that it may be."""
        what = f"transaction {self._transactional_id} cannot be {done}"
        with self._waits(what, self._deadline_s):
            self._patiently(what, call)

    def _patiently(self, what: str, call: Callable[[float], object]) -> None:
        deadline = time.monotonic() + self._deadline_s
        while True:
            if self._fatal:
                raise broken_world(self._fatal, what)
            left_s = max(0.1, deadline - time.monotonic())
            try:
                self._errand.run(lambda left_s=left_s: call(left_s), left_s + _GIVE_UP_AFTER_S)  # type: ignore[misc]
            except TimeoutError as error:
                raise BrokerUnavailableError(f"{what}: {error}, though it was told to") from error
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise self._broken_world(error, what) from error
                time.sleep(_RETRY_S)
                continue
            return
