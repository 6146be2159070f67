import json
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest

import config
from config.errors import ConfigurationError
from operators.model.risk.limits import (
    AccountReference,
    Levels,
    Locate,
    Restriction,
    RiskControl,
    SelfTrade,
    Severity,
    SymbolReference,
    TradingState,
    scopes_of,
)
from operators.model.risk.limits_files import parse_accounts, parse_controls, parse_locates, parse_symbols
from operators.model.risk.limits_in_force import CORE_CHECKS, Count, Level, Limit, Limits, LimitsInForce, limits_of
from operators.model.risk.shared import SelfTradeRelease

FOLDER = Path(config.__file__).parent


def control(scope: str, **fields: Any) -> RiskControl:
    values = {"event_type": "RISK_CONTROL", "occurred_at": 0, "sequence": 1, "source": "test", "limits_version": "1"}
    return RiskControl(key=scope, **(values | fields))


def in_force(*given: RiskControl, session: str | None = None, desk: str | None = None) -> Limits:
    scopes = scopes_of(account_id="ACC1", symbol="MSFT", session=session, desk=desk)
    return LimitsInForce().of({one.key: one for one in given}, scopes)


def test_the_strictest_scope_holds_for_each_limit_by_itself() -> None:
    limits = in_force(
        control("FIRM", max_order_quantity=100, max_order_notional=50, collar_bps=500),
        control("ACCOUNT:ACC1", max_order_quantity=200, max_order_notional=10),
        control("SYMBOL:MSFT", max_order_quantity=70),
        control("ACCOUNT:ACC1/SYMBOL:MSFT", collar_bps=300),
    )
    assert limits.level("max_order_quantity").hard == Limit(70, "SYMBOL:MSFT")
    assert limits.level("max_order_notional").hard == Limit(10, "ACCOUNT:ACC1")
    assert limits.level("collar_bps").hard == Limit(300, "ACCOUNT:ACC1/SYMBOL:MSFT")
    assert limits.level("max_exposure") == Level()


def test_warn_levels_are_found_apart_from_hard_ones() -> None:
    limits = in_force(
        control("FIRM", max_order_quantity=100, warn=Levels(max_order_quantity=80, max_exposure=5)),
        control("ACCOUNT:ACC1", max_order_quantity=90, warn=Levels(max_order_quantity=85)),
    )
    assert limits.level("max_order_quantity") == Level(Limit(90, "ACCOUNT:ACC1"), Limit(80, "FIRM"))
    assert limits.level("max_exposure") == Level(None, Limit(5, "FIRM"))


def test_a_symmetric_limit_holds_for_both_sides_and_the_stricter_of_both_wins() -> None:
    limits = in_force(control("FIRM", max_position=100, max_short=50, max_net_exposure=7, max_net_long=9))
    assert limits.level("max_long").hard == Limit(100, "FIRM")
    assert limits.level("max_short").hard == Limit(50, "FIRM")
    assert limits.level("max_net_long").hard == limits.level("max_net_short").hard == Limit(7, "FIRM")


def test_a_decision_can_quote_the_version_of_every_scope_it_used() -> None:
    assert in_force(
        control("FIRM", limits_version="7"), control("DESK:D1", limits_version="8"),
        control("SYMBOL:MSFT", limits_version="b"), control("SESSION:S1", limits_version="9"), desk="D1", session="S1",
    ).version == "FIRM@7,DESK:D1@8,SYMBOL:MSFT@b,SESSION:S1@9"  # fmt: skip
    assert in_force().version == "NONE"


@pytest.mark.parametrize("scope", ["ACCOUNT:ACC2", "SYMBOL:AAPL", "ACCOUNT:ACC2/SYMBOL:MSFT", "DESK:D2", "SESSION:S2"])
def test_limits_of_others_do_not_apply(scope: str) -> None:
    limits = in_force(control(scope, max_order_quantity=1, trading_state="HALTED"), desk="D1", session="S1")
    assert limits.level("max_order_quantity") == Level()
    assert limits.states == []


