"""How clients are made, and which topics they find, asked before librdkafka would wait for them in silence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from confluent_kafka import Consumer, KafkaException, Producer

from broker.kafka_errors import broken_world
from broker.kafka_waits import SameAgain, Waits
from config.errors import BrokerUnavailableError, ConfigurationError, Problem

Client = TypeVar("Client")

LOGGER = logging.getLogger("broker.kafka")


def make_client(kind: Callable[..., Client], options: Mapping[str, object]) -> Client:
    """A client that logs to our logger, and not the same all the time.

    Raises `ConfigurationError` for options that librdkafka refuses.
    """
    if not any(isinstance(each, SameAgain) for each in LOGGER.filters):
        LOGGER.addFilter(SameAgain())
    try:
        return kind(dict(options), logger=LOGGER)
    except (KafkaException, ValueError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise ConfigurationError([Problem(f"the Kafka client refuses its options: {reason}")]) from error


class TopicLookup:
    """Partition counts by topic. Kafka only ever adds partitions, so a count is asked for again when too small."""

    def __init__(self, client: Consumer | Producer, waits: Waits, deadline_s: float) -> None:
        self._client, self._waits = client, waits
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
        with self._waits(f"topic {topic} cannot be looked up", self._deadline_s):
            return self._asked(topic)

    def _asked(self, topic: str) -> int:
        try:
            found = self._client.list_topics(topic, self._deadline_s).topics[topic]
        except KafkaException as error:
            raise broken_world(error, f"topic {topic} cannot be looked up") from error
        if found.error is not None:
            raise BrokerUnavailableError(f"topic {topic} cannot be used: {found.error.str()}")
        return len(found.partitions)
