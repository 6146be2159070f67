"""The transaction of a flow on Kafka: one transactional id, one group, one commit per epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as Position

from broker.contract import TopicPartition
from broker.kafka_client import make_client
from broker.kafka_errors import broken_world
from broker.kafka_sender import Sender
from broker.kafka_waits import Errand, Waits
from broker.record_size import batch_bytes
from config.errors import BrokerUnavailableError

# A call that is given a time and takes this much longer will never return.
_GIVE_UP_AFTER_S = 10.0
_RETRY_S = 0.01


class KafkaTransaction(Sender):
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
