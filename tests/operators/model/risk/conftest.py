"""An STP group in memory: its orders held, its accounts decided, releases on their way, as the flow does it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

import config
from operators.model.events import (
    EventType,
    OrderIntent,
    OrderStatusChanged,
    OrderSummary,
    RiskOutcome,
    StatusDetail,
)
from operators.model.risk import group_self_trade
from operators.model.risk.book import keep, memory_book
from operators.model.risk.decision import on_intent
from operators.model.risk.exposure import on_status
from operators.model.risk.group_book import GroupBook, GroupState
from operators.model.risk.limits import AccountReference, RiskControl, SymbolReference, Tables
from operators.model.risk.limits_files import parse_controls
from operators.model.risk.limits_in_force import LimitsInForce
from operators.model.risk.shared import SelfTradeRelease, SharedRequest, release_of
from operators.model.risk.state import AccountRisk

DOLLAR = 1_000_000
AT = 1_790_000_000_000_000
GROUP = "G"


@cache
def shipped() -> RiskControl:
    text = (Path(config.__file__).parent / "limits.yaml").read_text()
    [control] = parse_controls(text, occurred_at=AT, source="test")
    return msgspec.structs.replace(control, duplicate_window_ms=None, max_messages=4_000)


def firm(**fields: Any) -> RiskControl:
    return msgspec.structs.replace(shipped(), **fields)


def account(name: str, group: str | None = GROUP) -> AccountReference:
    return AccountReference(
        event_type="ACCOUNT_REFERENCE", occurred_at=AT, key=name, sequence=1, source="t", stp_group=group
    )


def tables(mode: str | None, *accounts: AccountReference, **fields: Any) -> Tables:
    symbol = SymbolReference(
        event_type="SYMBOL_REFERENCE", occurred_at=AT, key="MSFT", sequence=1, source="test", tick=DOLLAR, lot=1,
        reference_price=100 * DOLLAR,
    )  # fmt: skip
    return Tables(
        {"FIRM": firm(self_trade=mode, **fields)}, {"MSFT": symbol}, {each.key: each for each in accounts}, {}
    )


class World:
    """One group in one symbol. Releases wait in `releases` until they are told to arrive."""

    def __init__(self, given: Tables) -> None:
        self.tables = given
        self.reads: list[str] = []
        self._count = 0
        self.releases: list[SelfTradeRelease] = []
        self.group: GroupState | None = None
        self.group_parts: dict[str, bytes] = {}
        self._accounts: dict[str, AccountRisk] = {}
        self._parts: dict[str, dict[str, bytes]] = {}
        self._limits = LimitsInForce()
        self._at = AT

    def submit(self, key: str, side: str, quantity: int, price: int | None, **fields: Any) -> RiskOutcome:
        """A new order `account|order`, priced in dollars; a MARKET order without a price."""
        return self.ask(self.request(key, side, quantity, price, **fields))

    def replace(self, key: str, side: str, quantity: int, price: int | None, **fields: Any) -> RiskOutcome:
        """New terms for an order."""
        return self.submit(key, side, quantity, price, event_type=EventType.REPLACE_REQUESTED, **fields)

    def request(self, key: str, side: str, quantity: int, price: int | None, **fields: Any) -> OrderIntent:
        """The next request."""
        self._count += 1
        account_id, _, order_id = key.partition("|")
        values: dict[str, Any] = {
            "event_type": EventType.ORDER_SUBMITTED, "occurred_at": AT + self._count, "sequence": self._count,
            "source": "entry", "cl_ord_id": f"C{self._count}", "user_token": "U", "symbol": "MSFT",
            "order_type": "MARKET" if price is None else "LIMIT",
            "limit_price": None if price is None else price * DOLLAR,
        }  # fmt: skip
        values |= fields
        return OrderIntent(key=key, account_id=account_id, order_id=order_id, side=side, quantity=quantity, **values)

    def status(
        self, code: str, key: str, side: str, quantity: int, price: int, *, filled: int = 0, **fields: Any
    ) -> OrderStatusChanged:
        """The next consolidated status, not yet told."""
        self._count += 1
        ended = code in ("FILLED", "CANCELED", "REJECTED", "EXPIRED")
        return OrderStatusChanged(
            event_type=EventType.ORDER_STATUS_CONSOLIDATED, occurred_at=AT + self._count, key=key,
            order=OrderSummary(
                id=key.partition("|")[2], symbol="MSFT", side=side, quantity=quantity, limit_price=price * DOLLAR,
                **fields,
            ),
            status=StatusDetail(
                code=code, filled_quantity=filled, leaves_quantity=0 if ended else quantity - filled,
                avg_price=price * DOLLAR if filled else None,
            ),
            sequence=self._count, source="order-status", venue="XNAS",
        )  # fmt: skip

    def ask(self, request: OrderIntent) -> RiskOutcome:
        """A request on its whole way: held, decided, given back if it is rejected."""
        grouped = self.tables.accounts[request.account_id].stp_group
        if grouped is None:
            return self._decide(request, None)
        shared = self.hold_only(request)
        outcome = self._decide(request, shared)
        if shared.number and outcome.event_type == EventType.RISK_REJECTED:
            self.releases.append(release_of(shared, source="t"))
        return outcome

    def hold_only(self, request: OrderIntent) -> SharedRequest:
        """The first half of the way: what the group makes of a request."""
        self._at += 1
        book = self._group_book()
        shared = SharedRequest(
            occurred_at=request.occurred_at, key=request.key, symbol=request.symbol, intent=request, stp_group=GROUP
        )
        found = group_self_trade.on_request(book, shared, self.tables, limits=self._limits, at=self._at)
        self._keep(book)
        return found

    def release(self, index: int = 0) -> None:
        """Lets one of the waiting releases arrive."""
        book = self._group_book()
        group_self_trade.on_release(book, self.releases.pop(index))
        self._keep(book)

    def tell(self, told: OrderStatusChanged) -> tuple[str, ...]:
        """A consolidated status, heard by the group and by the account."""
        book = self._group_book()
        anomalies = group_self_trade.on_status(book, told)
        self._keep(book)
        name = told.key.partition("|")[0]
        account_book = memory_book(self._accounts.get(name), self._parts.setdefault(name, {}))
        on_status(account_book, told, self.tables, limits=self._limits)
        self._accounts[name] = account_book.account
        keep(self._parts[name], account_book.changes())
        return anomalies

    def reserved(self, name: str) -> int:
        """What an account has reserved, in millionths."""
        return self._accounts.get(name, AccountRisk()).reserved

    def _decide(self, request: OrderIntent, shared: SharedRequest | None) -> RiskOutcome:
        name = request.account_id
        book = memory_book(self._accounts.get(name), self._parts.setdefault(name, {}))
        outcome = on_intent(book, request, self.tables, limits=self._limits, shared=shared)
        self._accounts[name] = book.account
        keep(self._parts[name], book.changes())
        return outcome

    def _group_book(self) -> GroupBook:
        def read(suffix: str, decoder: msgspec.msgpack.Decoder[Any]) -> Any:
            self.reads.append(suffix)
            return decoder.decode(self.group_parts[suffix]) if suffix in self.group_parts else None

        return GroupBook(self.group, read)

    def _keep(self, book: GroupBook) -> None:
        state = book.state
        self.group = None if state is None else msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=GroupState)
        keep(self.group_parts, book.changes())


@pytest.fixture
def world() -> Callable[..., World]:
    """Makes a world of accounts A and B in the group and C in none, under a mode and limits of the firm."""

    def make(mode: str | None = "CANCEL_NEWEST", **fields: Any) -> World:
        return World(tables(mode, account("A"), account("B"), account("C", None), **fields))

    return make
