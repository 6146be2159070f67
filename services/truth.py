"""The independent model: what the inputs of order_status must lead to, by plain dictionaries and one event at a time.

It shares no code with the domain rules of the flows. Statuses and executions of an order lie on different topics and
may meet in any order, so only what does not depend on their interleaving is expected exactly: final states, fills, fees
and counts. Whether a venue's own CANCELED, EXPIRED, REJECTED or DONE_FOR_DAY causes a consolidated status does depend
on it (not if the engine said so before); for these the model keeps the events that may have caused one more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.truth_fees import FeeTable

ENGINE_STATUS = "ORDER_STATUS_CHANGED"
_ENDED = ("CANCELED", "EXPIRED", "REJECTED")
ENDS = (*_ENDED, "FILLED")
_BEFORE_ACCEPTANCE = ("PENDING_NEW", "ACCEPTED_FOR_BIDDING")
_VENUE_STATES = (*_ENDED, "DONE_FOR_DAY")
_SIDES = ("BUY", "SELL", "SELL_SHORT", "SELL_SHORT_EXEMPT")
_LIQUIDITIES = (None, "ADDED", "REMOVED", "ROUTED", "AUCTION")
# Several states at once: the first that applies shows (FIX 4.4 volume 4, ExecutionReport).
_PENDING_AND_CLOSING = ("PENDING_CANCEL", "PENDING_REPLACE", "DONE_FOR_DAY", "CALCULATED")
_OVER_PARTIAL = ("STOPPED", "SUSPENDED", *_ENDED)
_NOTHING_OPEN = (*_ENDED, "DONE_FOR_DAY", "CALCULATED")


@dataclass(slots=True)
class ExpectedOrder:
    """What is known of one order when all inputs are taken in. Money in millionths."""

    key: str
    symbol: str
    side: str
    quantity: int
    engine_code: str | None = None
    venue_code: str | None = None
    has_venue: bool = False
    filled: int = 0
    notional: int = 0
    trade_fees: int = 0
    commission: int = 0
    enriched: int = 0
    causes: Counter[int] = field(default_factory=Counter)
    """Times of the inputs that each caused one consolidated status."""
    possible_causes: Counter[int] = field(default_factory=Counter)
    """Times of the venue reports that may have caused one more."""
    last_sequences: dict[str, int] = field(default_factory=dict)
    executions: set[tuple[str, int, str]] = field(default_factory=set)

    @property
    def code(self) -> str | None:
        """The OrdStatus that shows in the end."""
        reported = [code for code in (self.engine_code, self.venue_code) if code is not None]
        for code in _PENDING_AND_CLOSING:
            if code in reported:
                return code
        if 0 < self.filled >= self.quantity:
            return "FILLED"
        for code in _OVER_PARTIAL[:2]:
            if code in reported:
                return code
        for code in reported:
            if code in _ENDED:
                return code
        if self.filled > 0:
            return "PARTIALLY_FILLED"
        return reported[0] if reported else None

    @property
    def leaves(self) -> int:
        """Quantity open in the end."""
        return 0 if self.code in _NOTHING_OPEN else max(self.quantity - self.filled, 0)

    @property
    def average_price(self) -> int | None:
        """Average price of all fills, rounded down."""
        return self.notional // self.filled if self.filled else None

    @property
    def total_fees(self) -> int:
        """All fees of all fills."""
        return self.trade_fees + self.commission


@dataclass(slots=True)
class Expected:
    """The expected end of everything."""

    orders: dict[str, ExpectedOrder] = field(default_factory=dict)
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Inputs that must have become dead letters, by topic."""

    def positions(self) -> dict[str, Counter[str]]:
        """By accountId|symbol: bought minus sold, cash received minus paid without fees, fees, and what traded."""
        rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for order in self.orders.values():
            if order.enriched:
                direction = 1 if order.side == "BUY" else -1
                row = rows[f"{order.key.split('|', 1)[0]}|{order.symbol}"]
                row["quantity"] += direction * order.filled
                row["cash"] -= direction * order.notional
                row["fees"] += order.total_fees
                row["tradedQuantity"] += order.filled
                row["tradedNotional"] += order.notional
        return dict(rows)

    def dashboard(self) -> dict[str, Counter[str]]:
        """By symbol: orders, those still open, fills, and what traded, over the whole time and all venues."""
        rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for order in self.orders.values():
            ended = order.code in ENDS
            placed = ended or (order.quantity > 0 and order.has_venue)
            row = rows[order.symbol]
            row["orders"] += placed
            row["open"] += placed and not ended
            row["fills"] += order.enriched
            row["tradedQuantity"] += order.filled
            row["tradedNotional"] += order.notional
        return dict(rows)


