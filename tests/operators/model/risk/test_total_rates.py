"""Message rates over all accounts of a scope: what counts, in which scopes, and what a breach reports."""

from __future__ import annotations

from typing import Any

import pytest

from operators.model.events import EventType, OrderIntent
from operators.model.risk.book import keep, memory_book
from operators.model.risk.limits import AccountReference, Levels, RiskControl, Tables
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.shared import SharedRequest
from operators.model.risk.total_rates import Totals, on_request

AT = 1_790_000_000_000_000
SECOND = 1_000_000


def control(scope: str, **fields: Any) -> RiskControl:
    return RiskControl(
        event_type="RISK_CONTROL", occurred_at=AT, key=scope, sequence=1, source="t", limits_version="1", **fields
    )


def total(scope: str, messages: int, window_ms: int = 1_000, **fields: Any) -> RiskControl:
    return control(scope, max_total_messages=messages, total_message_window_ms=window_ms, **fields)


class Firm:
    """The totals of a firm in memory."""

    def __init__(self, *controls: RiskControl) -> None:
        desks = {
            name: AccountReference(
                event_type="ACCOUNT_REFERENCE", occurred_at=AT, key=name, sequence=1, source="t", desk=desk
            )
            for name, desk in (("A", "D1"), ("B", "D1"), ("C", "D2"))
        }
        self.tables = Tables({each.key: each for each in controls}, {}, desks)
        self.totals, self.parts = Totals(), dict[str, bytes]()
        self._limits = LimitsInForce()

    def ask(self, account: str, at_s: float = 0, **fields: Any) -> list[tuple[str, str, float | None, float | None]]:
        """A request; what it breaches as scope, severity, current and attempted."""
        at = AT + int(at_s * SECOND)
        values: dict[str, Any] = {
            "event_type": EventType.ORDER_SUBMITTED, "sequence": 1, "source": "entry", "order_id": "O",
            "cl_ord_id": "C1", "user_token": "U", "symbol": "MSFT", "side": "BUY", "quantity": 1,
            "order_type": "MARKET",
        }  # fmt: skip
        intent = OrderIntent(key=f"{account}|O", account_id=account, occurred_at=at, **(values | fields))
        request = SharedRequest(occurred_at=at, key=intent.key, symbol=intent.symbol, intent=intent, counted=True)
        book = memory_book(None, self.parts)
        self.totals, found = on_request(self.totals, book, request, self.tables, limits=self._limits)
        keep(self.parts, book.changes())
        assert {breach.check for breach in found.breaches} <= {"TOTAL_MESSAGE_RATE"}
        return [(breach.scope, breach.severity, breach.current, breach.attempted) for breach in found.breaches]


@pytest.mark.parametrize(
    ("scope", "same", "other"),
    [
        ("FIRM", {}, None),
        ("DESK:D1", {}, {"account": "C"}),
        ("SYMBOL:MSFT", {}, {"symbol": "GOOG"}),
        ("SESSION:S1", {"session": "S1"}, {"session": "S2"}),
    ],
)
def test_a_scope_counts_the_requests_of_all_its_accounts_and_no_others(
    scope: str, same: dict[str, Any], other: dict[str, Any] | None
) -> None:
    firm = Firm(total(scope, 2))
    assert firm.ask("A", 0.0, **same) == firm.ask("B", 0.1, **same) == []
    if other is not None:
        assert firm.ask(**({"account": "A", "at_s": 0.2} | same | other)) == []
    assert firm.ask("A", 0.3, **same) == [(scope, "HARD", 2.0, 3.0)]
    assert firm.totals.requests == 2, "those of other scopes are not counted, nor what is over the total"


def test_the_window_rolls() -> None:
    firm = Firm(total("SYMBOL:MSFT", 2))
    firm.ask("A", 0.0)
    firm.ask("B", 0.9)
    assert firm.ask("A", 0.99) != []
    assert firm.ask("A", 1.0) == []
    assert firm.ask("A", 1.1) != []


def test_what_is_over_one_total_is_counted_in_none() -> None:
    firm = Firm(total("SYMBOL:MSFT", 1), total("SESSION:S1", 2))
    firm.ask("A", session="S1")
    assert firm.ask("B", session="S1") == [("SYMBOL:MSFT", "HARD", 1.0, 2.0)]
    assert firm.ask("B", session="S1", symbol="GOOG") == []
    assert firm.ask("B", session="S1", symbol="GOOG") == [("SESSION:S1", "HARD", 2.0, 3.0)]


def test_every_total_that_is_breached_is_reported() -> None:
    firm = Firm(total("FIRM", 1), total("SYMBOL:MSFT", 1))
    firm.ask("A")
    assert [scope for scope, *_ in firm.ask("B")] == ["FIRM", "SYMBOL:MSFT"]


def test_a_warning_counts_on() -> None:
    firm = Firm(total("SYMBOL:MSFT", 3, warn=Levels(max_total_messages=1)))
    firm.ask("A")
    assert firm.ask("B") == [("SYMBOL:MSFT", "WARN", 1.0, 2.0)]
    assert firm.ask("B") == [("SYMBOL:MSFT", "WARN", 2.0, 3.0)]
    assert firm.ask("B") == [("SYMBOL:MSFT", "HARD", 3.0, 4.0)]


def test_replaces_count_and_cancels_are_exempt() -> None:
    firm = Firm(total("SYMBOL:MSFT", 1))
    assert firm.ask("A", event_type=EventType.CANCEL_REQUESTED) == []
    assert firm.ask("A", event_type=EventType.REPLACE_REQUESTED) == []
    assert firm.ask("A", event_type=EventType.CANCEL_REQUESTED) == []
    assert firm.ask("B") != []


def test_without_a_total_nothing_is_kept() -> None:
    firm = Firm(control("FIRM"))
    assert firm.ask("A") == []
    assert (firm.totals, firm.parts) == (Totals(), {})
