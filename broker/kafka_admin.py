"""Questions and changes about topics and groups of a Kafka cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from threading import Lock
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
)
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from broker.contract import TopicLimits, TopicPartition, TopicSpec
from broker.kafka_client import make_client
from broker.kafka_errors import broken_world, is_transient
from broker.kafka_sender import FRAMING_BYTES
from broker.kafka_waits import Waits
from config.errors import BrokerUnavailableError

Answer = TypeVar("Answer")

_POLL_S = 0.01
_LIMIT = "max.message.bytes"
_LEADERS_CHANGED = frozenset(
    {KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION}
)

_NO_LEADERS = KafkaError._NOENT
"""What the client says when no partition that it is asked about has a leader now, as after a broker's restart."""
_NEW_CLIENT_S = 0.25
"""From a client that is no good any more to the next one, which costs threads and connections."""


class AdminConnection:
    """The admin client of a log, made when it is first needed and shared by all of the process that ask something.

    A client that was just made and is asked for offsets tries to learn their leaders before it is connected to any
    broker, and tries again when a timer of its own rings: some in a hundred took one second or three. Listing topics
    waits for the connection as it should, so that goes first. Belongs to all threads.
    """

    def __init__(self, options: Mapping[str, object]) -> None:
        """`options` are those of librdkafka."""
        self.options = options
        self._lock = Lock()
        self._client: AdminClient | None = None
        self._connected: AdminClient | None = None

    def client(self) -> AdminClient:
        """The client, whether it has a connection or not."""
        with self._lock:
            if self._client is None:
                self._client = make_client(AdminClient, self.options)
            return self._client

    def connected_client(self, timeout_s: float) -> AdminClient:
        """The client, once it has found the brokers. Raises `KafkaException` if it does not in time."""
        client = self.client()
        if client is not self._connected:
            client.list_topics(timeout=timeout_s)
            self._connected = client
        return client

    def renew(self, stale: AdminClient) -> None:
        """Has the next caller get a new client instead of this one."""
        with self._lock:
            if self._client is stale:
                self._client = None


