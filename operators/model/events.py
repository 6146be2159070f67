"""The event types of the platform and the words they use, as the Avro contracts have them.

Times are microseconds since 1970 UTC, dates days since 1970, money and prices millionths of the currency, quantities
the instrument's smallest tradable unit. The enumerations list the words that the rules know; fields are plain `str`,
because a word nobody knows must reach the rules, which refuse it with a reason.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from config.errors import InvalidRecordError

VERSION = 2
"""Version of the events as written by this code; a younger event type states its own."""


class EventType(StrEnum):
    """What an event tells."""

    ORDER_SUBMITTED = "ORDER_SUBMITTED"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    REPLACE_REQUESTED = "REPLACE_REQUESTED"
    RISK_APPROVED = "RISK_APPROVED"
    RISK_REJECTED = "RISK_REJECTED"
    ORDER_STATUS_CHANGED = "ORDER_STATUS_CHANGED"
    ORDER_STATUS_CONSOLIDATED = "ORDER_STATUS_CONSOLIDATED"
    EXECUTION_REPORTED = "EXECUTION_REPORTED"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    ORDER_ENRICHED = "ORDER_ENRICHED"
    ORDER_ANOMALY = "ORDER_ANOMALY"
    ORDER_ALERT = "ORDER_ALERT"


class Side(StrEnum):
    """FIX Side(54)."""

    BUY = "BUY"
    SELL = "SELL"
    SELL_SHORT = "SELL_SHORT"
    SELL_SHORT_EXEMPT = "SELL_SHORT_EXEMPT"


class OrdStatus(StrEnum):
    """FIX OrdStatus(39). The order of the members is part of stored state: append only."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    DONE_FOR_DAY = "DONE_FOR_DAY"
    CANCELED = "CANCELED"
    REPLACED = "REPLACED"
    PENDING_CANCEL = "PENDING_CANCEL"
    STOPPED = "STOPPED"
    REJECTED = "REJECTED"
    SUSPENDED = "SUSPENDED"
    PENDING_NEW = "PENDING_NEW"
    CALCULATED = "CALCULATED"
    EXPIRED = "EXPIRED"
    ACCEPTED_FOR_BIDDING = "ACCEPTED_FOR_BIDDING"
    PENDING_REPLACE = "PENDING_REPLACE"


class ExecType(StrEnum):
    """FIX ExecType(150), and CANCEL_REJECTED for an OrderCancelReject(35=9)."""

    NEW = "NEW"
    DONE_FOR_DAY = "DONE_FOR_DAY"
    CANCELED = "CANCELED"
    REPLACED = "REPLACED"
    PENDING_CANCEL = "PENDING_CANCEL"
    STOPPED = "STOPPED"
    REJECTED = "REJECTED"
    SUSPENDED = "SUSPENDED"
    PENDING_NEW = "PENDING_NEW"
    CALCULATED = "CALCULATED"
    EXPIRED = "EXPIRED"
    RESTATED = "RESTATED"
    PENDING_REPLACE = "PENDING_REPLACE"
    TRADE = "TRADE"
    TRADE_CORRECT = "TRADE_CORRECT"
    TRADE_CANCEL = "TRADE_CANCEL"
    ORDER_STATUS = "ORDER_STATUS"
    TRADE_IN_CLEARING_HOLD = "TRADE_IN_CLEARING_HOLD"
    TRADE_RELEASED_TO_CLEARING = "TRADE_RELEASED_TO_CLEARING"
    TRIGGERED = "TRIGGERED"
    CANCEL_REJECTED = "CANCEL_REJECTED"


class Liquidity(StrEnum):
    """FIX LastLiquidityInd(851). The order of the members is part of stored state: append only."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    ROUTED = "ROUTED"
    AUCTION = "AUCTION"


class FeeKind(StrEnum):
    """What a fee is for."""

    COMMISSION = "COMMISSION"
    TAF = "TAF"
    SEC = "SEC"
    CAT = "CAT"
    VENUE = "VENUE"


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What all events have. `key` is accountId|orderId, `sequence` grows per key and source."""

    event_type: str
    version: int = VERSION
    occurred_at: int
    key: str
    sequence: int
    source: str


class OrderIntent(Event, frozen=True, kw_only=True, rename="camel"):
    """A validated request of a client: topic orders.input."""

    account_id: str
    order_id: str
    parent_id: str | None = None
    cl_ord_id: str
    orig_cl_ord_id: str | None = None
    user_token: str
    symbol: str
    side: str
    quantity: int
    order_type: str
    limit_price: int | None = None
    stop_price: int | None = None
    time_in_force: str = "DAY"
    venue: str | None = None
    locate_id: str | None = None
    arrival_price: int | None = None
    decision_price: int | None = None
    session: str | None = None
    poss_resend: bool | None = None
    correlation_id: str | None = None


