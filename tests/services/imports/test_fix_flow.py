"""FIX logs in the order_status flow, with a crash in between and the import repeated: every fill counts once."""

from __future__ import annotations

from pathlib import Path

import msgspec

from flows.tester import FlowTester
from operators.model.events import ExecutionReport, OrderStatusChanged
from services.imports import fix
from services.imports.common import Batch

DATA = Path(__file__).parents[2] / "data"
LOGS = [DATA / "DESK-XNYS_FIX.4.2_2026-11-19.messages.log", DATA / "fix-engine_2026-11-20.log"]
FILLED = {"ALPHA|A1": 1000, "ALPHA|A2": 350, "ALPHA|B1": 250}
"""What the fills of orders without busts and corrections add up to."""


def send(flow: FlowTester, batch: Batch) -> None:
    flow.send("orders.status", *(msgspec.convert(each, OrderStatusChanged) for each in batch.statuses))
    flow.send("orders.executions", *(msgspec.convert(each, ExecutionReport) for each in batch.executions))


def test_two_logs_are_exact_through_a_crash_and_a_repetition() -> None:
    batches = [batch for log in LOGS for batch in fix.read(log, batch_messages=7)]
    with FlowTester("order_status") as flow:
        for batch in batches:
            send(flow, batch)
        flow.run()
        flow.crash(lose_state=True)
        flow.run()
        enriched = flow.read("orders.enrichment")
        last = {each.key: each.filled_quantity for each in enriched if each.key in FILLED}
        assert last == FILLED
        assert sum(each.last_quantity for each in enriched if each.key == "ALPHA|A1") == 1000
        consolidated = [each for each in flow.read("orders.status") if each.source == "status-aggregator"]
        ended = {each.key: each.status.code for each in consolidated}
        assert ended["ALPHA|A1"] == ended["ALPHA|B1"] == "FILLED"
        assert ended["ALPHA|A2"] == "CANCELED"
        assert ended["ALPHA|A4"] == "REJECTED"
        assert flow.dead_letters() == []
        for batch in batches:
            send(flow, batch)
        flow.run()
        again = [each for each in flow.read("orders.enrichment") if each.key in FILLED]
        assert again == []
