"""A row of the table seen as an object, for the scalar rules, and written back."""

from __future__ import annotations

from operators.model.events import Side
from operators.model.fees.costs import Market
from operators.model.orders.executions import Recall
from operators.model.orders.layout import DAY, NONE, SIDES, VOICE_NUMBERS, VOICES, Column, Extra
from operators.model.orders.state import Day, Order, Position, VenuePosition
from operators.model.orders.stored_executions import entry_of, execution_of, identity_bytes, split
from operators.model.orders.table import OrderTable


def read_order(table: OrderTable, row: int) -> Order | None:
    """The row as an object, with its recent executions; None for an order not yet known."""
    n = table.numbers[row].tolist()
    if n[Column.LAST_EVENT_AT] == NONE:
        return None
    extra = table.rare_parts(row)
    volume, turnover = n[Column.MARKET_VOLUME], n[Column.MARKET_TURNOVER]
    statuses, executions = n[Column.STATUS_SOURCE], n[Column.EXECUTION_SOURCE]
    return Order(
        key=table.keys[row].decode(),
        symbol=table.symbols.values[n[Column.SYMBOL]] or "",
        side=SIDES[n[Column.SIDE]],
        quantity=n[Column.QUANTITY],
        limit_price=_optional(n[Column.LIMIT_PRICE]),
        time_in_force=table.times_in_force.values[n[Column.TIME_IN_FORCE]],
        venue=table.venues.values[n[Column.VENUE]],
        parent_id=table.parent(row),
        is_parent=extra.is_parent,
        arrival_price=_optional(n[Column.ARRIVAL_PRICE]),
        decision_price=_optional(n[Column.DECISION_PRICE]),
        accepted_at=None if volume == NONE else Market(volume, turnover),
        engine=VOICES[n[Column.ENGINE]],
        at_venue=VOICES[n[Column.AT_VENUE]],
        filled=n[Column.FILLED],
        notional=n[Column.NOTIONAL],
        commission=n[Column.COMMISSION],
        total_fees=n[Column.TOTAL_FEES],
        trade_date=_optional(n[Column.TRADE_DATE]),
        day=None if n[Column.DAY_FILLED] == NONE else Day(*n[DAY]),
        sequence=n[Column.SEQUENCE],
        anomalies=n[Column.ANOMALIES],
        last_event_at=n[Column.LAST_EVENT_AT],
        statuses_seen=Position(statuses, n[Column.STATUS_SEQUENCE]) if statuses else None,
        executions_seen=VenuePosition(executions, n[Column.EXECUTION_SEQUENCE], n[Column.CUM_REPORTED])
        if executions
        else None,
        other_statuses_seen=extra.other_statuses_seen,
        other_executions_seen=extra.other_executions_seen,
        superseded=extra.superseded,
        waiting=extra.waiting,
        splits=extra.splits,
        end_price=extra.end_price,
        replaced_at_venue=extra.replaced_at_venue,
        executions=tuple(execution_of(entry) for entry in split(table.entries[row])),
    )


def write_order(table: OrderTable, row: int, order: Order, expire_at_ms: int) -> None:
    """Writes an order that was seen as an object back into its row."""
    n = table.numbers[row]
    n[: Column.CHUNKS] = (
        expire_at_ms,
        order.last_event_at,
        order.quantity,
        order.filled,
        order.notional,
        order.commission,
        order.total_fees,
        order.sequence,
        _number(order.arrival_price),
        _number(order.limit_price),
        *(order.statuses_seen or (0, 0)),
        *(order.executions_seen or (0, -1, 0)),
        order.anomalies,
    )
    n[Column.ENGINE : Column.PARENT] = (
        VOICE_NUMBERS[order.engine],
        VOICE_NUMBERS[order.at_venue],
        SIDES.index(Side(order.side)),
        n[Column.RECENT],
        _number(order.trade_date),
        table.symbols.number(order.symbol),
        table.venues.number(order.venue),
        table.times_in_force.number(order.time_in_force),
        _number(order.decision_price),
        *(order.accepted_at or (NONE, NONE)),
        *(order.day or (NONE, NONE)),
    )
    table.set_parent(row, order.parent_id)
    table.set_rare_parts(row, Extra.of(order))
    table.set_entries(row, [entry_of(execution) for execution in order.executions])


def recall(table: OrderTable, row: int) -> Recall:
    """Answers for the executions that left the row."""
    if not table.numbers[row, Column.CHUNKS]:
        return Recall()
    old = table.old(row)
    return Recall(
        lambda identity: [execution_of(entry) for entry in old.named(identity_bytes(identity))],
        lambda: [execution_of(entry) for entry in old.everything()],
    )


def _optional(number: int) -> int | None:
    return None if number == NONE else number


def _number(value: int | None) -> int:
    return NONE if value is None else value
