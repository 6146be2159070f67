"""Executions of an order as they change it: fills, busts, corrections and splits."""

from __future__ import annotations

import msgspec

from operators.model.events import ExecType, ExecutionReport, Fee, FeeKind
from operators.model.fees.fees import Trade, fees_of_change
from operators.model.money import fitting
from operators.model.orders.executions import (
    WAITING_MAX,
    Execution,
    Live,
    Recall,
    Split,
    execution_of,
    live_trade,
    live_trades,
    named_by,
    settle,
)
from operators.model.orders.outputs import Cause, Change, Noted, finish
from operators.model.orders.state import AnomalyKind, Context, Day, Order, Step


def on_execution_entry(
    before: Order,
    order: Order,
    event: ExecutionReport,
    cause: Cause,
    anomalies: list[Noted],
    context: Context,
    recall: Recall,
    *,
    late: bool,
) -> Step:
    """A trade, bust or correction that was not seen before; `order` is `before` with the message noted as seen."""
    entry = execution_of(event)
    if entry.kind == ExecType.TRADE:
        return _on_trade(before, order, event, entry, cause, anomalies, context, late=late)
    log = [*recall.everything(), *order.executions]
    named = named_by(live_trades(log), entry)
    if named is None and not _names_a_bust(entry, [*log, *order.waiting]) and len(order.waiting) < WAITING_MAX:
        anomalies.append(Noted(AnomalyKind.OUT_OF_ORDER, f"{entry.kind} of execution {entry.ref} came before it"))
        return finish(before, _waiting(order, entry), cause, anomalies, context)
    if named is None or named.busted:
        return finish(before, order, cause, [*anomalies, _not_applied(entry)], context)
    return _on_take_back(before, order, event, entry, named, cause, anomalies, context, late=late)


def _on_trade(
    before: Order,
    order: Order,
    event: ExecutionReport,
    entry: Execution,
    cause: Cause,
    anomalies: list[Noted],
    context: Context,
    *,
    late: bool,
) -> Step:
    """A fill. One after CANCELED is legal and counts; a bust or correction that waited for it applies at once."""
    trade = live_trade(entry, order.splits)
    settled = settle(trade, order.waiting)
    after, fees = _recounted(order, trade, was=(0, 0), removed=None, context=context)
    after = _logged(after, entry, *settled.applied)
    after = msgspec.structs.replace(after, waiting=settled.waiting)
    anomalies += map(_not_applied, settled.refused)
    change = None
    if not trade.busted:
        change = Change(
            exec_id=trade.version.exec_id,
            quantity=trade.quantity,
            price=trade.price,
            venue=event.venue,
            liquidity=trade.liquidity,
            trade_date=event.trade_date,
            exec_type=ExecType.TRADE if settled.applied else None,
            fees=fees,
        )
        anomalies += _overfill(after)
    if not late and not settled.applied:
        anomalies += mismatches(after, event)
    return finish(before, after, cause._replace(reason=None), anomalies, context, change)


def _on_take_back(
    before: Order,
    order: Order,
    event: ExecutionReport,
    entry: Execution,
    trade: Live,
    cause: Cause,
    anomalies: list[Noted],
    context: Context,
    *,
    late: bool,
) -> Step:
    """A bust or correction of a trade that counts, and what waited for the correction."""
    quantity, notional, price, removed = trade.quantity, trade.notional, trade.price, _charged(trade)
    settled = settle(trade, (entry, *order.waiting))
    after, fees = _recounted(order, trade, was=(quantity, notional), removed=removed, context=context)
    after = msgspec.structs.replace(_logged(after, *settled.applied), waiting=settled.waiting)
    anomalies += map(_not_applied, settled.refused)
    if trade.quantity > quantity:
        anomalies += _overfill(after)
    if not late:
        anomalies += mismatches(after, event)
    fees = tuple(fee for fee in fees if fee.amount)
    if (trade.quantity, trade.notional, fees) == (quantity, notional, ()):  # corrected to what it was
        return finish(before, after, cause, anomalies, context)
    change = Change(
        exec_id=settled.applied[-1].exec_id,
        quantity=trade.quantity - quantity,
        price=price if trade.busted else trade.version.price,
        venue=event.venue,
        liquidity=trade.liquidity,
        trade_date=event.trade_date,
        exec_type=ExecType.TRADE_CANCEL if trade.busted else ExecType.TRADE_CORRECT,
        exec_ref_id=entry.ref,
        replaced_quantity=quantity,
        replaced_price=price,
        fees=fees,
    )
    return finish(before, after, cause, anomalies, context, change)


