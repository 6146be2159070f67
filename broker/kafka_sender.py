"""Sending to Kafka: what the two kinds of producers share, and the idempotent producer outside transactions."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from broker.contract import Headers
from broker.kafka_batches import error_callback
from broker.kafka_client import TopicLookup, make_client
from broker.kafka_errors import broken_world
from broker.kafka_waits import Waits
from broker.record_size import RECORD_BYTES_MAX_DEFAULT, check_record
from config.errors import BrokenWorldError, BrokerUnavailableError

# Beyond this much sent and not yet acknowledged, a send waits for the broker to catch up.
_UNACKNOWLEDGED_BYTES_MAX = 256 << 20
_UNACKNOWLEDGED_RECORDS_MAX = 1_000_000
_NO_LIMIT = 2**31 - 1
FRAMING_BYTES = 1024
"""The client and topics count the framing of a record batch as well; the limit that users set is one of content."""
_MESSAGE_BYTES_MAX = 1_000_000_000


class Sender:
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
            "error_cb": error_callback,
            **guarantees,
        }
        self._record_bytes_max = int(str(options["message.max.bytes"]))
        options["message.max.bytes"] = min(self._record_bytes_max + FRAMING_BYTES, _MESSAGE_BYTES_MAX)
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


class KafkaProducer(Sender):
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
