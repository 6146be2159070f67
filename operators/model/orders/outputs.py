"""What goes out after an event: consolidated status, enrichment, anomalies, and word to the parent."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from operators.model.events import (
    EventType,
    ExecutionReport,
    Fee,
    MarketState,
    OrderAnomaly,
    OrderEnriched,
    OrderStatusChanged,
    OrderSummary,
    OrdStatus,
    StatusDetail,
    order_of,
)
from operators.model.fees.costs import Market, implementation_shortfall, interval_vwap, side_sign, slippage_bps
from operators.model.orders.parents import FamilyChange, Share, Terms
from operators.model.orders.state import AnomalyKind, Context, Order, Output, Step, visible

_NO_SHARE: Final = Share()


class Cause(NamedTuple):
    """What outputs take from the event behind them."""

    occurred_at: int
    symbol: str
    reason: str | None
    cl_ord_id: str | None
    correlation_id: str | None
    market: MarketState | None
    venue: str | None = None
    exec_id: str | None = None

    @staticmethod
    def status(event: OrderStatusChanged) -> Cause:
        """Of a status of the engine."""
        order = event.order
        return Cause(
            event.occurred_at, order.symbol, event.status.reason, order.cl_ord_id, event.correlation_id, event.market
        )

    @staticmethod
    def execution(event: ExecutionReport) -> Cause:
        """Of a message of a venue; only one that is no trade gives a reason."""
        reason = event.text or event.restatement_reason or event.reject_reason
        ids = event.cl_ord_id, event.correlation_id
        return Cause(
            event.occurred_at, event.symbol, reason, *ids, event.market, venue=event.venue, exec_id=event.exec_id
        )


class Change(NamedTuple):
    """How an event changed an order's fills, for its enrichment."""

    exec_id: str | None = None
    quantity: int = 0
    price: int | None = None
    venue: str | None = None
    liquidity: str | None = None
    trade_date: int | None = None
    exec_type: str | None = None
    exec_ref_id: str | None = None
    replaced_quantity: int = 0
    replaced_price: int | None = None
    fees: tuple[Fee, ...] = ()


class Noted(NamedTuple):
    """An anomaly before it has its place in the order's sequence."""

    kind: AnomalyKind
    detail: str


def finish(
    before: Order, after: Order, cause: Cause, anomalies: list[Noted], context: Context, change: Change | None = None
) -> Step:
    """The step from one state to another: what is to be sent, and the sequences moved on by it."""
    if after.code is None and before.code is not None:
        # All that was known of it is taken back, so it is as it was when a venue first took it.
        after = msgspec.structs.replace(after, at_venue=after.at_venue.says(OrdStatus.NEW))
    if change is None and after.dead and not before.dead and after.decision_price is not None:
        change = Change(exec_type=str(after.engine.code if after.engine.dead else after.at_venue.code))
    after = _with_end_price(before, after, cause)
    outputs: list[Output] = []
    if after.code is not None and (change is not None or visible(before) != visible(after)):
        after = msgspec.structs.replace(after, sequence=after.sequence + 1)
        if not after.is_parent:
            outputs.append(_consolidated(after, cause, context))
        if change is not None:
            outputs.append(_enriched(after, cause, change, context))
    if after.is_parent or after.parent_id is not None or before.parent_id is not None:
        outputs += _family_changes(before, after, cause)
    return told(after, cause, anomalies, context, outputs)


def told(order: Order, cause: Cause, anomalies: list[Noted], context: Context, outputs: list[Output]) -> Step:
    """A step with its anomalies."""
    if not anomalies:
        return Step(order, outputs)
    events = [
        OrderAnomaly(
            event_type=EventType.ORDER_ANOMALY,
            occurred_at=cause.occurred_at,
            key=order.key,
            sequence=order.anomalies + number,
            source=context.source,
            kind=noted.kind,
            detail=noted.detail,
            symbol=cause.symbol,
            venue=cause.venue if cause.exec_id is not None else None,
            exec_id=cause.exec_id,
            correlation_id=cause.correlation_id,
        )
        for number, noted in enumerate(anomalies, start=1)
    ]
    return Step(msgspec.structs.replace(order, anomalies=order.anomalies + len(events)), outputs, events)


def _with_end_price(before: Order, after: Order, cause: Cause) -> Order:
    """The order with the price at its end, taken when it dies and kept for the busts and late fills that follow."""
    if not after.dead:
        return after if after.end_price is None else msgspec.structs.replace(after, end_price=None)
    price = cause.market.price if cause.market else None
    if before.dead or after.decision_price is None or price is None or price <= 0:
        return after
    return msgspec.structs.replace(after, end_price=price)


