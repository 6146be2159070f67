"""A desk: one account with its risk state in memory, fed with requests and consolidated statuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from operators.model.events import OrderIntent, OrderStatusChanged, OrderSummary, RiskOutcome, StatusDetail
from operators.model.risk.book import Book, keep, memory_book
from operators.model.risk.decision import on_intent
from operators.model.risk.exposure import on_status
from operators.model.risk.limits import AccountReference, Locate, RiskControl, SymbolReference, Tables
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.state import AccountRisk, OrderRisk, SymbolRisk

DOLLAR = 1_000_000
ENDED = ("FILLED", "CANCELED", "REJECTED", "EXPIRED", "DONE_FOR_DAY")


def control(scope: str = "FIRM", **fields: Any) -> RiskControl:
    values = {"event_type": "RISK_CONTROL", "occurred_at": 0, "sequence": 1, "source": "test", "limits_version": "1"}
    return RiskControl(key=scope, **(values | fields))


CORE = {
    "max_order_quantity": 1000,
    "max_order_notional": 200_000 * DOLLAR,
    "collar_bps": 1000,
    "reference_age_max_ms": 60_000,
    "max_messages": 100,
    "message_window_ms": 1000,
    "max_exposure": 1_000_000 * DOLLAR,
}


class Desk:
    """Account ACC1 trading MSFT at 400 (tick 0.01, lot 10); FIRM gives the core limits and what the test adds."""

    def __init__(self, *controls: RiskControl, firm: dict[str, Any] | None = None, **symbol: Any) -> None:
        self.controls = {"FIRM": control(**(CORE | (firm or {})))} | {one.key: one for one in controls}
        values = {
            "event_type": "SYMBOL_REFERENCE",
            "occurred_at": 0,
            "key": "MSFT",
            "sequence": 1,
            "source": "test",
            "tick": 10_000,
            "lot": 10,
            "reference_price": 400 * DOLLAR,
        }
        self.symbols = {"MSFT": SymbolReference(**(values | symbol))}
        self.accounts: dict[str, AccountReference] = {}
        self.locates: dict[str, Locate] = {}
        self.account = AccountRisk()
        self.parts: dict[str, bytes] = {}
        self.limits = LimitsInForce()
        self.requests = 0
        self.sequences: dict[tuple[str, str], int] = {}

    @property
    def tables(self) -> Tables:
        return Tables(self.controls, self.symbols, self.accounts, self.locates)

    @property
    def book(self) -> Book:
        return memory_book(self.account, self.parts)

    def firm(self, **fields: Any) -> None:
        self.controls["FIRM"] = msgspec.structs.replace(self.controls["FIRM"], **fields)

    def ask(self, order_id: str = "ORD1", **fields: Any) -> RiskOutcome:
        self.requests += 1
        values: dict[str, Any] = {
            "event_type": "ORDER_SUBMITTED",
            "occurred_at": 1,
            "key": f"ACC1|{order_id}",
            "sequence": self.requests,
            "source": "entry",
            "account_id": "ACC1",
            "order_id": order_id,
            "cl_ord_id": f"C{self.requests}",
            "user_token": "U",
            "symbol": "MSFT",
            "side": "BUY",
            "quantity": 100,
            "order_type": "LIMIT",
            "limit_price": 400 * DOLLAR,
        }
        book = self.book
        outcome = on_intent(book, OrderIntent(**(values | fields)), self.tables, limits=self.limits)
        self._kept(book)
        return outcome

    def replace(self, order_id: str = "ORD1", **fields: Any) -> RiskOutcome:
        return self.ask(order_id, **({"event_type": "REPLACE_REQUESTED"} | fields))

    def cancel(self, order_id: str = "ORD1", **fields: Any) -> RiskOutcome:
        return self.ask(order_id, **({"event_type": "CANCEL_REQUESTED"} | fields))

    def say(
        self, code: str, order_id: str = "ORD1", *, filled: int = 0, quantity: int = 100, side: str = "BUY", **f: Any
    ) -> tuple[str, ...]:
        """A consolidated status; `price` is the average price, `limit` the limit price in force."""
        source = f.get("source", "aggregator")
        sequence = f.get("sequence", self.sequences.get((order_id, source), 0) + 1)
        self.sequences[order_id, source] = sequence
        leaves = 0 if code in ENDED else max(0, quantity - filled)
        status = OrderStatusChanged(
            event_type="ORDER_STATUS_CONSOLIDATED",
            occurred_at=f.get("at", 1),
            key=f"ACC1|{order_id}",
            sequence=sequence,
            source=source,
            order=OrderSummary(
                id=order_id, symbol=f.get("symbol", "MSFT"), side=side, quantity=quantity, limit_price=f.get("limit")
            ),
            status=StatusDetail(
                code=code,
                filled_quantity=filled,
                leaves_quantity=f.get("leaves", leaves),
                avg_price=f.get("price", 400 * DOLLAR),
            ),
        )
        book = self.book
        anomalies = on_status(book, status, self.tables, limits=self.limits)
        self._kept(book)
        return anomalies

    def _kept(self, book: Book) -> None:
        keep(self.parts, book.changes())
        self.account = book.account

    def order(self, order_id: str = "ORD1") -> OrderRisk | None:
        return self.book.order(order_id)

    def orders(self) -> dict[str, OrderRisk]:
        names = [name.removeprefix("|order|") for name in self.parts if name.startswith("|order|")]
        return {name: order for name in names if (order := self.book.order(name)) is not None}

    def symbol(self, symbol: str = "MSFT") -> SymbolRisk:
        return self.book.symbol(symbol)

    def symbols_held(self) -> list[SymbolRisk]:
        return [self.book.symbol(name.removeprefix("|symbol|")) for name in self.parts if name.startswith("|symbol|")]

    @property
    def reserved(self) -> int:
        return self.account.reserved

    @property
    def units_reserved(self) -> float:
        return self.account.reserved / (400 * DOLLAR)


@pytest.fixture(scope="session")
def new_desk() -> Callable[..., Desk]:
    """Makes desks: by controls beside FIRM, fields of FIRM as `firm`, fields of the symbol's reference."""
    return Desk


@pytest.fixture
def checks() -> Callable[[RiskOutcome], list[str]]:
    """The hard breaches of an outcome; it is rejected exactly if it has one."""

    def names(outcome: RiskOutcome) -> list[str]:
        hard = [breach.check for breach in outcome.breaches if breach.severity == "HARD"]
        assert (outcome.event_type == "RISK_REJECTED") == bool(hard)
        return hard

    return names


@pytest.fixture
def warnings() -> Callable[[RiskOutcome], list[str]]:
    """The breaches of an outcome that only warn."""

    def names(outcome: RiskOutcome) -> list[str]:
        return [breach.check for breach in outcome.breaches if breach.severity == "WARN"]

    return names
