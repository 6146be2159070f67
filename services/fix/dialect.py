"""FIX 4.0 to 5.0 SP2, dialects included, into our contracts: fields of a message in, an event or a `Refusal` out.

Pure: what the message does not say itself (which order it is of, what is known of it) comes in as a `KnownOrder`.

    35=8 ExecutionReport             ExecutionReport, EXECUTION_REPORTED
    35=9 OrderCancelReject           ExecutionReport, CANCEL_REJECTED: the order's terms are those known of it
    35=D NewOrderSingle              OrderIntent, ORDER_SUBMITTED
    35=F OrderCancelRequest          OrderIntent, CANCEL_REQUESTED
    35=G OrderCancelReplaceRequest   OrderIntent, REPLACE_REQUESTED

Until FIX 4.2 a fill is ExecType 1 or 2 and ExecTransType(20) says whether the report is new, takes back an execution,
corrects one or repeats a status; from 4.3 on ExecType says it all. Both are read in every version, for real venues mix
them. What a report leaves out is taken from what is known of the order, else it follows from OrderQty = CumQty +
LeavesQty (FIX 4.4 volume 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from operators.model.events import DayQuantities, EventType, ExecType, ExecutionReport, OrderIntent, OrdStatus
from services.fix import words
from services.fix.fields import (
    Fields,
    coded,
    occurred_micros,
    poss_resend,
    price_of,
    quantity_of,
    required,
    trade_date_days,
)


class Refusal(NamedTuple):
    """Why a message becomes no event, for the person who looks at the dead letter."""

    reason: str


@dataclass(slots=True)
class KnownOrder:
    """What is known of an order before a message: its identity, and its terms as last reported or requested."""

    key: str
    account_id: str
    order_id: str
    venue: str
    symbol: str | None = None
    side: str | None = None
    quantity: int | None = None
    price: int | None = None
    order_type: str | None = None
    time_in_force: str | None = None
    filled: int = 0
    average: int | None = None
    cl_ord_id: str | None = None
    """ClOrdID(11) of the request in force."""
    markets: dict[str, str] | None = None
    """LastMkt(30) by ExecID(17) of executions elsewhere than at `venue`: busts and corrections often leave it out."""


class Envelope(NamedTuple):
    """What the receiver of a message adds to it."""

    sequence: int
    source: str
    session: str
    user_token: str = ""
    correlation_id: str | None = None


_INACTIVE: Final = frozenset(
    {OrdStatus.CANCELED, OrdStatus.EXPIRED, OrdStatus.REJECTED, OrdStatus.DONE_FOR_DAY, OrdStatus.CALCULATED}
)
_REQUESTS: Final = {
    "D": EventType.ORDER_SUBMITTED.value,
    "F": EventType.CANCEL_REQUESTED.value,
    "G": EventType.REPLACE_REQUESTED.value,
}
_FILLS: Final = frozenset({ExecType.TRADE, ExecType.TRADE_CORRECT})
_ABOUT_FILLS: Final = frozenset({ExecType.TRADE, ExecType.TRADE_CORRECT, ExecType.TRADE_CANCEL})


def execution_of(fields: Fields, order: KnownOrder, envelope: Envelope) -> ExecutionReport | Refusal:
    """The event of an ExecutionReport (35=8) or OrderCancelReject (35=9)."""
    try:
        return _cancel_reject(fields, order, envelope) if fields["35"] == "9" else _report(fields, order, envelope)
    except ValueError as error:
        return Refusal(str(error))


def intent_of(fields: Fields, order: KnownOrder, envelope: Envelope) -> OrderIntent | Refusal:
    """The event of a NewOrderSingle (35=D), OrderCancelRequest (35=F) or OrderCancelReplaceRequest (35=G)."""
    try:
        return _intent(fields, order, envelope)
    except ValueError as error:
        return Refusal(str(error))


def execution_type(fields: Fields) -> str:
    """The name of what an ExecutionReport tells; `ValueError` for codes without a name."""
    transaction = fields.get("20", "0")
    if transaction != "0":
        kind = words.EXECUTION_TRANSACTION_TYPES.get(transaction)
        if kind is None:
            raise ValueError(f"ExecTransType(20)={transaction} is unknown")
        return kind
    code = fields.get("150") or required(fields, "39", "OrdStatus")
    kind = words.EXECUTION_TYPES.get(code)
    if kind is None:
        raise ValueError(f"ExecType(150)={code} is unknown")
    return kind


class _Quantities(NamedTuple):
    """The quantities of a report, where it leaves them out from what is known; and the price of its fill."""

    last: int
    last_price: int | None
    cumulative: int
    ordered: int
    leaves: int


def _report(fields: Fields, order: KnownOrder, envelope: Envelope) -> ExecutionReport:
    get = fields.get
    kind = execution_type(fields)
    status = coded(fields, "39", "OrdStatus", words.ORDER_STATUSES)
    occurred_at = occurred_micros(fields)
    quantities = _quantities(fields, order, kind, status)
    liquidity, restated = get("851"), get("378")
    rejected = get("103") if kind == ExecType.REJECTED else None
    trade_date = trade_date_days(fields, occurred_at)
    return _told(
        fields, order, envelope,
        event_type=EventType.EXECUTION_REPORTED.value,
        occurred_at=occurred_at,
        cl_ord_id=get("11"),
        venue=_market(fields, order),
        trade_date=trade_date,
        exec_id=required(fields, "17", "ExecID"),
        exec_ref_id=get("19") if kind in _ABOUT_FILLS else None,
        exec_type=kind,
        ord_status=status,
        order_quantity=quantities.ordered,
        price=_limit_price(fields),
        time_in_force=_time_in_force(fields),
        last_quantity=quantities.last,
        last_price=quantities.last_price if kind in _ABOUT_FILLS else None,
        liquidity=words.LIQUIDITY.get(liquidity) if liquidity else None,
        cum_quantity=quantities.cumulative,
        leaves_quantity=quantities.leaves,
        avg_price=price_of(fields, "6", round_off=True) if quantities.cumulative else None,
        day=_day(fields, trade_date),
        restatement_reason=words.word(words.RESTATEMENT_REASONS, restated) if restated else None,
        reject_reason=words.word(words.ORDER_REJECT_REASONS, rejected) if rejected else None,
    )  # fmt: skip


def _quantities(fields: Fields, order: KnownOrder, kind: str, status: str) -> _Quantities:
    last, price = quantity_of(fields, "32") or 0, price_of(fields, "31")
    if kind in _FILLS:
        _check_fill(kind, last, price)
    cumulative = quantity_of(fields, "14")
    if cumulative is None:
        cumulative = order.filled + (last if kind == ExecType.TRADE else 0)
    return _Quantities(last, price, cumulative, *_ordered_and_leaves(fields, order, status, cumulative))


def _check_fill(kind: str, last_quantity: int, last_price: int | None) -> None:
    """A trade has a quantity and a price; a correction may bring the quantity down to nothing."""
    if kind == ExecType.TRADE and last_quantity == 0:
        raise ValueError("a fill without LastQty(32)")
    if last_price is None:
        raise ValueError(f"a {kind} without LastPx(31)")


def _ordered_and_leaves(fields: Fields, order: KnownOrder, status: str, cumulative: int) -> tuple[int, int]:
    """OrderQty and LeavesQty: as reported, else as known, else each from the other and CumQty."""
    ordered, leaves = quantity_of(fields, "38"), quantity_of(fields, "151")
    if ordered is None:
        ordered = order.quantity
    if ordered is None:
        if leaves is None:
            raise ValueError("neither OrderQty(38) nor LeavesQty(151), and the order is not known from before")
        ordered = cumulative + leaves
    if leaves is None:
        leaves = 0 if status in _INACTIVE else max(0, ordered - cumulative)
    return ordered, leaves


def _cancel_reject(fields: Fields, order: KnownOrder, envelope: Envelope) -> ExecutionReport:
    """An OrderCancelReject has no ExecID: it is named after the request that it answers."""
    status = coded(fields, "39", "OrdStatus", words.ORDER_STATUSES)
    occurred_at = occurred_micros(fields)
    request = required(fields, "11", "ClOrdID")
    ordered, reason = order.quantity or 0, fields.get("102")
    return _told(
        fields, order, envelope,
        event_type=EventType.CANCEL_REJECTED.value,
        occurred_at=occurred_at,
        cl_ord_id=request,
        venue=order.venue,
        trade_date=trade_date_days(fields, occurred_at),
        exec_id=f"reject-of-{request}",
        exec_type=ExecType.CANCEL_REJECTED.value,
        ord_status=status,
        order_quantity=ordered,
        price=order.price,
        time_in_force=order.time_in_force,
        cum_quantity=order.filled,
        leaves_quantity=0 if status in _INACTIVE else max(0, ordered - order.filled),
        avg_price=order.average,
        reject_reason=words.word(words.CANCEL_REJECT_REASONS, reason) if reason else None,
    )  # fmt: skip


def _told(fields: Fields, order: KnownOrder, envelope: Envelope, **own: Any) -> ExecutionReport:
    """A venue's message with what every one of them has, and what is its own."""
    return ExecutionReport(
        key=order.key,
        sequence=envelope.sequence,
        source=envelope.source,
        orig_cl_ord_id=fields.get("41"),
        venue_order_id=fields.get("37"),
        session=envelope.session,
        symbol=_symbol(fields, order),
        side=_side(fields, order),
        text=fields.get("58"),
        poss_resend=poss_resend(fields) or None,
        correlation_id=envelope.correlation_id,
        **own,
    )


