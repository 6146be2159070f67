"""The order state change matrices of FIX 4.4 volume 4 (appendix D) as tables: each message and the order after it.

A line is a message and what a trader then sees: OrdStatus, CumQty, LeavesQty, AvgPx, OrderQty. `...` repeats the line
before, which says that the message changes nothing that shows, so that nothing may be sent.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any

import msgspec
import pytest

from operators.model.events import (
    ExecutionReport,
    MarketState,
    OrderEnriched,
    OrderStatusChanged,
    OrderSummary,
    StatusDetail,
)
from operators.model.fees.tables import parse_schedule
from operators.model.orders.rules import on_execution, on_status
from operators.model.orders.state import Context, Order, Step

KEY = "ACC1|ORD1"
DAY1, DAY2, DAY3 = 20_000, 20_001, 20_002
FEES = """
commission: [{from: 1970-01-01, per_share: "0.005", minimum: "0.10", maximum_of_notional: "0.01"}]
taf: [{from: 1970-01-01, per_share: "0.000195", cap: "9.79"}]
sec: [{from: 1970-01-01, per_million: "20.60"}]
venues: {"*": [{from: 1970-01-01, per_share: {ADDED: "-0.002", REMOVED: "0.003"}}]}
"""
CONTEXT = Context(parse_schedule(FEES))
Message = OrderStatusChanged | ExecutionReport
Seen = tuple[str | None, int, int, float | None, int]
Line = tuple[Message, Seen | EllipsisType]
MICROS = 1_000_000


def es(code: str, quantity: int = 100, **changes: Any) -> OrderStatusChanged:
    """A status of the engine; sequence numbers are given when it is played."""
    summary = {name: changes.pop(name) for name in list(changes) if name in OrderSummary.__struct_fields__}
    order = OrderSummary(id="ORD1", symbol="MSFT", side="SELL", quantity=quantity)
    event = OrderStatusChanged(
        event_type="ORDER_STATUS_CHANGED", occurred_at=1, key=KEY, sequence=0, source="engine",
        order=msgspec.structs.replace(order, **summary), status=StatusDetail(code=code, filled_quantity=0),
        venue="XNAS", arrival_price=10 * MICROS,
    )  # fmt: skip
    return msgspec.structs.replace(event, **changes)


def vm(
    exec_type: str, status: str, quantity: int, cum: int, leaves: int, last: int = 0, price: float = 0, **changes: Any
) -> ExecutionReport:
    """A message of the venue, in the order of the matrices: ExecType, OrdStatus, OrderQty, CumQty, LeavesQty, fill."""
    event = ExecutionReport(
        event_type="EXECUTION_REPORTED", occurred_at=2, key=KEY, sequence=-1, source="gateway", venue="XNAS",
        trade_date=DAY1, exec_id="", exec_type=exec_type, ord_status=status, symbol="MSFT", side="SELL",
        order_quantity=quantity, last_quantity=last, last_price=int(price * MICROS) or None, liquidity=None,
        cum_quantity=cum, leaves_quantity=leaves,
    )  # fmt: skip
    return msgspec.structs.replace(event, **changes)


def trade(
    status: str, quantity: int, cum: int, leaves: int, last: int, price: float, **changes: Any
) -> ExecutionReport:
    return vm("TRADE", status, quantity, cum, leaves, last, price, **changes)


def play(messages: list[Message]) -> list[Step]:
    """The steps of a history. Messages get the next sequence of their kind and an ExecID, unless they have one."""
    order, steps = None, list[Step]()
    numbers = {"engine": 0, "gateway": 0}
    for message in messages:
        if message.sequence <= 0:
            numbers[message.source] = numbers.get(message.source, 0) + 1
            message = msgspec.structs.replace(message, sequence=numbers[message.source])
        if isinstance(message, ExecutionReport):
            message = msgspec.structs.replace(message, exec_id=message.exec_id or f"E{message.sequence}")
            step = on_execution(order, message, CONTEXT)
        else:
            step = on_status(order, message, CONTEXT)
        order = step.order
        steps.append(step)
    return steps


def seen(order: Order | None) -> Seen:
    assert order is not None
    average = None if order.average_price is None else order.average_price / MICROS
    return order.code, order.filled, order.leaves, average, order.quantity


def sent(steps: list[Step]) -> list[OrderStatusChanged]:
    return [o for step in steps for o in step.outputs if isinstance(o, OrderStatusChanged)]


def enriched(steps: list[Step]) -> list[OrderEnriched]:
    return [o for step in steps for o in step.outputs if isinstance(o, OrderEnriched)]


def kinds(steps: list[Step]) -> list[str]:
    return [anomaly.kind for step in steps for anomaly in step.anomalies]


NEW: list[Line] = [(es("NEW"), ("NEW", 0, 100, None, 100)), (vm("NEW", "NEW", 100, 0, 100), ...)]
PART: list[Line] = [*NEW, (trade("PARTIALLY_FILLED", 100, 20, 80, 20, 10), ("PARTIALLY_FILLED", 20, 80, 10, 100))]
GT: list[Line] = [
    (es("NEW", time_in_force="GOOD_TILL_CANCEL"), ("NEW", 0, 100, None, 100)),
    (vm("NEW", "NEW", 100, 0, 100), ...),
    (trade("PARTIALLY_FILLED", 100, 20, 80, 20, 10), ("PARTIALLY_FILLED", 20, 80, 10, 100)),
]

SCENARIOS: dict[str, list[Line]] = {
    "A.1.a filled order": [
        *PART,
        (trade("PARTIALLY_FILLED", 100, 30, 70, 10, 13), ("PARTIALLY_FILLED", 30, 70, 11, 100)),
        (es("PARTIALLY_FILLED"), ...),
        (trade("FILLED", 100, 100, 0, 70, 11), ("FILLED", 100, 0, 11, 100)),
        (es("FILLED"), ...),
    ],
    "A.1.b part-filled day order, done for day": [
        *PART,
        (vm("DONE_FOR_DAY", "DONE_FOR_DAY", 100, 20, 0), ("DONE_FOR_DAY", 20, 0, 10, 100)),
        (es("DONE_FOR_DAY"), ...),
    ],
    "A.1.c rejected": [
        (es("PENDING_NEW"), ("PENDING_NEW", 0, 100, None, 100)),
        (vm("REJECTED", "REJECTED", 100, 0, 0), ("REJECTED", 0, 0, None, 100)),
        (es("REJECTED"), ...),
    ],
    "A.1.c2 acknowledged by the venue before the engine says so": [
        (es("PENDING_NEW"), ("PENDING_NEW", 0, 100, None, 100)),
        (vm("PENDING_NEW", "PENDING_NEW", 100, 0, 100), ...),
        (vm("NEW", "NEW", 100, 0, 100), ("NEW", 0, 100, None, 100)),
        (es("NEW"), ...),
    ],
    "A.1.d rejected after it was accepted": [*NEW, (es("REJECTED"), ("REJECTED", 0, 0, None, 100))],
    "A.1.e acknowledged, then suspended, released and filled": [
        *NEW,
        (vm("SUSPENDED", "SUSPENDED", 100, 0, 100), ("SUSPENDED", 0, 100, None, 100)),
        (vm("NEW", "NEW", 100, 0, 100), ("NEW", 0, 100, None, 100)),
        (trade("FILLED", 100, 100, 0, 100, 10), ("FILLED", 100, 0, 10, 100)),
    ],
    "A.1.f the engine is ahead of the fills": [
        *NEW,
        (es("FILLED"), ...),
        (trade("FILLED", 100, 100, 0, 100, 10), ("FILLED", 100, 0, 10, 100)),
    ],
    "A.1.g a bid": [
        (es("ACCEPTED_FOR_BIDDING"), ("ACCEPTED_FOR_BIDDING", 0, 100, None, 100)),
        (es("NEW"), ("NEW", 0, 100, None, 100)),
    ],
    "A.1.h calculated after its fills": [
        *PART,
        (vm("CALCULATED", "CALCULATED", 100, 20, 0), ("CALCULATED", 20, 0, 10, 100)),
    ],
    "B.1.a cancel of an order without fills": [
        *NEW,
        (es("PENDING_CANCEL"), ("PENDING_CANCEL", 0, 100, None, 100)),
        (vm("PENDING_CANCEL", "PENDING_CANCEL", 100, 0, 100), ...),
        (vm("CANCELED", "CANCELED", 100, 0, 0), ("CANCELED", 0, 0, None, 100)),
        (es("CANCELED"), ...),
    ],
    "B.1.b cancel of a part-filled order, fills while pending": [
        *PART,
        (es("PENDING_CANCEL"), ("PENDING_CANCEL", 20, 80, 10, 100)),
        (trade("PENDING_CANCEL", 100, 40, 60, 20, 12), ("PENDING_CANCEL", 40, 60, 11, 100)),
        (vm("CANCELED", "CANCELED", 100, 40, 0), ("CANCELED", 40, 0, 11, 100)),
    ],
    "B.1.c filled before the cancel is answered": [
        *PART,
        (vm("PENDING_CANCEL", "PENDING_CANCEL", 100, 20, 80), ("PENDING_CANCEL", 20, 80, 10, 100)),
        (trade("PENDING_CANCEL", 100, 100, 0, 80, 10), ("PENDING_CANCEL", 100, 0, 10, 100)),
        (vm("CANCEL_REJECTED", "FILLED", 100, 0, 0, reject_reason="TOO_LATE_TO_CANCEL"), ("FILLED", 100, 0, 10, 100)),
    ],
    "B.1.d cancel rejected": [
        *PART,
        (es("PENDING_CANCEL"), ("PENDING_CANCEL", 20, 80, 10, 100)),
        (vm("CANCEL_REJECTED", "PARTIALLY_FILLED", 100, 0, 0), ("PARTIALLY_FILLED", 20, 80, 10, 100)),
        (es("PARTIALLY_FILLED"), ...),
    ],
    "B.1.e cancel of an order the venue does not know": [
        *NEW,
        (es("PENDING_CANCEL"), ("PENDING_CANCEL", 0, 100, None, 100)),
        (vm("CANCEL_REJECTED", "REJECTED", 100, 0, 0, reject_reason="UNKNOWN_ORDER"), ("NEW", 0, 100, None, 100)),
    ],
    "B.1.f cancel too late: a late PENDING_CANCEL after the end": [
        *PART,
        (vm("CANCELED", "CANCELED", 100, 20, 0), ("CANCELED", 20, 0, 10, 100)),
        (es("PENDING_CANCEL"), ...),
        (vm("CANCEL_REJECTED", "CANCELED", 100, 0, 0, reject_reason="TOO_LATE_TO_CANCEL"), ...),
    ],
    "B.1.g a suspended order goes back to suspended": [
        *NEW,
        (vm("SUSPENDED", "SUSPENDED", 100, 0, 100), ("SUSPENDED", 0, 100, None, 100)),
        (es("PENDING_CANCEL"), ("PENDING_CANCEL", 0, 100, None, 100)),
        (vm("CANCEL_REJECTED", "SUSPENDED", 100, 0, 0), ("SUSPENDED", 0, 100, None, 100)),
    ],
    "B.2 a trade after the cancel": [
        *PART,
        (vm("CANCELED", "CANCELED", 100, 20, 0), ("CANCELED", 20, 0, 10, 100)),
        (trade("CANCELED", 100, 40, 0, 20, 12), ("CANCELED", 40, 0, 11, 100)),
        (trade("CANCELED", 100, 100, 0, 60, 11), ("FILLED", 100, 0, 11, 100)),
    ],
    "C.1.a replace up without fills": [
        *NEW,
        (es("PENDING_REPLACE", 110, cl_ord_id="C2"), ("PENDING_REPLACE", 0, 100, None, 100)),
        (vm("REPLACED", "NEW", 110, 0, 110, cl_ord_id="C2", orig_cl_ord_id="C1"), ("NEW", 0, 110, None, 110)),
        (es("REPLACED", 110, cl_ord_id="C2"), ...),
    ],
    "C.1.b replace up, fills while pending": [
        *PART,
        (vm("PENDING_REPLACE", "PENDING_REPLACE", 100, 20, 80), ("PENDING_REPLACE", 20, 80, 10, 100)),
        (trade("PENDING_REPLACE", 100, 40, 60, 20, 12), ("PENDING_REPLACE", 40, 60, 11, 100)),
        (vm("REPLACED", "PARTIALLY_FILLED", 110, 40, 70), ("PARTIALLY_FILLED", 40, 70, 11, 110)),
    ],
    "C.1.c replace up of a filled order": [
        *NEW,
        (trade("FILLED", 100, 100, 0, 100, 10), ("FILLED", 100, 0, 10, 100)),
        (es("FILLED"), ...),
        (vm("PENDING_REPLACE", "PENDING_REPLACE", 100, 100, 0), ("PENDING_REPLACE", 100, 0, 10, 100)),
        (vm("REPLACED", "PARTIALLY_FILLED", 160, 100, 60), ("PARTIALLY_FILLED", 100, 60, 10, 160)),
        (es("PARTIALLY_FILLED", 160), ...),
        (trade("FILLED", 160, 160, 0, 60, 10), ("FILLED", 160, 0, 10, 160)),
    ],
    "C.1.d replace rejected": [
        *PART,
        (es("PENDING_REPLACE", 110), ("PENDING_REPLACE", 20, 80, 10, 100)),
        (vm("CANCEL_REJECTED", "PARTIALLY_FILLED", 100, 0, 0), ("PARTIALLY_FILLED", 20, 80, 10, 100)),
    ],
    "C.3.a replace down to more than is filled": [
        *PART,
        (vm("REPLACED", "PARTIALLY_FILLED", 50, 20, 30), ("PARTIALLY_FILLED", 20, 30, 10, 50)),
    ],
    "C.3.b replace down to what is filled": [
        *PART,
        (vm("REPLACED", "FILLED", 20, 20, 0), ("FILLED", 20, 0, 10, 20)),
    ],
    "C.3.c replace below what is filled: stop executing": [
        *PART,
        (vm("PENDING_REPLACE", "PENDING_REPLACE", 100, 20, 80), ("PENDING_REPLACE", 20, 80, 10, 100)),
        (trade("PENDING_REPLACE", 100, 40, 60, 20, 12), ("PENDING_REPLACE", 40, 60, 11, 100)),
        (vm("REPLACED", "FILLED", 30, 40, 0), ("FILLED", 40, 0, 11, 40)),
        (es("REPLACED", 30), ...),
    ],
    "C.3.d stop executing, and the fill comes afterwards": [
        *NEW,
        (vm("REPLACED", "FILLED", 10, 20, 0), ("NEW", 0, 20, None, 20)),
        (trade("FILLED", 20, 20, 0, 20, 10), ("FILLED", 20, 0, 10, 20)),
    ],
    "D.1 a status under a replaced ClOrdID brings no old terms back": [
        (es("NEW", cl_ord_id="C1"), ("NEW", 0, 100, None, 100)),
        (vm("REPLACED", "NEW", 150, 0, 150, cl_ord_id="C2", orig_cl_ord_id="C1"), ("NEW", 0, 150, None, 150)),
        (es("PENDING_REPLACE", 150, cl_ord_id="C2"), ("PENDING_REPLACE", 0, 150, None, 150)),
        (es("NEW", cl_ord_id="C1"), ("NEW", 0, 150, None, 150)),
        (es("REPLACED", 150, cl_ord_id="C2"), ...),
    ],
    "D.1 nor does one without a ClOrdID, until the engine has followed": [
        *NEW,
        (vm("REPLACED", "NEW", 150, 0, 150), ("NEW", 0, 150, None, 150)),
        (es("SUSPENDED"), ("SUSPENDED", 0, 150, None, 150)),
        (es("REPLACED", 140), ("NEW", 0, 140, None, 140)),
        (es("SUSPENDED", 130), ("SUSPENDED", 0, 130, None, 130)),
        (vm("REPLACED", "NEW", 160, 0, 160), ("SUSPENDED", 0, 160, None, 160)),
        (es("NEW", 170, cl_ord_id="C3"), ("NEW", 0, 170, None, 170)),
        (es("NEW"), ...),
    ],
    "D.2 two requests: the answer to one leaves the other pending": [
        *NEW,
        (es("PENDING_REPLACE", 110), ("PENDING_REPLACE", 0, 100, None, 100)),
        (es("PENDING_CANCEL"), ("PENDING_CANCEL", 0, 100, None, 100)),
        (vm("REPLACED", "PENDING_CANCEL", 110, 0, 110), ("PENDING_CANCEL", 0, 110, None, 110)),
        (vm("CANCEL_REJECTED", "NEW", 110, 0, 0), ("NEW", 0, 110, None, 110)),
    ],
    "D.3 a rejected cancel leaves a replace pending": [
        *NEW,
        (vm("PENDING_REPLACE", "PENDING_REPLACE", 100, 0, 100), ("PENDING_REPLACE", 0, 100, None, 100)),
        (es("PENDING_CANCEL"), ("PENDING_CANCEL", 0, 100, None, 100)),
        (vm("CANCEL_REJECTED", "PENDING_REPLACE", 100, 0, 0), ("PENDING_REPLACE", 0, 100, None, 100)),
        (vm("REPLACED", "NEW", 120, 0, 120), ("NEW", 0, 120, None, 120)),
    ],
    "E.1 the venue speaks before the engine": [
        (trade("PARTIALLY_FILLED", 100, 20, 80, 20, 10), ("PARTIALLY_FILLED", 20, 80, 10, 100)),
        (es("NEW"), ("PARTIALLY_FILLED", 20, 80, 10, 100)),
        (es("PARTIALLY_FILLED"), ...),
    ],
    "F.1 unsolicited cancel": [
        *PART,
        (vm("CANCELED", "CANCELED", 100, 20, 0, restatement_reason="MARKET_OPTION"), ("CANCELED", 20, 0, 10, 100)),
    ],
    "F.2 unsolicited change of quantity": [
        *PART,
        (vm("RESTATED", "PARTIALLY_FILLED", 60, 20, 40, restatement_reason="PARTIAL_DECLINE"),
         ("PARTIALLY_FILLED", 20, 40, 10, 60)),
    ],
    "G.1.a bust on the same day": [
        *PART,
        (trade("PARTIALLY_FILLED", 100, 50, 50, 30, 20), ("PARTIALLY_FILLED", 50, 50, 16, 100)),
        (vm("TRADE_CANCEL", "PARTIALLY_FILLED", 100, 20, 80, 30, 20, exec_ref_id="E3"),
         ("PARTIALLY_FILLED", 20, 80, 10, 100)),
        (vm("TRADE_CANCEL", "NEW", 100, 0, 100, 20, 10, exec_ref_id="E2"), ("NEW", 0, 100, None, 100)),
        (trade("PARTIALLY_FILLED", 100, 20, 80, 20, 10), ("PARTIALLY_FILLED", 20, 80, 10, 100)),
    ],
    "G.1.b bust of a filled order": [
        *NEW,
        (trade("FILLED", 100, 100, 0, 100, 10), ("FILLED", 100, 0, 10, 100)),
        (es("FILLED"), ...),
        (vm("TRADE_CANCEL", "NEW", 100, 0, 100, 100, 10, exec_ref_id="E2"), ("NEW", 0, 100, None, 100)),
    ],
    "G.1.c correction of quantity and price, then of the correction, then a bust of it": [
        *PART,
        (vm("TRADE_CORRECT", "PARTIALLY_FILLED", 100, 30, 70, 30, 12, exec_ref_id="E2"),
         ("PARTIALLY_FILLED", 30, 70, 12, 100)),
        (vm("TRADE_CORRECT", "PARTIALLY_FILLED", 100, 30, 70, 30, 11, exec_ref_id="E3"),
         ("PARTIALLY_FILLED", 30, 70, 11, 100)),
        (vm("TRADE_CANCEL", "NEW", 100, 0, 100, 30, 11, exec_ref_id="E4"), ("NEW", 0, 100, None, 100)),
    ],
    "G.1.d bust and correction of a canceled order": [
        *PART,
        (trade("PARTIALLY_FILLED", 100, 40, 60, 20, 12), ("PARTIALLY_FILLED", 40, 60, 11, 100)),
        (vm("CANCELED", "CANCELED", 100, 40, 0), ("CANCELED", 40, 0, 11, 100)),
        (vm("TRADE_CANCEL", "CANCELED", 100, 20, 0, 20, 12, exec_ref_id="E3"), ("CANCELED", 20, 0, 10, 100)),
        (vm("TRADE_CORRECT", "CANCELED", 100, 20, 0, 20, 9, exec_ref_id="E2"), ("CANCELED", 20, 0, 9, 100)),
    ],
    "G.1.e bust before its trade": [
        *NEW,
        (vm("TRADE_CANCEL", "NEW", 100, 0, 100, 20, 10, exec_ref_id="X1"), ...),
        (trade("PARTIALLY_FILLED", 100, 20, 80, 20, 10, exec_id="X1"), ...),
    ],
    "G.1.f correction of a correction, both before the trade": [
        *NEW,
        (vm("TRADE_CORRECT", "PARTIALLY_FILLED", 100, 20, 80, 20, 12, exec_ref_id="X2", exec_id="X3"), ...),
        (vm("TRADE_CORRECT", "PARTIALLY_FILLED", 100, 20, 80, 20, 11, exec_ref_id="X1", exec_id="X2"), ...),
        (trade("PARTIALLY_FILLED", 100, 20, 80, 20, 10, exec_id="X1"), ("PARTIALLY_FILLED", 20, 80, 12, 100)),
    ],
    "G.1.g what is busted stays busted": [
        *PART,
        (vm("TRADE_CANCEL", "NEW", 100, 0, 100, 20, 10, exec_ref_id="E2"), ("NEW", 0, 100, None, 100)),
        (vm("TRADE_CANCEL", "NEW", 100, 0, 100, 20, 10, exec_ref_id="E2"), ...),
        (vm("TRADE_CORRECT", "NEW", 100, 0, 100, 20, 11, exec_ref_id="E2"), ...),
        (vm("TRADE_CANCEL", "NEW", 100, 0, 100, 20, 10, exec_ref_id="E3"), ...),
    ],
    "H.1.a GT order over two days": [
        *GT,
        (vm("DONE_FOR_DAY", "DONE_FOR_DAY", 100, 20, 80), ("DONE_FOR_DAY", 20, 80, 10, 100)),
        (es("DONE_FOR_DAY", time_in_force="GOOD_TILL_CANCEL"), ...),
        (vm("RESTATED", "PARTIALLY_FILLED", 100, 20, 80, trade_date=DAY2, restatement_reason="GT_RENEWAL"),
         ("PARTIALLY_FILLED", 20, 80, 10, 100)),
        (trade("PARTIALLY_FILLED", 100, 70, 30, 50, 10, trade_date=DAY2), ("PARTIALLY_FILLED", 70, 30, 10, 100)),
        (vm("DONE_FOR_DAY", "DONE_FOR_DAY", 100, 70, 30, trade_date=DAY2), ("DONE_FOR_DAY", 70, 30, 10, 100)),
        (trade("FILLED", 100, 100, 0, 30, 10, trade_date=DAY3), ("FILLED", 100, 0, 10, 100)),
    ],
    "H.1.b GT order, bust of the day before": [
        *GT,
        (trade("PARTIALLY_FILLED", 100, 50, 50, 30, 10, trade_date=DAY2), ("PARTIALLY_FILLED", 50, 50, 10, 100)),
        (vm("TRADE_CANCEL", "PARTIALLY_FILLED", 100, 30, 70, 20, 10, exec_ref_id="E2", trade_date=DAY2),
         ("PARTIALLY_FILLED", 30, 70, 10, 100)),
    ],
    "H.1.c GT order canceled on its second day": [
        *GT,
        (vm("DONE_FOR_DAY", "DONE_FOR_DAY", 100, 20, 80), ("DONE_FOR_DAY", 20, 80, 10, 100)),
        (vm("CANCELED", "CANCELED", 100, 20, 0, trade_date=DAY2), ("CANCELED", 20, 0, 10, 100)),
    ],
    "H.1.d GT order restated for a split of two for one, then a bust of a fill from before it": [
        *GT,
        (trade("PARTIALLY_FILLED", 100, 50, 50, 30, 10), ("PARTIALLY_FILLED", 50, 50, 10, 100)),
        (vm("RESTATED", "PARTIALLY_FILLED", 200, 100, 100, trade_date=DAY2, restatement_reason="GT_CORPORATE_ACTION"),
         ("PARTIALLY_FILLED", 100, 100, 5, 200)),
        (vm("TRADE_CANCEL", "PARTIALLY_FILLED", 200, 60, 140, 20, 10, exec_ref_id="E2", trade_date=DAY2),
         ("PARTIALLY_FILLED", 60, 140, 5, 200)),
        (trade("PARTIALLY_FILLED", 200, 160, 40, 100, 5, trade_date=DAY2), ("PARTIALLY_FILLED", 160, 40, 5, 200)),
    ],
    "H.1.e GT order expires": [
        *GT,
        (vm("EXPIRED", "EXPIRED", 100, 20, 0, trade_date=DAY3), ("EXPIRED", 20, 0, 10, 100)),
    ],
    "I.1 fill or kill, killed": [
        (es("NEW", time_in_force="FILL_OR_KILL"), ("NEW", 0, 100, None, 100)),
        (vm("CANCELED", "CANCELED", 100, 0, 0), ("CANCELED", 0, 0, None, 100)),
    ],
    "I.2 immediate or cancel, the rest killed": [
        (es("NEW", time_in_force="IMMEDIATE_OR_CANCEL"), ("NEW", 0, 100, None, 100)),
        (trade("PARTIALLY_FILLED", 100, 20, 80, 20, 10), ("PARTIALLY_FILLED", 20, 80, 10, 100)),
        (vm("CANCELED", "CANCELED", 100, 20, 0), ("CANCELED", 20, 0, 10, 100)),
    ],
    "J.1 stopped: shows over PARTIALLY_FILLED, not over FILLED": [
        *NEW,
        (vm("STOPPED", "STOPPED", 100, 0, 100), ("STOPPED", 0, 100, None, 100)),
        (trade("STOPPED", 100, 20, 80, 20, 10), ("STOPPED", 20, 80, 10, 100)),
        (trade("FILLED", 100, 100, 0, 80, 10), ("FILLED", 100, 0, 10, 100)),
    ],
    "K.1 a status report sets nothing": [
        *PART,
        (vm("ORDER_STATUS", "SUSPENDED", 100, 20, 80), ...),
    ],
    "K.2 clearing messages set nothing": [
        *PART,
        (vm("TRADE_IN_CLEARING_HOLD", "PARTIALLY_FILLED", 100, 20, 80), ...),
        (vm("TRADE_RELEASED_TO_CLEARING", "PARTIALLY_FILLED", 100, 20, 80), ...),
    ],
    "L.1 a resent request is answered with a status": [
        *PART,
        (vm("ORDER_STATUS", "PARTIALLY_FILLED", 100, 20, 80, poss_resend=True), ...),
    ],
    "L.2 a duplicate ClOrdID is rejected, the order is not": [
        *PART,
        (vm("REJECTED", "PARTIALLY_FILLED", 100, 20, 80, reject_reason="DUPLICATE_ORDER", poss_resend=False), ...),
    ],
    "L.3 a trade told again": [
        *PART,
        (trade("PARTIALLY_FILLED", 100, 20, 80, 20, 10, exec_id="E2", poss_resend=True), ...),
    ],
    "an ExecID used again after a restart": [
        *PART,
        (trade("PARTIALLY_FILLED", 100, 50, 50, 30, 20, exec_id="E2"), ("PARTIALLY_FILLED", 50, 50, 16, 100)),
        (trade("PARTIALLY_FILLED", 100, 50, 50, 30, 20, exec_id="E2"), ...),
    ],
    "an ExecID used again, and the bust of the first one": [
        *PART,
        (trade("PARTIALLY_FILLED", 100, 50, 50, 30, 20, exec_id="E2"), ("PARTIALLY_FILLED", 50, 50, 16, 100)),
        (vm("TRADE_CANCEL", "PARTIALLY_FILLED", 100, 30, 70, 20, 10, exec_ref_id="E2"),
         ("PARTIALLY_FILLED", 30, 70, 20, 100)),
    ],
    "an ExecID used again on the next day, and the bust of the first one": [
        *GT,
        (trade("PARTIALLY_FILLED", 100, 50, 50, 30, 20, exec_id="E2", trade_date=DAY2),
         ("PARTIALLY_FILLED", 50, 50, 16, 100)),
        (vm("TRADE_CANCEL", "PARTIALLY_FILLED", 100, 30, 70, 20, 10, exec_ref_id="E2", trade_date=DAY2),
         ("PARTIALLY_FILLED", 30, 70, 20, 100)),
    ],
    "rejected with fills": [
        *PART,
        (es("REJECTED"), ("PARTIALLY_FILLED", 20, 0, 10, 100)),
    ],
    "triggered": [
        (vm("PENDING_NEW", "PENDING_NEW", 100, 0, 100), ("PENDING_NEW", 0, 100, None, 100)),
        (vm("TRIGGERED", "NEW", 100, 0, 100), ("NEW", 0, 100, None, 100)),
    ],
}  # fmt: skip

ANOMALIES = {
    "A.1.h calculated after its fills": [],
    "B.1.e cancel of an order the venue does not know": ["UNKNOWN_ORDER"],
    "C.3.d stop executing, and the fill comes afterwards": ["CUM_MISMATCH"],
    "G.1.e bust before its trade": ["OUT_OF_ORDER"],
    "G.1.f correction of a correction, both before the trade": ["OUT_OF_ORDER", "OUT_OF_ORDER"],
    "G.1.g what is busted stays busted": ["NOT_APPLIED"] * 3,
    "L.2 a duplicate ClOrdID is rejected, the order is not": ["REQUEST_REJECTED"],
    "L.3 a trade told again": ["DUPLICATE"],
    "an ExecID used again after a restart": ["EXEC_ID_REUSED", "DUPLICATE"],
    "an ExecID used again, and the bust of the first one": ["EXEC_ID_REUSED"],
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_order_after_each_message_is_that_of_the_matrix(name: str) -> None:
    lines = SCENARIOS[name]
    steps = play([message for message, _ in lines])
    before: Seen | None = None
    for number, ((_, expected), step) in enumerate(zip(lines, steps, strict=True)):
        wanted = before if isinstance(expected, EllipsisType) else expected
        assert seen(step.order) == wanted, f"line {number}"
        consolidated = sent([step])
        assert len(consolidated) == (not isinstance(expected, EllipsisType)), f"line {number}"
        for event in consolidated:
            status = event.status
            average = None if status.avg_price is None else status.avg_price / MICROS
            shown = status.code, status.filled_quantity, status.leaves_quantity, average, event.order.quantity
            assert shown == wanted, f"line {number}"
        before = wanted
    assert [event.sequence for event in sent(steps)] == list(range(1, len(sent(steps)) + 1))
    assert kinds(steps) == ANOMALIES.get(name, [])
    anomalies = [anomaly.sequence for step in steps for anomaly in step.anomalies]
    assert anomalies == list(range(1, len(anomalies) + 1))


DAYS: dict[str, list[tuple[int, int, int, float | None] | None]] = {
    "H.1.a GT order over two days": [
        None, None, None, None, None, (DAY2, 80, 0, None), (DAY2, 80, 50, 10), (DAY2, 80, 50, 10), (DAY3, 30, 30, 10),
    ],
    "H.1.b GT order, bust of the day before": [None, None, None, (DAY2, 80, 30, 10), (DAY2, 100, 30, 10)],
}  # fmt: skip


@pytest.mark.parametrize("name", DAYS)
def test_a_day_has_its_own_quantities_from_the_second_day_on(name: str) -> None:
    found = []
    for step in play([message for message, _ in SCENARIOS[name]]):
        assert step.order is not None
        day = step.order.day_quantities
        average = None if day is None or day.avg_price is None else day.avg_price / MICROS
        found.append(day and (day.trade_date, day.order_quantity, day.filled_quantity, average))
    assert found == DAYS[name]


def test_a_bust_on_the_same_day_takes_from_the_day_and_one_of_an_earlier_day_does_not() -> None:
    messages = [message for message, _ in SCENARIOS["H.1.b GT order, bust of the day before"][:4]]
    bust = vm("TRADE_CANCEL", "PARTIALLY_FILLED", 100, 20, 80, 30, 10, exec_ref_id="E3", trade_date=DAY2)
    order = play([*messages, bust])[-1].order
    assert order is not None
    assert order.day_quantities is not None
    day = order.day_quantities
    assert (day.order_quantity, day.filled_quantity, day.avg_price) == (80, 0, None)


def test_a_bust_refunds_what_its_trade_was_charged_and_the_commission_of_the_order_follows() -> None:
    fill = trade("PARTIALLY_FILLED", 100, 50, 50, 50, 10, liquidity="REMOVED", exec_id="X1")
    bust = vm("TRADE_CANCEL", "NEW", 100, 0, 100, 50, 10, exec_ref_id="X1")
    first, second = enriched(play([es("NEW"), fill, bust]))
    assert [(fee.kind, fee.amount) for fee in second.fees] == [(fee.kind, -fee.amount) for fee in first.fees]
    assert (second.total_fees, second.filled_quantity, second.notional) == (0, 0, 0)
    assert (second.last_quantity, second.last_price, second.replaced_quantity, second.replaced_price) == (
        -50, 10 * MICROS, 50, 10 * MICROS,
    )  # fmt: skip
    assert (second.exec_type, second.exec_ref_id) == ("TRADE_CANCEL", "X1")


def test_a_correction_of_the_price_alone_is_enriched_with_no_quantity() -> None:
    correction = vm("TRADE_CORRECT", "PARTIALLY_FILLED", 100, 20, 80, 20, 11, exec_ref_id="E2")
    steps = play([*(message for message, _ in PART), correction])
    enrichment = enriched(steps)[-1]
    assert (enrichment.last_quantity, enrichment.last_price, enrichment.avg_price) == (0, 11 * MICROS, 11 * MICROS)
    assert (enrichment.exec_type, enrichment.replaced_quantity, enrichment.replaced_price) == (
        "TRADE_CORRECT", 20, 10 * MICROS,
    )  # fmt: skip
    assert sent(steps)[-1].sequence == enrichment.sequence


def test_a_correction_that_came_before_its_trade_gives_one_enrichment_with_what_it_says() -> None:
    [enrichment] = enriched(play([m for m, _ in SCENARIOS["G.1.f correction of a correction, both before the trade"]]))
    assert (enrichment.last_exec_id, enrichment.last_quantity, enrichment.last_price) == ("X3", 20, 12 * MICROS)
    assert enrichment.exec_type == "TRADE"


def test_a_bust_that_came_before_its_trade_leaves_nothing_to_tell() -> None:
    steps = play([m for m, _ in SCENARIOS["G.1.e bust before its trade"]])
    assert enriched(steps) == []
    assert steps[-1].order is not None
    assert steps[-1].order.total_fees == 0


def test_busts_that_wait_are_bounded() -> None:
    busts = [vm("TRADE_CANCEL", "NEW", 100, 0, 100, 1, 1, exec_ref_id=f"X{n}", exec_id=f"B{n}") for n in range(65)]
    assert kinds(play([es("NEW"), *busts])) == ["OUT_OF_ORDER"] * 64 + ["NOT_APPLIED"]


def test_a_split_is_enriched_as_a_change_of_quantity_without_a_price() -> None:
    steps = play([m for m, _ in SCENARIOS["H.1.d GT order restated for a split of two for one, then a bust of a fill "
                                          "from before it"]])  # fmt: skip
    split, bust = enriched(steps)[2:4]
    assert (split.exec_type, split.last_quantity, split.last_price, split.replaced_quantity) == (
        "RESTATED",
        50,
        None,
        50,
    )
    assert (split.notional, split.avg_price, split.slippage_bps) == (500 * MICROS, 5 * MICROS, 0.0)
    assert (bust.last_quantity, bust.notional, bust.replaced_price) == (-40, 300 * MICROS, 5 * MICROS)


@pytest.mark.parametrize(("reported", "expected"), [(None, 5 * MICROS), (6 * MICROS, 6 * MICROS)])
def test_a_split_divides_the_limit_price_unless_the_venue_reports_the_new_one(
    reported: int | None, expected: int
) -> None:
    split = vm("RESTATED", "NEW", 200, 0, 200, trade_date=DAY2, restatement_reason="GT_CORPORATE_ACTION")
    split = msgspec.structs.replace(split, price=reported)
    order = play([es("NEW", time_in_force="GOOD_TILL_CANCEL", limit_price=10 * MICROS), split])[-1].order
    assert order is not None
    assert order.limit_price == expected


def test_a_trade_from_before_a_split_that_comes_late_counts_as_if_it_had_been_there() -> None:
    split = vm("RESTATED", "NEW", 200, 0, 200, trade_date=DAY2, restatement_reason="GT_CORPORATE_ACTION")
    late = trade("PARTIALLY_FILLED", 100, 10, 90, 10, 10, trade_date=DAY1)
    steps = play([es("NEW", time_in_force="GOOD_TILL_CANCEL"), split, late])
    order, [told] = steps[-1].order, enriched(steps)
    assert order is not None
    assert (order.filled, order.notional) == (20, 100 * MICROS)
    assert (told.last_quantity, told.last_price) == (20, 5 * MICROS)


def test_an_order_first_heard_of_by_a_cancel_reject_takes_its_terms_from_the_next_message() -> None:
    """A cancel reject has no OrderQty(38)."""
    reject = vm("CANCEL_REJECTED", "REJECTED", 0, 0, 0, reject_reason="UNKNOWN_ORDER")
    steps = play([reject, trade("PARTIALLY_FILLED", 100, 20, 80, 20, 10), es("NEW", 120)])
    assert [seen(step.order) for step in steps[1:]] == [
        ("PARTIALLY_FILLED", 20, 80, 10, 100), ("PARTIALLY_FILLED", 20, 100, 10, 120),
    ]  # fmt: skip
    assert kinds(steps) == ["UNKNOWN_ORDER"]


def test_cum_quantity_that_falls_without_a_bust_is_told() -> None:
    backwards = trade("PARTIALLY_FILLED", 100, 10, 90, 10, 10)
    assert kinds(play([*(message for message, _ in PART), backwards])) == ["CUM_BACKWARDS", "CUM_MISMATCH"]
    bust = vm("TRADE_CANCEL", "NEW", 100, 0, 100, 20, 10, exec_ref_id="E2")
    assert kinds(play([*(message for message, _ in PART), bust, backwards])) == []


def test_reasons_of_the_venue_reach_the_consolidated_status() -> None:
    cancel = vm("CANCELED", "CANCELED", 100, 20, 0, restatement_reason="MARKET_OPTION")
    assert sent(play([*(message for message, _ in PART), cancel]))[-1].status.reason == "MARKET_OPTION"


def test_an_order_that_ends_tells_what_it_did_not_get_once() -> None:
    market = MarketState(price=12 * MICROS)
    cancel = vm("CANCELED", "CANCELED", 100, 20, 0, market=market)
    steps = play([es("NEW", decision_price=9 * MICROS), *(m for m, _ in PART[2:]), cancel, es("CANCELED")])
    last = enriched(steps)[-1]
    assert (last.last_quantity, last.exec_type, last.last_exec_id) == (0, "CANCELED", None)
    assert last.shortfall is not None
    assert last.shortfall.opportunity == -80 * 3 * MICROS  # to sell at 12 what was decided at 9
    assert len(enriched(steps)) == 2


def test_a_bust_and_a_late_fill_of_a_canceled_order_keep_the_price_at_its_end() -> None:
    """To sell at 12 what was decided at 9, whatever the market does later; 80, then 100, then 70 are left undone."""
    cancel = vm("CANCELED", "CANCELED", 100, 20, 0, market=MarketState(price=12 * MICROS))
    bust = vm("TRADE_CANCEL", "CANCELED", 100, 0, 0, 20, 10, exec_ref_id="E2")
    late = trade("CANCELED", 100, 30, 0, 30, 10, market=MarketState(price=15 * MICROS))
    steps = play([es("NEW", decision_price=9 * MICROS), *(m for m, _ in PART[1:]), cancel, es("CANCELED"), bust, late])
    shortfalls = [event.shortfall for event in enriched(steps)[1:]]
    assert [s and s.opportunity for s in shortfalls] == [-80 * 3 * MICROS, -100 * 3 * MICROS, -70 * 3 * MICROS]
    assert all(s and s.total == s.delay + s.execution + (s.opportunity or 0) + s.fees for s in shortfalls)


def test_an_order_that_lives_on_ends_at_another_price() -> None:
    def canceled(price: int) -> ExecutionReport:
        return vm("CANCELED", "CANCELED", 100, 0, 0, market=MarketState(price=price * MICROS))

    restated = vm("RESTATED", "NEW", 100, 0, 100, restatement_reason="GT_RENEWAL")
    steps = play([es("NEW", decision_price=9 * MICROS), canceled(12), restated, canceled(13)])
    shortfalls = [event.shortfall for event in enriched(steps)]
    assert [s and s.opportunity for s in shortfalls] == [-100 * 3 * MICROS, -100 * 4 * MICROS]


def test_the_interval_vwap_is_that_of_the_market_since_acceptance() -> None:
    accepted, later = (
        MarketState(volume=1_000, turnover=10_000 * MICROS),
        MarketState(volume=1_100, turnover=11_100 * MICROS),
    )
    [first] = enriched(play([es("NEW", market=accepted), trade("FILLED", 100, 100, 0, 100, 10, market=later)]))
    assert (first.interval_vwap, first.vwap_slippage_bps) == (11 * MICROS, pytest.approx(909.0909090909091))
