import json
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest

import config
from config.errors import ConfigurationError
from operators.model.limits import (
    Limit,
    MessageRate,
    RiskControl,
    SymbolReference,
    TradingState,
    limits_of,
    parse_controls,
    parse_symbols,
)

FOLDER = Path(config.__file__).parent


def control(scope: str, **fields: Any) -> RiskControl:
    values = {"event_type": "RISK_CONTROL", "occurred_at": 0, "sequence": 1, "source": "test", "limits_version": "1"}
    return RiskControl(key=scope, **(values | fields))


def controls(*given: RiskControl) -> dict[str, RiskControl]:
    return {one.key: one for one in given}


def test_the_strictest_scope_holds_for_each_limit_by_itself() -> None:
    table = controls(
        control("FIRM", max_order_quantity=100, max_order_notional=50, collar_bps=500),
        control("ACCOUNT:ACC1", max_order_quantity=200, max_order_notional=10),
        control("SYMBOL:MSFT", max_order_quantity=70),
    )
    limits = limits_of(table, account_id="ACC1", symbol="MSFT")
    assert limits.quantity == Limit(70, "SYMBOL:MSFT")
    assert limits.notional == Limit(10, "ACCOUNT:ACC1")
    assert limits.collar_bps == Limit(500, "FIRM")
    assert limits.exposure is None


def test_a_decision_can_quote_the_version_of_every_scope_it_used() -> None:
    table = controls(control("FIRM", limits_version="7"), control("SYMBOL:MSFT", limits_version="b"))
    assert limits_of(table, account_id="ACC1", symbol="MSFT").version == "FIRM@7,SYMBOL:MSFT@b"
    assert limits_of({}, account_id="ACC1", symbol="MSFT").version == "NONE"


def test_limits_of_others_do_not_apply() -> None:
    table = controls(control("ACCOUNT:ACC2", max_order_quantity=1), control("SYMBOL:AAPL", max_order_quantity=1))
    assert limits_of(table, account_id="ACC1", symbol="MSFT").quantity is None


def test_rate_and_exposure_are_not_read_from_a_symbol() -> None:
    given = {"max_messages": 1, "message_window_ms": 1000, "max_exposure": 5}
    limits = limits_of(controls(control("SYMBOL:MSFT", **given)), account_id="ACC1", symbol="MSFT")
    assert (limits.rates, limits.exposure) == ([], None)
    limits = limits_of(controls(control("FIRM", **given)), account_id="ACC1", symbol="MSFT")
    assert (limits.rates, limits.exposure) == ([MessageRate(1, 1_000_000, "FIRM")], Limit(5, "FIRM"))


@pytest.mark.parametrize(
    ("word", "state"),
    [(None, "ACTIVE"), ("ACTIVE", "ACTIVE"), ("REDUCING", "REDUCING"), ("HALTED", "HALTED"), ("STOPP", "HALTED")],
)
def test_a_trading_state_nobody_knows_halts(word: str | None, state: str) -> None:
    limits = limits_of(controls(control("FIRM", trading_state=word)), account_id="ACC1", symbol="MSFT")
    assert limits.states == [(TradingState(state), "FIRM")]


@pytest.mark.parametrize(
    ("struct", "subject"), [(RiskControl, "risk.controls-value"), (SymbolReference, "reference.symbols-value")]
)
def test_structs_have_the_fields_of_the_contract(struct: type[msgspec.Struct], subject: str) -> None:
    contract = json.loads((FOLDER / "schemas" / subject / "v1.avsc").read_text())
    fields = msgspec.structs.fields(struct)
    assert {field["name"] for field in contract["fields"]} == {field.encode_name for field in fields}
    optional = {field["name"] for field in contract["fields"] if "default" in field}
    assert optional == {field.encode_name for field in fields if not field.required} - {"version"}
    assert contract["name"] == struct.__name__


def test_the_limits_that_ship_give_every_limit_and_fit_the_contract() -> None:
    text = (FOLDER / "limits.yaml").read_text()
    parsed = parse_controls(text, occurred_at=1, source="test")
    limits = limits_of(controls(*parsed), account_id="ACC1", symbol="MSFT")
    assert None not in limits
    assert limits.notional == Limit(10_000_000 * 1_000_000, "FIRM")
    contract = json.loads((FOLDER / "schemas/risk.controls-value/v1.avsc").read_text())
    assert all(fastavro.validate(msgspec.to_builtins(one), contract) for one in parsed)


def test_the_symbols_that_ship_have_prices_on_the_tick_and_fit_the_contract() -> None:
    parsed = parse_symbols((FOLDER / "symbols.yaml").read_text(), occurred_at=5, source="test")
    assert len(parsed) == 20
    assert all(one.reference_price and one.reference_price % one.tick == 0 and one.price_at == 5 for one in parsed)
    contract = json.loads((FOLDER / "schemas/reference.symbols-value/v1.avsc").read_text())
    assert all(fastavro.validate(msgspec.to_builtins(one), contract) for one in parsed)


def test_every_problem_of_a_limits_file_is_reported() -> None:
    text = """
version: "1"
scopes:
  DESK:4: {maxOrderQuantity: -1}
  SYMBOL:MSFT: {maxMessages: 5}
  FIRM: {maxOrderNotional: 0.0000001, messageWindowMs: 0}
"""
    with pytest.raises(ConfigurationError) as caught:
        parse_controls(text, occurred_at=1, source="test", file="limits.yaml")
    messages = "\n".join(str(problem) for problem in caught.value.problems)
    for part in ("a scope is", "-1 is too small", "belong together", "limits of an account", "finer", "window_ms 0"):
        assert part in messages
    assert {problem.file for problem in caught.value.problems} == {"limits.yaml"}


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