def _intent(fields: Fields, order: KnownOrder, envelope: Envelope) -> OrderIntent:
    get = fields.get
    kind = fields["35"]
    ordered = quantity_of(fields, "38")
    if ordered is None:
        if kind != "F":
            raise ValueError("OrderQty(38) is missing")
        ordered = order.quantity or 0
    order_type = get("40")
    if order_type is None and kind == "D":
        raise ValueError("OrdType(40) is missing")
    original = get("41")
    if original is None and kind != "D":
        raise ValueError("OrigClOrdID(41) is missing")
    return OrderIntent(
        event_type=_REQUESTS[kind],
        occurred_at=occurred_micros(fields),
        key=order.key,
        sequence=envelope.sequence,
        source=envelope.source,
        account_id=order.account_id,
        order_id=order.order_id,
        cl_ord_id=required(fields, "11", "ClOrdID"),
        orig_cl_ord_id=original,
        user_token=envelope.user_token,
        symbol=_symbol(fields, order),
        side=_side(fields, order),
        quantity=ordered,
        order_type=words.word(words.ORDER_TYPES, order_type) if order_type else order.order_type or "UNKNOWN",
        limit_price=_limit_price(fields),
        stop_price=price_of(fields, "99"),
        time_in_force=_time_in_force(fields) or order.time_in_force or "DAY",
        venue=get("100"),
        session=envelope.session,
        poss_resend=poss_resend(fields) or None,
        correlation_id=envelope.correlation_id,
    )


