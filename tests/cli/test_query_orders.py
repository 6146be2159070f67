"""`orderflow query` on parents and children, on alerts, and on positions with their exposure."""

from __future__ import annotations

import json
from typing import Any

import pytest

PARENT, CHILDREN = "ACC1|P", ["ACC1|C1", "ACC1|C2"]


def status(key: str, at: int, **order: Any) -> dict[str, Any]:
    return {
        "eventType": "ORDER_STATUS_CHANGED", "version": 2, "occurredAt": f"2026-11-20T14:30:{at:02d}Z", "key": key,
        "order": {"id": key.partition("|")[2], "symbol": "MSFT", "side": "BUY", "quantity": 100, **order},
        "status": {"code": "NEW", "filledQuantity": 0}, "sequence": 1, "source": "engine", "venue": "XNAS",
        "correlationId": f"R{at}",
    }  # fmt: skip


def milestone(kind: str, key: str, minute: int, second: int = 0) -> dict[str, Any]:
    at = f"2026-11-20T14:{minute:02d}:{second:02d}Z"
    return {"kind": kind, "occurredAt": at, "key": key, "symbol": "MSFT", "venue": "XNAS"}


@pytest.fixture
def play(run, start, monkeypatch, tmp_path):
    """Writes records and runs a flow to their end."""
    assert run("topics", "create").exit_code == 0

    def play(flow, topic, records):
        produced = run("produce", topic, stdin="\n".join(map(json.dumps, records)))
        assert produced.exit_code == 0, produced.stderr
        process = start("run", flow, "--until-end")
        assert process.wait(timeout=90) == 0, process.stderr.read()
        monkeypatch.setenv("ORDERFLOW__STATE__DIR", str(tmp_path / "state"))

    return play


def lines(result):
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_parent_s_timeline_lists_its_children_and_on_request_what_was_said_of_them(play, run):
    events = [status(CHILDREN[1], 3, parentId="P"), status(CHILDREN[0], 2, parentId="P"), status(PARENT, 1)]
    play("views", "orders.status", events)
    rows = lines(run("query", "timeline", PARENT, "--format", "json"))
    assert [(row["origin"], row["text"]) for row in rows] == [
        ("ENGINE", None), ("CHILD", CHILDREN[0]), ("CHILD", CHILDREN[1])
    ]  # fmt: skip
    merged = lines(run("query", "timeline", PARENT, "--children", "--format", "json"))
    assert [(row["key"], row["origin"]) for row in merged] == [
        (PARENT, "ENGINE"),
        (CHILDREN[0], "ENGINE"),
        (PARENT, "CHILD"),
        (CHILDREN[1], "ENGINE"),
        (PARENT, "CHILD"),
    ]
    assert [row["correlationId"] for row in merged if row["origin"] == "ENGINE"] == ["R1", "R2", "R3"]
    assert lines(run("query", "timeline", CHILDREN[0], "--format", "json"))[0]["marks"] == []
    header = run("query", "timeline", PARENT, "--wide").stdout.splitlines()[0].split()
    assert {"KEY", "CORRELATIONID", "TEXT"} <= set(header)
    assert set(header) - set(run("query", "timeline", PARENT).stdout.splitlines()[0].split()) >= {"KEY"}, "one key"
    assert "KEY" in run("query", "timeline", PARENT, "--children").stdout.splitlines()[0].split()
    assert not {"EXECID", "FEES", "MARKS"} & set(header), "a column without a value is left out"


def test_alerts_are_shown_by_account_and_kind_and_as_long_as_they_are_open(play, run):
    silent = [milestone("PLACED", "ACC1|O1", 0), milestone("PLACED", "ACC2|O2", 0, 1)]
    passing = [milestone("TRADED", f"ACC9|{number}", 5) for number in range(16)]
    play("surveillance", "orders.milestones", [*silent, *passing])
    play("surveillance", "orders.milestones", [milestone("ACKNOWLEDGED", "ACC1|O1", 6)])
    rows = lines(run("query", "alerts", "--format", "json"))
    assert [(row["key"], row["kind"], row["raisedAt"], row["clearedAt"]) for row in rows] == [
        ("ACC1|O1", "UNACKNOWLEDGED", "2026-11-20T14:00:05.000000Z", "2026-11-20T14:06:00.000000Z"),
        ("ACC2|O2", "UNACKNOWLEDGED", "2026-11-20T14:00:06.000000Z", None),
    ]
    assert lines(run("query", "alerts", "--open", "--format", "json")) == rows[1:]
    assert lines(run("query", "alerts", "ACC1", "--format", "json")) == rows[:1]
    assert lines(run("query", "alerts", "--kind", "WASH_TRADE", "--format", "json")) == []
    header, *table = run("query", "alerts").stdout.splitlines()
    assert header.split()[:3] == ["RAISEDAT", "CLEAREDAT", "KIND"]
    assert len(table) == 2
    unknown = run("query", "alerts", "--kind", "NONE")
    assert (unknown.exit_code, "UNACKNOWLEDGED" in unknown.stderr) == (2, True)


