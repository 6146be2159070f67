"""The independent model: what the inputs of order_status must lead to, by plain dictionaries and one event at a time.

It shares no code with the domain rules of the flows. Statuses and executions of an order lie on different topics and
may meet in any order, so only what does not depend on their interleaving is expected exactly: fills, fees and counts.
Of final states and of which status caused a visible change, the model says what is possible (`truth_states`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from services.truth_fees import FeeTable
from services.truth_fills import Executions
from services.truth_states import DEAD, Final, Reported, Said, final_states, parent_states

ENGINE_STATUS = "ORDER_STATUS_CHANGED"
PARENT_SOURCE = "parent-aggregator"
ENDS = (*sorted(DEAD), "FILLED")
_FILLS = ("TRADE", "TRADE_CANCEL", "TRADE_CORRECT")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MICROS = 7_258_118_400_000_000
"""The end of 2199 in microseconds since 1970."""
_SIDES = ("BUY", "SELL", "SELL_SHORT", "SELL_SHORT_EXEMPT")
_LIQUIDITIES = (None, "ADDED", "REMOVED", "ROUTED", "AUCTION")


@dataclass(slots=True)
class ExpectedOrder:
    """What is known of one order when all inputs are taken in. Money in millionths."""

    key: str
    symbol: str
    side: str
    parent: str | None = None
    """The parent's key."""
    is_parent: bool = False
    has_venue: bool = False
    statuses: list[Said] = field(default_factory=list)
    reports: list[Reported] = field(default_factory=list)
    executions: Executions = field(default_factory=Executions)
    trade_date: int | None = None
    fees: int = 0
    enriched: int = 0
    causes: Counter[int] = field(default_factory=Counter)
    """Times of the fills, busts and corrections that each caused one consolidated status."""
    possible_causes: Counter[int] = field(default_factory=Counter)
    """Times of the statuses and reports that may have caused one more."""
    last_sequences: dict[str, int] = field(default_factory=dict)
    _finals: frozenset[Final] | None = None

    @property
    def filled(self) -> int:
        """Quantity of the live fills."""
        return self.executions.filled

    @property
    def notional(self) -> int:
        """What the live fills are worth."""
        return self.executions.notional

    @property
    def finals(self) -> frozenset[Final]:
        """What may show in the end. To be asked for when all inputs are in."""
        if self._finals is None:
            self._finals = final_states(self.statuses, self.reports, filled=self.filled, traded=self.enriched > 0)
        return self._finals

    @property
    def average_price(self) -> int | None:
        """Average price of the live fills, rounded down."""
        return self.notional // self.filled if self.filled else None


class ExpectedParent(NamedTuple):
    """What a parent shows in the end; no finals where they depend on what is uncertain of a child."""

    children: frozenset[str]
    filled: int
    average_price: int | None
    finals: frozenset[Final]


