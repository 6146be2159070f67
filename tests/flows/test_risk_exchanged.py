"""Requests of several accounts where rows cross between steps by Bytewax: in order, each decided once, none crossed."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
from bytewax.testing import cluster_main

import config
from broker.contract import TopicPartition, TopicSpec
from broker.embedded import EmbeddedLog
from config.settings import Settings
from config.topics import TOPICS
from flows.assembly import Assembly, Flow
from flows.catalog import EVENT_TYPES, OPERATORS, SCHEMA_FOLDER
from flows.compile import load
from flows.dataflow import dataflow
from operators.codec.codec import Codec
from operators.codec.sources import FolderSchemas
from operators.model.events import EventType, OrderIntent, RiskOutcome
from operators.model.risk.limits import AccountReference, RiskControl, SymbolReference
from operators.model.risk.limits_files import parse_controls
from operators.stream.lane import LaneSource
from sinks.committer import CommitterSink

DOLLAR = 1_000_000
AT = 1_790_000_000_000_000
HEAD = {"occurred_at": AT, "sequence": 1, "source": "test"}


def published() -> dict[str, list[msgspec.Struct]]:
    text = (Path(config.__file__).parent / "limits.yaml").read_text()
    [shipped] = parse_controls(text, occurred_at=AT, source="test")
    firm = msgspec.structs.replace(shipped, duplicate_window_ms=None, self_trade="CANCEL_NEWEST", max_messages=4_000)
    session = RiskControl(
        event_type="RISK_CONTROL", key="SESSION:S1", limits_version="1", max_total_messages=150,
        total_message_window_ms=600_000, **HEAD,
    )  # fmt: skip
    symbols: list[msgspec.Struct] = [
        SymbolReference(event_type="SYMBOL_REFERENCE", key=name, tick=1, lot=1, reference_price=100 * DOLLAR, **HEAD)
        for name in ("MSFT", "GOOG", "AAPL")
    ]
    accounts: list[msgspec.Struct] = [
        AccountReference(event_type="ACCOUNT_REFERENCE", key=name, stp_group="G" if name in "ABCD" else None, **HEAD)
        for name in "ABCDEF"
    ]
    return {"risk.controls": [firm, session], "reference.symbols": symbols, "reference.accounts": accounts}


def requests(count: int) -> list[OrderIntent]:
    """New orders by two sessions, each followed by a cancel by any of them, with no time between."""
    chance, given = random.Random(3), []
    for number in range(count):
        account, order_id = chance.choice("ABCDEF"), f"O{number}"
        terms: dict[str, Any] = {
            "key": f"{account}|{order_id}", "account_id": account, "order_id": order_id, "user_token": "U",
            "symbol": chance.choice(["MSFT", "GOOG", "AAPL"]), "side": chance.choice(["BUY", "SELL"]), "quantity": 1,
            "order_type": "LIMIT", "limit_price": chance.randint(95, 105) * DOLLAR, "occurred_at": AT + number,
            "source": "entry",
        }  # fmt: skip
        for sequence, event_type in ((1, EventType.ORDER_SUBMITTED), (2, EventType.CANCEL_REQUESTED)):
            own = {"sequence": sequence, "event_type": event_type, "cl_ord_id": f"C{number}-{sequence}"}
            given.append(OrderIntent(session=chance.choice(["S1", "S2"]), **terms, **own))
    return given


class Site:
    """A log with what operations have published and clients have asked, and the flow on it."""

    def __init__(self, folder: Path, given: list[OrderIntent]) -> None:
        self.log, schemas = EmbeddedLog(folder / "log"), FolderSchemas(SCHEMA_FOLDER)
        admin = self.log.admin()
        admin.create_topics(
            [TopicSpec(t.name, 1 if t.cleanup_policy == "compact" else 4, config={}) for t in TOPICS.values()]
        )
        admin.close()
        self.codec, settings = Codec.latest(schemas, EVENT_TYPES), Settings()
        settings = replace(settings, state=replace(settings.state, dir=folder / "state"))
        topology = load("risk_check", OPERATORS)
        self.flow = Flow(topology, OPERATORS, EVENT_TYPES, settings, self.log, schemas)
        producer = self.log.producer("test")
        for topic, records in (published() | {"orders.input": list[msgspec.Struct](given)}).items():
            for record in map(msgspec.to_builtins, records):
                [value] = self.codec.encode_records(topic, [record])
                producer.send(topic, record["key"].encode(), value)
        producer.flush()
        producer.close()

    def run(self) -> None:
        """As one process of several runs, except that all key groups are its own."""
        with Assembly(self.flow, until_end=True) as assembly:
            source = LaneSource(0, lambda: assembly.lane(clock=time.time))
            graph = dataflow(
                assembly.plan, assembly.pipeline, source, CommitterSink(assembly.committer()), distributed=True
            )
            cluster_main(graph, [], 0, epoch_interval=timedelta(milliseconds=10), worker_count_per_proc=1)

    def outcomes(self) -> list[RiskOutcome]:
        """What was decided, in the order of each partition."""
        reader = self.log.reader("test")
        reader.assign({TopicPartition("risk.outcome", partition): 0 for partition in range(4)})
        found: list[Any] = []
        while not reader.at_end() or not found:
            found += reader.read(10_000, 0.0)
        reader.close()
        found.sort(key=lambda record: (record.partition(), record.offset()))
        values = [self.codec.decode_record("risk.outcome", record.value()) for record in found]
        return [msgspec.convert(value, RiskOutcome) for value in values]


def test_each_request_is_decided_once_in_order_and_no_two_orders_of_a_group_cross(tmp_path: Path) -> None:
    given = requests(400)
    site = Site(tmp_path, given)
    site.run()
    outcomes = site.outcomes()
    assert sorted(each.intent.cl_ord_id for each in outcomes) == sorted(each.cl_ord_id for each in given)
    by_order: dict[str, list[int]] = defaultdict(list)
    for outcome in outcomes:
        by_order[outcome.key].append(outcome.intent.sequence)
        assert outcome.sequence == outcome.intent.sequence
    assert all(sequences == [1, 2] for sequences in by_order.values())
    new = [each for each in outcomes if each.intent.event_type == EventType.ORDER_SUBMITTED]
    approved = [each.intent for each in new if each.event_type == EventType.RISK_APPROVED]
    of_group = [each for each in approved if each.account_id in "ABCD"]
    for one, other in combinations(of_group, 2):
        buy, sale = (one, other) if one.side == "BUY" else (other, one)
        same_book = one.symbol == other.symbol and one.side != other.side
        assert not (same_book and (buy.limit_price or 0) >= (sale.limit_price or 0)), f"{one.key} meets {other.key}"
    told = {breach.check for each in new for breach in each.breaches}
    assert told == {"SELF_TRADE", "TOTAL_MESSAGE_RATE"}
    counted = [each for each in new if each.intent.session == "S1" and "TOTAL_MESSAGE_RATE" not in
               [breach.check for breach in each.breaches]]  # fmt: skip
    assert len(counted) == 150
