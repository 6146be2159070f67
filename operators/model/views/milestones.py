"""What happens to an order once, told apart from what is merely said again: the input of dashboards and surveillance.

Statuses come from the order engine and, consolidated, from the join; venues report on top. To count an order's cancel
once, somebody must remember the order. `Progress` does, a few fields per order, and gives each milestone once.

| milestone | when | time | carries |
|---|---|---|---|
| PLACED | quantity and venue are known, or the order ended without | of that event | order quantity, time in force |
| ACKNOWLEDGED | the first status and the venue's NEW are both known | of the venue's NEW | latency, time in force |
| PENDING | the consolidated status becomes PENDING_NEW, PENDING_CANCEL or PENDING_REPLACE | of the status | code |
| ANSWERED | it leaves that for a status that is no end | of the status | code |
| TRADED | enrichment tells a fill | of the fill | quantity, price, notional, latency since NEW if first |
| BUSTED | enrichment takes a fill back | of the bust | signed quantity and notional |
| CORRECTED | enrichment corrects a fill | of the correction | signed changes of quantity and notional, price |
| FILLED, CANCELED, REJECTED, EXPIRED | the consolidated status becomes this one | of the status | reason |
| DONE | it becomes DONE_FOR_DAY or CALCULATED and nothing is open any more | of the status | code |
| REOPENED | an ended order is open again (replace up, bust), or ends otherwise (late fill) | of the status | code |

Only consolidated statuses tell the state. The engine may lag behind the venue, and the join behind the engine: taking
what either says would let an order that the engine has canceled be opened by the consolidated NEW that follows, and
canceled a second time. Every engine status that the join accepts raises a consolidated one.

An order that is worked through children stands in no venue's book, and its fills are those of its children: it has no
milestones but for executions that a venue reports of itself. A split (RESTATED) is no trade: quantity and price change,
what was traded does not. The notional of a bust or correction is the difference of the order's exact notional before
and after, so it is right after a split too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from operators.model.events import EventType, ExecType, ExecutionReport, OrderEnriched, OrderStatusChanged, OrdStatus
from operators.model.orders.parents import PARENT_SOURCE

OrderEvent = OrderStatusChanged | ExecutionReport | OrderEnriched


class MilestoneKind(StrEnum):
    """What happened. CHILD is none of the order's: it tells a parent's timeline of a child, inside the flow `views`."""

    PLACED = "PLACED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    PENDING = "PENDING"
    ANSWERED = "ANSWERED"
    TRADED = "TRADED"
    BUSTED = "BUSTED"
    CORRECTED = "CORRECTED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    DONE = "DONE"
    REOPENED = "REOPENED"
    CHILD = "CHILD"


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
    side: str | None = None
    notional: int | None = None
    exec_id: str | None = None
    exec_ref_id: str | None = None
    code: str | None = None
    time_in_force: str | None = None
    reference_price: int | None = None
    parent_id: str | None = None
    owner_id: str | None = None
    correlation_id: str | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What must be remembered of an order.

    `ended` is the status it ended with, `pending` the pending status it is in, `notional` that of its live fills as
    last told. Times in microseconds, prices in millionths.
    """

    symbol: str = ""
    venue: str | None = None
    quantity: int = 0
    ended: str | None = None
    ended_at: int | None = None
    placed: bool = False
    first_status_at: int | None = None
    acknowledged_at: int | None = None
    traded: bool = False
    parent: bool = False
    pending: str | None = None
    time_in_force: str | None = None
    notional: int = 0
    arrival_price: int | None = None
    market_price: int | None = None
    market_at: int | None = None

    @property
    def reference_price(self) -> int | None:
        """What a fill's price is held against: the market's last known price, else the arrival price."""
        return self.arrival_price if self.market_price is None else self.market_price


_ENDS: Final = frozenset({OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED})
_DONE: Final = frozenset({OrdStatus.DONE_FOR_DAY, OrdStatus.CALCULATED})
_PENDING: Final = frozenset({OrdStatus.PENDING_NEW, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE})


def advance(progress: Progress | None, event: OrderEvent) -> tuple[Progress, list[Milestone]]:
    """Takes in one event of an order; its milestones in the order of the table."""
    before = progress or Progress()
    after = replace(before, symbol=before.symbol or _symbol(event), venue=before.venue or event.venue)
    if isinstance(event, OrderStatusChanged):
        after = _with_status(after, event)
    elif isinstance(event, ExecutionReport):
        after = _with_report(after, event)
    milestones: list[Milestone] = []
    if isinstance(event, OrderEnriched):
        after, milestones = _with_enrichment(after, event)
    if after.parent:
        return after, milestones
    milestones = [*_arrival(before, after, event), *_pending(before, after, event), *milestones]
    return replace(after, placed=after.placed or _is_placed(after)), [*milestones, *_end(before, after, event)]


def _is_placed(progress: Progress) -> bool:
    return bool((progress.quantity > 0 and progress.venue) or progress.ended)


def _arrival(before: Progress, after: Progress, event: OrderEvent) -> list[Milestone]:
    found = []
    if not before.placed and _is_placed(after):
        found.append(_placed(after, event))
    if _both_known(after) and not _both_known(before):
        found.append(_acknowledgement(after, event))
    return found


def _with_enrichment(progress: Progress, event: OrderEnriched) -> tuple[Progress, list[Milestone]]:
    kind = _execution(event)
    found = [] if kind is None else [_trade(kind, progress, event)]
    traded = progress.traded or event.last_quantity > 0
    return replace(progress, traded=traded, notional=event.notional), found


def _symbol(event: OrderEvent) -> str:
    return event.order.symbol if isinstance(event, OrderStatusChanged) else event.symbol