def test_an_account_whose_name_begins_with_another_s_is_not_shown_with_it(play, run):
    silent = [milestone("PLACED", "ACC1|O1", 0), milestone("PLACED", "ACC11|O2", 0)]
    play("surveillance", "orders.milestones", silent)
    play("surveillance", "orders.milestones", [milestone("TRADED", f"ACC9|{number}", 5) for number in range(16)])
    rows = lines(run("query", "alerts", "--format", "json"))
    assert {row["key"] for row in rows} == {"ACC1|O1", "ACC11|O2"}
    rows = lines(run("query", "alerts", "ACC1", "--format", "json"))
    assert {row["key"] for row in rows} == {"ACC1|O1"}


INTENT = {
    "eventType": "ORDER_SUBMITTED", "version": 2, "occurredAt": "2026-11-20T15:00:00Z", "key": "ACC1|ORD1",
    "accountId": "ACC1", "orderId": "ORD1", "clOrdId": "C1", "userToken": "USR1", "symbol": "MSFT", "side": "BUY",
    "quantity": 100, "orderType": "LIMIT", "limitPrice": 412.3, "sequence": 1, "source": "test",
}  # fmt: skip
ENRICHED = {
    "eventType": "ORDER_ENRICHED", "version": 2, "occurredAt": "2026-11-20T15:00:01Z", "key": "ACC1|ORD2",
    "symbol": "AAPL", "venue": "XNAS", "side": "BUY", "filledQuantity": 10, "avgPrice": 200, "notional": 2000,
    "lastExecId": "E1", "lastQuantity": 10, "lastPrice": 200, "sequence": 1, "source": "test",
}  # fmt: skip


def test_positions_without_the_risk_check_have_empty_columns_of_exposure(play, run):
    play("views", "orders.enrichment", [ENRICHED])
    [row] = lines(run("query", "positions", "--format", "json"))
    assert (row["quantity"], row["averageCost"], row["accountReserved"], row["exposureLimitUsed"]) == (
        10,
        200,
        None,
        None,
    )
    assert run("query", "positions", "--wide").stdout.splitlines()[1].split().count("-") == 9


def test_positions_show_what_open_orders_reserve_and_how_much_of_the_limit_is_used(play, run, tmp_path):
    limits, symbols = tmp_path / "limits.yaml", tmp_path / "symbols.yaml"
    limits.write_text(
        "version: '7'\n"
        "scopes:\n"
        "  FIRM: {tradingState: ACTIVE, maxOrderQuantity: 1000, maxOrderNotional: 1000000, collarBps: 1000,\n"
        "    referenceAgeMaxMs: 1000000000000, maxMessages: 100, messageWindowMs: 1000, maxExposure: 82460,\n"
        "    maxLong: 250, maxShort: 50}\n"
    )
    symbols.write_text("- {symbol: MSFT, tick: 0.01, lot: 1, reference: 412.30}\n")
    assert run("reference", "publish", "--limits", limits, "--symbols", symbols).exit_code == 0
    play("views", "orders.enrichment", [ENRICHED])
    play("risk_check", "orders.input", [INTENT])
    rows = {row["symbol"]: row for row in lines(run("query", "positions", "ACC1", "--format", "json"))}
    assert set(rows) == {"AAPL", "MSFT"}
    opened = rows["MSFT"]
    assert (opened["quantity"], opened["openBuy"], opened["openSell"], opened["accountReserved"]) == (0, 100, 0, 41_230)
    assert (opened["accountExposure"], opened["exposureLimit"], opened["exposureLimitUsed"]) == (41_230, 82_460, 0.5)
    assert (opened["tradingState"], opened["workingOrders"], opened["positionLimitUsed"]) == ("ACTIVE", 1, 0.4)
