"""The simulated order engine: decisions of the risk check become engine statuses on orders.status.

An approved order becomes NEW, and in its time EXPIRED or REJECTED by the venue; a rejected one becomes REJECTED; an
approved cancel that is not too late becomes CANCELED. Fills are the venue's to report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.model.events import VERSION
from services.life import Life
from services.simulated import Planned, SimulatedService

SOURCE = "order-engine-1"


class OrderEngine(SimulatedService):
    """The engine as a service: reads risk.outcome, writes orders.status, exactly once."""

    name = "order-engine"
    source = SOURCE
    output_topic = "orders.status"

    def plan_order(self, intent: Mapping[str, Any], life: Life) -> list[Planned]:
        """See `planned_statuses`."""
        return planned_statuses(intent, life)

    def plan_cancel(self, original: Mapping[str, Any], cancel: Mapping[str, Any], life: Life) -> list[Planned]:
        """See `planned_cancel_status`."""
        return planned_cancel_status(original, cancel, life)

    def plan_refusal(self, outcome: Mapping[str, Any]) -> list[Planned]:
        """The REJECTED status of an order that the risk check refused, naming every breached check."""
        checks = ",".join(breach["check"] for breach in outcome["breaches"])
        at = outcome["occurredAt"]
        return [(at, _status(outcome["intent"], "REJECTED", at, sequence=1, reason=f"RISK {checks}".strip()))]


def planned_statuses(intent: Mapping[str, Any], life: Life) -> list[Planned]:
    """Statuses of an approved order apart from its cancel, each with the time of its publication."""
    start = intent["occurredAt"]
    new = _status(intent, "NEW", start + life.acknowledged, sequence=1)
    planned = [(start + life.status_published, new)]
    if life.status_resent is not None:
        planned.append((start + life.status_resent, new))
    if life.ending == "REJECTED":
        rejected = _status(intent, "REJECTED", start + life.ended, sequence=2, reason="VENUE_REJECTED")
        planned.append((start + life.ended, rejected))
    elif life.ending == "EXPIRED":
        filled = sum(fill.quantity for fill in life.fills)
        notional = sum(fill.quantity * fill.price for fill in life.fills)
        expired = _status(intent, "EXPIRED", start + life.ended, sequence=2, filled=filled, notional=notional)
        planned.append((start + life.ended, expired))
    if life.expired_after_bust is not None:
        at = start + life.expired_after_bust
        filled = sum(fill.final_quantity for fill in life.fills)
        planned.append((at, _status(intent, "EXPIRED", at, sequence=2, filled=filled, reason="OPEN_AFTER_BUST")))
    return planned


def planned_cancel_status(original: Mapping[str, Any], cancel: Mapping[str, Any], life: Life) -> list[Planned]:
    """The CANCELED status that answers an approved cancel; none if the cancel came too late."""
    if life.ending != "CANCELED":
        return []
    canceled = original["occurredAt"] + life.ended
    # A fill whose report is still on its way is unknown to the engine.
    known = [fill for fill in life.fills if fill.published <= life.ended]
    filled, notional = sum(fill.quantity for fill in known), sum(fill.quantity * fill.price for fill in known)
    reason = f"CANCEL_REQUESTED {cancel['clOrdId']}"
    return [
        (canceled, _status(original, "CANCELED", canceled, sequence=2, filled=filled, notional=notional, reason=reason))
    ]


def _status(
    intent: Mapping[str, Any],
    code: str,
    occurred_at: int,
    *,
    sequence: int,
    filled: int = 0,
    notional: int = 0,
    reason: str | None = None,
) -> dict[str, Any]:
    return {
        "eventType": "ORDER_STATUS_CHANGED",
        "version": VERSION,
        "occurredAt": occurred_at,
        "key": intent["key"],
        "order": {
            "id": intent["orderId"],
            "parentId": intent["parentId"],
            "symbol": intent["symbol"],
            "side": intent["side"],
            "quantity": intent["quantity"],
            "clOrdId": intent["clOrdId"],
            "limitPrice": intent["limitPrice"],
            "timeInForce": intent["timeInForce"],
        },
        "status": {
            "code": code,
            "reason": reason,
            "filledQuantity": filled,
            "leavesQuantity": intent["quantity"] - filled if code == "NEW" else 0,
            "avgPrice": notional // filled if filled else None,
        },
        "sequence": sequence,
        "source": SOURCE,
        "venue": intent["venue"],
        "arrivalPrice": intent["arrivalPrice"],
        "correlationId": intent["correlationId"],
    }