class KafkaAdmin:
    """An admin client; where the admin API has no stable answer, a consumer asks."""

    def __init__(self, connection: AdminConnection, waits: Waits, *, deadline_s: float) -> None:
        self._connection, self._waits = connection, waits
        self._client, self._deadline_s = connection.options, deadline_s
        connection.client()  # options that the client refuses are told now

    @property
    def _admin(self) -> AdminClient:
        return self._connection.client()

    def create_topics(self, topics: Sequence[TopicSpec]) -> list[str]:
        """Creates those that do not exist, and waits until the cluster shows leaders for all of their partitions."""
        if not topics:
            return []
        new = [
            NewTopic(spec.name, spec.partitions, spec.replication_factor, config=dict(spec.config)) for spec in topics
        ]
        futures = self._admin.create_topics(new, request_timeout=self._deadline_s)
        created = [
            name
            for name, future in futures.items()
            if self._done(future, f"topic {name} cannot be created", but=KafkaError.TOPIC_ALREADY_EXISTS)
        ]
        self._wait_for({spec.name for spec in topics}, present=True)
        return created

    def delete_topics(self, names: Sequence[str]) -> None:
        """Deletes topics and waits until the cluster shows them no more; one that is not there is no error."""
        if not names:
            return
        for name, future in self._admin.delete_topics(list(names), request_timeout=self._deadline_s).items():
            self._done(future, f"topic {name} cannot be deleted", but=KafkaError.UNKNOWN_TOPIC_OR_PART)
        self._wait_for(set(names), present=False)

    def topics(self) -> dict[str, int]:
        return {name: found for name, found in self._led_partitions().items() if not name.startswith("__")}

    def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.earliest())

    def limits(self, topics: Sequence[str]) -> TopicLimits:
        """What `max.message.bytes` leaves for a record; it needs the right to describe the configuration of topics."""
        if not topics:
            return TopicLimits()
        resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]

        def ask() -> TopicLimits:
            limits: dict[str, int] = {}
            untold: dict[str, str] = {}
            for resource, future in self._admin.describe_configs(resources, request_timeout=self._deadline_s).items():
                try:
                    entry = future.result(self._deadline_s).get(_LIMIT)
                except KafkaException as error:
                    if is_transient(error.args[0]):
                        raise
                    untold[resource.name] = error.args[0].str()
                else:
                    if entry is None or entry.value is None:
                        untold[resource.name] = f"it has no {_LIMIT}"
                    else:
                        limits[resource.name] = int(entry.value) - FRAMING_BYTES
            return TopicLimits(limits, untold)

        return self._patiently(ask, "the limits of topics cannot be read")

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """As the contract says. A commit shows here, and to readers, a moment after it returned.

        The coordinator answers when the commit is decided and writes the partitions' markers after that. Opening a
        transaction with the same id waits for them, so what is asked after a restart's fencing is complete.
        """
        return self._offsets(partitions, OffsetSpec.latest())

    def committed(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        # With read_committed the client asks for stable offsets, and asks again while a transaction is open on them.
        options = {
            **self._client,
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
        positions = [Position(*partition) for partition in partitions]
        with closing(make_client(Consumer, options)) as consumer:

            def ask() -> list[Position]:
                found: list[Position] = consumer.committed(positions, self._deadline_s)
                if error := next((position.error for position in found if position.error is not None), None):
                    raise KafkaException(error)
                return found

            found = self._patiently(ask, f"offsets of group {group} cannot be read")
        return {
            TopicPartition(position.topic, position.partition): position.offset
            for position in found
            if position.offset != OFFSET_INVALID
        }

    def groups(self) -> list[str]:
        def ask() -> list[str]:
            listing = self._admin.list_consumer_groups(request_timeout=self._deadline_s).result(self._deadline_s)
            if listing.errors:
                raise listing.errors[0]
            return sorted(group.group_id for group in listing.valid)

        return self._patiently(ask, "groups cannot be listed")

    def alter_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        if not offsets:
            return
        positions = [Position(topic, number, offset) for (topic, number), offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(group, positions)]

        def ask() -> None:
            for future in self._admin.alter_consumer_group_offsets(request, request_timeout=self._deadline_s).values():
                for position in future.result(self._deadline_s).topic_partitions:
                    if position.error is not None:
                        raise KafkaException(position.error)

        self._patiently(ask, f"offsets of group {group} cannot be set")

    def delete_group(self, group: str) -> None:
        """Forgets a group and its offsets; one that is not there is no error."""

        def ask() -> None:
            future = self._admin.delete_consumer_groups([group], request_timeout=self._deadline_s)[group]
            try:
                future.result(self._deadline_s)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                    raise

        self._patiently(ask, f"group {group} cannot be deleted")

    def close(self) -> None:
        """Nothing to let go of: the connection is that of the log."""

    def _offsets(self, partitions: Sequence[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        request = {Position(*partition): spec for partition in partitions}

        def ask() -> dict[TopicPartition, int]:
            client = self._connection.connected_client(self._deadline_s)
            futures = client.list_offsets(
                request, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._deadline_s
            )
            try:
                return {
                    TopicPartition(position.topic, position.partition): future.result(self._deadline_s).offset
                    for position, future in futures.items()
                }
            except KafkaException as error:
                if error.args[0].code() in (*_LEADERS_CHANGED, _NO_LEADERS):
                    # This client would go on with what it knew of the leaders for minutes, until it is refreshed.
                    time.sleep(_NEW_CLIENT_S)
                    self._connection.renew(client)
                raise

        return self._patiently(ask, f"offsets of {', '.join(sorted({tp.topic for tp in partitions}))} cannot be read")

    def _wait_for(self, names: set[str], *, present: bool) -> None:
        deadline = time.monotonic() + self._deadline_s
        while any((name in self._led_partitions()) != present for name in names):
            if time.monotonic() > deadline:
                state = "shown" if present else "gone"
                raise BrokerUnavailableError(f"topics {sorted(names)} were not {state} within {self._deadline_s} s")
            time.sleep(_POLL_S)

    def _led_partitions(self) -> dict[str, int]:
        """Partition count of every topic whose partitions all have a leader."""
        with self._waits("topics cannot be listed", self._deadline_s):
            try:
                metadata = self._admin.list_topics(timeout=self._deadline_s)
            except KafkaException as error:
                raise broken_world(error, "topics cannot be listed") from error
        return {name: len(topic.partitions) for name, topic in metadata.topics.items() if _is_led(topic)}

    def _done(self, future: Future[Any], what: str, *, but: int) -> bool:
        """True when done, False if the error says that there was nothing to do."""
        with self._waits(what, self._deadline_s):
            return self._answer(future, what, but=but)

    def _answer(self, future: Future[Any], what: str, *, but: int) -> bool:
        try:
            future.result(self._deadline_s)
        except TimeoutError as error:
            raise BrokerUnavailableError(f"{what}: no answer within {self._deadline_s} s") from error
        except KafkaException as error:
            if error.args[0].code() == but:
                return False
            raise broken_world(error, what) from error
        return True

    def _patiently(self, ask: Callable[[], Answer], what: str) -> Answer:
        """The answer, asked for again while a coordinator loads, leaders change, or a transaction holds the offsets."""
        with self._waits(what, self._deadline_s):
            return self._asked(ask, what)

    def _asked(self, ask: Callable[[], Answer], what: str) -> Answer:
        deadline = time.monotonic() + self._deadline_s
        while True:
            try:
                return ask()
            except TimeoutError as error:  # of a future: the client itself has not answered
                raise BrokerUnavailableError(f"{what}: no answer within {self._deadline_s} s") from error
            except KafkaException as error:
                code = error.args[0].code()
                passes = is_transient(error.args[0]) or code in _LEADERS_CHANGED or code == _NO_LEADERS
                if not passes or time.monotonic() > deadline:
                    raise broken_world(error, what) from error
                time.sleep(_POLL_S)


def _is_led(topic: Any) -> bool:
    partitions: Iterable[Any] = topic.partitions.values()
    return topic.error is None and all(partition.leader >= 0 for partition in partitions)
