"""The life of one order: engine statuses and venue messages joined into consolidated statuses, enrichment, anomalies.

These scalar rules are the definition. The columnar fold computes the same for plain events of many orders at once, and
hands everything else to the functions here.

| of the order | the engine's statuses | messages of venues |
|---|---|---|
| state | its voice, see `lifecycle` | the other voice; the answer to a request ends it for both |
| filled, average price | never | live executions alone, see `executions` |
| quantity, limit price, time in force | any but a pending one, or one of before a venue's REPLACED | \
REPLACED, RESTATED, and the first message of an order that is not known yet (a cancel reject has no OrderQty) |
| symbol, side, parent | always | the first message of an order that is not known yet |
| venue | where named | where not known yet |
| arrival price, decision price, market at acceptance | the first that is known, for good | a split only |
| trading day | never | the largest trade date; a later one ends DONE_FOR_DAY and begins a day of fills |
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from operators.model.events import ExecType, ExecutionReport, OrderStatusChanged, OrdStatus
from operators.model.fees.costs import Market
from operators.model.orders.checks import checked_execution, checked_status
from operators.model.orders.execution_rules import mismatches, on_execution_entry, on_split
from operators.model.orders.executions import EXECUTION_TYPES, NOTHING_MOVED_OUT, Recall, Split, execution_of
from operators.model.orders.lifecycle import ANSWERS, PENDING, TRANSITIONS, VENUE_STATES
from operators.model.orders.outputs import Cause, Noted, finish, told
from operators.model.orders.state import (
    AnomalyKind,
    Context,
    Day,
    Order,
    Position,
    Step,
    VenuePosition,
    name_id,
)

SUPERSEDED_MAX: Final = 16
"""ClOrdIDs kept of those that a venue replaced: statuses lag behind by few of them."""
_NO_REPORT_OF_QUANTITIES: Final = frozenset({ExecType.CANCEL_REJECTED})
_TAKES_BACK: Final = frozenset({ExecType.TRADE_CANCEL, ExecType.TRADE_CORRECT})
_SAYS_NOTHING: Final = frozenset(
    {ExecType.ORDER_STATUS, ExecType.TRADE_IN_CLEARING_HOLD, ExecType.TRADE_RELEASED_TO_CLEARING}
)

P = TypeVar("P", bound=Position | VenuePosition)


def on_status(order: Order | None, event: OrderStatusChanged, context: Context) -> Step:
    """Takes in a status of the order engine. `InvalidRecordError` for values no rule can work with."""
    code, cause = checked_status(event), Cause.status(event)
    source = name_id(event.source)
    last = _seen(order.statuses_seen, order.other_statuses_seen, source) if order else None
    if order and last is not None and event.sequence <= last.sequence:
        noted = Noted(AnomalyKind.DUPLICATE, f"status {event.sequence} after {last.sequence}")
        return told(order, cause, [noted], context, [])
    anomalies: list[Noted] = []
    expected = last.sequence if last else 0
    if event.sequence != expected + 1:
        anomalies.append(Noted(AnomalyKind.GAP, f"status {event.sequence} after {expected}"))
    before = order or Order(
        key=event.key,
        symbol=event.order.symbol,
        side=event.order.side,
        quantity=event.order.quantity,
        limit_price=event.order.limit_price,
        time_in_force=event.order.time_in_force,
        last_event_at=event.occurred_at,
    )
    seen, others = _advance(before.statuses_seen, before.other_statuses_seen, Position(source, event.sequence))
    known = msgspec.structs.replace(before, statuses_seen=seen, other_statuses_seen=others)
    if code not in TRANSITIONS[before.engine.code]:
        anomalies.append(Noted(AnomalyKind.ILLEGAL_TRANSITION, f"{code} after {before.engine.code}"))
        return told(known, cause, anomalies, context, [])
    return finish(before, _after_status(known, event, code), cause, anomalies, context)


def _after_status(order: Order, event: OrderStatusChanged, code: OrdStatus) -> Order:
    given, market = event.order, event.market
    behind = _is_behind(order, given.cl_ord_id, code)
    if code not in PENDING and not behind:
        order = _with_terms(
            order,
            # A replace to less than is filled means stop executing.
            max(given.quantity, order.filled) if code is OrdStatus.REPLACED else given.quantity,
            given.limit_price,
            given.time_in_force,
        )
    accepted_at = order.accepted_at
    if accepted_at is None and market and market.volume is not None and market.turnover is not None:
        accepted_at = Market(market.volume, market.turnover)
    return msgspec.structs.replace(
        order,
        symbol=given.symbol,
        side=given.side,
        venue=order.venue if event.venue is None else event.venue,
        parent_id=order.parent_id if given.parent_id is None else given.parent_id,
        is_parent=order.is_parent or bool(given.is_parent),
        arrival_price=_benchmark(event.arrival_price) if order.arrival_price is None else order.arrival_price,
        decision_price=_benchmark(event.decision_price) if order.decision_price is None else order.decision_price,
        accepted_at=accepted_at,
        replaced_at_venue=order.replaced_at_venue and (code is not OrdStatus.REPLACED or behind),
        engine=order.engine.says(code),
        at_venue=order.at_venue.answered() if code in ANSWERS else order.at_venue,
        last_event_at=max(order.last_event_at, event.occurred_at),
    )


def _is_behind(order: Order, cl_ord_id: str | None, code: OrdStatus) -> bool:
    """Whether the terms of a status are those of before a venue's REPLACED.

    A ClOrdID tells it. Of statuses without one only REPLACED says that the engine has followed.
    """
    if cl_ord_id is None:
        return order.replaced_at_venue and code is not OrdStatus.REPLACED
    return cl_ord_id in order.superseded


def on_execution(
    order: Order | None, event: ExecutionReport, context: Context, recall: Recall = NOTHING_MOVED_OUT
) -> Step:
    """Takes in a message of a venue; the order need not be known yet. `InvalidRecordError` as for `on_status`."""
    kind, cause = checked_execution(event), Cause.execution(event)
    before = order or Order(
        key=event.key,
        symbol=event.symbol,
        side=event.side,
        quantity=event.order_quantity,
        limit_price=event.price,
        time_in_force=event.time_in_force,
        venue=event.venue,
        last_event_at=event.occurred_at,
    )
    last = _seen(before.executions_seen, before.other_executions_seen, name_id(event.source))
    late = last is not None and event.sequence <= last.sequence
    resent = ", possible resend" if event.poss_resend else ""
    anomalies: list[Noted] = []
    if kind in EXECUTION_TYPES:
        entry = execution_of(event)
        held = (*before.executions, *before.waiting)
        same = [*(e for e in held if e.identity == entry.identity), *recall.named(entry.identity)]
        name = f"execution {event.venue} {event.trade_date} {event.exec_id}"
        if any(known.repeats(entry) for known in same):
            return told(before, cause, [Noted(AnomalyKind.DUPLICATE, name + resent)], context, [])
        if same:
            anomalies.append(Noted(AnomalyKind.EXEC_ID_REUSED, f"{name} has other content than before{resent}"))
        if last is not None and late:
            anomalies.append(Noted(AnomalyKind.OUT_OF_ORDER, f"execution {event.sequence} after {last.sequence}"))
    elif last is not None and late:
        noted = Noted(AnomalyKind.DUPLICATE, f"{kind} {event.sequence} after {last.sequence}{resent}")
        return told(before, cause, [noted], context, [])
    anomalies += _backwards(event, kind, last, late=late)
    known = _on_day(_seen_execution(before, event, kind, last), event.trade_date)
    if known.quantity == 0 and known.statuses_seen is None and _reports_quantities(event, kind):
        known = _with_terms(known, event.order_quantity, event.price, event.time_in_force)
    if kind in EXECUTION_TYPES:
        return on_execution_entry(before, known, event, cause, anomalies, context, recall, late=late)
    return _on_report(before, known, event, kind, cause, anomalies, context, last)


def _backwards(event: ExecutionReport, kind: ExecType, last: VenuePosition | None, *, late: bool) -> list[Noted]:
    if last is None or late or kind in _TAKES_BACK or not _reports_quantities(event, kind) or _is_split(event, kind):
        return []
    if event.cum_quantity >= last.cum_quantity:
        return []
    detail = f"cumQuantity {event.cum_quantity} reported after {last.cum_quantity}, and nothing was taken back"
    return [Noted(AnomalyKind.CUM_BACKWARDS, detail)]


def _seen_execution(order: Order, event: ExecutionReport, kind: ExecType, last: VenuePosition | None) -> Order:
    """The order with the message noted as seen."""
    source = name_id(event.source)
    sequence, cum_quantity = event.sequence, event.cum_quantity
    if last is not None and event.sequence <= last.sequence:
        sequence, cum_quantity = last.sequence, last.cum_quantity
    elif not _reports_quantities(event, kind):
        cum_quantity = last.cum_quantity if last else 0
    position = VenuePosition(source, sequence, cum_quantity)
    seen, others = _advance(order.executions_seen, order.other_executions_seen, position)
    return msgspec.structs.replace(
        order,
        venue=event.venue if order.venue is None else order.venue,
        executions_seen=seen,
        other_executions_seen=others,
        last_event_at=max(order.last_event_at, event.occurred_at),
    )


def _on_day(order: Order, trade_date: int) -> Order:
    """The order on the trading day of a message: a later one than before begins a new day."""
    if order.trade_date is None:
        return msgspec.structs.replace(order, trade_date=trade_date)
    if trade_date > order.trade_date:
        engine, at_venue = order.engine.next_day(), order.at_venue.next_day()
        return msgspec.structs.replace(order, trade_date=trade_date, day=Day(), engine=engine, at_venue=at_venue)
    if trade_date < order.trade_date and order.day is None:
        return msgspec.structs.replace(order, day=Day(order.filled, order.notional))
    return order


def _on_report(
    before: Order,
    order: Order,
    event: ExecutionReport,
    kind: ExecType,
    cause: Cause,
    anomalies: list[Noted],
    context: Context,
    last: VenuePosition | None,
) -> Step:
    """Any message but an execution: what the venue says of the order's state and terms."""
    if kind is ExecType.CANCEL_REJECTED:
        if event.reject_reason == "UNKNOWN_ORDER":
            anomalies.append(Noted(AnomalyKind.UNKNOWN_ORDER, f"request {event.cl_ord_id} of {event.orig_cl_ord_id}"))
        return finish(before, _answered(order, event.ord_status), cause, anomalies, context)
    if not _reports_quantities(event, kind):
        detail = f"request {event.cl_ord_id}: {cause.reason}, the order is {event.ord_status}"
        anomalies.append(Noted(AnomalyKind.REQUEST_REJECTED, detail))
        return finish(before, order, cause, anomalies, context)
    if kind in _SAYS_NOTHING:
        return finish(before, order, cause, [*anomalies, *mismatches(order, event)], context)
    if kind is ExecType.RESTATED:
        after = msgspec.structs.replace(order, at_venue=order.at_venue.says(OrdStatus(event.ord_status)))
        if (split := _split(order, event, kind, last)) is not None:
            return on_split(before, after, split, event, cause, anomalies, context)
    elif kind is ExecType.REPLACED:
        after = _answered(_superseding(order, event), event.ord_status)
        after = msgspec.structs.replace(after, replaced_at_venue=True)
    else:
        after = msgspec.structs.replace(order, at_venue=order.at_venue.says(VENUE_STATES[kind]))
    if VENUE_STATES.get(kind) in ANSWERS:
        after = _answered(after, None)
    if kind in (ExecType.REPLACED, ExecType.RESTATED):
        quantity = max(event.order_quantity, after.filled, event.cum_quantity)
        after = _with_terms(after, quantity, event.price, event.time_in_force)
    return finish(before, after, cause, [*anomalies, *mismatches(after, event)], context)


