"""Which topics and partitions a cluster has, asked once per topic, before the client would wait for them in silence."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, Producer

from broker.kafka_errors import broken_world
from config.errors import BrokerUnavailableError


class TopicLookup:
    """Partition counts by topic. Kafka only ever adds partitions, so a count is asked for again when too small."""

    def __init__(self, client: Consumer | Producer, deadline_s: float) -> None:
        self._client = client
        self._deadline_s = deadline_s
        self._partitions: dict[str, int] = {}

    def check(self, topic: str, partition: int | None) -> None:
        """Raises `BrokerUnavailableError` if the topic, or its partition of that number, does not exist."""
        wanted = 1 if partition is None else partition + 1
        if wanted <= self._partitions.get(topic, 0):
            return
        self._partitions[topic] = self._count(topic)
        if not 0 < wanted <= self._partitions[topic]:
            raise BrokerUnavailableError(
                f"topic {topic} has no partition {partition}, only {self._partitions[topic]} of them"
            )

    def _count(self, topic: str) -> int:
        try:
            found = self._client.list_topics(topic, self._deadline_s).topics[topic]
        except KafkaException as error:
            raise broken_world(error, f"topic {topic} cannot be looked up") from error
        if found.error is not None:
            raise BrokerUnavailableError(f"topic {topic} cannot be used: {found.error.str()}")
        return len(found.partitions)
