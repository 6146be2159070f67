"""What the harness does with the Kafka cluster, apart from measuring."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

STATUS = "orders.status"
EXECUTIONS = "orders.executions"
ENRICHMENT = "orders.enrichment"
DEAD_LETTERS = "orders.dlq"  # for the engines that want it; a correct job writes nothing there
ANOMALIES = "orders.anomalies"  # for the engines that tell of them, such as of an execution that was sent twice
TOPICS = (STATUS, EXECUTIONS, ENRICHMENT, DEAD_LETTERS, ANOMALIES)
QUEUE = 500_000


def admin(bootstrap: str) -> AdminClient:
    """An admin client."""
    return AdminClient({"bootstrap.servers": bootstrap})


def recreate_topics(
    bootstrap: str, partitions: int, timeout: float = 60.0, config: Mapping[str, str] | None = None
) -> None:
    """The bench's topics, empty and with so many partitions; `config` holds more options of theirs."""
    client = admin(bootstrap)
    deadline = time.monotonic() + timeout
    _delete_topics(client, [t for t in TOPICS if t in client.list_topics(timeout=10).topics])
    while any(t in client.list_topics(timeout=10).topics for t in TOPICS):
        if time.monotonic() > deadline:
            raise TimeoutError("old topics were not deleted in time")
        time.sleep(0.2)
    # Events carry their own, old times: time-based retention must not delete them.
    topics = [NewTopic(t, partitions, 1, config={"retention.ms": "-1", **(config or {})}) for t in TOPICS]
    for future in client.create_topics(topics).values():
        future.result(timeout=timeout)
    for topic in TOPICS:
        while len(client.list_topics(topic, timeout=10).topics[topic].partitions) != partitions:
            time.sleep(0.1)


def _delete_topics(client: AdminClient, names: list[str]) -> None:
    for future in client.delete_topics(names, operation_timeout=30).values() if names else ():
        future.result(timeout=60)


def remove_leftovers(bootstrap: str, run: str) -> None:
    """Deletes the internal topics and consumer groups whose names hold the run's id."""
    client = admin(bootstrap)
    _delete_topics(client, [t for t in client.list_topics(timeout=10).topics if run in t])
    groups = [g.group_id for g in client.list_consumer_groups().result(timeout=10).valid if run in g.group_id]
    for future in client.delete_consumer_groups(groups).values() if groups else ():
        # A group whose members did not sign off is left to expire.
        future.exception(timeout=10)


def partitions_of(bootstrap: str, topic: str) -> int:
    """How many partitions a topic has; 0 if there is none such."""
    topics = admin(bootstrap).list_topics(timeout=10).topics
    return len(topics[topic].partitions) if topic in topics else 0


def end_offsets(bootstrap: str, topic: str) -> list[int]:
    """The high watermark of each partition."""
    consumer = _consumer(bootstrap)
    try:
        return [
            consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1]
            for p in range(partitions_of(bootstrap, topic))
        ]
    finally:
        consumer.close()


def producer(bootstrap: str, linger_ms: float) -> Producer:
    """A producer that partitions as the Java client does."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": linger_ms,
            "batch.size": 262_144,
            "queue.buffering.max.messages": QUEUE,
        }
    )


def _consumer(bootstrap: str, **more: object) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-harness",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            **more,
        }
    )


def reader(bootstrap: str, topic: str, offsets: list[int], eof: bool = False) -> Consumer:
    """A read_committed consumer of all partitions, from the offsets on."""
    consumer = _consumer(bootstrap, **{"enable.partition.eof": eof})
    consumer.assign([TopicPartition(topic, p, offset) for p, offset in enumerate(offsets)])
    return consumer


def observer(bootstrap: str) -> Consumer:
    """A read_committed consumer that reads nothing, for `committed_since`.

    The broker answers a connection's requests in order: on one that reads, each question waits behind a fetch that has
    nothing to return, for half a second.
    """
    return _consumer(bootstrap)


def committed_since(consumer: Consumer, topic: str, offsets: list[int]) -> int:
    """How many offsets lie between these and the committed end now; the consumer should be an `observer`."""
    ends: list[int] = [
        consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in range(len(offsets))
    ]
    return sum(ends) - sum(offsets)


def good(messages: list[Message]) -> Iterator[bytes]:
    """The values; raises on a message that is an error."""
    for message in messages:
        if (error := message.error()) is not None:
            raise RuntimeError(f"consumer: {error}")
        yield message.value()


def read_to_end(bootstrap: str, topic: str, offsets: list[int], timeout: float = 120.0) -> list[bytes]:
    """All committed values from the offsets to the present end."""
    consumer = reader(bootstrap, topic, offsets, eof=True)
    values: list[bytes] = []
    open_partitions = set(range(len(offsets)))
    deadline = time.monotonic() + timeout
    try:
        while open_partitions:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} was not read to its end in time")
            for message in consumer.consume(5_000, 0.2):
                error = message.error()
                if error is None:
                    values.append(message.value())
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                else:
                    raise RuntimeError(f"consumer: {error}")
    finally:
        consumer.close()
    return values


def send(to: Producer, topic: str, messages: Iterable[tuple[bytes, bytes, int]]) -> None:
    """Sends (key, value, time in ms) messages, waiting while the producer's queue is full."""
    produce, pending = to.produce, iter(messages)
    while batch := list(islice(pending, 10_000)):
        while len(to) > QUEUE - 2 * len(batch):
            to.poll(0.05)
        for key, value, millis in batch:
            produce(topic, value, key, timestamp=millis)
        to.poll(0)
