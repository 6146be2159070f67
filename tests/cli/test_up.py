"""`orderflow up` and what belongs to it: reference data, and simulated surroundings."""

from __future__ import annotations

import json
import signal
import time

INTENT = {
    "eventType": "ORDER_SUBMITTED",
    "version": 1,
    "occurredAt": "2026-11-20T15:00:00Z",
    "key": "ACC00001|ORD1",
    "accountId": "ACC00001",
    "orderId": "ORD1",
    "clOrdId": "C1",
    "userToken": "USR1",
    "symbol": "MSFT",
    "side": "BUY",
    "quantity": 100,
    "orderType": "LIMIT",
    "limitPrice": 412.3,
    "sequence": 1,
    "source": "test",
}


def test_without_topics_it_says_how_to_create_them(run):
    result = run("up")
    assert result.exit_code == 2
    assert "orderflow topics create" in result.stderr
    assert "orders.status" in result.stderr


def test_an_order_runs_through_all_flows_and_sigterm_ends_them_well(run, start, caught_up, tmp_path):
    assert run("topics", "create").exit_code == 0
    limits, symbols = tmp_path / "limits.yaml", tmp_path / "symbols.yaml"
    limits.write_text(
        "version: '7'\n"
        "scopes:\n"
        "  FIRM: {tradingState: ACTIVE, maxOrderQuantity: 1000, maxOrderNotional: 1000000, collarBps: 1000,\n"
        "    referenceAgeMaxMs: 1000000000000, maxMessages: 100, messageWindowMs: 1000, maxExposure: 1000000}\n"
    )
    symbols.write_text("- {symbol: MSFT, tick: 0.01, lot: 1, reference: 412.30}\n")
    assert run("reference", "publish", "--limits", limits, "--symbols", symbols).exit_code == 0
    process = start("up", "--simulate")
    assert run("produce", "orders.input", stdin=json.dumps(INTENT)).exit_code == 0
    caught_up("risk_check", "orders.input")
    decided = json.loads(run("consume", "risk.outcome", "--until-end").stdout)
    assert decided["eventType"] == "RISK_APPROVED", decided
    statuses = _statuses_until(run, "ORDER_STATUS_CONSOLIDATED")
    assert {status["key"] for status in statuses} == {INTENT["key"]}
    caught_up("views", "orders.status")
    caught_up("surveillance", "orders.milestones")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output == ""
    assert "/metrics" in errors


def _statuses_until(run, event_type, timeout_s=60.0):
    """All statuses, as soon as there is one of that type."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        statuses = [json.loads(line) for line in run("consume", "orders.status", "--until-end").stdout.splitlines()]
        if any(status["eventType"] == event_type for status in statuses):
            return statuses
        time.sleep(0.05)
    raise AssertionError(f"there is no {event_type}")


def test_reference_data_is_shown_as_it_was_published(run):
    assert run("topics", "create").exit_code == 0
    assert run("reference", "publish").exit_code == 0
    assert run("reference", "publish").exit_code == 0
    rows = [json.loads(line) for line in run("reference", "show").stdout.splitlines()]
    firm, *instruments = rows
    assert firm["key"] == "FIRM"
    assert firm["maxOrderNotional"] == 10_000_000
    assert {"MSFT", "AAPL"} <= {row["key"] for row in instruments}
    assert len(instruments) == len({row["key"] for row in instruments})


def test_wrong_limits_are_refused_and_nothing_is_published(run, tmp_path):
    assert run("topics", "create").exit_code == 0
    limits = tmp_path / "limits.yaml"
    limits.write_text("version: '1'\nscopes:\n  NOBODY: {maxMessages: 1}\n")
    result = run("reference", "publish", "--limits", limits)
    assert result.exit_code == 2
    assert str(limits) in result.stderr
    assert run("reference", "show").stdout == ""
