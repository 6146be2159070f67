"""An embedded log with the topics of the product, its codec, and the rules of order_status run by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.contract import Log, TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from config.errors import InvalidRecordError
from config.topics import DEAD_LETTER_TOPIC
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas
from operators.model.events import (
    ExecutionReport,
    OrderAnomaly,
    OrderEnriched,
    OrderStatusChanged,
    account_of,
    order_key,
)
from operators.model.fees.fees import FeeSchedule
from operators.model.fees.tables import parse_schedule
from operators.model.orders.parents import FamilyChange, Parent, on_change
from operators.model.orders.rules import on_execution, on_status
from operators.model.orders.state import Context, Order
from services.truth_fees import FeeTable

CONFIG = Path(__file__).parents[2] / "config"
FEES = CONFIG / "fees" / "us_equities.yaml"
TOPICS = (
    "orders.input", "risk.outcome", "orders.status", "orders.executions", "orders.enrichment", "orders.anomalies",
    "orders.alerts",
)  # fmt: skip

Event = tuple[str, dict[str, Any]]
_TOPICS_OF = {
    OrderStatusChanged: "orders.status",
    OrderEnriched: "orders.enrichment",
    OrderAnomaly: "orders.anomalies",
}


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = EmbeddedLog(tmp_path / "log")
    admin = log.admin()
    admin.create_topics([TopicSpec(topic, 2) for topic in (*TOPICS, DEAD_LETTER_TOPIC)])
    admin.close()
    return log


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec.latest(FolderSchemas(CONFIG / "schemas"), TOPICS)


@pytest.fixture(scope="session")
def fee_table() -> FeeTable:
    return FeeTable.load(FEES)


@pytest.fixture(scope="session")
def fee_schedule() -> FeeSchedule:
    return parse_schedule(FEES.read_text())


@pytest.fixture
def read_all(log: Log, codec: Codec) -> Callable[[str], list[dict[str, Any]]]:
    """Everything on a topic, decoded, partition by partition."""

    def read(topic: str) -> list[dict[str, Any]]:
        admin = log.admin()
        ends = admin.ends([TopicPartition(topic, number) for number in range(admin.topics()[topic])])
        admin.close()
        reader = log.reader("test")
        rows: list[dict[str, Any]] = []
        for partition, end in ends.items():
            reader.assign({partition: 0})
            seen = 0
            while seen < end:
                records = reader.read(10_000, 1.0)
                seen += len(records)
                decoded = codec.decode(topic, [record.value() for record in records])
                assert not decoded.bad
                rows += decoded.batch.to_pylist()
        reader.close()
        return rows

    return read


@pytest.fixture(scope="session")
def order_status() -> Callable[[Iterable[Event]], list[Event]]:
    """The flow's rules on events in the order given: what it would send, dead letters as their records."""
    context = Context(parse_schedule(FEES.read_text()))

    def outputs(events: Iterable[Event]) -> Iterator[Event]:
        orders: dict[str, Order | None] = {}
        parents: dict[str, Parent] = {}
        for topic, record in events:
            order = orders.get(record["key"])
            try:
                if topic == "orders.status":
                    step = on_status(order, msgspec.convert(record, OrderStatusChanged), context)
                else:
                    step = on_execution(order, msgspec.convert(record, ExecutionReport), context)
            except InvalidRecordError:
                yield DEAD_LETTER_TOPIC, record
                continue
            orders[record["key"]] = step.order
            for output in step.outputs:
                if isinstance(output, FamilyChange):
                    parent = order_key(account_of(output.key), output.parent_id)
                    parents[parent], status = on_change(parents.get(parent), parent, output)
                    if status is not None:
                        yield "orders.status", msgspec.to_builtins(status)
                else:
                    yield _TOPICS_OF[type(output)], msgspec.to_builtins(output)

    return lambda events: list(outputs(events))


@pytest.fixture(scope="session")
def said() -> Callable[[Any], Any]:
    """What a record says: without fields that are null, which a producer may leave out."""

    def strip(value: Any) -> Any:
        if isinstance(value, list):
            return [strip(item) for item in value]
        if isinstance(value, dict):
            return {name: strip(item) for name, item in value.items() if item is not None}
        return value

    return strip
