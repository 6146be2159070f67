"""Records are no larger than what the topics take that a flow writes to, and what is larger costs one event."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import pytest
import structlog.testing

from broker.contract import Record, TopicLimits, TopicPartition, TopicSpec
from broker.embedded import EmbeddedAdmin, EmbeddedLog
from broker.kafka import KafkaLog
from config.errors import ConfigurationError
from config.settings import Settings
from config.topics import TOPICS
from config.topology import load_topology
from flows.assembly import Flow
from flows.catalog import EVENT_TYPES, OPERATORS, SCHEMA_FOLDER
from flows.limits import within_limits
from flows.process import run_process
from flows.tester import FlowTester
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas
from operators.model.events import EventType, OrderStatusChanged, OrderSummary, StatusDetail
from sinks.dead_letters import LETTER_BYTES_LEAST

OUTPUTS = ["orders.enrichment", "orders.status"]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, TopicLimits]:
    """Limits of their own for topics of embedded logs, under "now"; what was asked for, under "asked"."""
    told = {"now": TopicLimits()}

    def answer(_: EmbeddedAdmin, topics: list[str]) -> TopicLimits:
        told["asked"] = TopicLimits(dict.fromkeys(topics, 0))
        return told["now"]

    monkeypatch.setattr(EmbeddedAdmin, "limits", answer)
    return told


def status(key: str, reason: str) -> OrderStatusChanged:
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CHANGED, occurred_at=1_790_000_000_000_000, key=key,
        order=OrderSummary(id=key.partition("|")[2], symbol="MSFT", side="BUY", quantity=100),
        status=StatusDetail(code="NEW", filled_quantity=0, reason=reason), sequence=1, source="engine", venue="XNAS",
    )  # fmt: skip


def test_the_smallest_limit_bounds_all_records(tmp_path: Path, limits: dict[str, TopicLimits]) -> None:
    log = EmbeddedLog(tmp_path)
    assert within_limits(log, OUTPUTS, tell=True) == log
    limits["now"] = TopicLimits({"orders.enrichment": 50_000, "orders.status": 40_000})
    with structlog.testing.capture_logs() as lines:
        assert within_limits(log, OUTPUTS, tell=True).record_bytes_max == 40_000
    assert [(line["topic"], line["bytes_max"]) for line in lines] == [("orders.status", 40_000)]
    limits["now"] = TopicLimits({"orders.enrichment": 5_000_000})
    assert within_limits(log, OUTPUTS, tell=True) == log, "the log's own limit is smaller"


def test_a_topic_whose_limit_may_not_be_read_is_warned_of_by_one_process_and_the_flow_runs(
    tmp_path: Path, limits: dict[str, TopicLimits]
) -> None:
    limits["now"] = TopicLimits({"orders.enrichment": 50_000}, dict.fromkeys(["b", "a"], "not allowed"))
    with structlog.testing.capture_logs() as lines:
        assert within_limits(EmbeddedLog(tmp_path), OUTPUTS, tell=False).record_bytes_max == 50_000
        assert lines == []
        within_limits(EmbeddedLog(tmp_path), OUTPUTS, tell=True)
    [warning] = [line for line in lines if line["log_level"] == "warning"]
    assert "DescribeConfigs" in warning["event"]
    assert (warning["topics"], warning["reason"]) == (["a", "b"], "not allowed")


def test_a_limit_below_what_a_dead_letter_needs_is_refused_before_anything_starts(
    limits: dict[str, TopicLimits],
) -> None:
    limits["now"] = TopicLimits({"orders.dlq": LETTER_BYTES_LEAST - 1, "orders.status": 50_000})
    with (
        pytest.raises(ConfigurationError, match=r"topic orders\.dlq takes records of .* raise its max\.message\.bytes"),
        FlowTester("order_status") as flow,
    ):
        flow.run()


def test_an_event_whose_output_is_too_large_for_a_topic_is_a_dead_letter(limits: dict[str, TopicLimits]) -> None:
    limits["now"] = TopicLimits({"orders.status": 4_000})
    with FlowTester("order_status") as flow:
        flow.send("orders.status", status("A|1", "R" * 5_000), status("A|2", "short"))
        flow.run()
        [letter] = flow.dead_letters()
        assert letter.key == b"A|1"
        assert letter.headers["__streams.errors.exception"] == "RecordTooLargeError"
        assert "more than 4000" in letter.headers["__streams.errors.message"]
        assert [event.key for event in flow.read("orders.status") if event.source != "engine"] == ["A|2"]
    asked = set(limits["asked"].record_bytes_max)
    assert asked >= {"orders.status", "orders.enrichment", "orders.dlq", "order_status-join-changelog"}


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_a_flow_on_kafka_goes_on_after_what_a_topic_with_a_smaller_limit_does_not_take(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    """Nor is a batch of many records, each of which would fit, larger than the topic takes."""
    log, random = KafkaLog(kafka_bootstrap), Random(1)
    sent = [status(f"A|{n}", random.randbytes(600).hex()) for n in range(60)]
    sent.insert(30, status("A|L", random.randbytes(2_450).hex()))
    settings = Settings()
    application, state = replace(settings.application, prefix="limits-"), replace(settings.state, dir=tmp_path)
    settings = replace(settings, application=application, state=state)
    codec = Codec.latest(FolderSchemas(SCHEMA_FOLDER), ["orders.status"])
    with closing(log.admin()) as admin, closing(log.producer("test")) as producer:
        admin.delete_topics(sorted(TOPICS))
        small = {"orders.status": {"max.message.bytes": "6000"}}
        admin.create_topics([TopicSpec(name, 1, config=small.get(name, {})) for name in TOPICS])
        try:
            for event in sent:
                [value] = codec.encode_records("orders.status", [msgspec.to_builtins(event)])
                producer.send("orders.status", event.key.encode(), value)
                producer.flush()
            topology, schemas = load_topology("order_status"), FolderSchemas(SCHEMA_FOLDER)
            run_process(Flow(topology, OPERATORS, EVENT_TYPES, settings, log, schemas), until_end=True)
            assert [letter.key() for letter in everything(log, "orders.dlq")] == [b"A|L"]
            assert len(everything(log, "orders.status")) == len(sent) + 60
        finally:
            admin.delete_topics(sorted(TOPICS))


def everything(log: KafkaLog, topic: str) -> list[Record]:
    found: list[Record] = []
    with closing(log.reader("test")) as reader:
        reader.assign({TopicPartition(topic, 0): 0})
        while not reader.at_end():
            found += reader.read(100, 5.0)
    return found
