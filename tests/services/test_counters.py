"""Counts and latencies of a running pipeline."""

from __future__ import annotations

from contextlib import closing

import pytest

from broker.contract import TopicSpec
from config.endpoint import Endpoint, Health
from config.metrics import EVENT_TO_COMMIT_SECONDS, Metrics
from config.settings import Settings
from config.topics import DEAD_LETTER_TOPIC
from flows.connect import open_codec
from operators.codec.codec import Codec
from services.counters import COUNTED_TOPICS, Latency, TopicCounts
from services.day import generate_events
from services.records import encode_rows

INFINITY = float("inf")


def test_a_quantile_is_interpolated_within_its_bucket():
    latency = Latency("http://localhost")
    latency.take({0.01: 0, 0.02: 100, 0.04: 200, INFINITY: 200})
    assert latency.quantile_ms(0.25) == 15.0
    assert latency.quantile_ms(0.5) == 20.0
    assert latency.quantile_ms(0.75) == 30.0


def test_above_the_last_bound_the_bound_is_all_that_is_known():
    latency = Latency("http://localhost")
    latency.take({0.01: 1, INFINITY: 2})
    assert latency.quantile_ms(0.99) == 10.0


def test_without_inputs_there_is_no_latency():
    latency = Latency("http://localhost")
    assert latency.as_json() == {"p50": None, "p95": None, "p99": None}
    latency.take({0.01: 0, INFINITY: 0})
    assert latency.quantile_ms(0.5) is None


def test_what_was_seen_before_a_restart_still_counts():
    latency = Latency("http://localhost")
    latency.take({0.01: 100, 0.02: 100, INFINITY: 100})
    latency.take({0.01: 0, 0.02: 10, INFINITY: 10})
    latency.take({0.01: 0, 0.02: 100, INFINITY: 100})
    assert latency.quantile_ms(0.5) == 10.0
    assert latency.quantile_ms(1.0) == 20.0


def test_the_histogram_of_an_endpoint_is_read_and_an_endpoint_that_is_gone_changes_nothing():
    metrics = Metrics()
    metrics.histogram(EVENT_TO_COMMIT_SECONDS, flow="order_status").observe(0.02)
    with Endpoint("127.0.0.1", 0, metrics, Health(metrics)) as endpoint:
        latency = Latency(endpoint.url)
        latency.scrape()
    before = latency.quantile_ms(0.5)
    assert before is not None
    assert 10 < before <= 25
    latency.scrape()
    assert latency.quantile_ms(0.5) == before


@pytest.fixture
def counted_codec():
    return open_codec(Settings(), COUNTED_TOPICS)


def test_records_are_counted_by_topic_and_statuses_by_event_type(log, counted_codec: Codec):
    events = list(generate_events(20, 1))
    with closing(log.admin()) as admin:
        admin.create_topics([TopicSpec(DEAD_LETTER_TOPIC, 1)])
    with TopicCounts(log, counted_codec, "counts", dead_letter_topic=DEAD_LETTER_TOPIC) as counts:
        counts.read_all()
        assert counts.records.total() == 0
        producer = log.producer("test")
        for topic, record in events:
            (value,) = encode_rows(counted_codec, topic, [record])
            producer.send(topic, record["key"].encode(), value)
        producer.flush()
        producer.close()
        counts.read_all()
        statuses = sum(topic == "orders.status" for topic, _ in events)
        assert counts.records["orders.status"] == statuses
        assert counts.records["orders.executions"] == len(events) - statuses
        assert counts.event_types == {"ORDER_STATUS_CHANGED": statuses}
