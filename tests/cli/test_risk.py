"""`orderflow risk`: controls changed and shown, and the exposure that the flow keeps."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

ORDER = {
    "eventType": "ORDER_SUBMITTED", "version": 2, "occurredAt": "2026-11-26T15:00:00Z", "key": "ACC1|ORD1",
    "accountId": "ACC1", "orderId": "ORD1", "clOrdId": "C1", "userToken": "U", "symbol": "MSFT", "side": "BUY",
    "quantity": 100, "orderType": "LIMIT", "limitPrice": 412.3, "sequence": 1, "source": "entry",
}  # fmt: skip


@pytest.fixture
def published(run):
    """The limits and instruments that ship."""
    assert run("topics", "create").exit_code == 0
    assert run("reference", "publish").exit_code == 0


def lines(result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line, parse_float=Decimal) for line in result.stdout.splitlines()]


def shown(run) -> dict[str, dict[str, Any]]:
    return {row["scope"]: row for row in lines(run("risk", "show", "--format", "json"))}


def test_halting_and_resuming_change_the_state_and_the_version_and_keep_the_limits(published, run):
    before = shown(run)["FIRM"]
    assert (before["version"], before["tradingState"]) == ("2", "ACTIVE")
    assert run("risk", "halt", "--reason", "test").exit_code == 0
    halted = shown(run)["FIRM"]
    assert (halted["version"], halted["tradingState"], halted["reason"]) == ("2#2", "HALTED", "test")
    assert halted["limits"] == before["limits"]
    assert run("risk", "halt", "ACCOUNT:ACC1", "--reducing").exit_code == 0
    assert run("risk", "resume").exit_code == 0
    now = shown(run)
    assert (now["FIRM"]["version"], now["FIRM"]["tradingState"]) == ("2#3", "ACTIVE")
    assert (now["ACCOUNT:ACC1"]["version"], now["ACCOUNT:ACC1"]["tradingState"]) == ("run-time#1", "REDUCING")


def test_publishing_limits_resumes_nothing_and_forgets_no_rearming(published, run, tmp_path):
    assert run("risk", "halt").exit_code == 0
    assert run("risk", "rearm").exit_code == 0
    file = tmp_path / "limits.yaml"
    file.write_text(
        'version: "9"\nscopes:\n  FIRM: {tradingState: ACTIVE, maxOrderQuantity: 5}\n  DESK:D1: {maxShort: 1}\n'
    )
    assert run("risk", "limits", file).exit_code == 0
    now = shown(run)
    assert (now["FIRM"]["version"], now["FIRM"]["tradingState"]) == ("9", "HALTED")
    assert now["FIRM"]["limits"]["maxOrderQuantity"] == 5
    assert "rearmedAt" in now["FIRM"]["limits"]
    assert now["DESK:D1"]["limits"] == {"maxShort": 1}
    assert run("risk", "limits", file).exit_code == 0
    assert shown(run)["FIRM"]["version"] == "9#5"


def test_single_limits_of_a_scope_change_and_the_others_stay(published, run):
    before = shown(run)["FIRM"]["limits"]
    changed = run("risk", "limits", "--scope", "FIRM", "--set", "maxExposure=5.5", "--set", "warn.maxExposure=4")
    assert changed.exit_code == 0, changed.stderr
    after = shown(run)["FIRM"]["limits"]
    assert after == before | {"maxExposure": Decimal("5.5"), "warn": before["warn"] | {"maxExposure": 4}}


@pytest.mark.parametrize(
    "arguments",
    [
        ["halt", "TRADER:1"],
        ["limits"],
        ["limits", "--scope", "FIRM"],
        ["limits", "--scope", "FIRM", "--set", "maxExposure"],
        ["limits", "--scope", "FIRM", "--set", "noSuchLimit=1"],
        ["limits", "--scope", "SYMBOL:MSFT", "--set", "maxExposure=1"],
        ["limits", "--scope", "FIRM", "--set", "maxOrderQuantity=-1"],
    ],
    ids=" ".join,
)
def test_what_is_no_scope_or_limit_is_refused_and_changes_nothing(published, run, arguments):
    before = shown(run)
    result = run("risk", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert shown(run) == before


@pytest.mark.parametrize(
    ("scope", "warning"),
    [
        ("SYMBOL:MFST", "reference.symbols has no symbol MFST"),
        ("ACCOUNT:ACC9", "reference.accounts has no account ACC9"),
        ("ACCOUNT:ACC1/SYMBOL:MFST", "reference.symbols has no symbol MFST"),
        ("DESK:D9", "no account is of desk D9"),
        ("SYMBOL:MSFT", None),
        ("ACCOUNT:ACC1/SYMBOL:MSFT", None),
        ("DESK:D1", None),
        ("SESSION:ANY", None),
        ("FIRM", None),
    ],
)
def test_halting_what_nobody_knows_halts_it_and_warns(published, accounts, run, scope, warning):
    result = run("risk", "halt", scope)
    assert result.exit_code == 0
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert [line.partition(";")[0] for line in warnings] == ([f"warning: {warning}"] if warning else [])
    assert shown(run)[scope]["tradingState"] == "HALTED"


def test_only_a_scope_with_a_control_can_be_resumed(published, run):
    run("risk", "halt", "SYMBOL:MSFT")
    before = shown(run)
    result = run("risk", "resume", "SYMBOL:AAPL")
    assert result.exit_code == 2
    assert "SYMBOL:AAPL has no control, so there is nothing to resume; stopped are: SYMBOL:MSFT" in result.stderr
    assert shown(run) == before
    assert run("risk", "resume", "SYMBOL:MSFT").exit_code == 0
    assert "no scope is stopped" in run("risk", "resume", "SYMBOL:AAPL").stderr


def test_a_scope_is_rearmed_if_it_has_a_control_or_somebody_knows_it(published, accounts, run):
    before = shown(run)
    unknown = run("risk", "rearm", "ACCOUNT:ACC9")
    assert (unknown.exit_code, "no account ACC9, so there is nothing to re-arm" in unknown.stderr) == (2, True)
    assert shown(run) == before
    assert run("risk", "rearm", "ACCOUNT:ACC1").exit_code == 0
    assert "rearmedAt" in shown(run)["ACCOUNT:ACC1"]["limits"]


def test_without_reference_data_of_accounts_nobody_can_tell_which_there_are(published, run):
    result = run("risk", "rearm", "ACCOUNT:ACC1")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: reference.accounts has no account ACC1; ACCOUNT:ACC1 is re-armed")


@pytest.fixture
def accounts(run, tmp_path):
    """Account ACC1 of desk D1."""
    file = tmp_path / "accounts.yaml"
    file.write_text("- {account: ACC1, desk: D1}\n")
    assert run("reference", "publish", "--accounts", file).exit_code == 0


def test_a_level_that_would_never_warn_is_refused_also_beside_a_limit_that_stays(published, run):
    before = shown(run)
    result = run("risk", "limits", "--scope", "FIRM", "--set", "warn.maxExposure=1000000001")
    assert result.exit_code == 2
    assert "warn.maxExposure 1000000001 is above the hard maxExposure 1000000000 and would never warn" in result.stderr
    assert shown(run) == before


def test_a_count_changes_alone_where_its_window_stays(published, run):
    assert run("risk", "limits", "--scope", "FIRM", "--set", "maxMessages=5").exit_code == 0
    limits = shown(run)["FIRM"]["limits"]
    assert (limits["maxMessages"], limits["messageWindowMs"]) == (5, 1000)


def test_only_limits_that_are_given_whole_are_younger_for_it(published, run, tmp_path):
    given = shown(run)["FIRM"]["limitsAt"]
    assert run("risk", "halt").exit_code == 0
    assert run("risk", "limits", "--scope", "FIRM", "--set", "maxMessages=5").exit_code == 0
    changed = shown(run)["FIRM"]
    assert changed["limitsAt"] == given < changed["since"]
    file = tmp_path / "limits.yaml"
    file.write_text('version: "9"\nscopes:\n  FIRM: {maxOrderQuantity: 5}\n')
    assert run("risk", "limits", file).exit_code == 0
    assert shown(run)["FIRM"]["limitsAt"] == shown(run)["FIRM"]["since"] > given


def test_a_wrong_limits_file_is_told_with_its_lines_and_publishes_nothing(published, run, tmp_path):
    before = shown(run)
    file = tmp_path / "limits.yaml"
    file.write_text('version: "9"\nscopes:\n  FIRM:\n    maxOrderQty: 5\n    maxShort: many\n')
    result = run("risk", "limits", file)
    assert result.exit_code == 2
    assert f"{file}:4: FIRM: there is no maxOrderQty; did you mean maxOrderQuantity?" in result.stderr
    assert f"{file}:5: FIRM: maxShort: 'many' is no whole number" in result.stderr
    assert shown(run) == before


def test_without_limits_it_is_said_what_that_means(run):
    assert run("topics", "create").exit_code == 0
    result = run("risk", "show")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("warning: no limits are published, so every order is rejected")


def test_a_table_shows_lists_and_dates_as_words(published, run, tmp_path):
    file = tmp_path / "limits.yaml"
    file.write_text(
        'version: "9"\nscopes:\n  SYMBOL:MSFT:\n    requiredChecks: [MAX_LONG, LOCATE]\n    maxOrderNotional: 0.5\n'
        "    restrictions: [{side: BUY, validUntil: 2026-11-30}, {}]\n    warn: {maxShort: 3}\n"
    )
    assert run("risk", "limits", file).exit_code == 0
    [row] = [line for line in run("risk", "show").stdout.splitlines() if line.startswith("SYMBOL:MSFT ")]
    assert row.split()[-1] == (
        "maxOrderNotional=0.5,requiredChecks=[MAX_LONG,LOCATE],"
        "restrictions=[{side=BUY,validUntil=2026-11-30},-],warn={maxShort=3}"
    )


def test_exposure_and_limits_used_are_read_from_the_store_of_the_flow(published, run, start, monkeypatch, tmp_path):
    wide = run(
        "risk", "limits", "--scope", "FIRM", "--set", "referenceAgeMaxMs=100000000000", "--set", "collarBps=9000"
    )
    assert wide.exit_code == 0
    assert run("produce", "orders.input", stdin=json.dumps(ORDER) + "\n").exit_code == 0
    process = start("run", "risk_check", "--until-end")
    assert process.wait(timeout=90) == 0, process.stderr.read()
    monkeypatch.setenv("ORDERFLOW__STATE__DIR", str(tmp_path / "state"))
    rows = {(row["symbol"], row["check"]): row for row in lines(run("risk", "show", "ACC1", "--format", "json"))}
    exposure = rows[None, "MAX_EXPOSURE"]
    assert (exposure["used"], exposure["limit"], exposure["warn"], exposure["scope"]) == (
        41_230,
        1_000_000_000,
        800_000_000,
        "FIRM",
    )
    assert rows["MSFT", "MAX_LONG"]["used"] == 100
    assert rows["MSFT", "MAX_SHORT"]["used"] == 0
    [totals] = lines(run("risk", "show", "--all", "--format", "json"))
    assert (totals["accountId"], totals["reservedBuys"], totals["workingOrders"]) == ("ACC1", 41_230, 1)
    table = run("risk", "show", "ACC1")
    assert table.stdout.splitlines()[0].split() == ["SYMBOL", "CHECK", "USED", "LIMIT", "WARN", "SHARE", "SCOPE"]
    unknown = run("risk", "show", "NOBODY")
    assert (unknown.exit_code, "NOBODY" in unknown.stderr) == (1, True)
