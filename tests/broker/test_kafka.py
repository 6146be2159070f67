"""What is particular to Kafka: other tools see our offsets, options cannot break guarantees, a broker may die."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Position

from broker.contract import Record, TopicPartition, TopicSpec
from broker.kafka import KafkaLog
from broker.kafka_reach import why_unreachable
from broker.server.server import Broker, start
from config.errors import BrokerUnavailableError, ConfigurationError, RecordTooLargeError

pytestmark = pytest.mark.kafka


def test_any_consumer_of_the_group_sees_the_offsets(kafka_bootstrap: str) -> None:
    log, topic = KafkaLog(kafka_bootstrap), "offsets-for-others"
    with closing(log.admin()) as admin, closing(log.transaction("offsets-id", "offsets-group")) as transaction:
        admin.create_topics([TopicSpec(topic, 1)])
        transaction.begin()
        transaction.send(topic, b"k", b"v")
        transaction.commit({TopicPartition(topic, 0): 42})
        with closing(Consumer({"bootstrap.servers": kafka_bootstrap, "group.id": "offsets-group"})) as consumer:
            assert [found.offset for found in consumer.committed([Position(topic, 0)], 20.0)] == [42]


def test_options_of_the_user_apply_but_cannot_break_a_guarantee(kafka_bootstrap: str) -> None:
    options = {
        "isolation.level": "read_uncommitted",
        "enable.idempotence": "false",
        "acks": "0",
        "partitioner": "random",
        "auto.offset.reset": "latest",
        "message.max.bytes": "5000",
    }
    log, topic = KafkaLog(kafka_bootstrap, options), "user-options"
    partition = TopicPartition(topic, 0)
    with (
        closing(log.admin()) as admin,
        closing(log.transaction("options-id", "options-group")) as transaction,
        closing(log.reader("options")) as reader,
    ):
        admin.create_topics([TopicSpec(topic, 1)])
        transaction.begin()
        transaction.send(topic, b"k", b"aborted")
        with pytest.raises(RecordTooLargeError, match="5000"):
            transaction.send(topic, b"k", b"v" * 5_000)
        transaction.abort()
        reader.assign({partition: 0})
        while not reader.at_end():
            assert reader.read(10, 5.0) == []
        reader.assign({partition: 99})
        with pytest.raises(BrokerUnavailableError, match="99"):
            reader.read(10, 10.0)


@pytest.mark.parametrize("options", [{"no.such.option": "1"}, {"socket.timeout.ms": "soon"}])
def test_options_that_the_client_refuses_are_a_configuration_error(options: dict[str, str]) -> None:
    log = KafkaLog("127.0.0.1:1", options, deadline_s=1.0)
    (name,) = options
    for make in (log.admin, lambda: log.reader("r"), lambda: log.producer("p"), lambda: log.transaction("t", "g")):
        with pytest.raises(ConfigurationError, match=name):
            make()


def test_a_cluster_that_cannot_be_reached_is_named_within_the_deadline() -> None:
    log = KafkaLog("127.0.0.1:1", deadline_s=1.0)
    with closing(log.admin()) as admin, pytest.raises(BrokerUnavailableError, match="topics cannot be listed"):
        admin.topics()
    with pytest.raises(BrokerUnavailableError, match="transaction mine cannot be opened"):
        log.transaction("mine", "group")
    with closing(log.producer("p")) as producer, pytest.raises(BrokerUnavailableError, match="topic t"):
        producer.send("t", b"k", b"v")


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        ("no-such-host.invalid:9092", "Failed to resolve 'no-such-host.invalid:9092'"),
        ("127.0.0.1:1", "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused"),
    ],
)
def test_why_a_cluster_cannot_be_reached_is_found_out(servers: str, told: str) -> None:
    assert told in why_unreachable({"bootstrap.servers": servers})


def test_a_cluster_that_answers_is_said_to_and_wrong_security_is_named(kafka_bootstrap: str) -> None:
    assert why_unreachable({"bootstrap.servers": kafka_bootstrap}) == "1 broker(s) answer"
    told = why_unreachable({"bootstrap.servers": kafka_bootstrap, "security.protocol": "SSL"})
    assert "SSL handshake failed" in told


@pytest.fixture
def own_broker(tmp_path: Path, kafka_tools_dir: Path) -> Iterator[Broker]:
    broker = start(tmp_path / "kafka", tools_dir=kafka_tools_dir)
    yield broker
    broker.kill()


def test_the_first_commit_of_a_cluster_that_never_had_a_group_returns(own_broker: Broker) -> None:
    log, topic = KafkaLog(own_broker.bootstrap, deadline_s=30.0), "first"
    partition = TopicPartition(topic, 0)
    with closing(log.admin()) as admin, closing(log.transaction("id", "group")) as transaction:
        admin.create_topics([TopicSpec(topic, 1)])
        transaction.begin()
        transaction.send(topic, b"k", b"v")
        transaction.commit({partition: 1})
        assert admin.committed("group", [partition]) == {partition: 1}


def read_at_least(reader: object, count: int) -> list[bytes | None]:
    found: list[Record] = []
    for _ in range(120):
        found.extend(reader.read(100, 0.5))  # type: ignore[attr-defined]
        if len(found) >= count:
            break
    return [record.value() for record in found]


def test_a_broker_that_is_killed_and_returns_loses_nothing(own_broker: Broker) -> None:
    log, topic = KafkaLog(own_broker.bootstrap, deadline_s=30.0), "survives"
    partition = TopicPartition(topic, 0)
    with closing(log.admin()) as admin:
        admin.create_topics([TopicSpec(topic, 1)])
    with closing(log.transaction("id", "group")) as transaction, closing(log.reader("reader")) as reader:
        reader.assign({partition: 0})
        transaction.begin()
        transaction.send(topic, b"k", b"before")
        transaction.commit({partition: 1})
        assert read_at_least(reader, 1) == [b"before"]
        transaction.begin()
        transaction.send(topic, b"k", b"open when the broker died")
        own_broker.kill()
        restart = threading.Thread(target=own_broker.restart)
        restart.start()
        assert reader.read(10, 1.0) == []  # an outage is waited for, not raised
        restart.join()
        with closing(log.transaction("id", "group")) as successor:
            successor.begin()
            successor.send(topic, b"k", b"after")
            successor.commit({partition: 2})
        assert read_at_least(reader, 1) == [b"after"]
    with closing(log.admin()) as admin:
        assert admin.committed("group", [partition]) == {partition: 2}