class Truth:
    """Takes in the inputs in the order of their log, each topic apart or both mixed."""

    def __init__(self, fees: FeeTable) -> None:
        self.expected = Expected()
        self._fees = fees

    def add_statuses(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Takes in records of orders.status; consolidated ones are the flow's own and are left out."""
        for record in records:
            if record["eventType"] == ENGINE_STATUS:
                self._add_status(record)

    def add_executions(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Takes in records of orders.executions."""
        for record in records:
            if not _usable_execution(record):
                self.expected.refused["orders.executions"] += 1
            elif record["execType"] == "TRADE":
                self._add_trade(record)
            else:
                self._add_report(record)

    def _add_status(self, record: Mapping[str, Any]) -> None:
        terms = record["order"]
        if terms["quantity"] < 0 or terms["side"] not in _SIDES or record["sequence"] < 1:
            self.expected.refused["orders.status"] += 1
            return
        order = self._order(record["key"], terms["symbol"], terms["side"], terms["quantity"])
        if not self._is_next(order, f"status {record['source']}", record["sequence"]):
            return
        code = record["status"]["code"]
        if order.engine_code in _ENDED and code != order.engine_code:
            return
        if order.engine_code not in (None, *_BEFORE_ACCEPTANCE) and code in _BEFORE_ACCEPTANCE:
            return
        order.engine_code = code
        order.has_venue = order.has_venue or record["venue"] is not None
        order.symbol, order.side, order.quantity = terms["symbol"], terms["side"], terms["quantity"]
        order.causes[record["occurredAt"]] += 1

    def _add_trade(self, record: Mapping[str, Any]) -> None:
        order = self._order(record["key"], record["symbol"], record["side"], record["orderQuantity"])
        identity = (record["venue"], record["tradeDate"], record["execId"])
        if identity in order.executions:
            self.expected.duplicates += 1
            return
        day, venue, liquidity = record["tradeDate"], record["venue"], record["liquidity"]
        if not self._fees.covers(day, venue, liquidity):
            self.expected.refused["orders.executions"] += 1
            return
        source = f"execution {record['source']}"
        order.last_sequences[source] = max(order.last_sequences.get(source, 0), record["sequence"])
        quantity, price = record["lastQuantity"], record["lastPrice"]
        order.has_venue = True
        order.executions.add(identity)
        order.filled += quantity
        order.notional += quantity * price
        order.commission = self._fees.commission(day, order.filled, order.notional)
        order.trade_fees += self._fees.of_trade(day, venue, order.side, liquidity, quantity, price)
        order.enriched += 1
        order.causes[record["occurredAt"]] += 1

    def _add_report(self, record: Mapping[str, Any]) -> None:
        order = self._order(record["key"], record["symbol"], record["side"], record["orderQuantity"])
        if not self._is_next(order, f"execution {record['source']}", record["sequence"]):
            return
        order.has_venue = True
        if record["execType"] in _VENUE_STATES:
            order.venue_code = record["execType"]
            order.possible_causes[record["occurredAt"]] += 1

    def _order(self, key: str, symbol: str, side: str, quantity: int) -> ExpectedOrder:
        order = self.expected.orders.get(key)
        if order is None:
            order = self.expected.orders[key] = ExpectedOrder(key, symbol, side, quantity)
        return order

    def _is_next(self, order: ExpectedOrder, source: str, sequence: int) -> bool:
        if sequence <= order.last_sequences.get(source, -1):
            self.expected.duplicates += 1
            return False
        order.last_sequences[source] = sequence
        return True


def _usable_execution(record: Mapping[str, Any]) -> bool:
    if record["orderQuantity"] < 0 or record["side"] not in _SIDES or record["liquidity"] not in _LIQUIDITIES:
        return False
    if record["execType"] != "TRADE":
        return True
    return bool(record["lastQuantity"] > 0 and record["lastPrice"] is not None and record["lastPrice"] > 0)


@dataclass(slots=True)
class OrderOutputs:
    """What the flow sent for one order, as far as the verdict compares it."""

    sequences: list[int] = field(default_factory=list)
    occurred_at: Counter[int] = field(default_factory=Counter)
    last: Mapping[str, Any] | None = None
    ends: Counter[str] = field(default_factory=Counter)
    """How often a status became this one that ends an order, in lower case."""


@dataclass(slots=True)
class Outputs:
    """Consolidated statuses and enrichment, by order key, in the order of the log."""

    consolidated: defaultdict[str, OrderOutputs] = field(default_factory=lambda: defaultdict(OrderOutputs))
    enriched: defaultdict[str, OrderOutputs] = field(default_factory=lambda: defaultdict(OrderOutputs))
    fee_increments: Counter[str] = field(default_factory=Counter)

    def add_statuses(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Takes in records of orders.status; engine statuses are inputs and are left out."""
        for record in records:
            if record["eventType"] == "ORDER_STATUS_CONSOLIDATED":
                order, code = self.consolidated[record["key"]], record["status"]["code"]
                if code in ENDS and (order.last is None or order.last["status"]["code"] != code):
                    order.ends[code.lower()] += 1
                _note(order, record)

    def ends_by_symbol(self) -> dict[str, Counter[str]]:
        """How often orders came to each of their ends, for an order may come to several: a late fill, a replace."""
        rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for order in self.consolidated.values():
            if order.last is not None:
                rows[order.last["order"]["symbol"]].update({code.lower(): order.ends[code.lower()] for code in ENDS})
        return dict(rows)

    def add_enriched(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Takes in records of orders.enrichment."""
        for record in records:
            _note(self.enriched[record["key"]], record)
            self.fee_increments[record["key"]] += sum(fee["amount"] for fee in record["fees"])


def _note(outputs: OrderOutputs, record: Mapping[str, Any]) -> None:
    outputs.sequences.append(record["sequence"])
    outputs.occurred_at[record["occurredAt"]] += 1
    outputs.last = record