def _answered(order: Order, status: str | None) -> Order:
    """A request was answered; where the answer's ordStatus is a pending one, that request still waits."""
    still = OrdStatus(status) if status in PENDING else None
    return msgspec.structs.replace(order, engine=order.engine.answered(still), at_venue=order.at_venue.answered(still))


def _superseding(order: Order, event: ExecutionReport) -> Order:
    replaced = event.orig_cl_ord_id
    if replaced is None or replaced == event.cl_ord_id:
        return order
    others = tuple(known for known in order.superseded if known not in (replaced, event.cl_ord_id))
    return msgspec.structs.replace(order, superseded=(*others, replaced)[-SUPERSEDED_MAX:])


def _with_terms(order: Order, quantity: int, limit_price: int | None, time_in_force: str | None) -> Order:
    """Other terms; null says nothing about one."""
    return msgspec.structs.replace(
        order,
        quantity=quantity,
        limit_price=order.limit_price if limit_price is None else limit_price,
        time_in_force=order.time_in_force if time_in_force is None else time_in_force,
    )


def _split(order: Order, event: ExecutionReport, kind: ExecType, last: VenuePosition | None) -> Split | None:
    """The ratio of a split, from what the venue reported before and reports now; else from the order's quantities."""
    if not _is_split(event, kind):
        return None
    pairs = (event.cum_quantity, last.cum_quantity if last else 0), (event.cum_quantity, order.filled)
    for new, old in (*pairs, (event.order_quantity, order.quantity)):
        if new > 0 and old > 0:
            return Split(event.trade_date, new, old)
    return None


def _is_split(event: ExecutionReport, kind: ExecType) -> bool:
    return kind is ExecType.RESTATED and event.restatement_reason == "GT_CORPORATE_ACTION"


def _reports_quantities(event: ExecutionReport, kind: ExecType) -> bool:
    """Whether CumQty and LeavesQty are about the order: those of a rejected request are not to be relied on."""
    refused_request = kind is ExecType.REJECTED and event.ord_status != OrdStatus.REJECTED
    return kind not in _NO_REPORT_OF_QUANTITIES and not refused_request


def _benchmark(price: int | None) -> int | None:
    """One that is not positive is no benchmark, but no reason to lose a status either."""
    return price if price is not None and price > 0 else None


def _seen(seen: P | None, others: tuple[P, ...], source: int) -> P | None:
    """How far a source was seen; None if it was not."""
    known: list[P] = [*others] if seen is None else [seen, *others]
    return next((position for position in known if position.source == source), None)


def _advance(seen: P | None, others: tuple[P, ...], position: P) -> tuple[P, tuple[P, ...]]:
    """The position as the current one, and those of all other sources."""
    if seen is None or seen.source == position.source:
        return position, others
    kept: list[P] = [known for known in others if known.source != position.source]
    return position, (*kept, seen)
