"""The simulated venues with their gateway: approved orders become execution reports on orders.executions.

Reports are acknowledgements, trades (one to six per order, over several venues that number executions alike), cancels,
rejects and answers to cancels that came too late; some reports are sent twice, some come late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.model.events import VERSION
from services.life import VENUES, Fill, Life, trade_date_days
from services.simulated import Planned, SimulatedService

SOURCE = "gateway-1"
FIRST_AMENDMENT = 100
"""Sequence of the first bust or correction: they come after everything else."""


class Venue(SimulatedService):
    """The venues as one service: reads risk.outcome, writes orders.executions, exactly once."""

    name = "venue"
    source = SOURCE
    output_topic = "orders.executions"

    def plan_order(self, intent: Mapping[str, Any], life: Life) -> list[Planned]:
        """See `planned_reports`."""
        return planned_reports(intent, life)

    def plan_cancel(self, original: Mapping[str, Any], cancel: Mapping[str, Any], life: Life) -> list[Planned]:
        """See `planned_cancel_reports`."""
        return planned_cancel_reports(original, cancel, life)

    def plan_refusal(self, outcome: Mapping[str, Any]) -> list[Planned]:
        """Nothing: a refused order is not sent to a venue."""
        return []


def planned_reports(intent: Mapping[str, Any], life: Life) -> list[Planned]:
    """Reports of an order apart from the answer to a cancel, each with the time of its publication."""
    start = intent["occurredAt"]
    acknowledged = start + life.acknowledged
    if life.ending == "REJECTED":
        at = start + life.ended
        return [(at, _report(intent, "REJECTED", "REJECTED", at, exec_id="R", sequence=1, text="venue rejects"))]
    planned = [(acknowledged, _report(intent, "NEW", "NEW", acknowledged, exec_id="N", sequence=1))]
    filled = 0
    for fill in life.fills:
        filled += fill.quantity
        report = _trade(intent, fill, filled, _sequence(fill, life))
        planned.append((start + fill.published, report))
        if fill.resent is not None:
            planned.append((start + fill.resent, report))
    return [*planned, *_planned_amendments(intent, life)]


def _planned_amendments(intent: Mapping[str, Any], life: Life) -> list[Planned]:
    """Busts and corrections, in the order of the fills; what is open after them only counts while the order lives."""
    filled, planned = sum(fill.quantity for fill in life.fills), []
    for fill in life.fills:
        amendment = fill.amendment
        if amendment is None:
            continue
        filled += fill.final_quantity - fill.quantity
        at = intent["occurredAt"] + amendment.at
        status = life.ending if life.ending != "FILLED" else _status_of(intent, filled)
        report = _report(
            intent, amendment.kind, status, at, exec_id=f"A{fill.ordinal}",
            sequence=FIRST_AMENDMENT + fill.ordinal, filled=filled,
        )  # fmt: skip
        changed = {
            "venue": fill.venue,
            "execRefId": f"{intent['orderId']}-{fill.ordinal // 2}",
            "lastQuantity": amendment.quantity,
            "lastPrice": amendment.price,
            "liquidity": fill.liquidity,
        }
        planned.append((at, {**report, **changed}))
    return planned


def planned_cancel_reports(original: Mapping[str, Any], cancel: Mapping[str, Any], life: Life) -> list[Planned]:
    """The venue's answer to a cancel: CANCELED, or a cancel reject if the order was filled before."""
    answer = {"clOrdId": cancel["clOrdId"], "origClOrdId": cancel["origClOrdId"]}
    filled = sum(fill.quantity for fill in life.fills)
    if life.ending == "CANCELED":
        at = original["occurredAt"] + life.ended
        on_time = sum(fill.published <= life.ended for fill in life.fills)
        report = _report(original, "CANCELED", "CANCELED", at, exec_id="C", sequence=2 + on_time, filled=filled)
        return [(at, {**report, **answer})]
    at = cancel["occurredAt"] + 1_000
    report = _report(
        original, "CANCEL_REJECTED", "FILLED", at, exec_id="J", sequence=2 + len(life.fills), filled=filled
    )
    return [(at, {**report, **answer, "eventType": "CANCEL_REJECTED", "text": "too late to cancel"})]


def _sequence(fill: Fill, life: Life) -> int:
    """Numbers follow publication: the acknowledgement is 1, and a fill that comes after the cancel leaves it room."""
    behind_cancel = life.ending == "CANCELED" and fill.published > life.ended
    return 2 + fill.ordinal + behind_cancel


def _trade(intent: Mapping[str, Any], fill: Fill, filled: int, sequence: int) -> dict[str, Any]:
    report = _report(
        intent,
        "TRADE",
        _status_of(intent, filled),
        intent["occurredAt"] + fill.at,
        exec_id=str(fill.ordinal // 2),
        sequence=sequence,
        filled=filled,
    )
    return {
        **report,
        "venue": fill.venue,
        "lastQuantity": fill.quantity,
        "lastPrice": fill.price,
        "liquidity": fill.liquidity,
    }


def _status_of(intent: Mapping[str, Any], filled: int) -> str:
    if filled >= intent["quantity"]:
        return "FILLED"
    return "PARTIALLY_FILLED" if filled else "NEW"


def _report(
    intent: Mapping[str, Any],
    exec_type: str,
    order_status: str,
    occurred_at: int,
    *,
    exec_id: str,
    sequence: int,
    filled: int = 0,
    text: str | None = None,
) -> dict[str, Any]:
    ended = order_status in ("CANCELED", "EXPIRED", "REJECTED")
    return {
        "eventType": "EXECUTION_REPORTED",
        "version": VERSION,
        "occurredAt": occurred_at,
        "key": intent["key"],
        "clOrdId": intent["clOrdId"],
        "origClOrdId": None,
        "venueOrderId": f"V{intent['orderId']}",
        "venue": intent["venue"] or VENUES[0],
        "tradeDate": trade_date_days(occurred_at),
        "execId": f"{intent['orderId']}-{exec_id}",
        "execRefId": None,
        "execType": exec_type,
        "ordStatus": order_status,
        "symbol": intent["symbol"],
        "side": intent["side"],
        "orderQuantity": intent["quantity"],
        "price": intent["limitPrice"],
        "timeInForce": intent["timeInForce"],
        "lastQuantity": 0,
        "lastPrice": None,
        "liquidity": None,
        "cumQuantity": filled,
        "leavesQuantity": 0 if ended else intent["quantity"] - filled,
        "text": text,
        "correlationId": intent["correlationId"],
        "sequence": sequence,
        "source": SOURCE,
    }