def _consolidated(order: Order, cause: Cause, context: Context) -> OrderStatusChanged:
    assert order.code is not None
    return OrderStatusChanged(
        event_type=EventType.ORDER_STATUS_CONSOLIDATED,
        occurred_at=cause.occurred_at,
        key=order.key,
        sequence=order.sequence,
        source=context.source,
        order=OrderSummary(
            id=order_of(order.key),
            parent_id=order.parent_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            cl_ord_id=cause.cl_ord_id,
            limit_price=order.limit_price,
            time_in_force=order.time_in_force,
            is_parent=order.is_parent or None,
        ),
        status=StatusDetail(
            code=order.code,
            reason=cause.reason,
            filled_quantity=order.filled,
            leaves_quantity=order.leaves,
            avg_price=order.average_price,
            day=order.day_quantities,
        ),
        venue=order.venue,
        arrival_price=order.arrival_price,
        decision_price=order.decision_price,
        market=cause.market,
        correlation_id=cause.correlation_id,
    )


def _enriched(order: Order, cause: Cause, change: Change, context: Context) -> OrderEnriched:
    sign, average = side_sign(order.side), order.average_price
    price_now = cause.market.price if cause.market else None
    vwap = interval_vwap(order.accepted_at, _market(cause)) if order.day is None else None
    return OrderEnriched(
        event_type=EventType.ORDER_ENRICHED,
        occurred_at=cause.occurred_at,
        key=order.key,
        sequence=order.sequence,
        source=context.enrichment_source,
        symbol=order.symbol,
        venue=order.venue,
        side=order.side,
        filled_quantity=order.filled,
        avg_price=average,
        notional=order.notional,
        slippage_bps=slippage_bps(sign, average, order.arrival_price),
        fees=list(change.fees),
        total_fees=order.total_fees,
        last_exec_id=change.exec_id,
        last_quantity=change.quantity,
        last_price=change.price,
        last_venue=change.venue if change.venue != order.venue else None,
        liquidity=change.liquidity,
        trade_date=change.trade_date,
        exec_type=change.exec_type,
        exec_ref_id=change.exec_ref_id,
        replaced_quantity=change.replaced_quantity,
        replaced_price=change.replaced_price,
        interval_vwap=vwap,
        vwap_slippage_bps=slippage_bps(sign, average, vwap),
        shortfall=implementation_shortfall(
            sign,
            quantity=order.quantity,
            filled=order.filled,
            notional=order.notional,
            decision_price=order.decision_price,
            arrival_price=order.arrival_price,
            fees=order.total_fees,
            ended=order.closed,
            end_price=price_now if order.end_price is None else order.end_price,
        ),
        correlation_id=cause.correlation_id,
    )


def _market(cause: Cause) -> Market | None:
    market = cause.market
    if market is None or market.volume is None or market.turnover is None:
        return None
    return Market(market.volume, market.turnover)


def _family_changes(before: Order, after: Order, cause: Cause) -> list[Output]:
    """What the parent must know; two changes if the order was given to another parent."""
    own = order_of(after.key) if after.is_parent else after.parent_id or None
    told_before = order_of(before.key) if before.is_parent else before.parent_id or None
    changes: list[Output] = []
    if told_before is not None and told_before != own:
        changes.append(_family_change(after, cause, told_before, _NO_SHARE.minus(_share(before)), None))
    if own is not None:
        difference = _share(after).minus(_share(before) if told_before == own else _NO_SHARE)
        terms = _terms(after) if after.is_parent else None
        if difference != _NO_SHARE or (terms is not None and terms != (_terms(before) if before.is_parent else None)):
            changes.append(_family_change(after, cause, own, difference, terms))
    return changes


def _share(order: Order) -> Share:
    """What an order contributes to its parent, or to itself where it is the parent."""
    if order.is_parent:
        return Share(filled=order.filled, notional=order.notional)
    if not order.parent_id:
        return _NO_SHARE
    # One that late fills have completed is filled, whoever ended it before.
    dead = order.dead and not 0 < order.filled >= order.quantity
    ended = {voice.code for voice in (order.engine, order.at_venue) if dead and voice.dead}
    rejected, expired = ended == {OrdStatus.REJECTED}, ended == {OrdStatus.EXPIRED}
    return Share(
        children=1,
        open=int(not order.closed),
        canceled=int(dead and not rejected and not expired),
        expired=int(expired),
        rejected=int(rejected),
        quantity=order.filled if order.dead else order.quantity,
        filled=order.filled,
        notional=order.notional,
    )


def _terms(order: Order) -> Terms:
    code, pending = order.engine
    return Terms(
        quantity=order.quantity,
        limit_price=order.limit_price,
        time_in_force=order.time_in_force,
        venue=order.venue,
        arrival_price=order.arrival_price,
        decision_price=order.decision_price,
        code=code,
        pending=pending,
    )


def _family_change(order: Order, cause: Cause, parent_id: str, change: Share, terms: Terms | None) -> FamilyChange:
    return FamilyChange(
        occurred_at=cause.occurred_at,
        key=order.key,
        parent_id=parent_id,
        symbol=order.symbol,
        side=order.side,
        **change._asdict(),
        terms=terms,
        reason=cause.reason,
        cl_ord_id=cause.cl_ord_id,
        correlation_id=cause.correlation_id,
    )
