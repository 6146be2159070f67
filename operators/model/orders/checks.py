"""What an event must be like for any rule to work with it; all else is refused and goes to the dead letters."""

from __future__ import annotations

from datetime import date
from typing import Final

import numpy as np

from config.errors import InvalidRecordError
from operators.model.arrays import Flags, Ints
from operators.model.events import ExecType, ExecutionReport, Liquidity, OrderStatusChanged, OrdStatus, Side, order_of
from operators.model.money import fitting
from operators.model.orders.executions import EXECUTION_TYPES

TEXT_BYTES_MAX: Final = 255
"""Longest identifier, symbol or venue in UTF-8. FIX venues use some tens; more is a broken or hostile producer."""
TRADE_DATE_AHEAD_DAYS_MAX: Final = 7
"""How far a trade date may lie ahead of its report: a night session before a long weekend needs four."""
TRADE_DATE_MAX: Final = (date(2199, 12, 31) - date(1970, 1, 1)).days
"""The latest trade date in days since 1970, whatever the clock of the report says."""

_DAY_MICROS: Final = 86_400_000_000
_CLOCK_SET_DAY: Final = (date(2000, 1, 1) - date(1970, 1, 1)).days

_SIDES: Final = frozenset(side.value for side in Side)
_STATUSES: Final = frozenset(status.value for status in OrdStatus)
_EXEC_TYPES: Final = frozenset(kind.value for kind in ExecType)
_LIQUIDITIES: Final = frozenset(flag.value for flag in Liquidity)
_TOLD_BY_STATUS: Final = frozenset({ExecType.RESTATED, ExecType.CANCEL_REJECTED})


def checked_status(event: OrderStatusChanged) -> OrdStatus:
    """The status's code; `InvalidRecordError` for values no rule can work with."""
    order = event.order
    _check(event.occurred_at >= 0, "time", event.occurred_at)
    _check(order.quantity >= 0, "order quantity", order.quantity)
    _check(event.sequence >= 1, "sequence", event.sequence)
    _check(order.side in _SIDES, "side", order.side)
    _check(event.status.code in _STATUSES, "status", event.status.code)
    order_of(event.key)
    _check_texts(event.key, order.symbol, event.venue, order.parent_id, order.time_in_force, order.cl_ord_id)
    return OrdStatus(event.status.code)


def checked_execution(event: ExecutionReport) -> ExecType:
    """The execution's type; `InvalidRecordError` for values no rule can work with.

    The order's trading day is the largest trade date that was named, so one absurd date would make every later fill of
    the order one of the past. For its bounds see `trade_dates_fit`.
    """
    _check(event.occurred_at >= 0, "time", event.occurred_at)
    latest = _latest_trade_date(event.occurred_at)
    _check(1 <= event.trade_date <= latest, f"trade date not within days 1 to {latest} since 1970:", event.trade_date)
    _check(event.exec_type in _EXEC_TYPES, "execType", event.exec_type)
    _check(event.order_quantity >= 0, "order quantity", event.order_quantity)
    _check(event.sequence >= 0, "sequence", event.sequence)
    _check(event.side in _SIDES, "side", event.side)
    _check(event.liquidity is None or event.liquidity in _LIQUIDITIES, "liquidity", event.liquidity)
    order_of(event.key)
    texts = event.session, event.exec_ref_id, event.time_in_force, event.cl_ord_id, event.orig_cl_ord_id
    _check_texts(event.key, event.symbol, event.venue, event.exec_id, *texts)
    kind = ExecType(event.exec_type)
    if kind in EXECUTION_TYPES:
        _check_execution(event, kind)
    if kind in _TOLD_BY_STATUS:
        _check(event.ord_status in _STATUSES, "ordStatus", event.ord_status)
        _check(event.cum_quantity >= 0, "cumQuantity", event.cum_quantity)
    return kind


def trade_dates_fit(trade_dates: Ints, occurred_at: Ints) -> Flags:
    """Which trade dates (days since 1970) `checked_execution` accepts at those times (microseconds, UTC).

    From 1970-01-02, for day 0 is what an unset field says, up to 7 days after the report's own day. A clock that shows
    a day before 2000 was never set and says nothing about dates; what it reports may be of any day to the end of 2199.
    """
    day = occurred_at // _DAY_MICROS
    latest = np.where(day >= _CLOCK_SET_DAY, day + TRADE_DATE_AHEAD_DAYS_MAX, TRADE_DATE_MAX)
    fit: Flags = (trade_dates >= 1) & (trade_dates <= np.minimum(latest, TRADE_DATE_MAX))
    return fit


def _latest_trade_date(occurred_at: int) -> int:
    day = occurred_at // _DAY_MICROS
    return min(day + TRADE_DATE_AHEAD_DAYS_MAX, TRADE_DATE_MAX) if day >= _CLOCK_SET_DAY else TRADE_DATE_MAX


def _check_execution(event: ExecutionReport, kind: ExecType) -> None:
    for name, text in (("execId", event.exec_id), ("venue", event.venue), ("symbol", event.symbol)):
        _check(bool(text), f"{kind} without {name}:", repr(text))
    if kind is not ExecType.TRADE:
        _check(bool(event.exec_ref_id), f"{kind} without execRefId:", event.exec_ref_id)
    if kind is not ExecType.TRADE_CANCEL:
        price = event.last_price
        _check(event.last_quantity > 0, "last quantity", event.last_quantity)
        _check(price is not None and price > 0, "last price", price)
        fitting(event.last_quantity * (price or 0), "notional")


def _check(holds: bool, what: str, value: object) -> None:
    if not holds:
        raise InvalidRecordError(f"{what} {value}")


def _check_texts(*texts: str | None) -> None:
    for text in texts:
        if text is not None and len(text.encode()) > TEXT_BYTES_MAX:
            raise InvalidRecordError(f"text of more than {TEXT_BYTES_MAX} bytes: {text[:40]!r}...")
