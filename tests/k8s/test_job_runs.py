"""A Job's pods as processes of this machine: the manifest's command and variables, the log and addresses replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.contract import TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from config.topics import TOPICS
from flows.catalog import EVENT_TYPES, SCHEMA_FOLDER
from flows.supervisor import free_addresses
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas
from operators.model.events import EventType, ExecutionReport, OrderStatusChanged, OrderSummary, StatusDetail

ORDERS = 40
PARTITIONS = 4
AT = 1_790_000_000_000_000


def placed(order: int) -> OrderStatusChanged:
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CHANGED, occurred_at=AT + order, key=f"ACC{order % 7}|ORD{order}",
        order=OrderSummary(id=f"ORD{order}", symbol="MSFT", side="BUY", quantity=100),
        status=StatusDetail(code="NEW", filled_quantity=0), sequence=1, source="engine", venue="XNAS",
        arrival_price=10_000_000,
    )  # fmt: skip


def filled(order: int) -> ExecutionReport:
    return ExecutionReport(
        event_type=EventType.EXECUTION_REPORTED, occurred_at=AT + 10 + order, key=f"ACC{order % 7}|ORD{order}",
        venue="XNAS", trade_date=20_700, exec_id=f"E{order}", exec_type="TRADE", ord_status="FILLED", symbol="MSFT",
        side="BUY", order_quantity=100, last_quantity=100, last_price=10_000_000, liquidity="ADDED", cum_quantity=100,
        leaves_quantity=0, sequence=1, source="gateway",
    )  # fmt: skip


@pytest.fixture
def codec() -> Codec:
    return Codec.latest(FolderSchemas(SCHEMA_FOLDER), EVENT_TYPES)


@pytest.fixture
def log(tmp_path: Path, codec: Codec) -> EmbeddedLog:
    """A log with a status and a fill of each order."""
    log = EmbeddedLog(tmp_path / "log")
    admin = log.admin()
    admin.create_topics([TopicSpec(topic.name, PARTITIONS) for topic in TOPICS.values()])
    admin.close()
    producer = log.producer("test")
    for topic, make in (("orders.status", placed), ("orders.executions", filled)):
        events = [make(order) for order in range(ORDERS)]
        values = codec.encode_records(topic, [msgspec.to_builtins(event) for event in events])
        for event, value in zip(events, values, strict=True):
            producer.send(topic, event.key.encode(), value)
    producer.flush()
    producer.close()
    return log


@pytest.mark.kills
def test_the_pods_of_order_status_work_as_one_cluster_and_end_well(
    base: Any,
    log: EmbeddedLog,
    codec: Codec,
    tmp_path: Path,
    environment_of: Callable[..., dict[str, str]],
    container_of: Callable[..., Any],
) -> None:
    job = base.flow_jobs["order-status"]
    count = job["spec"]["completions"]
    settings = tmp_path / "orderflow.yaml"
    settings.write_text(base.of_kind("ConfigMap")["orderflow"]["data"]["orderflow.yaml"])
    replaced = {
        "ORDERFLOW_CONFIG": str(settings),
        "ORDERFLOW__WORKERS__ADDRESSES": ",".join(free_addresses(count)),
        "ORDERFLOW__LOG__KIND": "embedded",
        "ORDERFLOW__LOG__PATH": str(tmp_path / "log"),
        "ORDERFLOW__METRICS__HOST": "127.0.0.1",
        "ORDERFLOW__METRICS__PORT": "0",
    }
    program = Path(sys.executable).with_name(container_of(job)["command"][0])
    pods = [
        subprocess.Popen(
            [program, *container_of(job)["command"][1:], "--until-end"],
            cwd=tmp_path,
            env={
                **os.environ,
                **environment_of(job),
                **replaced,
                "JOB_COMPLETION_INDEX": str(index),
                "ORDERFLOW__STATE__DIR": str(tmp_path / f"state-{index}"),
            },
            stderr=subprocess.PIPE,
        )
        for index in range(count)
    ]
    try:
        ends = [(pod.communicate(timeout=60)[1].decode(), pod.returncode) for pod in pods]
    finally:
        for pod in pods:
            pod.kill()
    assert [code for _, code in ends] == [0] * count, ends
    assert filled_quantities(log, codec) == {f"ACC{order % 7}|ORD{order}": 100 for order in range(ORDERS)}
    assert all((tmp_path / f"state-{index}").exists() for index in range(count)), "each pod has stores of its own"


def filled_quantities(log: EmbeddedLog, codec: Codec) -> dict[str, int]:
    """The enrichment's filled quantity by order."""
    admin, reader = log.admin(), log.reader("test")
    reader.assign(admin.beginnings([TopicPartition("orders.enrichment", number) for number in range(PARTITIONS)]))
    found = {}
    while True:
        for record in reader.read(1_000, 0.0):
            event = codec.decode_record("orders.enrichment", record.value())
            found[event["key"]] = event["filledQuantity"]
        if reader.at_end():
            break
    reader.close()
    admin.close()
    return found