def test_money_of_the_account_is_not_read_from_a_symbol_or_a_session() -> None:
    given = {"max_exposure": 5, "max_daily_loss": 5, "max_order_to_trade": 5}
    limits = in_force(control("SYMBOL:MSFT", **given), control("SESSION:S1", **given), session="S1")
    assert {limits.level(field) for field in given} == {Level()}
    assert in_force(control("FIRM", **given)).level("max_exposure").hard == Limit(5, "FIRM")


def test_counts_are_measured_over_what_their_scope_says() -> None:
    given = {"max_messages": 1, "message_window_ms": 1000, "max_working_orders": 3}
    limits = in_force(
        *(control(scope, **given) for scope in ("FIRM", "SYMBOL:MSFT", "ACCOUNT:ACC1/SYMBOL:MSFT", "SESSION:S1")),
        session="S1",
    )
    rates = [count for counted in limits.rates for count in counted.counts]
    assert [(count.over, count.level.hard.scope) for count in rates if count.level.hard] == [
        ("account", "FIRM"),
        ("symbol", "SYMBOL:MSFT"),
        ("symbol", "ACCOUNT:ACC1/SYMBOL:MSFT"),
        ("session", "SESSION:S1"),
    ]
    assert [(counted.over, len(counted.counts)) for counted in limits.rates] == [
        ("account", 1),
        ("symbol", 2),
        ("session", 1),
    ]
    assert rates[0] == Count("account", 1_000_000, Level(Limit(1, "FIRM")))
    assert [count.over for count in limits.working] == ["account", "symbol", "symbol"]


@pytest.mark.parametrize(
    ("word", "state"),
    [(None, "ACTIVE"), ("ACTIVE", "ACTIVE"), ("REDUCING", "REDUCING"), ("HALTED", "HALTED"), ("STOPP", "HALTED")],
)
def test_a_trading_state_nobody_knows_halts(word: str | None, state: str) -> None:
    assert in_force(control("FIRM", trading_state=word)).states == [(TradingState(state), "FIRM")]


def test_words_of_rules_fail_closed_and_the_stricter_one_wins() -> None:
    limits = in_force(
        control("FIRM", self_trade="CANCEL_OLDEST", locate="WARN", short_sale_marking="wrong"),
        control("ACCOUNT:ACC1", self_trade="WARN", locate="HARD"),
        control("SYMBOL:MSFT", self_trade="wrong"),
    )
    assert limits.locate == (Severity.HARD, "ACCOUNT:ACC1")
    assert limits.short_sale_marking == (Severity.HARD, "FIRM")
    assert limits.self_trade == (SelfTrade.CANCEL_NEWEST, "SYMBOL:MSFT")
    narrower = in_force(control("FIRM", self_trade="CANCEL_OLDEST"), control("ACCOUNT:ACC1", self_trade="WARN"))
    assert narrower.self_trade == (SelfTrade.CANCEL_OLDEST, "FIRM")


def test_core_limits_must_be_given_and_others_only_where_a_scope_requires_them() -> None:
    core = {
        "max_order_quantity": 1, "max_order_notional": 1, "collar_bps": 1, "reference_age_max_ms": 1,
        "max_messages": 1, "message_window_ms": 1, "max_exposure": 1,
    }  # fmt: skip
    assert in_force().missing(account_known=True) == [(check, "FIRM") for check in CORE_CHECKS]
    assert in_force(control("FIRM", **core)).missing(account_known=False) == []
    asked = ("MAX_LONG", "SELF_TRADE", "KNOWN_ACCOUNT", "MAX_WORKING_ORDERS", "NO_SUCH_CHECK")
    limits = in_force(control("FIRM", **core), control("ACCOUNT:ACC1", required_checks=asked))
    assert limits.missing(account_known=False) == [(check, "ACCOUNT:ACC1") for check in asked]
    given = control("ACCOUNT:ACC1", required_checks=asked[:-1], max_position=5, self_trade="WARN", max_working_orders=9)
    assert in_force(control("FIRM", **core), given).missing(account_known=True) == []


def test_limits_are_worked_out_again_only_when_a_control_changes() -> None:
    table, known = {"FIRM": control("FIRM", max_exposure=5)}, LimitsInForce(size_max=1)
    scopes = scopes_of(account_id="ACC1", symbol="MSFT")
    first = known.of(table, scopes)
    assert known.of(table, scopes_of(account_id="ACC2", symbol="AAPL")) is first
    table["FIRM"] = control("FIRM", max_exposure=6)
    assert known.of(table, scopes).level("max_exposure").hard == Limit(6, "FIRM")