def on_split(
    before: Order,
    order: Order,
    split: Split,
    event: ExecutionReport,
    cause: Cause,
    anomalies: list[Noted],
    context: Context,
) -> Step:
    """A split: quantities as reported, the value of what is filled stays, prices per unit follow."""
    filled = fitting(split.of(order.filled), "filled quantity")
    entry = Execution(
        kind=ExecType.RESTATED,
        venue=event.venue,
        session=event.session or None,
        trade_date=event.trade_date,
        exec_id=event.exec_id,
        quantity=split.new,
        price=split.old,
    )
    after = msgspec.structs.replace(
        _logged(order, entry),
        quantity=max(event.order_quantity, filled, event.cum_quantity),
        limit_price=_per_unit(order.limit_price, split) if event.price is None else event.price,
        arrival_price=_per_unit(order.arrival_price, split),
        decision_price=_per_unit(order.decision_price, split),
        end_price=_per_unit(order.end_price, split),
        filled=filled,
        day=order.day and Day(split.of(order.day.filled), order.day.notional),
        splits=(*order.splits, split),
    )
    change = None
    if order.filled:
        change = Change(
            exec_id=event.exec_id,
            quantity=filled - order.filled,
            venue=event.venue,
            trade_date=event.trade_date,
            exec_type=ExecType.RESTATED,
            replaced_quantity=order.filled,
        )
    return finish(before, after, cause, [*anomalies, *mismatches(after, event)], context, change)


def mismatches(order: Order, event: ExecutionReport) -> list[Noted]:
    """What the venue reports against what its fills add up to. The fills are the truth."""
    open_quantity = max(0, event.order_quantity - order.filled)
    reported = f"cumQuantity {event.cum_quantity}, leavesQuantity {event.leaves_quantity} reported"
    detail = f"{reported}, {order.filled} filled, {open_quantity} open"
    leaves_zero = event.leaves_quantity == 0 and not order.closed and event.cum_quantity < event.order_quantity
    leaves_agree = event.leaves_quantity == open_quantity or (event.leaves_quantity == 0 and order.closed)
    found = []
    if event.cum_quantity != order.filled or not (leaves_agree or leaves_zero):
        found.append(Noted(AnomalyKind.CUM_MISMATCH, detail))
    if leaves_zero:
        found.append(Noted(AnomalyKind.LEAVES_ZERO_LIVE, detail))
    return found


def _recounted(
    order: Order, trade: Live, *, was: tuple[int, int], removed: Trade | None, context: Context
) -> tuple[Order, tuple[Fee, ...]]:
    """The order with a trade as it counts now in place of what it `was`, and the fees of the difference."""
    quantity, notional = trade.quantity - was[0], trade.notional - was[1]
    filled = fitting(order.filled + quantity, "filled quantity")
    value = fitting(order.notional + notional, "notional")
    added = None if trade.busted else _charged(trade)
    fees: list[Fee] = []
    if added or removed:
        fees = fees_of_change(
            context.fees,
            side=order.side,
            removed=removed,
            added=added,
            filled=filled,
            notional=value,
            commission=order.commission,
            commission_date=order.trade_date,
        )
    commission = sum(fee.amount for fee in fees if fee.kind == FeeKind.COMMISSION)
    total = sum(fitting(fee.amount, fee.kind) for fee in fees)
    day = order.day
    if day is not None and trade.trade.trade_date == order.trade_date:
        day = Day(day.filled + quantity, day.notional + notional)
    after = msgspec.structs.replace(
        order,
        filled=filled,
        notional=value,
        day=day,
        commission=fitting(order.commission + commission, "commission"),
        total_fees=fitting(order.total_fees + total, "total of fees"),
    )
    return after, tuple(fees)


def _charged(trade: Live) -> Trade:
    """The trade as its fees see it: of its own date and venue, with quantity and price as told."""
    version = trade.version
    return Trade(trade.trade.trade_date, trade.trade.venue, trade.liquidity, version.quantity, version.price)


def _logged(order: Order, *entries: Execution) -> Order:
    return msgspec.structs.replace(order, executions=(*order.executions, *entries))


def _waiting(order: Order, entry: Execution) -> Order:
    return msgspec.structs.replace(order, waiting=(*order.waiting, entry))


def _names_a_bust(entry: Execution, log: list[Execution]) -> bool:
    return any(e.kind == ExecType.TRADE_CANCEL and (e.exec_id, e.venue) == (entry.ref, entry.venue) for e in log)


def _not_applied(entry: Execution) -> Noted:
    return Noted(AnomalyKind.NOT_APPLIED, f"{entry.kind} {entry.exec_id} of execution {entry.ref}")


def _overfill(order: Order) -> list[Noted]:
    if order.filled <= order.quantity:
        return []
    return [Noted(AnomalyKind.OVERFILL, f"filled {order.filled} of {order.quantity}")]


def _per_unit(price: int | None, split: Split) -> int | None:
    """A price per unit after the split, rounded down; one that would vanish is none any more."""
    return None if price is None else price * split.old // split.new or None