def _parent(own: ExpectedOrder | None, children: list[ExpectedOrder]) -> ExpectedParent:
    """From what the engine says of it, else from its children, see docs/domain/lifecycle.md."""
    filled, notional = sum(child.filled for child in children), sum(child.notional for child in children)
    traded = any(child.enriched for child in children)
    if own is not None and own.statuses:
        finals = final_states(own.statuses, [], filled=filled, traded=traded)
    else:
        finals = parent_states([child.finals for child in children], [child.filled for child in children])
    average = notional // filled if filled else None
    return ExpectedParent(frozenset(child.key for child in children), filled, average, finals)


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
                row["fees"] += order.fees
                row["tradedQuantity"] += order.filled
                row["tradedNotional"] += order.notional
        return dict(rows)

    def dashboard(self) -> dict[str, Counter[str]]:
        """By symbol: orders, those still open, fills, and what traded, over the whole time and all venues.

        Only where the final state of every order is certain; parents are counted by their children.
        """
        rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for order in self.orders.values():
            if order.is_parent:
                continue
            (final,) = order.finals
            ended = final.code in ENDS
            placed = ended or (final.quantity > 0 and order.has_venue)
            row = rows[order.symbol]
            row["orders"] += placed
            row["open"] += placed and not ended
            row["fills"] += sum(not fill.busted for fill in order.executions.live)
            row["tradedQuantity"] += order.filled
            row["tradedNotional"] += order.notional
        return dict(rows)

    def parents(self) -> dict[str, ExpectedParent]:
        """By key of a parent: what its children and the engine's word for it come to."""
        children: defaultdict[str, list[ExpectedOrder]] = defaultdict(list)
        for order in self.orders.values():
            if order.parent is not None:
                children[order.parent].append(order)
        return {key: _parent(self.orders.get(key), found) for key, found in children.items()}


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
            elif record["execType"] in _FILLS:
                self._add_fill(record)
            else:
                self._add_report(record)

    def _add_status(self, record: Mapping[str, Any]) -> None:
        terms = record["order"]
        if terms["quantity"] < 0 or terms["side"] not in _SIDES or record["sequence"] < 1:
            self.expected.refused["orders.status"] += 1
            return
        order = self._order(record["key"], terms["symbol"], terms["side"])
        if not self._is_next(order, f"status {record['source']}", record["sequence"]):
            return
        if terms["parentId"] is not None:
            order.parent = f"{record['key'].split('|', 1)[0]}|{terms['parentId']}"
        order.is_parent = order.is_parent or bool(terms.get("isParent"))
        order.has_venue = order.has_venue or record["venue"] is not None
        said = Said(record["status"]["code"], terms["quantity"], terms.get("clOrdId"), terms.get("timeInForce"))
        order.statuses.append(said)
        order.possible_causes[record["occurredAt"]] += 1

    def _add_fill(self, record: Mapping[str, Any]) -> None:
        order = self._order(record["key"], record["symbol"], record["side"])
        day, venue, liquidity = record["tradeDate"], record["venue"], record["liquidity"]
        if record["execType"] == "TRADE" and not self._fees.covers(day, venue, liquidity):
            self.expected.refused["orders.executions"] += 1
            return
        if order.executions.is_repeat(record):
            self.expected.duplicates += 1
            return
        source = f"execution {record['source']}"
        order.last_sequences[source] = max(order.last_sequences.get(source, 0), record["sequence"])
        order.has_venue = True
        take_in = order.executions.add_trade if record["execType"] == "TRADE" else order.executions.amend
        changed, before = take_in(record), order.fees
        order.fees = self._total_fees(order, day)
        if changed or order.fees != before:
            order.enriched += 1
            order.causes[record["occurredAt"]] += 1
        else:
            order.possible_causes[record["occurredAt"]] += 1  # it may tell the venue, or begin another trading day
        self._note_day(order, record, kind="")

    def _total_fees(self, order: ExpectedOrder, day: int) -> int:
        total = self._fees.commission(day, order.filled, order.notional) if order.filled else 0
        for fill in order.executions.live:
            if not fill.busted:
                own = fill.record
                total += self._fees.of_trade(
                    own["tradeDate"], own["venue"], order.side, fill.liquidity, fill.quantity, fill.price
                )
        return total

    def _add_report(self, record: Mapping[str, Any]) -> None:
        order = self._order(record["key"], record["symbol"], record["side"])
        if not self._is_next(order, f"execution {record['source']}", record["sequence"]):
            return
        order.has_venue = True
        self._note_day(order, record, kind=record["execType"])
        order.possible_causes[record["occurredAt"]] += 1

    def _note_day(self, order: ExpectedOrder, record: Mapping[str, Any], *, kind: str) -> None:
        new_day = order.trade_date is not None and record["tradeDate"] > order.trade_date
        order.trade_date = max(record["tradeDate"], order.trade_date or record["tradeDate"])
        reported = Reported(
            kind, record["ordStatus"], record["orderQuantity"], record["cumQuantity"], record.get("origClOrdId"),
            record.get("timeInForce"), new_day, order.filled,
        )  # fmt: skip
        order.reports.append(reported)

    def _order(self, key: str, symbol: str, side: str) -> ExpectedOrder:
        order = self.expected.orders.get(key)
        if order is None:
            order = self.expected.orders[key] = ExpectedOrder(key, symbol, side)
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
    if not _possible_trade_date(record["tradeDate"], record["occurredAt"]):
        return False
    if record["execType"] not in ("TRADE", "TRADE_CORRECT"):
        return True
    return bool(record["lastQuantity"] > 0 and record["lastPrice"] is not None and record["lastPrice"] > 0)


def _possible_trade_date(trade_date: int, occurred_at: int) -> bool:
    """Up to a week ahead of the report; one whose clock shows a day before 2000 may name any day before 2200."""
    said = _EPOCH + timedelta(microseconds=min(occurred_at, _LAST_MICROS))
    latest = said.date() + timedelta(days=7) if said.year >= 2000 else date(2199, 12, 31)
    return 0 < trade_date <= (min(latest, date(2199, 12, 31)) - _EPOCH.date()).days


@dataclass(slots=True)
class OrderOutputs:
    """What the flow sent for one order, as far as the verdict compares it."""

    sequences: list[int] = field(default_factory=list)
    occurred_at: Counter[int] = field(default_factory=Counter)
    unchanged: list[int] = field(default_factory=list)
    """Sequences of those that show nothing else than the one before."""
    last: Mapping[str, Any] | None = None
    ends: Counter[str] = field(default_factory=Counter)
    """How often a status became this one that ends an order, in lower case."""


@dataclass(slots=True)
class Outputs:
    """Consolidated statuses, of parents apart, and enrichment, by order key, in the order of the log."""

    consolidated: defaultdict[str, OrderOutputs] = field(default_factory=lambda: defaultdict(OrderOutputs))
    parents: defaultdict[str, OrderOutputs] = field(default_factory=lambda: defaultdict(OrderOutputs))
    enriched: defaultdict[str, OrderOutputs] = field(default_factory=lambda: defaultdict(OrderOutputs))
    fee_increments: Counter[str] = field(default_factory=Counter)

    def add_statuses(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Takes in records of orders.status; engine statuses are inputs and are left out."""
        for record in records:
            if record["eventType"] == "ORDER_STATUS_CONSOLIDATED":
                of = self.parents if record["source"] == PARENT_SOURCE else self.consolidated
                order, code = of[record["key"]], record["status"]["code"]
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
    if outputs.last is not None and _shown(outputs.last) == _shown(record):
        outputs.unchanged.append(record["sequence"])
    outputs.sequences.append(record["sequence"])
    outputs.occurred_at[record["occurredAt"]] += 1
    outputs.last = record


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a person sees of a status; its reason and whatever tells of the event behind it are left out."""
    status = {name: value for name, value in record.get("status", {}).items() if name != "reason"}
    order = {name: value for name, value in record.get("order", {}).items() if name != "clOrdId"}
    fixed = {name: record.get(name) for name in ("venue", "arrivalPrice", "decisionPrice")}
    return {"status": status, "order": order, **fixed}
