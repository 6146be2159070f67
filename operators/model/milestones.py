"""What happens to an order once, told apart from what is merely said again: the input of dashboards.

Statuses come from the order engine and, consolidated, from the join; venues report on top. To count an order's cancel
once, somebody must remember the order. `Progress` does, a few fields per order, and gives each milestone once.

| milestone | when | time | carries |
|---|---|---|---|
| PLACED | quantity and venue are known, or the order ended without | of that event | order quantity |
| ACKNOWLEDGED | the first status and the venue's NEW are both known | of the venue's NEW | latency between the two |
| TRADED | enrichment tells a change of fills | of the fill | signed quantity, price, latency since NEW if first |
| FILLED, CANCELED, REJECTED, EXPIRED | the consolidated status becomes this one | of the status | reason |
| REOPENED | an ended order is open again (replace up, bust), or ends otherwise (late fill) | of the status | |

Only consolidated statuses tell the state. The engine may lag behind the venue, and the join behind the engine: taking
what either says would let an order that the engine has canceled be opened by the consolidated NEW that follows, and
canceled a second time. Every engine status that the join accepts raises a consolidated one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from operators.model.events import EventType, ExecType, ExecutionReport, OrderEnriched, OrderStatusChanged, OrdStatus

OrderEvent = OrderStatusChanged | ExecutionReport | OrderEnriched


class MilestoneKind(StrEnum):
    """What happened."""

    PLACED = "PLACED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    TRADED = "TRADED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    REOPENED = "REOPENED"


class Milestone(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One milestone of one order. Fields that its kind does not carry are null or 0."""

    kind: str
    occurred_at: int
    key: str
    symbol: str
    venue: str | None
    quantity: int = 0
    price: int | None = None
    latency_micros: int | None = None
    reason: str | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What must be remembered of an order. `ended` is the code it ended with; times in microseconds."""

    symbol: str
    venue: str | None = None
    quantity: int = 0
    ended: str | None = None
    ended_at: int | None = None
    placed: bool = False
    first_status_at: int | None = None
    acknowledged_at: int | None = None
    traded: bool = False


_ENDS: Final = frozenset({OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED})


def advance(progress: Progress | None, event: OrderEvent) -> tuple[Progress, list[Milestone]]:
    """Takes in one event of an order; its milestones in the order of the table."""
    before = progress or Progress(symbol=_symbol(event))
    after = replace(before, venue=before.venue or event.venue)
    if isinstance(event, OrderStatusChanged):
        after = _with_status(after, event)
    elif isinstance(event, ExecutionReport):
        after = _with_report(after, event)
    milestones = []
    if not before.placed and ((after.quantity > 0 and after.venue) or after.ended):
        after = replace(after, placed=True)
        milestones.append(_milestone(MilestoneKind.PLACED, after, event, quantity=after.quantity))
    if _both_known(after) and not _both_known(before):
        milestones.append(_acknowledgement(after, event.key))
    if isinstance(event, OrderEnriched) and event.last_quantity:
        milestones.append(_trade(after, event))
        after = replace(after, traded=True)
    if before.ended != after.ended and before.ended is not None:
        milestones.append(_milestone(MilestoneKind.REOPENED, after, event))
    if before.ended != after.ended and after.ended is not None:
        reason = event.status.reason if isinstance(event, OrderStatusChanged) else None
        milestones.append(_milestone(MilestoneKind(after.ended), after, event, reason=reason))
    return after, milestones


def _symbol(event: OrderEvent) -> str:
    return event.order.symbol if isinstance(event, OrderStatusChanged) else event.symbol


def _with_status(progress: Progress, event: OrderStatusChanged) -> Progress:
    consolidated = event.event_type == EventType.ORDER_STATUS_CONSOLIDATED
    first_at = (
        event.occurred_at if progress.first_status_at is None else min(event.occurred_at, progress.first_status_at)
    )
    progress = replace(progress, first_status_at=first_at)
    if not consolidated:
        return replace(progress, quantity=progress.quantity or event.order.quantity)
    ended = event.status.code if event.status.code in _ENDS else None
    return replace(
        progress,
        quantity=event.order.quantity,
        ended=ended,
        ended_at=event.occurred_at if ended else None,
    )


def _with_report(progress: Progress, event: ExecutionReport) -> Progress:
    at = progress.acknowledged_at
    if at is None and event.exec_type == ExecType.NEW:
        at = event.occurred_at
    return replace(progress, acknowledged_at=at, quantity=progress.quantity or event.order_quantity)


def _both_known(progress: Progress) -> bool:
    return progress.first_status_at is not None and progress.acknowledged_at is not None


def _acknowledgement(progress: Progress, key: str) -> Milestone:
    assert progress.acknowledged_at is not None
    assert progress.first_status_at is not None
    return Milestone(
        kind=MilestoneKind.ACKNOWLEDGED,
        occurred_at=progress.acknowledged_at,
        key=key,
        symbol=progress.symbol,
        venue=progress.venue,
        latency_micros=progress.acknowledged_at - progress.first_status_at,
    )


def _trade(progress: Progress, event: OrderEnriched) -> Milestone:
    since = None if progress.traded else progress.acknowledged_at
    latency = None if since is None else event.occurred_at - since
    return _milestone(
        MilestoneKind.TRADED,
        progress,
        event,
        quantity=event.last_quantity,
        price=event.last_price,
        latency_micros=latency,
    )


def _milestone(
    kind: MilestoneKind,
    progress: Progress,
    event: OrderEvent,
    *,
    quantity: int = 0,
    price: int | None = None,
    latency_micros: int | None = None,
    reason: str | None = None,
) -> Milestone:
    return Milestone(
        kind=kind,
        occurred_at=event.occurred_at,
        key=event.key,
        symbol=progress.symbol,
        venue=event.venue or progress.venue,
        quantity=quantity,
        price=price,
        latency_micros=latency_micros,
        reason=reason,
    )
