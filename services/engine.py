"""The simulated order engine: decisions of the risk check become engine statuses on orders.status.

An approved order becomes NEW, and in its time EXPIRED or REJECTED by the venue; a refused one becomes REJECTED; an
approved cancel that is not too late becomes CANCELED. What risk takes away from a resting order is told as well. Fills
are the venue's to report; those of an order that is worked through children are its children's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from operators.model.events import VERSION
from services.agenda import Intent, Planned, Plans
from services.life import Life
from services.simulated import SimulatedService
from services.worked import is_parent

SOURCE = "order-engine-1"
_REPEATED: Final = frozenset({"DUPLICATE_ORDER", "POSSIBLE_RESEND"})


class _Said(NamedTuple):
    """One status before it is numbered. `answers` marks what answers the client's cancel."""

    at: int
    published: int
    code: str
    quantity: int
    filled: int = 0
    notional: int = 0
    reason: str | None = None
    answers: bool = False


def planned_statuses(intent: Intent, life: Life) -> list[Planned]:
    """Statuses of an approved order apart from the answer to its cancel, each with the time of its publication."""
    return _planned(intent, life, answers=None)


def planned_cancel_status(intent: Intent, cancel: Intent, life: Life) -> list[Planned]:
    """What answers an approved cancel: CANCELED, before it PENDING_CANCEL where that is slow; none if too late."""
    return _planned(intent, life, answers=cancel)


def planned_refusal(outcome: Mapping[str, Any]) -> list[Planned]:
    """The REJECTED status of an order that the risk check refused, naming every breached check.

    A repeated order is rejected under a key of its own: the one that it names belongs to the order it repeats, which
    goes on as it was (OrdRejReason 6, duplicate order).
    """
    intent, at = outcome["intent"], outcome["occurredAt"]
    checks = [breach["check"] for breach in outcome["breaches"]]
    if outcome["sequence"] > 1 or _REPEATED.intersection(checks):
        suffix = f"#{outcome['sequence']}"
        intent = {**intent, "key": intent["key"] + suffix, "orderId": intent["orderId"] + suffix}
    said = _Said(at, at, "REJECTED", intent["quantity"], reason=f"RISK {','.join(checks)}".strip())
    return [(at, _status(intent, said, sequence=1, occurred_at=at))]


class OrderEngine(SimulatedService):
    """The engine as a service: reads risk.outcome, writes orders.status, exactly once."""

    name = "order-engine"
    source = SOURCE
    output_topic = "orders.status"
    plans = Plans(planned_statuses, planned_cancel_status, refusal=planned_refusal)


def _planned(intent: Intent, life: Life, *, answers: Intent | None) -> list[Planned]:
    """The statuses that answer a cancel, or all others; both are numbered together."""
    start, planned = intent["occurredAt"], []
    for sequence, said in enumerate(_script(intent, life), start=1):
        if said.answers != (answers is not None):
            continue
        reason = f"CANCEL_REQUESTED {answers['clOrdId']}" if answers is not None else said.reason
        status = _status(intent, said._replace(reason=reason), sequence=sequence, occurred_at=start + said.at)
        planned.append((start + said.published, status))
        if said.code == "NEW" and sequence == 1 and life.status_resent is not None:
            planned.append((start + life.status_resent, status))
    return planned


def _script(intent: Intent, life: Life) -> list[_Said]:
    """All that the engine ever says of the order, in its order."""
    ordered = intent["quantity"]
    script = [_Said(life.acknowledged, life.status_published, "NEW", ordered)]
    for reduction in life.reductions:
        filled, notional = _fills_known(life, reduction.at)
        code = "PARTIALLY_FILLED" if filled else "NEW"
        published = max(reduction.at, life.status_published + 1)
        ordered = reduction.quantity
        script.append(_Said(reduction.at, published, code, ordered, filled, notional, reduction.reason))
    asked = life.cancel_requested
    if asked is not None and life.pending_shown:
        script.append(_Said(asked, asked, "PENDING_CANCEL", ordered, *_fills_known(life, asked), answers=True))
    ended = life.ended
    if life.ending == "CANCELED":
        # A fill whose report is still on its way is unknown to the engine.
        filled, notional = _fills_known(life, ended)
        script.append(
            _Said(ended, ended, "CANCELED", ordered, filled, notional, life.reason, answers=asked is not None)
        )
    elif life.ending == "REJECTED":
        script.append(_Said(ended, ended, "REJECTED", ordered, reason="VENUE_REJECTED"))
    elif life.ending == "EXPIRED":
        notional = sum(fill.quantity * fill.price for fill in life.fills)
        script.append(_Said(ended, ended, "EXPIRED", ordered, life.filled, notional))
    if life.expired_after_bust is not None:
        at, filled = life.expired_after_bust, sum(fill.final_quantity for fill in life.fills)
        script.append(_Said(at, at, "EXPIRED", ordered, filled, reason="OPEN_AFTER_BUST"))
    return script


def _fills_known(life: Life, at: int) -> tuple[int, int]:
    """Quantity and notional of the fills that were reported by then."""
    known = life.known(at)
    return sum(fill.quantity for fill in known), sum(fill.quantity * fill.price for fill in known)


def _status(intent: Intent, said: _Said, *, sequence: int, occurred_at: int) -> dict[str, Any]:
    parent = is_parent(intent)
    live = said.code in ("NEW", "PARTIALLY_FILLED", "PENDING_CANCEL")
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
            "quantity": said.quantity,
            "clOrdId": intent["clOrdId"],
            "limitPrice": intent["limitPrice"],
            "timeInForce": intent["timeInForce"],
            "isParent": True if parent else None,
        },
        "status": {
            "code": said.code,
            "reason": said.reason,
            "filledQuantity": said.filled,
            "leavesQuantity": said.quantity - said.filled if live else 0,
            "avgPrice": said.notional // said.filled if said.filled and said.notional else None,
        },
        "sequence": sequence,
        "source": SOURCE,
        "venue": None if parent else intent["venue"],
        "arrivalPrice": intent["arrivalPrice"],
        "correlationId": intent["correlationId"],
    }