@pytest.mark.parametrize(
    ("struct", "file"),
    [
        (RiskControl, "risk.controls-value/v3.avsc"),
        (SymbolReference, "reference.symbols-value/v2.avsc"),
        (AccountReference, "reference.accounts-value/v1.avsc"),
        (Locate, "reference.locates-value/v1.avsc"),
        (SelfTradeRelease, "risk.releases-value/v1.avsc"),
    ],
)
def test_structs_have_the_fields_of_the_contract(struct: type[msgspec.Struct], file: str) -> None:
    contract = json.loads((FOLDER / "schemas" / file).read_text())
    fields = msgspec.structs.fields(struct)
    assert {field["name"] for field in contract["fields"]} == {field.encode_name for field in fields}
    optional = {field["name"] for field in contract["fields"] if "default" in field}
    assert optional == {field.encode_name for field in fields if not field.required} - {"version"}
    assert contract["name"] == struct.__name__


def test_levels_are_the_same_in_code_and_contract() -> None:
    contract = json.loads((FOLDER / "schemas/risk.controls-value/v3.avsc").read_text())
    [warn] = [field for field in contract["fields"] if field["name"] == "warn"]
    levels = {field.encode_name for field in msgspec.structs.fields(Levels)}
    assert {field["name"] for field in warn["type"][1]["fields"]} == levels
    assert levels <= {field["name"] for field in contract["fields"]}


def test_the_limits_that_ship_give_every_limit_they_require_and_fit_the_contract() -> None:
    parsed = parse_controls((FOLDER / "limits.yaml").read_text(), occurred_at=1, source="test")
    limits = in_force(*parsed)
    assert limits.missing(account_known=False) == []
    assert len(limits.required) > len(CORE_CHECKS)
    assert limits.level("max_order_notional").hard == Limit(10_000_000 * 1_000_000, "FIRM")
    contract = json.loads((FOLDER / "schemas/risk.controls-value/v3.avsc").read_text())
    assert all(fastavro.validate(msgspec.to_builtins(one), contract) for one in parsed)


def test_the_symbols_that_ship_have_prices_on_the_tick_and_fit_the_contract() -> None:
    parsed = parse_symbols((FOLDER / "symbols.yaml").read_text(), occurred_at=5, source="test")
    assert len(parsed) == 20
    assert all(one.reference_price and one.reference_price % one.tick == 0 and one.price_at == 5 for one in parsed)
    contract = json.loads((FOLDER / "schemas/reference.symbols-value/v2.avsc").read_text())
    assert all(fastavro.validate(msgspec.to_builtins(one), contract) for one in parsed)


