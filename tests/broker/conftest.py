"""Both logs under one name, and the few things every test of a log does."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Position

from broker.contract import Admin, Log, Record, TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from broker.kafka import KafkaLog

MakeTopic = Callable[..., str]
ReadAll = Callable[[Mapping[TopicPartition, int]], list[Record]]


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest) -> Log:
    if request.param == "embedded":
        embedded: EmbeddedLog = request.getfixturevalue("embedded_log")
        return embedded
    return KafkaLog(request.getfixturevalue("kafka_bootstrap"), deadline_s=20.0)


@pytest.fixture
def admin(log: Log) -> Iterator[Admin]:
    with closing(log.admin()) as admin:
        yield admin


@pytest.fixture
def unique() -> str:
    """A name that no other test uses, for topics, groups and transactional ids."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def make_topic(admin: Admin, unique: str) -> Iterator[MakeTopic]:
    made: list[str] = []

    def make(partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = f"{unique}-topic{len(made)}"
        assert admin.create_topics([TopicSpec(name, partitions, config=config or {})]) == [name]
        made.append(name)
        return name

    yield make
    with suppress(Exception):
        admin.delete_topics(made)


@pytest.fixture
def settle(log: Log) -> Callable[[Iterable[TopicPartition]], None]:
    """Waits until decided transactions show: Kafka writes their markers a moment after `commit` returned."""

    def wait(partitions: Iterable[TopicPartition]) -> None:
        if not isinstance(log, KafkaLog):
            return
        options = {"bootstrap.servers": log.bootstrap_servers, "group.id": "settle"}
        with closing(log.admin()) as admin, closing(Consumer(options)) as consumer:
            for partition in partitions:
                deadline = time.monotonic() + 20.0
                _, written = consumer.get_watermark_offsets(Position(*partition), 20.0)
                while admin.ends([partition])[partition] < written:
                    assert time.monotonic() < deadline, f"a transaction stays open on {partition}"
                    time.sleep(0.005)

    return wait


@pytest.fixture
def read_all(log: Log, settle: Callable[[Iterable[TopicPartition]], None]) -> ReadAll:
    """Everything committed from the offsets given to the end; no transaction may be open there."""

    def read(offsets: Mapping[TopicPartition, int]) -> list[Record]:
        settle(offsets)
        records: list[Record] = []
        with closing(log.reader("test")) as reader:
            reader.assign(offsets)
            while not reader.at_end():
                records.extend(reader.read(1_000, 5.0))
        return records

    return read
