"""Batches into a producer's queue, by librdkafka's call and by the Python client's, on its mock of a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from broker.byte_columns import as_array
from broker.kafka_batches import Batches, DocumentedBatches, NativeBatches, batches_of, error_callback
from broker.kafka_sender import KafkaProducer
from broker.kafka_waits import Waits
from broker.murmur2 import partition_of

TOPIC = "batches"
MOCK = {"test.mock.num.brokers": 1, "log_level": 0, "message.max.bytes": 2_000, "partitioner": "murmur2_random"}


@pytest.fixture
def producer() -> Iterator[Producer]:
    """A producer of a cluster of its own."""
    made = Producer({**MOCK, "error_cb": error_callback})
    made.list_topics(TOPIC, 10)
    yield made
    made.purge()


@pytest.fixture(params=["native", "documented"])
def batches(request: pytest.FixtureRequest, producer: Producer) -> Batches:
    """Both ways in turn."""
    return batches_of(producer) if request.param == "native" else DocumentedBatches(producer)


def read(producer: Producer, count: int) -> list[tuple[int, bytes | None, bytes | None]]:
    """Partition, key and value of what was sent, in the order of partitions and offsets."""
    assert producer.flush(10) == 0
    found = producer.list_topics(TOPIC, 10)
    broker = next(iter(found.brokers.values()))
    consumer = Consumer({"bootstrap.servers": f"{broker.host}:{broker.port}", "group.id": "g", "log_level": 0})
    try:
        consumer.assign([TopicPartition(TOPIC, number, 0) for number in found.topics[TOPIC].partitions])
        records = []
        while len(records) < count:
            record = consumer.poll(10)
            assert record is not None, f"{len(records)} records of {count}"
            records.append((record.partition(), record.offset(), record.key(), record.value()))
    finally:
        consumer.close()
    return [(partition, key, value) for partition, _, key, value in sorted(records)]


def test_a_producer_that_the_log_makes_has_the_native_way(caplog: pytest.LogCaptureFixture) -> None:
    sender = KafkaProducer(MOCK, Waits("a mock"), deadline_s=10)
    assert isinstance(batches_of(sender._producer), NativeBatches)
    sender.close()
    assert "slower" not in caplog.text


def test_a_producer_of_unknown_layout_has_the_documented_way_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    # Without our callback, what lies behind the handle is not what the check expects.
    assert isinstance(batches_of(Producer(dict(MOCK))), DocumentedBatches)
    assert "slower" in caplog.text


def test_records_arrive_as_they_were_given(producer: Producer, batches: Batches) -> None:
    keys, values = [b"a", None, b"", b"\x00b"], [b"1", b"", None, b"\xff" * 100]
    assert batches(TOPIC, as_array(keys), as_array(values), 2) is None
    assert read(producer, 4) == [(2, key, value) for key, value in zip(keys, values, strict=True)]


def test_keys_choose_their_partition_as_the_java_client_does(producer: Producer, batches: Batches) -> None:
    count = len(producer.list_topics(TOPIC, 10).topics[TOPIC].partitions)
    keys = [b"key-%d" % number for number in range(50)]
    assert batches(TOPIC, as_array(keys), as_array(keys), None) is None
    assert sorted(read(producer, 50)) == sorted((partition_of(key, count), key, key) for key in keys)


def test_what_the_client_refuses_is_told_and_the_rest_is_sent(producer: Producer, batches: Batches) -> None:
    values = [b"small", b"x" * 3_000, b"x" * 4_000, b"small too"]
    refused = batches(TOPIC, as_array([b"k"] * 4), as_array(values), 0)
    assert refused is not None
    assert refused.records == 2
    assert refused.error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert [value for _, _, value in read(producer, 2)] == [b"small", b"small too"]


def test_a_partition_that_does_not_exist_refuses_all(batches: Batches) -> None:
    refused = batches(TOPIC, as_array([b"k", b"l"]), as_array([b"v", b"w"]), 99)
    assert refused is not None
    assert (refused.records, refused.error.code()) == (2, KafkaError._UNKNOWN_PARTITION)
