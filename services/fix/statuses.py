"""The order engine's view of its orders, told from its FIX log: what it asked for and what it was answered.

    NewOrderSingle               PENDING_NEW
    OrderCancelRequest           PENDING_CANCEL
    OrderCancelReplaceRequest    PENDING_REPLACE, with the terms asked for
    ExecutionReport              NEW, REPLACED, CANCELED, ... by its ExecType; RESTATED by its OrdStatus
    OrderCancelReject            the OrdStatus that it reports; REJECTED (of an unknown order) is no state of ours
    fill, order status, bust     nothing, unless it is the first that is heard of an order or of its acceptance;
                                 REPLACED, if a fill comes under a new ClOrdID and other terms: the replace is lost

Nothing is said twice in a row, and nothing once an order is dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from operators.model.events import (
    EventType,
    ExecType,
    ExecutionReport,
    OrderIntent,
    OrderStatusChanged,
    OrderSummary,
    OrdStatus,
    StatusDetail,
)
from services.fix.chains import Chain

_DEAD: Final = frozenset({OrdStatus.CANCELED.value, OrdStatus.EXPIRED.value, OrdStatus.REJECTED.value})
_PENDING: Final = frozenset({OrdStatus.PENDING_CANCEL.value, OrdStatus.PENDING_REPLACE.value})
_FILLS: Final = frozenset({ExecType.TRADE.value, ExecType.TRADE_CORRECT.value})

REQUEST_CODES: Final[Mapping[str, str]] = {
    EventType.ORDER_SUBMITTED.value: OrdStatus.PENDING_NEW.value,
    EventType.CANCEL_REQUESTED.value: OrdStatus.PENDING_CANCEL.value,
    EventType.REPLACE_REQUESTED.value: OrdStatus.PENDING_REPLACE.value,
}
"""What the engine says when it sent a request."""

REPORT_CODES: Final[Mapping[str, str]] = {
    kind.value: kind.value
    for kind in (
        ExecType.NEW,
        ExecType.DONE_FOR_DAY,
        ExecType.CANCELED,
        ExecType.REPLACED,
        ExecType.PENDING_CANCEL,
        ExecType.STOPPED,
        ExecType.SUSPENDED,
        ExecType.PENDING_NEW,
        ExecType.CALCULATED,
        ExecType.EXPIRED,
        ExecType.PENDING_REPLACE,
    )
} | {ExecType.TRIGGERED.value: OrdStatus.NEW.value}
"""What the engine says when it was answered. RESTATED, REJECTED, CANCEL_REJECTED and fills depend on more."""


def learn_request(chain: Chain, intent: OrderIntent) -> None:
    """Takes the terms of a request that nothing better is known of; of a cancel only symbol and side."""
    chain.symbol = chain.symbol or intent.symbol
    chain.side = chain.side or intent.side
    chain.last_at = max(chain.last_at, intent.occurred_at)
    if intent.event_type == EventType.CANCEL_REQUESTED or chain.quantity is not None:
        return
    chain.quantity, chain.price = intent.quantity, intent.limit_price
    chain.order_type, chain.time_in_force = intent.order_type, intent.time_in_force
    chain.cl_ord_id = intent.cl_ord_id


def learn_report(chain: Chain, report: ExecutionReport) -> None:
    """Takes the terms in force after a report that is not a repeated one."""
    kind = report.exec_type
    chain.symbol = chain.symbol or report.symbol
    chain.side = chain.side or report.side
    chain.last_at = max(chain.last_at, report.occurred_at)
    if kind == ExecType.CANCEL_REJECTED or (kind == ExecType.REJECTED and _answers_a_repeat(report)):
        return
    if kind in _FILLS and report.venue != chain.venue:
        chain.markets = chain.markets or {}
        chain.markets[report.exec_id] = report.venue
    pending = report.ord_status in _PENDING or kind in _PENDING
    if not pending or chain.quantity is None:
        chain.quantity = report.order_quantity
        chain.price = report.price if report.price is not None else chain.price
        chain.time_in_force = report.time_in_force or chain.time_in_force
    chain.filled, chain.average = report.cum_quantity, report.avg_price
    if chain.cl_ord_id is None or kind == ExecType.REPLACED:
        chain.cl_ord_id = report.cl_ord_id or chain.cl_ord_id


def shows_lost_replace(chain: Chain, report: ExecutionReport) -> bool:
    """True if a fill has other terms than those known: the log lacks the replace. To be asked before `learn_report`.

    Only of a report whose ClOrdID the log has not shown before: a late fill may name one that was replaced.
    """
    terms = report.order_quantity, chain.price if report.price is None else report.price
    settled = report.exec_type == ExecType.TRADE and report.ord_status not in _PENDING
    return settled and chain.engine_code is not None and terms != (chain.quantity, chain.price)


def status_of_request(chain: Chain, intent: OrderIntent, source: str) -> OrderStatusChanged | None:
    """What the engine says when it sends a request for the first time."""
    code = REQUEST_CODES[intent.event_type]
    if chain.quantity is None or (code == OrdStatus.PENDING_NEW and chain.engine_code is not None):
        return None
    replaces = code == OrdStatus.PENDING_REPLACE
    return _said(
        chain,
        code,
        quantity=intent.quantity if replaces else chain.quantity,
        price=intent.limit_price if replaces else chain.price,
        cl_ord_id=intent.cl_ord_id,
        occurred_at=intent.occurred_at,
        correlation_id=intent.correlation_id,
        source=source,
    )


def status_of_report(
    chain: Chain, report: ExecutionReport, source: str, *, lost_replace: bool = False
) -> OrderStatusChanged | None:
    """What the engine says to a report that it takes in for the first time, whose terms `learn_report` has taken."""
    code = report_code(chain, report)
    if lost_replace:
        code, chain.cl_ord_id = OrdStatus.REPLACED.value, report.cl_ord_id
    if code is None or (code in _PENDING and code == chain.engine_code):
        return None
    return _said(
        chain,
        code,
        quantity=chain.quantity or 0,
        price=chain.price,
        cl_ord_id=report.cl_ord_id if code in _PENDING else chain.cl_ord_id,
        occurred_at=report.occurred_at,
        correlation_id=report.correlation_id,
        source=source,
        report=report,
    )


def report_code(chain: Chain, report: ExecutionReport) -> str | None:
    """The OrdStatus that a report makes of the engine's order; None if it makes none."""
    kind, status = report.exec_type, report.ord_status
    if kind == ExecType.CANCEL_REJECTED:
        if chain.engine_code is None:
            return None
        return _settled(status) if status != OrdStatus.REJECTED else chain.settled_code
    if kind == ExecType.REJECTED:
        return None if _answers_a_repeat(report) else OrdStatus.REJECTED.value
    if kind == ExecType.RESTATED:
        return _settled(status)
    if kind in REPORT_CODES:
        return REPORT_CODES[kind]
    if chain.engine_code is None:
        return _settled(status)
    if kind == ExecType.TRADE and chain.engine_code == OrdStatus.PENDING_NEW:
        return OrdStatus.NEW.value
    return None