def test_every_problem_of_a_limits_file_is_reported() -> None:
    text = """
version: "1"
scopes:
  TRADER:4: {maxOrderQuantity: -1}
  SYMBOL:MSFT: {maxMessages: 5, maxDailyLoss: 5, warn: {maxExposure: 1}}
  SESSION:S1: {maxWorkingOrders: 5, maxMessages: 5000, messageWindowMs: 1}
  FIRM: {maxOrderNotional: 0.0000001, messageWindowMs: 0, requiredChecks: [MAX_FUN], warn: {maxExecutions: 1}}
  DESK:D: {maxTotalMessages: 5000}
  ACCOUNT:A/SYMBOL:X: {warn: {maxTotalMessages: 5}, totalMessageWindowMs: 1}
  ACCOUNT:A: {executionWindowMs: 0, maxExecutions: 1, restrictions: [{side: SELL_SHORT}]}
"""
    with pytest.raises(ConfigurationError) as caught:
        parse_controls(text, occurred_at=1, source="test", file="limits.yaml")
    messages = "\n".join(str(problem) for problem in caught.value.problems)
    for part in (
        "a scope is", "-1 is too small", "maxMessages and messageWindowMs belong", "maxDailyLoss is a limit of an",
        "maxExposure is a limit of an account", "no working orders", "5000 is too large", "finer", "no MAX_FUN",
        "maxExecutions and executionWindowMs belong", "executionWindowMs 0", "neither BUY nor SELL",
        "maxTotalMessages and totalMessageWindowMs belong", "maxTotalMessages 5000 is too large",
        "counts over accounts",
    ):  # fmt: skip
        assert part in messages
    assert {problem.file for problem in caught.value.problems} == {"limits.yaml"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["limits.yaml: is empty"]),
        ("- FIRM", ["limits.yaml:1: a limits file: write keys with values, as in `key: value`"]),
        ("version: 1", ["limits.yaml:1: a limits file: scopes is missing"]),
        ("version: 1\nscopes: {FIRM: [1]}", ["limits.yaml:2: FIRM: write keys with values, as in `key: value`"]),
        (
            "version: 1\nscopes:\n  FIRM:\n    maxOrderQty: 5",
            ["limits.yaml:4: FIRM: there is no maxOrderQty; did you mean maxOrderQuantity?"],
        ),
        (
            "version: 1\nscopes:\n  FIRM:\n    maxShort: many\n    maxExposure: [1]\n    tradingState: STOPPED",
            [
                "limits.yaml:4: FIRM: maxShort: 'many' is no whole number; write one, such as 1000",
                "limits.yaml:5: FIRM: maxExposure: what is there is no amount; write a number in the currency",
                "limits.yaml:6: FIRM: tradingState: 'STOPPED' is none of ACTIVE, REDUCING, HALTED",
            ],
        ),
        (
            "version: 1\nscopes:\n  FIRM:\n    maxExposure: 1000\n    warn:\n      maxExposure: 2000.5",
            ["limits.yaml:6: FIRM: warn.maxExposure 2000.5 is above the hard maxExposure 1000 and would never warn"],
        ),
        (
            "version: 1\nscopes:\n  FIRM:\n    duplicateWindowMs: 100\n    warn: {duplicateWindowMs: 50}",
            ["limits.yaml:5: FIRM: warn.duplicateWindowMs 50 is below the hard duplicateWindowMs 100 and would"],
        ),
        (
            "version: 1\nscopes:\n  SYMBOL:X:\n    restrictions:\n    - {}\n    - {side: SELL, validFrom: soon}",
            ["limits.yaml:6: SYMBOL:X: restrictions: validFrom: 'soon' is no date; write one as 2026-11-26"],
        ),
        (
            "version: 1\nscopes:\n  SYMBOL:X:\n    restrictions: [{validFrom: 2026-11-27, validUntil: 2026-11-26}]",
            ["limits.yaml:4: SYMBOL:X: restrictions: validUntil is before validFrom, so it would hold on no day"],
        ),
        (
            "version: 1\nscopes:\n  FIRM: {maxShort: 1}\n  FIRM: {maxShort: 2}",
            ["limits.yaml:4: 'FIRM' is given twice, first in line 3"],
        ),
        ("version: 1\nscopes:\n  TRADER:4: {}", ["limits.yaml:3: TRADER:4: a scope is FIRM, DESK:<desk>"]),
        ("version: 1\nscopes: {FIRM: {maxExposure: 1e15}}", ["limits.yaml:2: FIRM: maxExposure: '1e15' is too large"]),
        ("version: [", ["limits.yaml:1: is not valid YAML"]),
    ],
)
def test_what_is_wrong_in_a_limits_file_is_told_with_its_line_and_what_to_do(text: str, expected: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_controls(text, occurred_at=1, source="test", file="limits.yaml")
    found = [str(problem) for problem in caught.value.problems]
    assert [line[: len(begins)] for line, begins in zip(found, expected, strict=True)] == expected


LOCATE_OF_NO_DAY = "- {locate: L, account: A, symbol: X, quantity: 5, validFrom: 2026-11-27, validUntil: 2026-11-26}"


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (parse_symbols, "- {symbol: A, tick: 0.01}\n- {symbol: B, tick: 0.01, lot: 0}", [
            "f.yaml:1: symbol A: lot is missing", "f.yaml:2: B: lot must be above zero",
        ]),
        (parse_symbols, "symbol: A", ["f.yaml:1: symbol: write a list, a line that begins with `- ` per symbol"]),
        (parse_symbols, "- {symbol: A, tick: 1, lot: 1, easyToBorrow: maybe}", [
            "f.yaml:1: symbol A: easyToBorrow: 'maybe' is neither true nor false",
        ]),
        (parse_accounts, "- {account: A}\n- {acount: B}\n- {account: A}", [
            "f.yaml:2: account: there is no acount; did you mean account?", "f.yaml:2: account: account is missing",
            "f.yaml:3: account A is given twice, first in line 1: leave one out",
        ]),
        (parse_locates, LOCATE_OF_NO_DAY, ["f.yaml:1: L: validUntil is before validFrom"]),
    ],
)  # fmt: skip
def test_what_is_wrong_in_files_of_reference_data_is_told_with_its_line(
    parse: Any, text: str, expected: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, occurred_at=1, source="test", file="f.yaml")
    assert [str(problem) for problem in caught.value.problems] == expected