def _with_status(progress: Progress, event: OrderStatusChanged) -> Progress:
    consolidated = event.event_type == EventType.ORDER_STATUS_CONSOLIDATED
    first_at = (
        event.occurred_at if progress.first_status_at is None else min(event.occurred_at, progress.first_status_at)
    )
    progress = replace(
        _with_market(progress, event),
        first_status_at=first_at,
        parent=progress.parent or bool(event.order.is_parent) or event.source == PARENT_SOURCE,
        time_in_force=event.order.time_in_force or progress.time_in_force,
        arrival_price=event.arrival_price if progress.arrival_price is None else progress.arrival_price,
    )
    if not consolidated:
        return replace(progress, quantity=progress.quantity or event.order.quantity)
    code = event.status.code
    ended = code if code in _ENDS or (code in _DONE and event.status.leaves_quantity == 0) else None
    return replace(
        progress,
        quantity=event.order.quantity,
        ended=ended,
        ended_at=event.occurred_at if ended else None,
        pending=code if code in _PENDING else None,
    )


def _with_market(progress: Progress, event: OrderStatusChanged | ExecutionReport) -> Progress:
    price = None if event.market is None else event.market.price
    if price is None or (progress.market_at is not None and progress.market_at > event.occurred_at):
        return progress
    return replace(progress, market_price=price, market_at=event.occurred_at)


def _with_report(progress: Progress, event: ExecutionReport) -> Progress:
    at = progress.acknowledged_at
    if at is None and event.exec_type == ExecType.NEW:
        at = event.occurred_at
    progress = _with_market(progress, event)
    return replace(
        progress,
        acknowledged_at=at,
        quantity=progress.quantity or event.order_quantity,
        time_in_force=event.time_in_force or progress.time_in_force,
    )


def _both_known(progress: Progress) -> bool:
    return progress.first_status_at is not None and progress.acknowledged_at is not None


def _placed(progress: Progress, event: OrderEvent) -> Milestone:
    milestone = _milestone(MilestoneKind.PLACED, progress, event, quantity=progress.quantity)
    parent_id = event.order.parent_id if isinstance(event, OrderStatusChanged) else None
    return replace(milestone, time_in_force=progress.time_in_force, parent_id=parent_id or None)


def _acknowledgement(progress: Progress, event: OrderEvent) -> Milestone:
    """The milestone has the time and venue of the venue's NEW, whichever event completes the two."""
    assert progress.acknowledged_at is not None
    assert progress.first_status_at is not None
    return replace(
        _milestone(MilestoneKind.ACKNOWLEDGED, progress, event),
        occurred_at=progress.acknowledged_at,
        venue=progress.venue,
        latency_micros=progress.acknowledged_at - progress.first_status_at,
        time_in_force=progress.time_in_force,
    )


def _pending(before: Progress, after: Progress, event: OrderEvent) -> list[Milestone]:
    if before.pending == after.pending or not isinstance(event, OrderStatusChanged):
        return []
    kind = MilestoneKind.ANSWERED if after.pending is None else MilestoneKind.PENDING
    if kind == MilestoneKind.ANSWERED and after.ended:
        return []
    return [replace(_milestone(kind, after, event), code=event.status.code)]


def _execution(event: OrderEnriched) -> MilestoneKind | None:
    """What the enrichment tells of the fills; None for a split, for a fee, and for an order's end."""
    if event.exec_type == ExecType.RESTATED:
        return None
    if event.exec_type == ExecType.TRADE_CORRECT:
        return MilestoneKind.CORRECTED
    if event.exec_type == ExecType.TRADE_CANCEL or event.last_quantity < 0:
        return MilestoneKind.BUSTED
    return MilestoneKind.TRADED if event.last_quantity > 0 else None


def _trade(kind: MilestoneKind, progress: Progress, event: OrderEnriched) -> Milestone:
    first = kind == MilestoneKind.TRADED and not progress.traded
    since = progress.acknowledged_at if first else None
    return replace(
        _milestone(kind, progress, event),
        venue=event.last_venue or event.venue or progress.venue,
        quantity=event.last_quantity,
        price=event.last_price,
        latency_micros=None if since is None else event.occurred_at - since,
        notional=_notional(kind, progress, event),
        exec_id=event.last_exec_id,
        exec_ref_id=event.exec_ref_id,
        reference_price=None if kind == MilestoneKind.BUSTED else progress.reference_price,
    )


def _notional(kind: MilestoneKind, progress: Progress, event: OrderEnriched) -> int | None:
    """By how much the fills' notional changed; None if the event has no price, which whoever adds it up refuses."""
    if kind != MilestoneKind.TRADED and progress.traded:
        return event.notional - progress.notional
    return None if event.last_price is None else event.last_quantity * event.last_price


def _end(before: Progress, after: Progress, event: OrderEvent) -> list[Milestone]:
    if before.ended == after.ended or not isinstance(event, OrderStatusChanged):
        return []
    found = []
    if before.ended is not None:
        found.append(replace(_milestone(MilestoneKind.REOPENED, after, event), code=event.status.code))
    if after.ended is not None:
        kind = MilestoneKind.DONE if after.ended in _DONE else MilestoneKind(after.ended)
        code = after.ended if kind == MilestoneKind.DONE else None
        found.append(replace(_milestone(kind, after, event), code=code, reason=event.status.reason))
    return found


def _milestone(kind: MilestoneKind, progress: Progress, event: OrderEvent, *, quantity: int = 0) -> Milestone:
    return Milestone(
        kind=kind,
        occurred_at=event.occurred_at,
        key=event.key,
        symbol=progress.symbol,
        venue=event.venue or progress.venue,
        quantity=quantity,
        side=event.order.side if isinstance(event, OrderStatusChanged) else event.side,
        correlation_id=event.correlation_id,
    )