def _time_in_force(fields: Fields) -> str | None:
    code = fields.get("59")
    return words.word(words.TIMES_IN_FORCE, code) if code else None


def _market(fields: Fields, order: KnownOrder) -> str:
    """LastMkt(30), else that of the execution referred to, else the venue of the order."""
    market = fields.get("30")
    if not market and order.markets:
        market = order.markets.get(fields.get("19", ""))
    return market or order.venue


def _limit_price(fields: Fields) -> int | None:
    """Price(44). Some engines write 0 where an order has no limit."""
    limit = price_of(fields, "44")
    return None if limit == 0 and fields.get("40") not in ("2", "4") else limit


def _day(fields: Fields, trade_date: int) -> DayQuantities | None:
    ordered, filled = quantity_of(fields, "424"), quantity_of(fields, "425")
    if ordered is None or filled is None:
        return None
    average = price_of(fields, "426", round_off=True) if filled else None
    return DayQuantities(trade_date=trade_date, order_quantity=ordered, filled_quantity=filled, avg_price=average)


def _symbol(fields: Fields, order: KnownOrder) -> str:
    """Symbol(55), with SymbolSfx(65) behind a point: a suffix makes it another instrument."""
    symbol = fields.get("55")
    if symbol:
        suffix = fields.get("65")
        return f"{symbol}.{suffix}" if suffix else symbol
    if order.symbol is None:
        raise ValueError("Symbol(55) is missing, and the order is not known from before")
    return order.symbol


def _side(fields: Fields, order: KnownOrder) -> str:
    if "54" in fields:
        return coded(fields, "54", "Side", words.SIDES)
    if order.side is None:
        raise ValueError("Side(54) is missing, and the order is not known from before")
    return order.side