class Breach(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One check that an intent failed."""

    check: str
    scope: str
    limit: float | None = None
    current: float | None = None
    attempted: float | None = None
    severity: str = "HARD"


class RiskAction(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the engine has to do to another order than the intent's: CANCEL it, or REDUCE its open quantity."""

    action: str
    key: str
    quantity: int
    reason: str


class RiskOutcome(Event, frozen=True, kw_only=True, rename="camel"):
    """The decision of pre-trade risk on one intent: topic risk.outcome."""

    intent: OrderIntent
    breaches: list[Breach] = []
    approved_quantity: int | None = None
    actions: list[RiskAction] = []
    limits_version: str


class OrderSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The terms of an order."""

    id: str
    parent_id: str | None = None
    symbol: str
    side: str
    quantity: int
    cl_ord_id: str | None = None
    limit_price: int | None = None
    time_in_force: str | None = None
    is_parent: bool | None = None


class DayQuantities(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """DayOrderQty(424), DayCumQty(425) and DayAvgPx(426) of an order on one trading day."""

    trade_date: int
    order_quantity: int
    filled_quantity: int
    avg_price: int | None = None


class MarketState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The instrument's market at the time of an event: price, and what was traded since the day began."""

    price: int | None = None
    volume: int | None = None
    turnover: int | None = None


class StatusDetail(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The state of an order: OrdStatus(39), CumQty(14), LeavesQty(151), AvgPx(6)."""

    code: str
    reason: str | None = None
    filled_quantity: int
    leaves_quantity: int | None = None
    avg_price: int | None = None
    day: DayQuantities | None = None


class OrderStatusChanged(Event, frozen=True, kw_only=True, rename="camel"):
    """One status transition, of the engine or consolidated: topic orders.status."""

    order: OrderSummary
    status: StatusDetail
    venue: str | None = None
    arrival_price: int | None = None
    decision_price: int | None = None
    market: MarketState | None = None
    correlation_id: str | None = None


class Fee(msgspec.Struct, frozen=True):
    """One fee in millionths; positive is a cost, negative a rebate."""

    kind: str
    amount: int


class ImplementationShortfall(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Paper minus actual result in amounts, positive is a cost (Perold 1988). `total` is the sum of the known parts."""

    decision_price: int
    delay: int
    execution: int
    opportunity: int | None = None
    fees: int
    total: int


class OrderEnriched(Event, frozen=True, kw_only=True, rename="camel"):
    """What the join of statuses and executions knows of an order after one fill: topic orders.enrichment."""

    symbol: str
    venue: str | None = None
    side: str
    filled_quantity: int
    avg_price: int | None = None
    notional: int = 0
    slippage_bps: float | None = None
    fees: list[Fee] = []
    total_fees: int = 0
    last_exec_id: str | None = None
    last_quantity: int = 0
    last_price: int | None = None
    last_venue: str | None = None
    liquidity: str | None = None
    trade_date: int | None = None
    exec_type: str | None = None
    exec_ref_id: str | None = None
    replaced_quantity: int = 0
    replaced_price: int | None = None
    interval_vwap: int | None = None
    vwap_slippage_bps: float | None = None
    shortfall: ImplementationShortfall | None = None
    correlation_id: str | None = None


class ExecutionReport(Event, frozen=True, kw_only=True, rename="camel"):
    """One message of a venue: topic orders.executions."""

    cl_ord_id: str | None = None
    orig_cl_ord_id: str | None = None
    venue_order_id: str | None = None
    venue: str
    trade_date: int
    exec_id: str
    exec_ref_id: str | None = None
    session: str | None = None
    exec_type: str
    ord_status: str
    symbol: str
    side: str
    order_quantity: int
    price: int | None = None
    time_in_force: str | None = None
    last_quantity: int = 0
    last_price: int | None = None
    liquidity: str | None = None
    cum_quantity: int
    leaves_quantity: int
    avg_price: int | None = None
    day: DayQuantities | None = None
    text: str | None = None
    restatement_reason: str | None = None
    reject_reason: str | None = None
    poss_resend: bool | None = None
    market: MarketState | None = None
    correlation_id: str | None = None


class OrderAnomaly(Event, frozen=True, kw_only=True, rename="camel"):
    """Something about an order that contradicts what is known of it: topic orders.anomalies."""

    version: int = 1
    kind: str
    detail: str
    symbol: str | None = None
    venue: str | None = None
    exec_id: str | None = None
    correlation_id: str | None = None


def order_key(account_id: str, order_id: str) -> str:
    """The key of everything about one order. An account id has no bar, so the key can be taken apart again."""
    if not account_id or not order_id or "|" in account_id:
        raise InvalidRecordError(f"no key can be made of account {account_id!r} and order {order_id!r}")
    return f"{account_id}|{order_id}"


def account_of(key: str) -> str:
    """The account in an order key."""
    return _parts(key)[0]


def order_of(key: str) -> str:
    """The order id in an order key."""
    return _parts(key)[1]


def _parts(key: str) -> tuple[str, str]:
    account_id, _, order_id = key.partition("|")
    if not account_id or not order_id:
        raise InvalidRecordError(f"key {key!r} is not accountId|orderId")
    return account_id, order_id
