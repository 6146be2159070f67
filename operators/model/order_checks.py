"""What an event must be like for any rule to work with it; all else is refused and goes to the dead letters."""

from __future__ import annotations

from typing import Final

from config.errors import InvalidRecordError
from operators.model.events import ExecType, ExecutionReport, Liquidity, OrderStatusChanged, OrdStatus, Side, order_of
from operators.model.executions import EXECUTION_TYPES
from operators.model.money import fitting

TEXT_BYTES_MAX: Final = 255
"""Longest identifier, symbol or venue in UTF-8. FIX venues use some tens; more is a broken or hostile producer."""

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
    """The execution's type; `InvalidRecordError` for values no rule can work with."""
    _check(event.occurred_at >= 0, "time", event.occurred_at)
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