def test_ids_are_read_as_they_are_written() -> None:
    [account] = parse_accounts("- {account: 007, desk: 1_0}", occurred_at=1, source="t")
    assert (account.key, account.desk) == ("007", "1_0")


def test_a_limits_file_says_all_that_a_control_can() -> None:
    text = """
version: "3"
scopes:
  ACCOUNT:A/SYMBOL:X:
    restrictions: [{side: BUY, validFrom: 2026-11-26, validUntil: 2026-11-27, reason: research}, {}]
    warn: {maxPosition: 5}
    selfTrade: DECREMENT
  SESSION:S1: {maxTotalMessages: 5, totalMessageWindowMs: 1000, requiredChecks: [TOTAL_MESSAGE_RATE]}
"""
    [parsed, session] = parse_controls(text, occurred_at=1, source="test")
    assert parsed.restrictions == (
        Restriction(side="BUY", valid_from=20_783, valid_until=20_784, reason="research"),
        Restriction(),
    )
    assert (parsed.warn, parsed.self_trade) == (Levels(max_position=5), "DECREMENT")
    limits = limits_of([("SESSION:S1", "session", session)])
    [total] = limits.totals
    assert total.counts == [Count("SESSION:S1", 1_000_000, Level(Limit(5, "SESSION:S1")))]
    assert "TOTAL_MESSAGE_RATE" not in dict(limits.missing(account_known=True))
    none = limits_of([("SESSION:S1", "session", msgspec.structs.replace(session, max_total_messages=None))])
    assert dict(none.missing(account_known=True))["TOTAL_MESSAGE_RATE"] == "SESSION:S1"


def test_accounts_and_locates_are_read_and_fit_the_contract() -> None:
    accounts = parse_accounts(
        "- {account: A, owner: O, stpGroup: G, desk: D}\n- {account: B}", occurred_at=1, source="t"
    )
    assert [(one.key, one.owner, one.stp_group, one.desk) for one in accounts] == [
        ("A", "O", "G", "D"),
        ("B", None, None, None),
    ]
    text = "- {locate: L1, account: A, symbol: X, quantity: 5, validFrom: 2026-11-26}"
    locates = parse_locates(text, occurred_at=1, source="t")
    assert [(one.key, one.account_id, one.quantity, one.valid_from) for one in locates] == [("L1", "A", 5, 20_783)]
    for name, records in (("accounts", accounts), ("locates", locates)):
        contract = json.loads((FOLDER / f"schemas/reference.{name}-value/v1.avsc").read_text())
        assert all(fastavro.validate(msgspec.to_builtins(one), contract) for one in records)
    with pytest.raises(ConfigurationError, match="given twice"):
        parse_accounts("- {account: A}\n- {account: A}", occurred_at=1, source="t")
    with pytest.raises(ConfigurationError, match="above zero"):
        parse_locates(text.replace("5", "0", 1), occurred_at=1, source="t")


@pytest.mark.parametrize(
    "text",
    [
        "- {symbol: A, tick: 0, lot: 1}",
        "- {symbol: A, tick: 1, lot: 1}\n- {symbol: A, tick: 1, lot: 1}",
        "- {symbol: A}",
        "- {symbol: A, tick: x, lot: 1}",
        "[",
    ],
    ids=["tick zero", "twice", "incomplete", "no number", "no YAML"],
)
def test_a_wrong_symbols_file_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_symbols(text, occurred_at=1, source="test")