def _answers_a_repeat(report: ExecutionReport) -> bool:
    """A REJECTED of a second request under a ClOrdID in use: the order itself lives on."""
    return report.ord_status != OrdStatus.REJECTED or report.reject_reason == "DUPLICATE_ORDER"


def _settled(status: str) -> str:
    return OrdStatus.NEW.value if status == OrdStatus.REPLACED else status


def _said(
    chain: Chain,
    code: str,
    *,
    quantity: int,
    price: int | None,
    cl_ord_id: str | None,
    occurred_at: int,
    correlation_id: str | None,
    source: str,
    report: ExecutionReport | None = None,
) -> OrderStatusChanged | None:
    """The status, if it is news and the order is not dead; the chain remembers it."""
    said = (quantity, price, chain.time_in_force, code == OrdStatus.REPLACED and cl_ord_id)
    if chain.engine_code in _DEAD or (code == chain.engine_code and said == chain.said):
        return None
    chain.engine_code, chain.said = code, said
    if code not in _PENDING:
        chain.settled_code = _settled(code)
    chain.statuses += 1
    reason = (report.reject_reason or report.restatement_reason or report.text) if report else None
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CHANGED.value,
        occurred_at=occurred_at,
        key=chain.key,
        sequence=chain.statuses,
        source=source,
        order=OrderSummary(
            id=chain.order_id,
            symbol=chain.symbol or "",
            side=chain.side or "",
            quantity=quantity,
            cl_ord_id=cl_ord_id,
            limit_price=price,
            time_in_force=chain.time_in_force,
        ),
        status=StatusDetail(
            code=code,
            reason=reason,
            filled_quantity=chain.filled,
            leaves_quantity=_leaves(chain, code, quantity, report),
            avg_price=chain.average if chain.filled else None,
            day=report.day if report else None,
        ),
        venue=chain.venue,
        correlation_id=correlation_id,
    )


def _leaves(chain: Chain, code: str, quantity: int, report: ExecutionReport | None) -> int:
    """Nothing of a dead order; after the day's end or a calculation what the venue says; else OrderQty - CumQty."""
    if code in _DEAD:
        return 0
    if report is not None and code in (OrdStatus.DONE_FOR_DAY, OrdStatus.CALCULATED):
        return report.leaves_quantity
    return max(0, quantity - chain.filled)
